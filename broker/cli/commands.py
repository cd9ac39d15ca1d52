"""Every command, with its words. What takes time to import is imported by the command that needs it."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from broker.main.processes import Place

app: Final = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a pretty traceback shows values, and values may be somebody's name
    help="Unwaith: tell a change once, and every organisation that must know is told.",
)

adapter_app: Final = typer.Typer(no_args_is_help=True, help="Ways of reaching an organisation.")
app.add_typer(adapter_app, name="adapter")

keys_app: Final = typer.Typer(no_args_is_help=True, help="Our own signing keys, which organisations verify.")
app.add_typer(keys_app, name="keys")

organisations_app: Final = typer.Typer(no_args_is_help=True, help="Who there is, connected or not.")
app.add_typer(organisations_app, name="organisations")

agreements_app: Final = typer.Typer(no_args_is_help=True, help="What is agreed with whom, and proposals for it.")
app.add_typer(agreements_app, name="agreements")

gazetteer_app: Final = typer.Typer(no_args_is_help=True, help="The open data that says where an address lies.")
app.add_typer(gazetteer_app, name="gazetteer")

Data = Annotated[Path, typer.Option(help="Where everything is kept.")]
LogKind = Annotated[Literal["postgres", "kafka"], typer.Option(help="The log between the stages.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")]

REFUSED: Final = 2
"""Exit code: it did not start; what to do stands on stderr."""
PORTS: Final = {"api": "UNWAITH_PORT", "metrics": "UNWAITH_METRICS_PORT"}
"""What moves the ports of a role that is a process of its own."""


@app.command()
def run(
    data: Data = Path(".data"),
    port: Annotated[int, typer.Option(min=1, max=65_000, help="The API's port; the others follow it.")] = 8000,
    verbose: Annotated[bool, typer.Option(help="Show what happens, as it happens.")] = False,
) -> None:
    """Run the whole exchange on this machine, with its sandbox, until Ctrl-C."""
    from broker.cli.run import run as run_everything

    _finish(lambda stop: run_everything(data, port, verbose=verbose, stop=stop))


@app.command()
def demo(
    log: LogKind = "postgres",
    person: Annotated[str, typer.Option(help="Which sample person moves.")] = "sian",
) -> None:
    """Tell one change as a person would, and watch it arrive. Exit code 0 only if everything ended as it should."""
    from broker.cli.demo import demo as show

    _finish(lambda stop: show(log, person, stop=stop))


@app.command()
def tell(
    person: Annotated[str, typer.Argument(help="Which sample person moves.")] = "sian",
    data: Data = Path(".data"),
    port: Annotated[int, typer.Option(min=1, max=65_000, help="Where `unwaith run` serves the API.")] = 8000,
) -> None:
    """Tell one move at the exchange that `unwaith run` serves, and watch it arrive there."""
    from broker.cli.demo import tell as tell_it

    _finish(lambda stop: tell_it(data, port, person, stop=stop))


def _worker(role: Literal["api", "relay", "deliver", "track", "notify"]) -> NoReturn:
    from broker.cli.ending import until_done
    from broker.cli.workers import run_role

    raise typer.Exit(_outcome(lambda: until_done(lambda stop: run_role(role, stop)), ports=PORTS))


@app.command()
def api(
    processes: Annotated[
        int, typer.Option(min=1, max=64, help="How many serve the port; each has a metrics port of its own.")
    ] = 1,
) -> None:
    """Serve the API. Settings come from UNWAITH_… variables; unset, the environment is production."""
    if processes == 1:
        _worker("api")
    from broker.cli.ending import until_done
    from broker.cli.workers import run_role, serve_with

    def child(place: "Place") -> int:
        return _outcome(lambda: until_done(lambda stop: run_role("api", stop, place)), ports=PORTS)

    raise typer.Exit(_outcome(lambda: serve_with(processes, child, REFUSED), ports=PORTS))


@app.command()
def relay() -> None:
    """Carry what is due from the store to the log."""
    _worker("relay")


@app.command()
def deliver() -> None:
    """Deliver from the log to organisations."""
    _worker("deliver")


@app.command()
def track() -> None:
    """Fold receipts from the log into statuses."""
    _worker("track")


@app.command()
def notify() -> None:
    """Send people the confirmations they asked for. Any number may run."""
    _worker("notify")


@app.command()
def migrate() -> None:
    """Bring the database's schema to this version, once, whoever comes first."""
    from broker.cli.operating import migrate_store

    _finish(lambda _stop: migrate_store())


@app.command()
def doctor(as_json: Json = False) -> None:
    """Look at the parts and at the books: accepted = the sum of all statuses. Exit code 1 if something is wrong."""
    from broker.cli.doctor import examine

    _finish(lambda _stop: examine(as_json=as_json))


@app.command()
def register(file: Annotated[Path, typer.Argument(help="A registration: see docs/running.md.")]) -> None:
    """Import organisations, their agreements and their software's public keys from a file."""
    from broker.cli.registering import register_file

    _finish(lambda _stop: register_file(file))


@app.command()
def secret(organisation: str, name: Annotated[str, typer.Argument()] = "signing") -> None:
    """Keep an organisation's secret, read from standard input. Nobody can read it back.

    In production it comes into force once two people have approved it, and nothing is sent to the organisation until then.
    """
    from broker.cli.registering import entrust_secret

    _finish(lambda _stop: entrust_secret(organisation, name))


@keys_app.command("list")
def list_keys(as_json: Json = False) -> None:
    """Show which keys we publish for each purpose, and which sign."""
    from broker.cli.keys import show

    _finish(lambda _stop: show(as_json=as_json))


@keys_app.command("rotate")
def rotate_keys(
    purpose: Annotated[Literal["client-assertions", "message-signatures"], typer.Argument(help="What they sign.")],
    compromised: Annotated[
        bool, typer.Option("--compromised", help="Sign with the new ones at once, and publish no others any more.")
    ] = False,
) -> None:
    """Make new keys. They are published now, sign in ten minutes, and those before them stay published for a week."""
    from broker.cli.keys import rotate

    _finish(lambda _stop: rotate(purpose, compromised=compromised))


@app.command()
def revoke(
    agreement: str,
    version: Annotated[int, typer.Argument(min=1)],
    reason: Annotated[str, typer.Option(help="Why; a short code.")] = "operator",
    note: Annotated[str, typer.Option(help="The code of a ticket, such as INC-1234.")] = "",
) -> None:
    """Revoke one version of an agreement: what is not yet sent under it is withheld, and nobody is told anew."""
    from broker.cli.agreements import revoke as revoke_it
    from broker.register.proposing import REVOKE
    from broker.web.staff.reasons import NOTE

    if reason not in (*REVOKE, "operator") or (note and not NOTE.fullmatch(note)):
        _say(f"Give a reason ({', '.join(REVOKE)}) and, if there is one, the code of a ticket such as INC-1234.")
        raise typer.Exit(REFUSED)
    _finish(lambda _stop: revoke_it(agreement, version, reason, note))


@organisations_app.command("list")
def list_organisations(as_json: Json = False) -> None:
    """Show who is connected, and which councils, health boards and others are known and are not."""
    from broker.cli.organisations import show

    _finish(lambda _stop: show(as_json=as_json))


@organisations_app.command("versions")
def versions_of_organisation(organisation: str, as_json: Json = False) -> None:
    """Show every version of an organisation, with what each changed."""
    from broker.cli.organisations import versions

    _finish(lambda _stop: versions(organisation, as_json=as_json))


@agreements_app.command("list")
def list_agreements(as_json: Json = False) -> None:
    """Show the newest version of each agreement, and what waits for two people to approve it."""
    from broker.cli.agreements import show

    _finish(lambda _stop: show(as_json=as_json))


@agreements_app.command("propose")
def propose_agreement(
    file: Annotated[Path, typer.Argument(help="One version of an agreement: see docs/agreements.md.")],
) -> None:
    """Propose a version of an agreement. It comes into force once two people have approved it at the staff pages."""
    from broker.cli.agreements import propose

    _finish(lambda _stop: propose("agreement", file))


@agreements_app.command("dry-run")
def dry_run_agreement(
    file: Annotated[Path, typer.Argument(help="One version of an agreement, proposed or not.")],
    since: Annotated[
        datetime | None, typer.Option(help="Changes from then, UTC; the last 31 days if left out.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, max=100_000, help="Look at so many at most, the latest.")] = 1000,
    as_json: Json = False,
) -> None:
    """Count what an agreement would have sent of the changes there were: how many, and which fields. Never whose."""
    from broker.cli.dry_running import show

    _finish(lambda _stop: show(file, since, most, as_json=as_json))


@agreements_app.command("export")
def export_agreement(
    agreement: str,
    version: Annotated[int | None, typer.Argument(min=1, help="The newest, if left out.")] = None,
    language: Annotated[Literal["cy", "en"], typer.Option(help="Cymraeg or English.")] = "en",
) -> None:
    """Print an agreement as a document, in Markdown."""
    from broker.cli.agreements import export

    _finish(lambda _stop: export(agreement, version, language))


@app.command()
def pause(organisation: str, reason: Annotated[str, typer.Option(help="Why; a short code.")] = "operator") -> None:
    """Send nothing to an organisation until it is resumed. What is owed to it waits, in order."""
    from broker.cli.operating import set_paused

    _finish(lambda _stop: set_paused(organisation, reason))


@app.command()
def drain(organisation: str, reason: Annotated[str, typer.Option(help="Why; a short code.")] = "operator") -> None:
    """Publish nothing more for an organisation, but let what is in the log already be sent. Ended by `resume`."""
    from broker.cli.operating import set_paused

    _finish(lambda _stop: set_paused(organisation, reason, draining=True))


@app.command()
def resume(organisation: str) -> None:
    """Send to an organisation again."""
    from broker.cli.operating import set_paused

    _finish(lambda _stop: set_paused(organisation, None))


@app.command()
def replay(
    organisation: str,
    since: Annotated[datetime | None, typer.Option(help="Given up from then, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Given up before then, UTC; now if left out.")] = None,
    delivery: Annotated[list[str] | None, typer.Option(help="This one, by its id; as often as you like.")] = None,
    reason: Annotated[str, typer.Option(help="Why; a short code.")] = "operator",
    note: Annotated[str, typer.Option(help="The code of a ticket, such as INC-1234.")] = "",
    per_minute: Annotated[int | None, typer.Option(min=1, help="At most so many each minute.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Send undelivered deliveries again: the same id, content and sequence. Shows first what would be sent."""
    from broker.cli.replaying import check_why, what
    from broker.cli.replaying import replay as replay_them

    try:
        check_why(reason, note)
        asked = what(organisation, delivery or (), since, until)
    except ValueError as wrong:
        _say(str(wrong))
        raise typer.Exit(REFUSED) from None
    _finish(lambda _stop: replay_them(asked, reason=reason, note=note, sure=yes, per_minute=per_minute))


@app.command(name="replays")
def list_replays() -> None:
    """Show the last replays and how far each has come."""
    from broker.cli.replaying import show

    _finish(lambda _stop: show())


Why = Annotated[str, typer.Option(help="Why; a short code.")]
Note = Annotated[str, typer.Option(help="The code of a ticket, such as INC-1234.")]


@app.command()
def cancel_replay(replay: str, reason: Why = "operator", note: Note = "") -> None:
    """End a replay where it is. What it has sent again stays sent."""
    from broker.cli.replaying import as_id, cancel, check_why

    try:
        check_why(reason, note)
        key = as_id(replay)
    except ValueError as wrong:
        _say(str(wrong))
        raise typer.Exit(REFUSED) from None
    _finish(lambda _stop: cancel(key, reason=reason, note=note))


@app.command()
def give_up(delivery: str, reason: Why = "operator", note: Note = "") -> None:
    """Make a delivery undelivered, with an alarm, so that what waits behind it can go. It can be replayed."""
    from broker.cli.replaying import as_id, check_why
    from broker.cli.replaying import give_up as give_it_up

    try:
        check_why(reason, note)
        key = as_id(delivery)
    except ValueError as wrong:
        _say(str(wrong))
        raise typer.Exit(REFUSED) from None
    _finish(lambda _stop: give_it_up(key, reason=reason, note=note))


@app.command()
def quarantined(as_json: Json = False) -> None:
    """Show the records that were set aside and that nobody has looked at. Exit code 1 if there are any."""
    from broker.cli.quarantine import show

    _finish(lambda _stop: show(as_json=as_json))


@app.command()
def examined(
    topic: str,
    partition: Annotated[int, typer.Argument(min=0)],
    offset: Annotated[int, typer.Argument(min=0)],
    note: Annotated[str, typer.Option(help="The code of a ticket, such as INC-1234.")],
) -> None:
    """Say that somebody has looked at a record that was set aside: it is no longer an alarm, and stays where it is."""
    from broker.cli.quarantine import examine

    _finish(lambda _stop: examine(topic, partition, offset, note))


@app.command()
def restored(note: Annotated[str, typer.Option(help="The code of a ticket, such as INC-1234.")]) -> None:
    """Say that the store was restored from a backup, before anything runs: no number is then given out twice."""
    from broker.cli.restoring import restored as go_on

    _finish(lambda _stop: go_on(note))


@gazetteer_app.command(name="import")
def import_open_data(
    source: Annotated[Literal["open-uprn", "code-point-open", "onspd"], typer.Argument(help="What the file is.")],
    file: Annotated[Path, typer.Argument(help="As published: the zip, which is not unpacked, or its CSV.")],
    edition: Annotated[str | None, typer.Option(help="Which edition it is, where its name does not say so.")] = None,
    most_bad: Annotated[int, typer.Option(min=0, help="With more unreadable lines than that it is not used.")] = 100,
    smaller: Annotated[bool, typer.Option("--smaller", help="It may be smaller than the edition in use.")] = False,
) -> None:
    """Import open data as a new edition, and put it in use when it is whole. The one before is kept."""
    from broker.cli.gazetteer import import_file

    _finish(lambda stop: import_file(stop, source, file, edition, most_bad=most_bad, smaller=smaller))


@gazetteer_app.command(name="editions")
def show_editions() -> None:
    """Show what was imported, and which edition of each source is in use."""
    from broker.cli.gazetteer import show

    _finish(lambda _stop: show())


@gazetteer_app.command(name="use")
def use_edition(number: int) -> None:
    """Go back to an edition that is kept."""
    from broker.cli.gazetteer import use

    _finish(lambda _stop: use(number))


@gazetteer_app.command(name="remove")
def remove_edition(number: int) -> None:
    """Remove an edition that is not in use."""
    from broker.cli.gazetteer import remove

    _finish(lambda _stop: remove(number))


@adapter_app.command(name="new")
def new_adapter(
    name: str,
    folder: Annotated[Path, typer.Option(help="Where the package's own folder is made.")] = Path(),
) -> None:
    """Make a package for a new adapter, with its conformance test, which passes."""
    from broker.cli.new_adapter import new_adapter as make

    raise typer.Exit(make(name, folder))


@adapter_app.command(name="list")
def list_adapters() -> None:
    """List what an organisation's `adapter` may say: ours, and those of installed packages."""
    from adapters.registry import names

    for name in names():
        _say(name)


def _finish(work: Callable[[asyncio.Event], Coroutine[Any, Any, int]]) -> NoReturn:
    """Run to the end and leave with its exit code. SIGINT and SIGTERM set the event; a second one insists."""
    from broker.cli.ending import until_done

    raise typer.Exit(_outcome(lambda: until_done(work)))


def _outcome(run: Callable[[], int], *, ports: Mapping[str, str] = MappingProxyType({})) -> int:
    """Return the exit code of what is run; REFUSED, with what to do on stderr, if it could not start.

    `ports` has the variables that move its ports, where that is not `--port`.
    """
    from broker.main.listening import PortBusy
    from broker.settings import SettingsRefused
    from broker.store.embedded import PostgresDidNotStart

    try:
        return run()
    except PortBusy as busy:
        run_again = "make run PORT=" if "MAKELEVEL" in os.environ else "unwaith run --port "
        again = f"{ports[busy.name]}=" if busy.name in ports else run_again
        _say(f"Port {busy.port} is in use ({busy.name}). Choose another: {again}{_elsewhere(busy.port)}")
    except (SettingsRefused, PostgresDidNotStart, PermissionError) as refused:
        _say(str(refused))
    return REFUSED


def _elsewhere(port: int) -> int:
    return port + 1000 if port < 60_000 else 18_000  # noqa: PLR2004  within the ports there are


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
