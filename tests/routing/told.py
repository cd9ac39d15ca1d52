"""The cases of `cases/*.yaml`, which a reader of agreements can check, as what routing takes and gives."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import yaml

from broker.register import wales
from broker.routing import Areas
from contracts.agreement import Agreement
from contracts.organisation import Organisation

HERE: Final = Path(__file__).parent
WHEN: Final = {
    "leaving the area": ("old", "leaving"),
    "arriving in the area": ("new", "arriving"),
    "anywhere": ("anywhere", "national"),
}
NOT_KNOWN: Final = {"outside Wales", "not known"}
ELSEWHERE: Final[Mapping[str, Mapping[str, str]]] = {
    "England": {"postalCode": "BS1 5TR"},
    "the border": {"postalCode": "CH5 1AA"},
    "Scotland": {"postalCode": "EH1 1YZ"},
    "Northern Ireland": {"postalCode": "BT1 5GS"},
    "Jersey": {"postalCode": "JE2 3XX"},
    "Ireland": {"addressCountry": "IE"},
    "BFPO": {"postalCode": "BF1 2AB"},
    "no fixed abode": {"postalCode": "ZZ99 3VZ"},
    "somewhere in Cardiff": {"postalCode": "CF10 3AT"},
}
"""Ends whose local authority is not known, with what their address says all the same."""
DAY: Final = date(2026, 6, 1)

PERSON: Final[Mapping[str, Any]] = {
    "name": {"nameParts": [{"type": "GivenName", "value": "Siân"}, {"type": "FamilyName", "value": "Llŷr-Gwŷdd"}]},
    "birthDate": "1980-02-29",
    "identityLevel": "P2",
    "preferredLanguage": "cy",
    "identifiers": [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9434765919"}],
}
CHANGE: Final[Mapping[str, Any]] = {
    "previousAddress": {
        "uprn": 900000000001,
        "buildingNumber": "1",
        "streetName": "Otter Row",
        "postalCode": "CF99 9AA",
    },
    "newAddress": {
        "uprn": 900000000031,
        "buildingName": "Tŷ Gwyn",
        "streetName": "Rhes y Llan",
        "postalCode": "SA99 9AA",
    },
    "effectiveDate": "2026-06-01",
    "moveKind": "permanent",
    "household": [{"name": {"nameParts": [{"type": "GivenName", "value": "Eirlys"}]}, "birthDate": "2015-05-04"}],
    "tenure": "owner",
}


@dataclass(frozen=True)
class Case:
    """One change, the agreements there are, and who must be told what."""

    name: str
    told: Mapping[str, Any]
    level: str
    areas: Areas
    on: date
    agreements: Sequence[Agreement]
    expected: Mapping[str, Mapping[str, Any]]
    """By organisation. What a case does not say of one is not compared."""
    not_told: Mapping[str, str] | None
    """Why, by who is not told; None where a case says nothing of it."""
    left_out: Sequence[str]
    organisations: Mapping[str, Organisation]
    """The register."""


def cases() -> list[Case]:
    """Return every case. Raises KeyError for one that speaks of an agreement or a place there is not."""
    written = yaml.safe_load((HERE / "agreements.yaml").read_text(encoding="utf-8"))
    return [
        _case(item, written)
        for file in sorted((HERE / "cases").glob("*.yaml"))
        for item in yaml.safe_load(file.read_text(encoding="utf-8"))
    ]


def agreement_id(name: str) -> str:
    return name.lower().replace(" ", "-")


def _case(item: Mapping[str, Any], written: Mapping[str, Any]) -> Case:
    known = {"case", "moves", "person", "change", "proven", "day", "agreements", "but", "newer", "told"}
    known |= {"not told", "left out", "also in the register"}
    if unknown := item.keys() - known:
        raise KeyError(f"{item['case']}: {unknown}")
    but, newer = item.get("but", {}), item.get("newer", {})
    agreements = [_agreement(name, {**written[name], **but.get(name, {})}, 1) for name in item["agreements"]]
    agreements += [_agreement(name, {**written[name], **changed}, 2) for name, changed in newer.items()]
    old, new = item["moves"]
    level = item.get("proven", "P2")
    person = {**PERSON, "identityLevel": level, **item.get("person", {})}
    change = {**CHANGE, **item.get("change", {})}
    for end, place in (("previousAddress", old), ("newAddress", new)):
        if place in ELSEWHERE:
            change[end] = {"addressLocality": place, **ELSEWHERE[place]}
    return Case(
        name=item["case"],
        told={"person": _without_none(person), "change": _without_none(change)},
        level=level,
        areas={"old": _code(old), "new": _code(new)},
        on=item.get("day", DAY),
        agreements=agreements,
        expected={} if item["told"] == "nobody" else item["told"],
        not_told=item.get("not told"),
        left_out=item.get("left out", ()),
        organisations=_register([one.organisation for one in agreements] + item.get("also in the register", [])),
    )


def _register(ids: Sequence[str]) -> dict[str, Organisation]:
    """Return these organisations; councils and health boards with the codes of the bodies they are named after."""
    codes = {
        f"{council.name.en.lower().replace(' ', '-')}-council": council.gss for council in wales.councils().values()
    }
    codes |= {_board_id(board.name.en): board.gss for board in wales.health_boards().values()}
    words = {"en": "Somebody", "cy": "Rhywun"}
    return {
        name: Organisation.model_validate(
            {
                "id": name,
                "name": words,
                "sector": "other",
                "codes": {"gss": codes[name]} if name in codes else {},
                "adapter": "x",
            }
        )
        for name in ids
    }


def _board_id(name: str) -> str:
    return f"{re.sub(' (University|Teaching)? ?Health Board', '', name).lower().replace(' ', '-')}-health-board"


def _without_none(block: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if value != "none"}


def _code(place: str) -> int | None:
    if place in NOT_KNOWN or place in ELSEWHERE:
        return None
    [code] = [code for code, council in wales.councils().items() if council.name.en == place]
    return code


def _area(places: Sequence[str]) -> tuple[int, ...]:
    boards = {board.name.en: board.area for board in wales.health_boards().values()}
    return tuple(code for place in places for code in boards.get(place) or (_code(place) or 0,))


def _agreement(name: str, written: Mapping[str, Any], version: int) -> Agreement:
    words = {"en": name, "cy": name}
    return Agreement.model_validate(
        {
            "id": agreement_id(name),
            "version": version,
            "organisation": written["organisation"],
            "title": words,
            "purpose": words,
            "lawful_basis": "UK GDPR Article 6(1)(e)",
            "legal_gateway": "Example, not legal advice",
            "change_type": written.get("about", "address"),
            "area": _area(written.get("area", ())),
            "shares": tuple(
                {
                    "where": WHEN[share["when"]][0],
                    "role": WHEN[share["when"]][1],
                    "paths": tuple(f"/{path}" for path in written.get("paths", share["paths"])),
                    "because": share["because"],
                }
                for share in written["tells"]
            ),
            "identity_level": written.get("identity level", "P2"),
            "required": written.get("required by law", False),
            "retention_days": 365,
            "valid_from": written.get("valid from", date(2026, 1, 1)),
            "valid_until": written.get("valid until"),
            "review_by": written.get("review by", date(2030, 1, 1)),
            "revoked": written.get("revoked", False),
        },
        strict=False,
    )
