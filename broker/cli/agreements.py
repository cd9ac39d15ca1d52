"""`unwaith agreements`: what is agreed with whom, proposals for it, and its documents."""

import json
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from broker.audit.proposals import on_proposals
from broker.cli.operating import ACTOR, store, unless_away
from broker.language import Language, words_in
from broker.main.rooms import utc_now
from broker.register import checking, proposing
from broker.register.checking import Fault
from broker.register.document import as_markdown, written
from broker.register.reading import Document, Faulty, read
from broker.store import Database, proposals, register
from broker.telemetry.logs import configure_logs
from broker.web.staff import ledger
from contracts.agreement import Agreement
from contracts.times import day_in_wales


@unless_away
async def show(*, as_json: bool) -> int:
    """Print the newest version of each agreement, and what waits for approval. Raises SettingsRefused."""
    configure_logs(level="ERROR", style="console")
    today = day_in_wales(utc_now())
    async with store() as database:
        known = (await register.configuration(database)).agreements
        waiting = await proposals.waiting(database)
    rows = [_row(item, today) for item in sorted(checking.newest(known).values(), key=lambda item: item.id)]
    asked: list[dict[str, str | int]] = [
        {
            "proposal": str(item.id),
            "kind": item.kind,
            "id": item.subject,
            "version": item.based_on + 1,
            "approvals": len(item.approvals),
            "by": item.proposed_by,
        }
        for item in waiting
    ]
    if as_json:
        Console().print_json(json.dumps({"agreements": rows, "proposals": asked}))
        return 0
    _print("Agreements", ("agreement", "version", "organisation", "state", "review by"), rows)
    if asked:
        _print(
            "Waiting for two people to approve",
            ("proposal", "kind", "of", "version", "approvals", "proposed by"),
            asked,
        )
    return 0


@unless_away
async def propose(kind: str, file: Path) -> int:
    """Propose a document; 1, with what is wrong field by field, if it cannot be. Raises SettingsRefused.

    It needs two people who approve it at the staff pages: whoever has a shell here has not signed in, and counts for
    neither.
    """
    configure_logs(level="ERROR", style="console")
    try:
        document = read(kind, file.read_bytes())  # noqa: ASYNC240  nothing else runs
        async with store() as database:
            known = (await register.configuration(database)).agreements
            [proposal] = await propose_all(database, [document])
    except Faulty as faulty:
        say_faults(faulty.faults)
        return 1
    except OSError as wrong:
        Console(stderr=True).print(wrong.strerror or "The file cannot be read.")
        return 1
    Console().print(f"Proposed: {proposal.id}. Two people must approve it at the staff pages.")
    if isinstance(document, Agreement):
        for older in known:
            if older.id == document.id and not older.revoked and checking.permits_less(document, older):
                Console(soft_wrap=True).print(
                    f"It permits less than version {older.version}: what is unsent under that is sent as it was agreed"
                    f" then, unless you revoke it once this is in force: unwaith revoke {older.id} {older.version}"
                )
    return 0


async def propose_all(database: Database, documents: list[Document]) -> list[proposals.Proposal]:
    """Propose these together; all are checked before the first is kept. Raises Faulty and StoreUnavailable."""
    known = await register.configuration(database)
    today = day_in_wales(utc_now())
    faults = [
        Fault(f"/{proposing.subject_of(document)}{fault.pointer}" if len(documents) > 1 else fault.pointer, fault.code)
        for document in documents
        for fault in proposing.faults_of(document, known, today, documents)
    ]
    if faults:
        raise Faulty(faults)
    kept = []
    for document in documents:
        at = utc_now()  # of each its own: by it they are listed in the order in which they should be approved
        leaves = on_proposals(ACTOR, at)
        kept.append(await proposing.propose(database, document, ACTOR, at, leaves, counts=False, beside=documents))
    return kept


@unless_away
async def export(agreement: str, version: int | None, language: Language) -> int:
    """Print a version as a document, the newest where none is given; 1 if there is none. Raises SettingsRefused."""
    configure_logs(level="ERROR", style="console")
    async with store() as database:
        known = await register.configuration(database)
    found = [item for item in known.agreements if item.id == agreement and version in (None, item.version)]
    if not found:
        Console(stderr=True).print("There is no such agreement, or no such version of it.")
        return 1
    newest = max(found, key=lambda item: item.version)
    document = written(newest, known.organisations.get(newest.organisation), words_in(language))
    print(as_markdown(document))  # noqa: T201  as it is: Rich would wrap it
    return 0


@unless_away
async def revoke(agreement: str, version: int, reason: str, note: str) -> int:
    """Revoke one version at once; 1 if there was none in force. Raises SettingsRefused."""
    configure_logs(level="ERROR", style="console")
    at = utc_now()
    async with store() as database:
        known = (await register.configuration(database)).agreements
        found = next((item for item in known if (item.id, item.version) == (agreement, version)), None)
        done = found is not None and await register.revoke_agreement(
            database,
            agreement,
            version,
            at,
            by=ACTOR,
            reason=reason,
            note=note or None,
            leaf=ledger.revoked(ACTOR, at, found.organisation, agreement, version, reason, note),
        )
    if not done:
        Console(stderr=True).print("Nothing changed: no such version, or it was revoked already.")
    return 0 if done else 1


def say_faults(faults: tuple[Fault, ...]) -> None:
    """Say on stderr what is wrong, a line for each field."""
    words, errors = words_in("en"), Console(stderr=True, soft_wrap=True)
    for fault in faults:
        errors.print(f"{fault.pointer or '/'}: {words(f'staff-problem-{fault.code}', about=fault.about)}", markup=False)


def _row(agreement: Agreement, today: date) -> dict[str, str | int]:
    return {
        "id": agreement.id,
        "version": agreement.version,
        "organisation": agreement.organisation,
        "state": checking.state(agreement, today),
        "reviewBy": agreement.review_by.isoformat(),
    }


def _print(title: str, headings: tuple[str, ...], rows: list[dict[str, str | int]]) -> None:
    table = Table(title=title)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)
