"""What an organisation receives: the very bytes that were shown, within what was agreed, and nothing to join it by."""

import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from itertools import combinations, product
from pathlib import Path
from typing import Any, Final

import pytest

from broker.eventlog.postgres import PostgresLog
from broker.store import Database, register
from broker.vault import RootKeyFile
from contracts.agreement import Agreement
from contracts.delivery import Delivery
from contracts.events import binary, canonical, structured
from tests.support.line import AGREEMENTS, ALL, Line, a_line, a_move, applied, somebody

PATHS: Final = (
    "/person",
    "/person/name",
    "/person/birthDate",
    "/person/identityLevel",
    "/person/absent",
    "/change/newAddress",
    "/change/newAddress/postalCode",
    "/change/previousAddress/uprn",
    "/change/effectiveDate",
    "/change/household",
)
FAMILIES: Final = ("Llŷr-Gwŷdd", "ap Rhŷs", "O'Neill", "Nguyễn", 'Pen-y-dŵr \\ "/')


@pytest.fixture
async def line(database: Database, tmp_path: Path) -> AsyncIterator[Line]:
    async with a_line(database, PostgresLog(database), RootKeyFile.open(tmp_path / "root.key")) as opened:
        yield opened


async def agree(line: Line, chance: random.Random, version: int) -> None:
    """Give every organisation a new version of its agreement, with paths by chance; one always tells something."""
    for one in AGREEMENTS:
        paths = ("/change/effectiveDate", *chance.sample(PATHS, chance.randint(0, 4)))
        share = one.shares[0].model_copy(update={"paths": paths})
        update = {
            "id": f"{one.id}-{line.prefix}",
            "organisation": f"{one.organisation}-{line.prefix}",
            "version": version,
            "shares": (share,),
        }
        await register.put_agreement(line.database, one.model_copy(update=update))
    await line.directory.refresh()


def leaves(tree: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, inner in tree.items():
            yield from leaves(inner, f"{at}/{key}")
    else:
        yield at, tree


def permits(agreement: Agreement, path: str) -> bool:
    return any(path == one or path.startswith(f"{one}/") for share in agreement.shares for one in share.paths)


async def test_what_was_shown_is_what_arrives_byte_for_byte_and_was_agreed(line: Line) -> None:
    chance = random.Random(20260601)
    line.start()
    shown: dict[tuple[str, str], Any] = {}
    for number in range(12):
        await agree(line, chance, number + 2)
        who, request = somebody(number, FAMILIES[number % len(FAMILIES)]), a_move(number + 1)
        preview = json.loads(
            (await line.intake.preview(who, request)).model_dump_json()
        )  # as the person's software has it
        await line.until(await line.tell(who, request), applied(line))
        told = {"change": request.change.model_dump(mode="json", exclude_none=True)}
        agreements = {(f"{one.id}/{one.version}"): one for one in line.directory.agreements()}
        arrived = {one.organisation: one for one in line.systems.arrived[-len(ALL) :]}
        assert arrived.keys() == {one["organisation"] for one in preview["recipients"]}, "nobody else, and nobody less"
        for recipient in preview["recipients"]:
            delivery = arrived[recipient["organisation"]]
            expected = canonical(recipient["data"])
            assert delivery.data == expected
            assert structured(delivery).endswith(b',"data":' + expected + b"}"), "so it stands on the wire"
            agreement = agreements[recipient["agreement"]]
            assert agreement.version == number + 2
            known = dict(leaves(told))
            for path, value in leaves({part: recipient["data"].get(part, {}) for part in ("person", "change")}):
                assert permits(agreement, path), f"{path} was not agreed"
                assert path not in known or known[path] == value
            shown[recipient["organisation"], delivery.subject] = recipient["data"]
    assert len({str(sorted(dict(leaves(data)))) for data in shown.values()}) > 6, "the agreements did differ"


def tokens(delivery: Delivery) -> set[str]:
    """Return everything in an event but its data that could be the same in another's: whole values and their parts.

    Not counted: what says when (`time`, and the head of `id`, which is the head of the trace too, both to the second:
    decision 7), the place in a lane, and what is the same in every event there is.
    """
    attributes = {name: value for name, value in binary(delivery).items() if name not in {"ce-time", "ce-sequence"}}
    attributes["ce-id"] = delivery.id.hex
    attributes = {name: value.replace(delivery.id.hex[:12], " ") for name, value in attributes.items()}
    found = {part for value in attributes.values() for part in [value, *re.split(r"[^A-Za-z0-9_]+", value)]}
    long = {part for part in found if len(part) >= 6}
    return long | {part[place : place + 12] for part in long for place in range(max(1, len(part) - 11))}


async def test_two_organisations_cannot_join_their_records(line: Line) -> None:
    """They put everything together that they were sent, except what it says of the person, and look for a match."""
    line.start()
    for house, number in product((1, 2), range(8)):
        await line.until(await line.tell(somebody(number), a_move(house)), applied(line))
    arrived = line.systems.arrived
    common = Counter(token for delivery in arrived for token in tokens(delivery))
    everywhere = {token for token, times in common.items() if times == len(arrived)}
    of = {name: line.systems.of(f"{name}-{line.prefix}") for name in ALL}
    own = {name: set.intersection(*(tokens(one) for one in of[name])) for name in ALL}  # its name, in `source` or so
    for here, there in combinations(ALL, 2):
        for one, other in product(of[here], of[there]):
            shared = (tokens(one) & tokens(other)) - everywhere - own[here] - own[there]
            assert shared == set(), (here, there)
    # the attack is a real one: within one organisation it finds both changes of every person, and no two persons
    mine = of["swansea-council"]
    pairs = [
        (one.data, other.data)
        for one, other in combinations(mine, 2)
        if (tokens(one) & tokens(other)) - everywhere - own["swansea-council"]
    ]
    assert len(pairs) == 8
