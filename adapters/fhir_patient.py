"""A FHIR R4 Patient of `DataStandardsWales-Patient`: whether it is the person told of, and what changes in it. Pure.

A Patient is taken as JSON, as it came: what is not looked at here stays as it is.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

from adapters.told import NHS_NUMBER, Told, ToldAddress, ToldName, folded, postal_lines

ADDRESS_KEY: Final = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-AddressKey"
ADDRESS_KEY_TYPE: Final = "https://fhir.hl7.org.uk/CodeSystem/UKCore-AddressKeyType"

Json = Mapping[str, Any]


def is_person(patient: Json, change: Told) -> bool:
    """Return whether the record has the NHS number **and** the birth date and a name of who is told of.

    Names agree without regard to case, accents, hyphens and apostrophes: the family name whole, and the first given
    name, which may stand in any of the record's names that is not said to be an old one. Of whom a change of name is
    told, the record may have either name, if one of them is that they are verified under.
    """
    numbers = [
        identifier.get("value")
        for identifier in _items(patient, "identifier")
        if identifier.get("system") == NHS_NUMBER
    ]
    if change.nhs_number is None or change.nhs_number not in numbers or change.birth_date is None:
        return False
    if patient.get("birthDate") != change.birth_date.isoformat():
        return False
    names = [name for name in _items(patient, "name") if name.get("use") != "old"]
    return any(_is_named(name, one) for name in names for one in change.names)


def needs_a_person(patient: Json, *, dead: bool = False) -> bool:
    """Return whether somebody must look before this record is changed: it is of someone dead, inactive or merged.

    `dead`: that is what is told, so it may say so already.
    """
    return bool(
        (not dead and (patient.get("deceasedBoolean") or patient.get("deceasedDateTime")))
        or patient.get("active") is False
        or any(link.get("type") == "replaced-by" for link in _items(patient, "link"))
    )


def changes(patient: Json, change: Told) -> Sequence[Json] | None:
    """Return the JSON Patch (RFC 6902) that makes the record current; empty if it is, None if a person must look.

    A record whose addresses are not as FHIR R4 has them is one to look at: a patch by place could hit another of them.
    A permanent move ends the home address: it becomes `old`, with the day it ended. A move for a while leaves it and
    adds a `temp` one. Where only the leaving may be told, the home address is ended if it is the one left.
    """
    new, previous = change.change.new_address, change.change.previous_address
    effective = change.change.effective_date
    addresses = _addresses(patient)
    if effective is None or addresses is None:
        return None
    temporary = change.change.move_kind == "temporary"
    current = [
        (place, address)
        for place, address in enumerate(addresses)
        if address.get("use") in (("temp",) if temporary else ("home", None)) and not _period(address).get("end")
    ]
    if new is None:
        left = [(place, address) for place, address in current if previous and _same(address, previous)]
        return [_ended(place, address, effective) for place, address in left] if left else None
    kept = [place for place, address in current if _same(address, new)]
    ended = [_ended(place, address, effective) for place, address in current if place not in kept]
    if kept:
        return ended
    added = written(new, "temp" if temporary else "home", effective)
    if not addresses:
        return [{"op": "add", "path": "/address", "value": [added]}]
    return [*ended, {"op": "add", "path": "/address/-", "value": added}]


def undone(patient: Json, change: Told) -> Sequence[Json] | None:
    """Return the JSON Patch that takes `change` back; empty if nothing of it is there, None if a person must look.

    Only a record that stands as the change left it is patched: the address we added is taken out, and the one we ended
    with it is the home again. Whatever else happened to it since is for a person to weigh.
    """
    new, previous = change.change.new_address, change.change.previous_address
    effective, addresses = change.change.effective_date, _addresses(patient)
    if effective is None or addresses is None:
        return None
    day, temporary = effective.isoformat(), change.change.move_kind == "temporary"
    placed = list(enumerate(addresses))
    ended = [(place, address) for place, address in placed if address.get("use") == "old" and _ends(address, day)]
    current = [
        (place, address)
        for place, address in placed
        if address.get("use") in (("temp",) if temporary else ("home", None)) and not _period(address).get("end")
    ]
    if new is None:
        left = [one for one in ended if previous and _same(one[1], previous)]
        if not left and previous and any(_same(address, previous) for _, address in current):
            return []
        return None if current or len(left) != 1 else [_restored(*left[0])]
    ours = [(place, address) for place, address in current if _same(address, new)]
    if not ours:
        return None if ended else []
    (place, address), *others = ours
    as_we_left_it = not others and len(current) == 1 and str(_period(address).get("start"))[:10] == day
    if not as_we_left_it or len(ended) > (0 if temporary else 1):
        return None
    return [*(_restored(*one) for one in ended), {"op": "remove", "path": f"/address/{place}"}]


def written(address: ToldAddress, use: str, since: date) -> dict[str, Any]:
    """Return an Address, with the UPRN in UK Core's extension."""
    parts: dict[str, Any] = {
        "use": use,
        "line": list(postal_lines(address)),
        "city": address.address_locality,
        "postalCode": address.postal_code,
        "country": address.address_country,
        "period": {"start": since.isoformat()},
    }
    if address.uprn is not None:
        kind = {"coding": [{"system": ADDRESS_KEY_TYPE, "code": "UPRN"}]}
        key = [{"url": "type", "valueCodeableConcept": kind}, {"url": "value", "valueString": str(address.uprn)}]
        parts["extension"] = [{"url": ADDRESS_KEY, "extension": key}]
    return {name: value for name, value in parts.items() if value}


def _is_named(name: Json, wanted: ToldName) -> bool:
    given = name.get("given")
    first = given[0] if isinstance(given, list) and given else ""
    expected = wanted.given[0] if wanted.given else ""
    return folded(name.get("family")) == folded(wanted.family) and folded(first) == folded(expected)


def _same(address: Json, told: ToldAddress) -> bool:
    """Return whether a record's address is the one told: by UPRN where both have it, else by lines and postcode."""
    uprns = _uprns(address)
    if uprns and told.uprn is not None:
        return str(told.uprn).lstrip("0") in uprns
    return folded(address.get("postalCode")) == folded(told.postal_code) and _words(
        [*(address.get("line") or []), address.get("city")]
    ) == _words([*postal_lines(told), told.address_locality])


def _words(lines: Sequence[Any]) -> str:
    return "".join(map(folded, lines))


def _uprns(address: Json) -> set[str]:
    found = set()
    for extension in _items(address, "extension"):
        if extension.get("url") != ADDRESS_KEY:
            continue
        parts = _items(extension, "extension")
        kinds = [part for part in parts if part.get("url") == "type"]
        coded = [code for kind in kinds for code in _items(_object(kind.get("valueCodeableConcept")), "coding")]
        coded += [_object(kind.get("valueCoding")) for kind in kinds]
        if any(code.get("code") == "UPRN" for code in coded):
            values = (part.get("valueString") for part in parts if part.get("url") == "value")
            found |= {value.lstrip("0") for value in values if isinstance(value, str)}
    return found


def _ended(place: int, address: Json, effective: date) -> Json:
    period = dict(_period(address))
    started = period.get("start")
    if not started or started[:10] <= effective.isoformat():  # a period may not end before it starts (per-1)
        period["end"] = effective.isoformat()
    value = {**address, "use": "old"} | ({"period": period} if period else {})
    return {"op": "replace", "path": f"/address/{place}", "value": value}


def _ends(address: Json, day: str) -> bool:
    """Return whether an address that is old may have become so by a move on that day, as `_ended` writes it."""
    period = _period(address)
    if not period.get("end"):
        return str(period.get("start") or "")[:10] > day
    return str(period["end"])[:10] == day


def _restored(place: int, address: Json) -> Json:
    period = {name: value for name, value in _period(address).items() if name != "end"}
    value = {name: value for name, value in address.items() if name != "period"} | {"use": "home"}
    return {
        "op": "replace",
        "path": f"/address/{place}",
        "value": value | ({"period": period} if period else {}),
    }


def _period(address: Json) -> Json:
    period: Json = address.get("period") or {}
    return period


def _addresses(patient: Json) -> list[dict[str, Any]] | None:
    """Return the record's addresses in their places; None where one of them is not as FHIR R4 has an Address."""
    addresses = patient.get("address") or []
    if not isinstance(addresses, list) or not all(isinstance(one, dict) and _is_address(one) for one in addresses):
        return None
    return addresses


def _is_address(address: Json) -> bool:
    lines, period = address.get("line") or [], address.get("period") or {}
    texts = (address.get(name) for name in ("use", "city", "postalCode"))
    return (
        isinstance(lines, list)
        and isinstance(period, dict)
        and all(isinstance(line, str | None) for line in lines)  # null stands beside an extension of the line
        and all(isinstance(text, str | None) for text in (*texts, period.get("start"), period.get("end")))
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(of: Json, name: str) -> list[dict[str, Any]]:
    """Return the objects of a list, nothing for anything else: what a server sends is not to be trusted in shape."""
    value = of.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
