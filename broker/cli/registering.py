"""Bringing organisations, agreements and keys into the register, from files and from standard input."""

import sys
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from rich.console import Console

from adapters.registry import check, check_agreement, secrets_of
from adapters.standard_webhooks import SECRETS
from broker.audit.proposals import on_proposals
from broker.cli.agreements import propose_all, say_faults
from broker.cli.operating import ACTOR, dsn_of, store, unless_away
from broker.main.roles import secret_name
from broker.main.rooms import utc_now
from broker.outbound.certificates import ClientCertificate
from broker.register import proposing
from broker.register.checking import newest
from broker.register.entrusting import entrusted
from broker.register.reading import Faulty, check_keys
from broker.settings import SettingsRefused, load
from broker.store import Database, register
from broker.store.keys import Sealed
from broker.telemetry.logs import configure_logs
from broker.vault import RootKeyFile, Vault
from contracts.credentials import CLIENT_CERTIFICATE
from contracts.delivery import Misconfigured
from contracts.registration import Registration

LONGEST_SECRET: Final = 16 * 1024
"""Bytes: a certificate with two above it and a private key of RSA with 4096 bits has 10,000."""


@unless_away
async def register_file(file: Path) -> int:
    """Import a registration; all its objects are checked before the first is stored. 1, with reasons, if not so.

    In production each becomes a proposal, which two people approve at the staff pages.
    """
    configure_logs(level="ERROR", style="console")
    errors = Console(stderr=True)
    try:
        read = read_registration(file.read_bytes())  # noqa: ASYNC240  nothing else runs
    except ValidationError as wrong:
        for item in wrong.errors(include_url=False, include_input=False):
            errors.print(f"{'/'.join(map(str, item['loc']))}: {item['msg']}")
        return 1
    except (OSError, ValueError) as wrong:
        errors.print(str(wrong))
        return 1
    async with store() as database:
        known = await register.configuration(database)
        registered = {item.id for item in read.organisations} | set(known.organisations)
        named = {item.organisation for item in read.agreements} | {item.organisation for item in read.clients}
        if strangers := named - registered:
            errors.print(f"Not registered: {', '.join(sorted(strangers))}. Nothing was stored.")
            return 1
        try:
            _check_carried(read, known)
        except ValueError as wrong:
            errors.print(f"{wrong}. Nothing was stored.")
            return 1
        if load().production:
            return await _propose(database, read)
        await _keep(database, read)
    Console().print(
        f"Registered: {len(read.organisations)} organisations, {len(read.agreements)} agreements,"
        f" {len(read.clients)} clients."
    )
    return 0


def read_registration(raw: bytes) -> Registration:
    """Return a registration.

    Raises ValidationError, and ValueError for keys that are none or are private, an adapter that is not installed here
    and settings that are not its own.
    """
    read = Registration.model_validate_json(raw, by_alias=True, by_name=False)
    for organisation in read.organisations:
        try:
            check(organisation.adapter, organisation.adapter_settings)
        except ValueError as wrong:
            raise ValueError(f"organisation {organisation.id}: {wrong}. Nothing was stored.") from None
    for client in read.clients:
        try:
            check_keys(client)
        except Faulty:
            raise ValueError(
                f"clients of {client.organisation}: jwks must be a JWK Set of public keys, with no private one"
            ) from None
    return read


def _check_carried(read: Registration, known: register.Configuration) -> None:
    """See that every agreement, those that stand among them, can be told by the way its organisation is reached.

    Raises ValueError, naming what must be put right.
    """
    reached = {one.id: one for one in (*known.organisations.values(), *read.organisations)}
    reached_anew = {one.id for one in read.organisations}
    standing = newest(one for one in known.agreements if one.organisation in reached_anew and not one.revoked)
    for agreement in (*standing.values(), *read.agreements):
        check_agreement(agreement, reached[agreement.organisation])


async def _propose(database: Database, read: Registration) -> int:
    """Have two people decide on each: nothing comes into force by a command alone."""
    try:
        kept = await propose_all(database, [*read.organisations, *read.bodies, *read.clients, *read.agreements])
    except Faulty as faulty:
        say_faults(faulty.faults)
        return 1
    Console().print(f"Proposed: {len(kept)}. Two people must approve each at the staff pages, organisations first.")
    return 0


async def _keep(database: Database, read: Registration) -> None:
    for organisation in read.organisations:
        await register.put_organisation(database, organisation)
    for body in read.bodies:
        await register.put_body(database, body)
    for agreement in read.agreements:
        await register.put_agreement(database, agreement)
    for client in read.clients:
        await register.put_client(
            database,
            register.Client(client.client_id, client.organisation, client.jwks, frozenset(client.scopes)),
        )


@unless_away
async def entrust_secret(organisation: str, name: str) -> int:
    """Keep a secret of an organisation's, read from standard input so that it stands in no history.

    In production it is sealed and proposed, and two people approve it at the staff pages: there is no way round them.
    """
    configure_logs(level="ERROR", style="console")
    settings = load()
    if settings.root_key_file is None:
        raise SettingsRefused("UNWAITH_ROOT_KEY_FILE is missing: give the path of the sealed file.")
    value = sys.stdin.buffer.read(LONGEST_SECRET + 1).strip()
    if wrong := _refused(name, value):
        Console(stderr=True).print(wrong)
        return 1
    database = await Database.open(dsn_of(settings), size=2)
    try:
        vault = await Vault.open(database, RootKeyFile.open(settings.root_key_file))
        registered = (await register.configuration(database)).organisations.get(organisation)
        if registered is None:
            Console(stderr=True).print("No such organisation is registered.")
            return 1
        try:
            names = secrets_of(registered.adapter)
        except ValueError as wrong:
            Console(stderr=True).print(f"{wrong}. Install it here too, or register {organisation} with another.")
            return 1
        if name not in names:
            Console(stderr=True).print(f"Its adapter, {registered.adapter}, takes: {', '.join(names) or 'no secrets'}.")
            return 1
        if settings.production:
            await _propose_secret(database, organisation, name, vault.sealed(secret_name(organisation, name), value))
        else:
            await vault.entrust(secret_name(organisation, name), value)
    finally:
        await database.close()
    return 0


async def _propose_secret(database: Database, organisation: str, name: str, sealed: Sealed) -> None:
    at = utc_now()
    proposal = await proposing.propose(
        database,
        entrusted(organisation, name, sealed),
        ACTOR,
        at,
        on_proposals(ACTOR, at),
        counts=False,
        sealed=sealed,
    )
    Console().print(
        f"Proposed: {proposal.id}. Two people must approve it at the staff pages; until it is decided nothing is sent to"
        f" {organisation}."
    )


def _refused(name: str, value: bytes) -> str | None:
    """Return what is wrong with a secret of that name, repeating nothing of it; None for nothing."""
    if not 0 < len(value) <= LONGEST_SECRET:
        return "Give the secret by standard input; none is empty, or longer than 16 KiB."
    if name in SECRETS and not value.startswith(b"whsec_"):
        return "A signing secret is whsec_ and base64, as Standard Webhooks writes it."
    if name == CLIENT_CERTIFICATE:
        try:
            ClientCertificate.read(value, utc_now).check()
        except ValueError as wrong:
            return f"The certificate {wrong}."
        except Misconfigured:
            return "The certificate has expired, or is not valid yet."
    return None
