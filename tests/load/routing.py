"""Who is told what: the decision by itself, with as many agreements as Wales may have. Nothing is stored or sent.

The councils and health boards are the real ones, everybody else is invented and shares the area of one council. A person
moves from Cardiff to Swansea.
"""

import time
from collections.abc import Iterator
from datetime import date
from itertools import cycle, islice
from typing import Any, Final

from broker.register.wales import councils, health_boards
from broker.routing import recipients, standing
from contracts.agreement import Agreement, Share
from contracts.changes import CHANGE_TYPES
from contracts.person import IdentityLevel
from contracts.text import Bilingual
from tests.load.figures import Figure, percentile

FEW, MANY = 40, 5_000
FEW_GOAL, MANY_GOAL = 200.0, 1_000.0
NATIONAL: Final = 11
TIMES: Final = 500
TODAY: Final = date(2026, 6, 1)
CARDIFF, SWANSEA = 6815, 6855
WORDS: Final = Bilingual(en="Sample", cy="Sampl")
PATHS: Final = ("/person/name", "/person/birthDate", "/change/newAddress", "/change/effectiveDate")
TOLD: Final[dict[str, Any]] = {
    "person": {
        "name": {"nameParts": [{"type": "GivenName", "value": "Sampl"}, {"type": "FamilyName", "value": "Sampl"}]},
        "birthDate": "1980-01-01",
        "identityLevel": "P2",
    },
    "change": {
        "previousAddress": {"uprn": 900_100_000_000, "streetName": "Heol y Bŵa", "postalCode": "CF99 9ZZ"},
        "newAddress": {"uprn": 900_200_000_000, "streetName": "Heol y Bŵa", "postalCode": "SA99 9ZZ"},
        "effectiveDate": "2026-06-01",
        "moveKind": "permanent",
        "tenure": "owner",
    },
}


def routing() -> list[Figure]:
    """Return how long one decision takes, in microseconds, and how many it names."""
    figures: list[Figure] = []
    types = cycle(CHANGE_TYPES)
    all_of_one_type = [_agreement(f"o{number}", "address", area) for number, area in enumerate(islice(_areas(), FEW))]
    of_every_type = [_agreement(f"o{number}", next(types), area) for number, area in enumerate(islice(_areas(), MANY))]
    for count, agreements, goal in ((FEW, all_of_one_type, FEW_GOAL), (MANY, of_every_type, MANY_GOAL)):
        in_force = standing(agreements, "address", TODAY)
        took = []
        for _ in range(TIMES):
            began = time.perf_counter()
            told = recipients(TOLD, IdentityLevel.P2, {"old": CARDIFF, "new": SWANSEA}, in_force)
            took.append((time.perf_counter() - began) * 1e6)
        figures += [
            Figure(f"routing.{count}.decision", percentile(took, 0.5), "µs", "lower", goal),
            Figure(f"routing.{count}.told", len(told), "organisations", "higher"),
        ]
    return figures


def _areas() -> Iterator[tuple[int, ...]]:
    """Yield the areas of agreements, one after another: the national ones, the health boards', then councils' for ever."""
    yield from ((),) * NATIONAL
    yield from (board.area for board in health_boards().values())
    yield from ((code,) for code in cycle(councils()))


def _agreement(organisation: str, change_type: str, area: tuple[int, ...]) -> Agreement:
    ends = CHANGE_TYPES[change_type].ends if area else ()
    shares = tuple(
        Share(where=end, role=role, paths=PATHS, because=WORDS)
        for end, role in zip(ends, CHANGE_TYPES[change_type].roles, strict=False)
    )
    return Agreement(
        id=f"{organisation}.{change_type}",
        version=1,
        organisation=organisation,
        title=WORDS,
        purpose=WORDS,
        lawful_basis="Sample",
        legal_gateway="Sample",
        change_type=change_type,
        area=area,
        shares=shares or (Share(where="anywhere", role="national", paths=PATHS, because=WORDS),),
        retention_days=365,
        valid_from=date(2026, 1, 1),
        review_by=date(2028, 1, 1),
    )
