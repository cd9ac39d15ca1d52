"""What holds of everybody who is not told: nobody of Wales is forgotten, no end is passed over, nobody told is named."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.register import wales
from broker.routing import Concerned, End, end_of, not_told
from broker.routing.untold import _read, signposts
from contracts.address import Address
from contracts.changes.kind import Place
from contracts.requests import NotToldReason


@pytest.fixture(autouse=True)
def _read_anew() -> None:
    """Have the table read by the code as it is: what changes it, to see whether we notice, comes after the first reading."""
    _read.cache_clear()


CODES = sorted(wales.councils())
BODIES = {
    code: (
        Concerned(council.gss.lower(), "council", council.council, connected=True, agreed=True),
        Concerned(
            council.board.lower(),
            "health-board",
            wales.health_boards()[council.board].name,
            connected=False,
            agreed=False,
        ),
    )
    for code, council in wales.councils().items()
}
ENDS = st.sampled_from(get_args(End))
CODE = st.none() | st.sampled_from(CODES) | st.just(116)  # 116 is Bristol


@given(CODE, CODE, ENDS, ENDS, st.sets(st.sampled_from(sorted({one.id for found in BODIES.values() for one in found}))))
def test_every_end_is_told_or_named(old: int | None, new: int | None, here: End, there: End, told: set[str]) -> None:
    areas: Mapping[Place, int | None] = {"old": old, "new": new}
    ends: Mapping[Place, End] = {
        "old": "wales" if old in BODIES else here,
        "new": "wales" if new in BODIES else there,
    }
    found = not_told("address", ends, areas, BODIES, told)
    named = [one.id for one in found]
    assert told & set(named) == set(), "whoever is told is not said not to be"
    for place, code in areas.items():
        concerned = {body.id for body in BODIES.get(code or 0, ())}
        assert concerned <= told | set(named), "nobody of Wales is forgotten"
        about = [one for one in found if place in one.ends]
        assert bool(about) == (code not in BODIES or not concerned <= told), "an end in no area is named for itself"
    seen = [(one.id, one.ends) for one in found]
    assert len(seen) == len(set(seen)), "nobody is named twice for one thing"


def test_every_kind_of_end_and_every_reason_can_be_said() -> None:
    said: set[str] = set()
    for place in ("old", "new"):
        for end in get_args(End):
            found = not_told("address", {place: end}, {}, {}, ())
            assert [one for one in found if place in one.ends], (place, end)
            said |= {one.reason for one in found}
    bodies = [*BODIES[6815], Concerned("x", "council", BODIES[6815][0].name, connected=True, agreed=False)]
    ends: Mapping[Place, End] = {"new": "wales"}
    said |= {one.reason for one in not_told("address", ends, {"new": 6815}, {6815: bodies}, (), left_out=())}
    said |= {one.reason for one in not_told("address", ends, {"new": 6815}, {6815: bodies}, (), left_out=["x"])}
    assert said == set(get_args(NotToldReason))


def test_a_body_that_is_not_told_is_named_with_where_to_tell_it() -> None:
    found = not_told("address", {"new": "wales"}, {"new": 6815}, BODIES, ())
    pages = {one.id: one.page for one in found if "new" in one.ends}
    assert set(pages) == {body.id for body in BODIES[6815]}
    assert all(pages.values())


def test_who_takes_it_from_the_person_alone_is_named_for_no_end() -> None:
    within = signposts()
    assert {"electoral-register", "hmrc", "royal-mail"} <= set(within)
    assert {one.ends for one in within.values()} == {()}
    vote = within["electoral-register"].page
    assert vote is not None
    assert vote.cy == "https://www.gov.uk/cofrestru-i-bleidleisio"
    to_ireland = not_told("address", {"old": "wales", "new": "northern-ireland"}, {"old": 6815}, BODIES, ())
    alone = {one.id: one for one in to_ireland if one.reason == "only-yourself"}
    assert alone["electoral-register"] != within["electoral-register"]
    assert {one.ends for one in alone.values()} == {()}


def test_the_pages_of_others_are_theirs() -> None:
    """Public bodies' own pages, asked for safely; a Welsh one is another than the English."""
    ours = (
        "https://www.gov.uk/", "https://111.wales.nhs.uk/", "https://www.nhs.uk/", "https://www.nhsinform.scot/",
        "https://www.nidirect.gov.uk/", "https://www.eoni.org.uk/", "https://www.royalmail.com/",
        "https://www.tvlicensing.co.uk/", "https://www.deathnotificationservice.co.uk/",
    )  # fmt: skip
    signposts, bodies = _read()
    pages = [one.shown.page for one in signposts if one.shown.page] + [page for _, page in bodies.values()]
    assert len(pages) > 20
    for page in pages:
        assert page.en.startswith(ours), page.en
        assert page.cy is None or (page.cy.startswith(ours) and page.cy != page.en)


def test_where_an_address_lies() -> None:
    def lies(code: int | None = None, **address: str) -> End:
        return end_of(Address(address_locality="x", **address), code, wales.councils())  # type: ignore[arg-type]

    expected: Sequence[tuple[End, End]] = [
        (lies(6815, postal_code="BS1 5TR"), "wales"),  # the gazetteer's word goes before the postcode's
        (lies(116, postal_code="CF10 3AT"), "england"),
        (lies(9051), "scotland"),
        (lies(9000), "scotland"),  # Orkney, the first of them
        (lies(postal_code="SA1 3SN"), "wales"),
        (lies(postal_code="S1 2HH"), "england"),
        (lies(postal_code="E1 6AN"), "england"),
        (lies(postal_code="EH1 1YZ"), "scotland"),
        (lies(postal_code="BT1 5GS"), "northern-ireland"),
        (lies(postal_code="IM1 1AA"), "crown-dependency"),
        (lies(postal_code="BFPO 8"), "bfpo"),
        (lies(postal_code="ZZ99 3VZ"), "no-fixed-abode"),
        (lies(postal_code="ZZ99 3WZ"), "unknown"),
        (lies(postal_code="LD7 1AA"), "unknown"),  # Powys, Shropshire and Herefordshire
        (lies(), "unknown"),
        (lies(address_country="IE"), "overseas"),
        (lies(address_country="JE"), "crown-dependency"),
        (lies(address_country="FR", postal_code="CF10 3AT"), "overseas"),
    ]
    assert [found for found, _ in expected] == [meant for _, meant in expected]


def test_welsh_of_the_table_is_listed_for_review() -> None:
    review = (Path(__file__).parents[2] / "docs" / "welsh-to-review.md").read_text(encoding="utf-8")
    signposts, bodies = _read()
    said = [text for one in signposts for text in (one.shown.who, one.shown.instead)]
    said += [text for text, _ in bodies.values()]
    assert [text.cy for text in said if text.cy != text.en and f"| {text.en} | {text.cy} |" not in review] == []
