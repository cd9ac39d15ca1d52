"""A gazetteer that does not answer: what is typed is not checked, and who is told of it."""

import secrets
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from broker.eventlog.postgres import PostgresLog
from broker.intake import Accepted, PreviewChanged, Told, placing
from broker.outbound.client import GuardedClient, tls_context
from broker.store import Database, changes, register
from broker.vault import RootKeyFile
from broker.verification import OsPlaces, OsPlacesGazetteer, StoredGazetteer
from contracts.changes.address import AddressChange
from contracts.requests import ChangeRequest, Preview, PreviewRequest
from tests.support.line import AGREEMENTS, CARDIFF, SWANSEA, Line, a_line, a_move, now, somebody
from tests.support.os_places import KEY, Peer, a_peer

IN_CARDIFF, IN_SWANSEA = 900_000_000_003, 900_000_000_012


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with a_peer() as found:
        yield found


@pytest.fixture
async def line(database: Database, tmp_path: Path, peer: Peer) -> AsyncIterator[Line]:
    """A line whose gazetteer is OS Places; the national body's agreement takes unverified addresses."""
    client = GuardedClient(tls=tls_context(), deadline=timedelta(seconds=5), allowed_hosts=["127.0.0.1"])
    url = f"{peer.url}/search/places/v1"
    async with a_line(database, PostgresLog(database), RootKeyFile.open(tmp_path / "root.key")) as opened:
        national = AGREEMENTS[-1]
        await register.put_agreement(
            database,
            national.model_copy(
                update={
                    "id": f"{national.id}-{opened.prefix}",
                    "organisation": f"{national.organisation}-{opened.prefix}",
                    "version": national.version + 1,
                    "unverified_addresses": True,
                }
            ),
        )
        await opened.directory.refresh()
        places = OsPlaces(client.get, url, key=KEY, clock=time.monotonic)
        opened.intake._gazetteer = OsPlacesGazetteer(
            places, StoredGazetteer(database), clock=lambda: time.monotonic() * 1e6
        )
        yield opened
    await client.close()


def to_swansea() -> PreviewRequest:
    move = AddressChange.model_validate(
        {
            "previous_address": {"uprn": IN_CARDIFF, "postal_code": "CF99 9AA"},
            "new_address": {"uprn": IN_SWANSEA, "postal_code": "SA99 9AA"},
            "effective_date": now().date(),
        }
    )
    return a_move().model_copy(update={"change": move})


async def told(line: Line, who: Told, shown: Preview) -> Accepted:
    asked = to_swansea()
    whole = ChangeRequest(type=asked.type, change=asked.change, preview=shown.digest)
    return await line.intake.accept(who, secrets.token_hex(8), whole)


async def test_while_it_does_not_answer_only_those_are_told_whose_agreements_take_it(line: Line, peer: Peer) -> None:
    who = somebody()
    shown = await line.intake.preview(who, to_swansea())
    assert sorted(one.organisation.rpartition("-")[0] for one in shown.recipients) == [
        "cardiff-council",
        "swansea-council",
        "transport-for-wales",
    ]
    assert shown.unverified == ()
    peer.status = 503
    away = await line.intake.preview(who, to_swansea())
    assert [one.organisation.rpartition("-")[0] for one in away.recipients] == ["transport-for-wales"]
    assert (away.unverified, away.unknown_areas) == (("old", "new"), ("old", "new"))
    with pytest.raises(PreviewChanged) as refused:
        await told(line, who, shown)
    assert refused.value.preview == away, "whom they were shown is not left out in silence"
    accepted = await told(line, who, away)
    assert accepted.fresh is not None
    assert [one.organisation.rpartition("-")[0] for one in accepted.fresh.told.owed] == ["transport-for-wales"]


async def test_who_looks_at_what_they_told_sees_where_it_lay_then_and_nobody_is_asked_again(
    line: Line, peer: Peer
) -> None:
    who, request = somebody(), to_swansea()
    accepted = await told(line, who, await line.intake.preview(who, request))
    [change] = await changes.of_person(line.database, accepted.person.person_id, before=None, limit=2)
    lay = placing.opened(accepted.person, change)
    assert lay is not None
    assert (lay.areas, lay.unchecked) == ({"old": CARDIFF, "new": SWANSEA}, frozenset())
    told_to = {one.organisation for one in await changes.deliveries_of(line.database, [change.id])}
    asked = len(peer.asked)
    untold = await line.intake.untold(change.type, request.change, told_to, lay)
    assert len(peer.asked) == asked
    assert untold == await line.intake.untold(change.type, request.change, told_to), "as it still is"
    assert len(peer.asked) > asked, "which is paid for each time"
    assert change.placed is not None
    assert str(CARDIFF).encode() not in change.placed, "sealed"
    async with line.database.connection() as connection:
        await connection.execute("UPDATE change SET placed = NULL")
    [before] = await changes.of_person(line.database, accepted.person.person_id, before=None, limit=2)
    assert placing.opened(accepted.person, before) is None, "told before it was kept"
