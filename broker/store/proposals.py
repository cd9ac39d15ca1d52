"""What is proposed of the register: who approved it, and how it comes into force, in one transaction with its leaves.

Decisions take turns under one advisory lock: of two people who approve at once the second finds what the first did,
and of two proposals that do not go together the second finds the first in force.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

import orjson

from broker.store import letters
from broker.store.database import Connection, Database
from broker.store.keys import Sealed
from broker.store.operations import PAUSED_FOR, record_act
from broker.store.pausing import IN_QUESTION, TURNS
from broker.store.register import Configuration, read_configuration
from contracts.agreement import Agreement
from contracts.body import Body
from contracts.organisation import Organisation, ProposalPolicy
from contracts.registration import RegisteredClient

Kind = Literal["agreement", "organisation", "client", "body", "secret"]
Outcome = Literal["in_force", "rejected", "taken_back"]

NEEDED: Final = 2
"""Different people who approve, before anything comes into force. The schema asks for them too."""
SOFTWARE: Final = "client:"
"""Begins the name of whoever proposes and is an organisation's software: never one of the two people."""
KEY_REPLACED: Final = "key_replaced"
"""Why what software proposed has ended by itself."""


@dataclass(frozen=True, slots=True)
class Approval:
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One version of one thing, as somebody wants it to be."""

    id: UUID
    kind: Kind
    subject: str
    organisation: str | None
    """Whose it is; None for a body."""
    based_on: int
    """The version it was written against; 0 for something new."""
    document: bytes
    """JSON with sorted keys, whole."""
    digest: bytes
    pauses: bool
    """It changes where or under which key: nothing is sent to the organisation until it is decided."""
    proposed_by: str
    proposed_at: datetime
    approvals: tuple[Approval, ...] = ()
    outcome: Outcome | None = None
    """None while it waits."""
    ended_by: str | None = None
    ended_at: datetime | None = None
    reason: str | None = None
    note: str | None = None
    outlived: bool = False
    """Software proposed it under a key that may have been replaced since, or may propose no more: whose it is cannot be
    told, and it does not come into force."""

    @property
    def by_software(self) -> bool:
        """Whether an organisation's own software proposed it."""
        return self.proposed_by.startswith(SOFTWARE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """How an organisation's software asked for a proposal."""

    organisation: str
    client_id: str
    key: bytes
    """SHA-256 of its idempotency key."""
    body: bytes
    """SHA-256 of what it asked for."""
    most: ProposalPolicy


@dataclass(frozen=True, slots=True)
class Kept:
    """One version of what is replaced when it is edited."""

    version: int
    definition: dict[str, Any]
    at: datetime


class NotOpen(Exception):  # noqa: N818  an answer
    """There is no such proposal, or it was decided before."""


class ApprovedBefore(Exception):  # noqa: N818  an answer
    """The same person has approved it already: another must."""


class NoLongerFits(Exception):  # noqa: N818  an answer
    """What is in force has changed since it was proposed; `faults` say how. Nothing was written."""

    def __init__(self, faults: Sequence[Any]) -> None:
        super().__init__("propose it anew")
        self.faults = tuple(faults)


class KeyReused(Exception):  # noqa: N818  an answer
    """The same software has asked for something else under this key."""


class TooMany(Exception):  # noqa: N818  an answer
    """The organisation's software has proposed as much as it may, for now."""


_OUTLIVED: Final = """EXISTS (
    SELECT FROM proposal_request r JOIN client c ON c.client_id = r.client_id
    WHERE r.proposal_id = p.id AND (c.scopes @> ARRAY['subscriptions:write'] IS NOT TRUE OR EXISTS (
        SELECT FROM register_version was WHERE was.kind = 'client' AND was.id = c.client_id
        AND NOT c.jwks @> (was.definition->'jwks') AND NOT EXISTS (
            SELECT FROM register_version next
            WHERE next.kind = 'client' AND next.id = was.id AND next.version = was.version + 1
            AND next.at < p.proposed_at - interval '10 minutes'))))"""
"""Whether a key that its client had when it was proposed is none of its keys now. A token that was got by a key is good for
five minutes after that is replaced, and two clocks may differ."""

_COLUMNS: Final = f"""
SELECT p.id, p.kind, p.subject, p.organisation, p.based_on, p.document, p.digest, p.pauses, p.proposed_by, p.proposed_at,
       e.outcome, e.ended_by, e.ended_at, e.reason, e.note, e.outcome IS NULL AND {_OUTLIVED} AS outlived,
       ARRAY(SELECT approved_by FROM proposal_approval WHERE proposal_id = p.id ORDER BY approved_at, approved_by) AS people,
       ARRAY(SELECT approved_at FROM proposal_approval WHERE proposal_id = p.id ORDER BY approved_at, approved_by) AS times
FROM proposal p LEFT JOIN proposal_end e ON e.proposal_id = p.id
"""  # noqa: S608  a constant of ours
_BY_SOFTWARE: Final = "WHERE p.id IN (SELECT proposal_id FROM proposal_request WHERE organisation = $1)"


async def propose(
    database: Database,
    proposal: Proposal,
    leaves: Sequence[bytes],
    sealed: Sealed | None = None,
    request: Request | None = None,
) -> Proposal:
    """Keep a proposal, with the approvals it begins with, and for a secret what was sealed; return what is kept.

    Where it `pauses`, its organisation is paused from now on, unless it is so already; one that is draining waits wholly
    until it is decided (`pausing.PAUSED`). Where it does, or changes who is written to, the organisation's contacts are
    owed a letter, now and when it is decided.

    With a `request`, what was kept for the same one before is returned, and nothing is written; raises KeyReused and
    TooMany. Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        # Whoever decides on another of its at this moment sees this one, and does not resume it; software is counted.
        if proposal.pauses or request is not None:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", TURNS)
        if request is not None:
            before = await _requested(connection, request)
            if before is not None:
                return before
            await _within(connection, request, proposal.proposed_at)
        await connection.execute(
            """
            INSERT INTO proposal (id, kind, subject, organisation, based_on, document, digest, pauses, proposed_by,
                                  proposed_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            """,
            proposal.id,
            proposal.kind,
            proposal.subject,
            proposal.organisation,
            proposal.based_on,
            proposal.document,
            proposal.digest,
            proposal.pauses,
            proposal.proposed_by,
            proposal.proposed_at,
        )
        for approval in proposal.approvals:
            await _approved(connection, proposal.id, approval)
        if request is not None:
            await connection.execute(
                "INSERT INTO proposal_request (proposal_id, organisation, client_id, key, body)"
                " VALUES ($1, $2, $3, $4, $5)",
                proposal.id,
                request.organisation,
                request.client_id,
                request.key,
                request.body,
            )
        if sealed is not None:
            await connection.execute(
                "INSERT INTO proposed_secret (proposal_id, name, generation, wrapped) VALUES ($1, $2, $3, $4)",
                proposal.id,
                sealed.name,
                sealed.generation,
                sealed.wrapped,
            )
        if proposal.pauses:
            await connection.execute(
                "UPDATE organisation SET paused_reason = $2, paused_at = $3 WHERE id = $1 AND paused_at IS NULL",
                proposal.organisation,
                PAUSED_FOR,
                proposal.proposed_at,
            )
            await _tell(connection)
        await _owe(connection, proposal, "proposed")
        await record_act(connection, leaves, by_operator=request is None)
    return proposal


async def requested(database: Database, request: Request) -> Proposal | None:
    """Return what was kept for the same request before. Raises KeyReused and StoreUnavailable."""
    async with database.connection() as connection:
        return await _requested(connection, request)


async def by_software(database: Database, organisation: str, before: UUID | None, limit: int) -> list[Proposal]:
    """Return what an organisation's software proposed, the newest first, those behind `before`. Raises StoreUnavailable."""
    return await _found(
        database,
        f"{_BY_SOFTWARE} AND ($2::uuid IS NULL OR p.id < $2) ORDER BY p.id DESC LIMIT $3",
        organisation,
        before,
        limit,
    )


async def one_by_software(database: Database, organisation: str, proposal_id: UUID) -> Proposal | None:
    """Return one of what an organisation's software proposed, and no other's. Raises StoreUnavailable."""
    found = await _found(database, f"{_BY_SOFTWARE} AND p.id = $2", organisation, proposal_id)
    return found[0] if found else None


async def waiting(database: Database) -> list[Proposal]:
    """Return the proposals that wait for a decision, the oldest first. Raises StoreUnavailable."""
    return await _found(database, "WHERE e.proposal_id IS NULL ORDER BY p.proposed_at, p.id")


async def find(database: Database, proposal_id: UUID) -> Proposal | None:
    """Return one proposal. Raises StoreUnavailable."""
    found = await _found(database, "WHERE p.id = $1", proposal_id)
    return found[0] if found else None


async def approve(
    database: Database,
    proposal_id: UUID,
    approval: Approval,
    fits: Callable[[Proposal, Configuration, int], Sequence[Any]],
    leaves: Callable[[Proposal, bool], Sequence[bytes]],
    lapsed: Callable[[Proposal], Sequence[bytes]],
) -> bool:
    """Record that somebody approves; return whether it came into force by that.

    It does once `NEEDED` different people have approved and `fits` finds nothing wrong with it, given what is in force
    and the newest version of what it is about. `leaves` makes what the ledger keeps, given whether it comes into force.
    Where keys of an organisation's software are replaced by it, what that software proposed under them and is not
    decided ends too; `lapsed` makes what the ledger keeps of each.

    Raises NotOpen, ApprovedBefore, NoLongerFits and StoreUnavailable; then nothing was written.
    """
    async with database.transaction() as connection:
        proposal = await _open(connection, proposal_id)
        if not await _approved(connection, proposal_id, approval):
            raise ApprovedBefore
        in_force = len(proposal.approvals) + 1 >= NEEDED
        if in_force:
            newest = await _newest(connection, proposal.kind, proposal.subject)
            faults = fits(proposal, await read_configuration(connection), newest)
            if faults:
                raise NoLongerFits(faults)
            await _end(connection, proposal_id, "in_force", approval, None, None)
            await _owe(connection, proposal, "in_force")  # before it is: to those who were its contacts until now
            await _put(connection, proposal)
            if proposal.kind == "client":
                await _lapse(connection, proposal.subject, approval, lapsed)
            await _forget(connection, proposal)
            await _go_on(connection, proposal)
        await record_act(connection, leaves(proposal, in_force))
    return in_force


async def reject(
    database: Database,
    proposal_id: UUID,
    by: Approval,
    reason: str,
    note: str,
    leaves: Callable[[Proposal], Sequence[bytes]],
) -> None:
    """End a proposal: it never comes into force. One person is enough. Raises NotOpen and StoreUnavailable."""
    await _drop(database, proposal_id, "rejected", by, reason, note, leaves)


async def take_back(
    database: Database, proposal_id: UUID, by: Approval, leaves: Callable[[Proposal], Sequence[bytes]]
) -> None:
    """End a proposal for whoever made it: it never comes into force. Raises NotOpen and StoreUnavailable."""
    await _drop(database, proposal_id, "taken_back", by, None, None, leaves)


async def _drop(
    database: Database,
    proposal_id: UUID,
    outcome: Literal["rejected", "taken_back"],
    by: Approval,
    reason: str | None,
    note: str | None,
    leaves: Callable[[Proposal], Sequence[bytes]],
) -> None:
    async with database.transaction() as connection:
        proposal = await _open(connection, proposal_id)
        await _dropped(connection, proposal, outcome, by, reason, note)
        await record_act(connection, leaves(proposal), by_operator=outcome == "rejected")


async def _dropped(
    connection: Connection,
    proposal: Proposal,
    outcome: Literal["rejected", "taken_back"],
    by: Approval,
    reason: str | None,
    note: str | None,
) -> None:
    await _end(connection, proposal.id, outcome, by, reason, note)
    await _owe(connection, proposal, outcome)
    await _forget(connection, proposal)
    await _go_on(connection, proposal)


async def _lapse(
    connection: Connection, client_id: str, by: Approval, lapsed: Callable[[Proposal], Sequence[bytes]]
) -> None:
    """End what a client proposed under keys it no longer has: whoever had one may have been somebody else."""
    which = (
        f"WHERE e.proposal_id IS NULL AND {_OUTLIVED}"  # noqa: S608  a constant of ours
        " AND p.id IN (SELECT proposal_id FROM proposal_request WHERE client_id = $1) ORDER BY p.id"
    )
    for row in await connection.fetch(_COLUMNS + which, client_id):
        proposal = _proposal(row)
        await _dropped(connection, proposal, "rejected", by, KEY_REPLACED, None)
        await record_act(connection, lapsed(proposal))


async def newest_version(database: Database, kind: Kind, subject: str) -> int:
    """Return the number of the newest version in the register, 0 for none. Raises StoreUnavailable."""
    async with database.connection() as connection:
        return await _newest(connection, kind, subject)


async def versions(database: Database, kind: Kind, subject: str) -> list[Kept]:
    """Return every version there was, the newest first; of agreements see `Configuration`. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT version, definition::text, at FROM register_version WHERE kind = $1 AND id = $2 ORDER BY version DESC",
            kind,
            subject,
        )
    return [Kept(row["version"], orjson.loads(row["definition"]), row["at"]) for row in rows]


async def _found(database: Database, which: str, *values: object) -> list[Proposal]:
    async with database.connection() as connection:
        return [_proposal(row) for row in await connection.fetch(_COLUMNS + which, *values)]


def _proposal(row: Any) -> Proposal:
    values = dict(row)
    people, times = values.pop("people"), values.pop("times")
    return Proposal(**values, approvals=tuple(map(Approval, people, times)))


async def _open(connection: Connection, proposal_id: UUID) -> Proposal:
    await connection.execute("SELECT pg_advisory_xact_lock($1)", TURNS)
    row = await connection.fetchrow(_COLUMNS + "WHERE p.id = $1 AND e.proposal_id IS NULL", proposal_id)
    if row is None:
        raise NotOpen
    return _proposal(row)


async def _requested(connection: Connection, request: Request) -> Proposal | None:
    row = await connection.fetchrow(
        "SELECT proposal_id, body FROM proposal_request WHERE client_id = $1 AND key = $2",
        request.client_id,
        request.key,
    )
    if row is None:
        return None
    if row["body"] != request.body:
        raise KeyReused
    return _proposal(await connection.fetchrow(_COLUMNS + "WHERE p.id = $1", row["proposal_id"]))


async def _within(connection: Connection, request: Request, now: datetime) -> None:
    """Raise TooMany where the organisation's software has proposed as much as it may."""
    undecided, a_day = await connection.fetchrow(
        """
        SELECT count(*) FILTER (WHERE e.proposal_id IS NULL), count(*) FILTER (WHERE p.proposed_at > $2)
        FROM proposal_request r JOIN proposal p ON p.id = r.proposal_id LEFT JOIN proposal_end e ON e.proposal_id = p.id
        WHERE r.organisation = $1
        """,
        request.organisation,
        now - timedelta(hours=24),
    )
    if undecided >= request.most.undecided or a_day >= request.most.a_day:
        raise TooMany


async def _approved(connection: Connection, proposal_id: UUID, approval: Approval) -> bool:
    done = await connection.execute(
        "INSERT INTO proposal_approval (proposal_id, approved_by, approved_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        proposal_id,
        approval.by,
        approval.at,
    )
    return bool(done == "INSERT 0 1")


async def _end(
    connection: Connection, proposal_id: UUID, outcome: Outcome, by: Approval, reason: str | None, note: str | None
) -> None:
    await connection.execute(
        "INSERT INTO proposal_end (proposal_id, outcome, ended_by, ended_at, reason, note) VALUES ($1, $2, $3, $4, $5, $6)",
        proposal_id,
        outcome,
        by.by,
        by.at,
        reason,
        note,
    )


async def _owe(connection: Connection, proposal: Proposal, what: letters.What) -> None:
    """Owe the organisation's contacts as they are now a letter, where it changes how it is reached or who they are."""
    if proposal.organisation is None:
        return
    contacts = orjson.loads(proposal.document).get("contacts", []) if proposal.kind == "organisation" else None
    await letters.owe(connection, proposal.organisation, proposal.id, what, pauses=proposal.pauses, contacts=contacts)


async def _go_on(connection: Connection, proposal: Proposal) -> None:
    """Resume the organisation that was paused for this, unless another proposal of its still waits; or let it drain."""
    if not proposal.pauses:
        return
    await connection.execute(
        f"""
        UPDATE organisation o SET paused_reason = NULL, paused_note = NULL, paused_at = NULL
        WHERE id = $1 AND paused_reason = $2 AND NOT {IN_QUESTION}
        """,  # noqa: S608  a constant of ours
        proposal.organisation,
        PAUSED_FOR,
    )
    await _tell(connection)
    await connection.execute("SELECT pg_notify('unwaith_due', '')")


async def _tell(connection: Connection) -> None:
    """Have everybody read the configuration again: one that drains is paused by a proposal, though its row stays as it is."""
    await connection.execute("UPDATE configuration SET version = version + 1")
    await connection.execute("SELECT pg_notify('unwaith_configuration', '')")


async def _newest(connection: Connection, kind: Kind, subject: str) -> int:
    if kind == "agreement":
        found = await connection.fetchval("SELECT max(version) FROM agreement WHERE id = $1", subject)
    elif kind == "secret":  # no version of one is kept: how often two people have decided on it
        found = await connection.fetchval(
            "SELECT count(*) FROM proposal p JOIN proposal_end e ON e.proposal_id = p.id"
            " WHERE p.kind = $1 AND p.subject = $2 AND e.outcome = 'in_force'",
            kind,
            subject,
        )
    else:
        found = await connection.fetchval(
            "SELECT max(version) FROM register_version WHERE kind = $1 AND id = $2", kind, subject
        )
    return int(found or 0)


async def _forget(connection: Connection, proposal: Proposal) -> None:
    """Drop what was sealed with a proposal: it is decided."""
    if proposal.kind == "secret":
        await connection.execute("DELETE FROM proposed_secret WHERE proposal_id = $1", proposal.id)


async def _put(connection: Connection, proposal: Proposal) -> None:
    """Bring what was proposed into the register, as it was proposed."""
    match proposal.kind:
        case "agreement":
            agreement = Agreement.model_validate_json(proposal.document)
            await connection.execute(
                "INSERT INTO agreement (id, version, organisation, definition) VALUES ($1, $2, $3, $4)",
                agreement.id,
                agreement.version,
                agreement.organisation,
                agreement.model_dump_json(exclude={"revoked"}, exclude_none=True),
            )
        case "organisation":
            organisation = Organisation.model_validate_json(proposal.document)
            await connection.execute(
                "INSERT INTO organisation (id, definition) VALUES ($1, $2)"
                " ON CONFLICT (id) DO UPDATE SET definition = excluded.definition",
                organisation.id,
                organisation.model_dump_json(exclude={"paused", "draining"}),
            )
        case "client":
            client = RegisteredClient.model_validate_json(proposal.document)
            done = await connection.execute(
                """
                INSERT INTO client (client_id, organisation, jwks, scopes) VALUES ($1, $2, $3, $4)
                ON CONFLICT (client_id) DO UPDATE SET jwks = excluded.jwks, scopes = excluded.scopes
                WHERE client.organisation = excluded.organisation
                """,
                client.client_id,
                client.organisation,
                orjson.dumps(client.jwks, option=orjson.OPT_SORT_KEYS).decode(),
                sorted(client.scopes),
            )
            if done != "INSERT 0 1":
                raise NoLongerFits(())  # it is another organisation's by now
        case "body":
            body = Body.model_validate_json(proposal.document)
            await connection.execute(
                "INSERT INTO body (id, definition) VALUES ($1, $2)"
                " ON CONFLICT (id) DO UPDATE SET definition = excluded.definition",
                body.id,
                body.model_dump_json(),
            )
        case "secret":
            done = await connection.execute(
                """
                INSERT INTO secret (name, generation, wrapped)
                SELECT name, generation, wrapped FROM proposed_secret
                WHERE proposal_id = $1 AND encode(sha256(wrapped), 'hex') = $2
                ON CONFLICT (name) DO UPDATE SET generation = excluded.generation, wrapped = excluded.wrapped
                """,
                proposal.id,
                orjson.loads(proposal.document)["sealed"],
            )
            if done != "INSERT 0 1":
                raise NoLongerFits(())  # these are not the bytes that were proposed
