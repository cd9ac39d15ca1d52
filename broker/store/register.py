"""Organisations, agreements and clients as the store keeps them, and the version that tells of a change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import orjson
import structlog
from pydantic import ValidationError

from broker.language.address_words import found_by
from broker.store import finding
from broker.store.database import Connection, Database
from broker.store.operations import record_act
from broker.store.pausing import PAUSED
from contracts.agreement import Agreement
from contracts.body import Body
from contracts.organisation import Organisation
from contracts.text import Strict

M = TypeVar("M", bound=Strict)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything about who takes part, as of one version."""

    version: int
    organisations: dict[str, Organisation]
    agreements: tuple[Agreement, ...]
    bodies: tuple[Body, ...] = ()
    """Kept here, beside those the program knows by itself."""
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    """Of each organisation that entrusted us any, a digest of them as they are sealed: another when one is replaced."""


@dataclass(frozen=True, slots=True)
class Client:
    """An organisation's registered software."""

    client_id: str
    organisation: str
    jwks: dict[str, Any]
    scopes: frozenset[str]


async def version(database: Database) -> int:
    """Return the configuration's version. Raises StoreUnavailable."""
    async with database.connection() as connection:
        found: int = await connection.fetchval("SELECT version FROM configuration")
        return found


async def configuration(database: Database) -> Configuration:
    """Return the configuration in one snapshot. Raises StoreUnavailable."""
    async with database.connection() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        return await read_configuration(connection)


async def read_configuration(connection: Connection) -> Configuration:
    """Return the configuration as a transaction sees it."""
    number = await connection.fetchval("SELECT version FROM configuration")
    organisations = await connection.fetch(
        f"SELECT o.id AS organisation, o.definition::text, {PAUSED} AS paused, o.draining FROM organisation o"  # noqa: S608
    )
    agreements = await connection.fetch(
        "SELECT organisation, definition::text, revoked_at IS NOT NULL AS revoked FROM agreement"
    )
    bodies = await connection.fetch("SELECT id AS organisation, definition::text FROM body ORDER BY id")
    secrets = await connection.fetch(
        "SELECT split_part(name, ':', 2) AS organisation, sha256(string_agg(wrapped, ''::bytea ORDER BY name)) AS mark"
        " FROM secret WHERE name LIKE 'webhook:%' GROUP BY 1"
    )
    known = {
        item.id: item.model_copy(update={"paused": row["paused"], "draining": row["draining"]})
        for row in organisations
        if (item := _readable(Organisation, row)) is not None
    }
    return Configuration(
        version=number,
        organisations=known,
        agreements=tuple(
            agreed.model_copy(update={"revoked": row["revoked"]})
            for row in agreements
            if row["organisation"] in known and (agreed := _readable(Agreement, row)) is not None
        ),
        bodies=tuple(body for row in bodies if (body := _readable(Body, row)) is not None),
        secrets={row["organisation"]: row["mark"] for row in secrets},
    )


def _readable(model: type[M], row: Mapping[str, Any]) -> M | None:
    """Return a definition, or None for one that only another version of this program can read.

    It is set aside aloud: nobody is told under such an agreement or one of such an organisation, nothing goes to such
    an organisation, and the others are served on.
    """
    try:
        return model.model_validate_json(row["definition"])
    except ValidationError:
        log.exception("definition.unreadable", kind=model.__name__, organisation=row["organisation"])
        return None


async def put_organisation(database: Database, organisation: Organisation) -> None:
    """Add an organisation or replace its definition; a pause is kept. Raises StoreUnavailable."""
    async with database.connection() as connection:
        await connection.execute(
            """
            INSERT INTO organisation (id, definition) VALUES ($1, $2)
            ON CONFLICT (id) DO UPDATE SET definition = excluded.definition
            WHERE organisation.definition <> excluded.definition
            """,
            organisation.id,
            organisation.model_dump_json(exclude={"paused", "draining"}),
        )


async def put_agreement(database: Database, agreement: Agreement) -> None:
    """Add a version of an agreement; one that is there never changes. Raises StoreUnavailable."""
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO agreement (id, version, organisation, definition) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            agreement.id,
            agreement.version,
            agreement.organisation,
            agreement.model_dump_json(exclude={"revoked"}, exclude_none=True),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Who revoked a version of an agreement, when and why."""

    agreement: str
    version: int
    at: datetime
    by: str | None
    reason: str | None
    note: str | None


async def revoke_agreement(
    database: Database,
    agreement_id: str,
    number: int,
    at: datetime,
    *,
    by: str | None = None,
    reason: str | None = None,
    note: str | None = None,
    leaf: bytes | None = None,
) -> bool:
    """Revoke one version, with `leaf`; return whether it was in force. Holds at the gate at once.

    Raises StoreUnavailable.
    """
    async with database.transaction() as connection:
        done = await connection.execute(
            "UPDATE agreement SET revoked_at = $3, revoked_by = $4, revoked_reason = $5, revoked_note = $6"
            " WHERE id = $1 AND version = $2 AND revoked_at IS NULL",
            agreement_id,
            number,
            at,
            by,
            reason,
            note,
        )
        revoked = bool(done == "UPDATE 1")
        if revoked and leaf is not None:
            await record_act(connection, [leaf])
    return revoked


async def revocations(database: Database, agreement_id: str) -> list[Revocation]:
    """Return which versions of an agreement were revoked. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT id AS agreement, version, revoked_at AS at, revoked_by AS by, revoked_reason AS reason,
                   revoked_note AS note
            FROM agreement WHERE id = $1 AND revoked_at IS NOT NULL ORDER BY version
            """,
            agreement_id,
        )
    return [Revocation(**row) for row in rows]


async def put_body(database: Database, body: Body) -> None:
    """Add a body or replace its definition. Raises StoreUnavailable."""
    async with database.connection() as connection:
        await connection.execute(
            """
            INSERT INTO body (id, definition) VALUES ($1, $2)
            ON CONFLICT (id) DO UPDATE SET definition = excluded.definition
            WHERE body.definition <> excluded.definition
            """,
            body.id,
            body.model_dump_json(),
        )


async def put_client(database: Database, client: Client) -> None:
    """Register an organisation's client, replacing its keys and scopes. Raises StoreUnavailable."""
    async with database.connection() as connection:
        await connection.execute(
            """
            INSERT INTO client (client_id, organisation, jwks, scopes) VALUES ($1, $2, $3, $4)
            ON CONFLICT (client_id) DO UPDATE SET jwks = excluded.jwks, scopes = excluded.scopes
            WHERE (client.jwks, client.scopes) IS DISTINCT FROM (excluded.jwks, excluded.scopes)
            """,
            client.client_id,
            client.organisation,
            orjson.dumps(client.jwks, option=orjson.OPT_SORT_KEYS).decode(),
            sorted(client.scopes),
        )


async def client(database: Database, client_id: str) -> Client | None:
    """Return a registered client. Raises StoreUnavailable."""
    async with database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT client_id, organisation, jwks::text, scopes FROM client WHERE client_id = $1", client_id
        )
    if row is None:
        return None
    return Client(row["client_id"], row["organisation"], orjson.loads(row["jwks"]), frozenset(row["scopes"]))


async def remember_assertion(database: Database, client_id: str, jti: bytes, until: datetime) -> bool:
    """Remember a client assertion; return False if it was used before. Raises StoreUnavailable."""
    async with database.connection() as connection:
        await connection.execute("DELETE FROM used_assertion WHERE until < now() - interval '1 minute'")
        done = await connection.execute(
            "INSERT INTO used_assertion (client_id, jti, until) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            client_id,
            jti,
            until,
        )
    return bool(done == "INSERT 0 1")


@dataclass(frozen=True, slots=True)
class Place:
    """One address of the gazetteer, in one language."""

    uprn: int
    language: str
    custodian_code: int
    postal_code: str
    address: dict[str, Any]
    invented: bool


async def put_places(database: Database, places: Sequence[Place]) -> None:
    """Add addresses, replacing those already there, so that they are found by their words. Raises StoreUnavailable."""
    async with database.transaction() as connection:
        await connection.executemany(
            """
            INSERT INTO place (uprn, language, custodian_code, postal_code, address, invented, found_by)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (uprn, language) DO UPDATE SET custodian_code = excluded.custodian_code,
                postal_code = excluded.postal_code, address = excluded.address, invented = excluded.invented,
                found_by = excluded.found_by
            """,
            [
                (
                    p.uprn,
                    p.language,
                    p.custodian_code,
                    p.postal_code,
                    orjson.dumps(p.address).decode(),
                    p.invented,
                    found_by(p.address),
                )
                for p in places
            ],
        )
        await finding.gather(connection, [p.postal_code for p in places])


async def places_of(database: Database, uprns: Sequence[int], language: str) -> dict[int, Place]:
    """Return the addresses with these UPRNs, in one language where they have it. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT DISTINCT ON (uprn)
                uprn, language, custodian_code, postal_code, address::text AS address, invented
            FROM place WHERE uprn = ANY($1) ORDER BY uprn, language <> $2
            """,
            list(uprns),
            language,
        )
    return {row["uprn"]: _place(row) for row in rows}


async def custodian_of_uprn(database: Database, uprns: Sequence[int]) -> dict[int, int]:
    """Return the custodian code of each UPRN that is known. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT DISTINCT uprn, custodian_code FROM place WHERE uprn = ANY($1)", list(uprns)
        )
    return {row["uprn"]: row["custodian_code"] for row in rows}


async def custodians_of_postal_code(database: Database, postal_codes: Sequence[str]) -> dict[str, frozenset[int]]:
    """Return the custodian codes found at each postcode that is known. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT postal_code, array_agg(DISTINCT custodian_code) AS codes FROM place"
            " WHERE postal_code = ANY($1) GROUP BY postal_code",
            list(postal_codes),
        )
    return {row["postal_code"]: frozenset(row["codes"]) for row in rows}


async def places_at(database: Database, postal_code: str, language: str, limit: int) -> list[Place]:
    """Return the addresses at a postcode in one language, in the order people expect. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT uprn, language, custodian_code, postal_code, address::text AS address, invented FROM place
            WHERE postal_code = $1 AND language = $2
            ORDER BY address->>'streetName', length(address->>'buildingNumber'), address->>'buildingNumber', uprn LIMIT $3
            """,
            postal_code,
            language,
            limit,
        )
    return [_place(row) for row in rows]


def _place(row: Mapping[str, Any]) -> Place:
    return Place(
        row["uprn"],
        row["language"],
        row["custodian_code"],
        row["postal_code"],
        orjson.loads(row["address"]),
        row["invented"],
    )
