"""An account made anew on a real database: what agrees, who decides, and what each account reaches afterwards."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import asyncpg
import orjson
import pytest

from broker import intake
from broker.eventlog.postgres import PostgresLog
from broker.identity.sessions import Session, Sessions, citizen_rules
from broker.intake import Told, joining
from broker.intake.joining import Asking, JoiningPolicy
from broker.intake.references import new_reference
from broker.store import Database, changes, joinings
from broker.store.changes import PersonErased
from broker.store.joinings import ApprovedBefore, CannotJoin, Decision, Joining, NotOpen
from broker.vault import PersonKey, RootKeyFile, Vault
from tests.support.line import Line, a_line, a_move, now, somebody

TEGID, NIA, RHYS = "staff:tegid", "staff:nia", "staff:rhys"
OLD, NEW = somebody(1), somebody(2)
"""One person with two accounts: name and birth date are the same."""


@pytest.fixture
async def line(database: Database, tmp_path: Path) -> AsyncIterator[Line]:
    async with a_line(database, PostgresLog(database), RootKeyFile.open(tmp_path / "root.key")) as opened:
        yield opened


def sessions(line: Line) -> Sessions:
    return Sessions(line.database, b"s" * 32, citizen_rules(secure=True))


async def signed_in(line: Line, who: Told) -> Session:
    return await sessions(line).start({}, account=(who.issuer, who.subject), provider_session=None)


def asking(line: Line, who: Told = NEW) -> Asking:
    return Asking(
        issuer=who.issuer,
        subject=who.subject,
        sessions=sessions(line).account(who.issuer, who.subject),
        name=who.name,
        birth_date=who.birth_date,
    )


async def ask(line: Line, said: str, who: Asking | None = None, policy: JoiningPolicy = joining.POLICY) -> bool:
    return await joining.ask(line.database, line.vault, who or asking(line), said, now(), policy)


async def approve(line: Line, asked: Joining, by: str) -> bool:
    decision = Decision(by=by, reason="identity_checked", note="CAS-1")
    return await joining.approve(line.database, line.vault, asked, decision, now())


async def the_one(line: Line) -> Joining:
    [found] = await joinings.waiting(line.database, 10)
    return found


async def asked_for_one_change(line: Line) -> tuple[str, Joining]:
    told = await line.tell(OLD, a_move())
    assert await ask(line, told.reference)
    return told.reference, await the_one(line)


async def known(vault: Vault, who: Told) -> PersonKey | None:
    return await vault.known(who.issuer, who.subject)


async def reached(line: Line, vault: Vault, who: Told) -> list[str]:
    person = await known(vault, who)
    if person is None:
        return []
    return [one.reference for one in await changes.of_person(line.database, person.person_id, before=None, limit=9)]


async def acts(line: Line) -> list[tuple[str, str, str]]:
    async with line.database.connection() as connection:
        rows = await connection.fetch("SELECT leaf FROM audit_leaf ORDER BY id")
    leaves = [orjson.loads(row["leaf"]) for row in rows]
    return [
        (one["action"], one["actor"].partition(":")[0], one["relation"])
        for one in leaves
        if one["action"].startswith("account.")
    ]


async def test_two_people_join_the_accounts_and_only_the_new_one_reaches_the_changes(line: Line) -> None:
    before, kept = await signed_in(line, NEW), await signed_in(line, somebody(3))
    reference, asked = await asked_for_one_change(line)
    assert (asked.told, asked.told_now, asked.approved_by) == (1, 0, ())
    assert await reached(line, line.vault, NEW) == [], "asking joins nothing"
    assert not await approve(line, asked, TEGID)
    async with line.database.connection() as connection:
        with pytest.raises(asyncpg.CheckViolationError):  # the store itself asks for two
            await connection.execute("INSERT INTO joining_end VALUES ($1, 'joined', 'x', now())", asked.id)
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute("UPDATE joining_approval SET approved_by = 'x'")
    with pytest.raises(ApprovedBefore):
        await approve(line, asked, TEGID)
    assert await reached(line, line.vault, NEW) == []
    assert await reached(line, line.vault, OLD) == [reference]

    assert await approve(line, asked, NIA)
    assert await reached(line, line.vault, NEW) == [reference]
    assert await known(line.vault, OLD) is None
    assert await sessions(line).open(before.name) is None, "signing in again they are the earlier person"
    assert await sessions(line).open(kept.name) is not None
    person = await known(line.vault, NEW)
    assert person is not None
    [change] = await changes.of_person(line.database, person.person_id, before=None, limit=9)
    assert b"newAddress" in intake.intake.opened(person, change.id, change.type, change.sealed)
    assert await intake.cancel(line.database, person, change, now())
    assert await acts(line) == [
        ("account.asked", "citizen", "self"),
        ("account.approved", "staff", "staff"),
        ("account.approved", "staff", "staff"),
        ("account.joined", "staff", "staff"),
    ]
    with pytest.raises(NotOpen):
        await approve(line, asked, RHYS)
    later = await line.tell(OLD, a_move(9))
    assert await reached(line, line.vault, OLD) == [later.reference], "who still has it is somebody new here"
    assert await reached(line, line.vault, NEW) == [reference]


async def test_another_process_that_knew_the_accounts_writes_nothing_for_the_tombstone(
    line: Line, tmp_path: Path
) -> None:
    """It may have read the new account's person just before; what is told for that person is refused, then asked anew."""
    reference, asked = await asked_for_one_change(line)
    other = await Vault.open(line.database, RootKeyFile.open(tmp_path / "root.key"))
    assert await known(other, NEW) is not None
    await approve(line, asked, TEGID)
    assert await approve(line, asked, NIA)
    here, line.intake._vault = line.intake._vault, other
    with pytest.raises(PersonErased):
        await line.tell(NEW, a_move(9))
    later = await line.tell(NEW, a_move(9))
    line.intake._vault = here
    assert await reached(line, other, NEW) == [later.reference, reference]


async def test_what_does_not_agree_waits_for_nobody_and_names_nobody(line: Line) -> None:
    reference, many = (await line.tell(OLD, a_move())).reference, JoiningPolicy(most_a_day=99)
    who = asking(line)
    later = replace(who, birth_date=date(1980, 3, 1))
    other = asking(line, somebody(2, family="Llŷr-Gwydd"))
    said = [(other, reference), (later, reference), (who, new_reference()), (asking(line, OLD), reference)]
    for one, of_change in said:
        assert await ask(line, of_change, one, many), "the answer is the same"
    async with line.database.connection() as connection:
        await connection.execute("UPDATE change SET verified = NULL")  # told before it was kept
        assert await ask(line, reference, who, many)
        gone = (await line.tell(somebody(3), a_move(9))).reference
        await connection.execute("DELETE FROM person_key WHERE person_id = (SELECT max(person_id) FROM change)")
        assert await ask(line, gone, who, many)
        assert await joinings.waiting(line.database, 10) == []
        assert await joinings.not_agreed(line.database) == len(said) + 2
        assert await connection.fetchval("SELECT count(*) FROM joining WHERE earlier IS NOT NULL") == 0


async def test_asking_is_limited_whatever_comes_of_it_and_asking_twice_is_one_request(line: Line) -> None:
    told = await line.tell(OLD, a_move())
    policy = JoiningPolicy(most_a_day=3)
    assert await ask(line, new_reference(), policy=policy)
    assert await ask(line, told.reference, policy=policy)
    assert await ask(line, told.reference.lower(), policy=policy)
    assert not await ask(line, told.reference, policy=policy)
    await the_one(line)
    async with line.database.connection() as connection:
        await connection.execute("SET session_replication_role = replica")  # rows are never changed otherwise
        await connection.execute("UPDATE joining SET asked_at = asked_at - $1::interval", timedelta(days=1))
        await connection.execute("SET session_replication_role = DEFAULT")
    assert await ask(line, told.reference, policy=policy), "tomorrow"


async def test_of_many_who_approve_at_once_two_count_and_they_are_joined_once(line: Line) -> None:
    reference, asked = await asked_for_one_change(line)
    people = (TEGID, TEGID, NIA, RHYS, NIA)
    found = await asyncio.gather(*(approve(line, asked, one) for one in people), return_exceptions=True)
    assert (found.count(True), found.count(False)) == (1, 1)
    assert {type(one) for one in found} <= {bool, ApprovedBefore, NotOpen}
    assert await reached(line, line.vault, NEW) == [reference]
    joined = await joinings.find(line.database, asked.id)
    assert joined is not None
    assert (joined.outcome, len(set(joined.approved_by))) == ("joined", 2)


async def test_an_account_that_has_told_changes_of_its_own_is_not_joined(line: Line) -> None:
    reference, asked = await asked_for_one_change(line)
    await approve(line, asked, TEGID)
    own = await line.tell(NEW, a_move(9))
    assert await joining.has_told(line.database, line.vault, NEW.issuer, NEW.subject)
    with pytest.raises(CannotJoin):
        await approve(line, asked, NIA)
    assert await reached(line, line.vault, OLD) == [reference]
    assert await reached(line, line.vault, NEW) == [own.reference]
    assert (await the_one(line)).approved_by == (TEGID,), "what failed left nothing behind"
    decision = Decision(by=NIA, reason="told_since", note="CAS-1")
    await joining.refuse(line.database, asked, decision, now())
    assert await joinings.waiting(line.database, 10) == []
    with pytest.raises(NotOpen):
        await joining.refuse(line.database, asked, decision, now())
    with pytest.raises(NotOpen):
        await approve(line, asked, RHYS)
