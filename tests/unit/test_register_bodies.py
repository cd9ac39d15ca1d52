"""Who there is in Wales, and who of them is connected."""

from broker.register.bodies import answering_for, as_organisation, is_connected, known, packaged
from broker.register.wales import councils
from contracts.body import Body
from contracts.organisation import Organisation
from contracts.text import Bilingual

ORGANISATION = Organisation(
    id="cardiff", name=Bilingual(en="Cardiff", cy="Caerdydd"), sector="council", adapter="webhook",
    codes={"gss": "W06000015"},
)  # fmt: skip


def test_every_council_and_health_board_is_known_in_both_languages() -> None:
    found = packaged()
    assert [sum(body.sector == sector for body in found) for sector in ("council", "health-board")] == [22, 7]
    assert len({body.id for body in found}) == len({body.name.cy for body in found}) == 29
    assert {body.codes["gss"] for body in found if body.sector == "council"} == {c.gss for c in councils().values()}


def test_each_place_in_wales_has_one_council_and_one_health_board() -> None:
    for code in councils():
        assert sorted(body.sector for body in answering_for(packaged(), [code])) == ["council", "health-board"], code
    assert answering_for(packaged(), [None, 9999]) == []


def test_a_body_is_connected_by_its_id_or_its_ons_code() -> None:
    cardiff, swansea = (next(b for b in packaged() if b.id == f"{place}-council") for place in ("cardiff", "swansea"))
    assert as_organisation(cardiff, {"cardiff": ORGANISATION}) == "cardiff"
    assert not is_connected(swansea, {"cardiff": ORGANISATION})
    assert is_connected(swansea, {swansea.id: ORGANISATION.model_copy(update={"id": swansea.id, "codes": {}})})
    nameless = Body(id="nobody", name=ORGANISATION.name, sector="other")
    assert not is_connected(nameless, {"x": ORGANISATION.model_copy(update={"codes": {}})}), "no code is not a code"


def test_what_the_store_has_comes_before_the_package() -> None:
    edited = next(body for body in packaged() if body.id == "cardiff-council").model_copy(update={"area": (6815, 6855)})
    other = Body(id="a-housing-association", name=ORGANISATION.name, sector="housing", area=(6855,))
    found = known([edited, other])
    assert len(found) == 30
    assert [b.id for b in answering_for(found, [6855])] == [
        "a-housing-association", "cardiff-council", "swansea-bay-university-health-board", "swansea-council",
    ]  # fmt: skip
