"""What changes in a FHIR R4 Patient by each type of change but a move. Pure.

    name          Patient.name: the one it has is `old` from the day on, the new one is added
    contact       Patient.telecom: the previous one is `old`, the new one is added
    language      Patient.communication: the language is there and preferred, no other is
    bereavement   Patient.deceasedDateTime, as far as the day is known

A patch is empty where the record says so already, and None where a person must look: where the record is not as FHIR
has it, has several names at once, or says another day of death. A change that is taken back is patched back by nobody:
where nothing of it is there it is current already, else a person must look.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final

from adapters.fhir_patient import Json, changes, undone
from adapters.told import ADDRESS_CHANGED, Contact, Told, ToldName
from contracts.changes import bereavement, contact, language, name

Patch = Sequence[Json] | None
Makes = Callable[[Json, Told], Patch]

BCP_47: Final = "urn:ietf:bcp:47"
_BEGINS: Final = ("official", "usual", None)
"""Uses of a name somebody goes by now."""
_NOT_A_NUMBER: Final = re.compile(r"[^0-9+]")


def says_enough(event_type: str, change: Told) -> bool:
    """Return whether what was told is enough to change a record by."""
    told = change.change
    if event_type == bereavement.KIND.event_type:
        return bool(told.death_date)
    said = {
        ADDRESS_CHANGED: told.new_address or told.previous_address,
        name.KIND.event_type: told.new_name and told.new_name.family,
        contact.KIND.event_type: told.new_contact or told.previous_contact,
        language.KIND.event_type: told.new_language,
    }
    return bool(told.effective_date and said.get(event_type))


def elements(event_type: str) -> str:
    """Return the elements of a Patient that are asked for: no more than is looked at; a photograph would fill the cap."""
    changed = {
        ADDRESS_CHANGED: ["address"],
        contact.KIND.event_type: ["telecom"],
        language.KIND.event_type: ["communication"],
    }
    return ",".join(("identifier", "name", "birthDate", *changed.get(event_type, ()), "deceased", "active", "link"))


def making(event_type: str) -> Makes:
    """Return what makes the patch of a change of this type. Raises KeyError for a type that is not carried."""
    return _MAKES[event_type][0]


def unmaking(event_type: str) -> Makes:
    """Return what makes the patch that takes a change of this type back. Raises KeyError as `making`."""
    return _MAKES[event_type][1]


def _renamed(patient: Json, change: Told) -> Patch:
    new, since = change.change.new_name, change.change.effective_date
    names = _list_of(patient, "name")
    if new is None or since is None or names is None:
        return None
    current = [(place, one) for place, one in enumerate(names) if one.get("use") in _BEGINS and not _has_ended(one)]
    if current and all(_is_called(one, new) for _, one in current):
        return []
    if len(current) > 1:
        return None
    written: dict[str, Any] = {"use": "official", "family": new.family, "period": {"start": since.isoformat()}}
    written |= {"given": list(new.given)} if new.given else {}
    written |= {"prefix": [change.change.title]} if change.change.title else {}
    for place, one in current:
        written["use"] = one.get("use") or "official"
        return [_ended("name", place, one, since), {"op": "add", "path": "/name/-", "value": written}]
    return [_added("name", names, written)]


def _not_renamed(patient: Json, change: Told) -> Patch:
    new, names = change.change.new_name, _list_of(patient, "name")
    if new is None or names is None:
        return None
    return None if any(_is_called(one, new) and one.get("use") != "old" for one in names) else []


def _reached(patient: Json, change: Told) -> Patch:
    before, new, since = change.change.previous_contact, change.change.new_contact, change.change.effective_date
    points = _list_of(patient, "telecom")
    if since is None or points is None:
        return None
    operations = [
        _ended("telecom", place, one, since)
        for place, one in enumerate(points)
        if before is not None and _reaches(one, before) and not (new is not None and _reaches(one, new))
    ]
    if new is None or any(_reaches(one, new) for one in points):
        return operations
    period = {"start": since.isoformat()}
    written = {"system": new.system, "value": new.value, "use": new.use, "period": period}
    return [*operations, _added("telecom", points, written)]


def _not_reached(patient: Json, change: Told) -> Patch:
    before, new, points = change.change.previous_contact, change.change.new_contact, _list_of(patient, "telecom")
    if points is None:
        return None
    if new is not None:
        return None if any(_reaches(one, new) for one in points) else []
    return [] if before is not None and any(_reaches(one, before) for one in points) else None


def _spoken(patient: Json, change: Told) -> Patch:
    wanted, known = change.change.new_language, _list_of(patient, "communication")
    if wanted is None or known is None:
        return None
    operations: list[Json] = []
    found = False
    for place, one in enumerate(known):
        preferred = _speaks(one) == wanted and not found
        found = found or preferred
        if bool(one.get("preferred")) is not preferred:
            value = {**one, "preferred": preferred}
            operations.append({"op": "replace", "path": f"/communication/{place}", "value": value})
    if not found:
        coded = {"coding": [{"system": BCP_47, "code": wanted}]}
        operations.append(_added("communication", known, {"language": coded, "preferred": True}))
    return operations


def _not_spoken(patient: Json, change: Told) -> Patch:
    wanted, known = change.change.new_language, _list_of(patient, "communication")
    if known is None:
        return None
    return None if any(_speaks(one) == wanted and one.get("preferred") for one in known) else []


def _died(patient: Json, change: Told) -> Patch:
    told, known = change.change.death_date, patient.get("deceasedDateTime")
    if told is None or (known is not None and not isinstance(known, str)):
        return None
    if known is not None and known.startswith(told):
        return []
    if known is not None and not (known and told.startswith(f"{known}-")):  # else it has the year or month of this day
        return None
    said: list[Json] = [{"op": "remove", "path": "/deceasedBoolean"}] if "deceasedBoolean" in patient else []
    return [*said, {"op": "add", "path": "/deceasedDateTime", "value": told}]


def _did_not_die(patient: Json, _change: Told) -> Patch:
    return None if patient.get("deceasedDateTime") or patient.get("deceasedBoolean") else []


_MAKES: Final[Mapping[str, tuple[Makes, Makes]]] = {
    ADDRESS_CHANGED: (changes, undone),
    name.KIND.event_type: (_renamed, _not_renamed),
    contact.KIND.event_type: (_reached, _not_reached),
    language.KIND.event_type: (_spoken, _not_spoken),
    bereavement.KIND.event_type: (_died, _did_not_die),
}

CARRIED: Final = frozenset(_MAKES)
"""Event types; of a language, not the formats."""


def _is_called(one: Json, wanted: ToldName) -> bool:
    given = one.get("given") or []
    return one.get("family") == wanted.family and isinstance(given, list) and tuple(given) == wanted.given


def _reaches(one: Json, wanted: Contact) -> bool:
    """Return whether a record's contact point is this one, however its number is written, and still in use."""
    same_kind = one.get("system") == wanted.system and one.get("use") != "old" and not _has_ended(one)
    return same_kind and _plain(wanted.system, one.get("value")) == _plain(wanted.system, wanted.value)


def _plain(system: str, value: Any) -> str:
    text = value if isinstance(value, str) else ""
    if system == "email":
        return text.casefold()
    digits = _NOT_A_NUMBER.sub("", text.replace("(0)", ""))
    return f"+44{digits[1:]}" if digits.startswith("0") and not digits.startswith("00") else digits


def _speaks(one: Json) -> str | None:
    """Return the language (ISO 639-1) of a communication, None where it has no code."""
    language = one.get("language")
    codes = language.get("coding") if isinstance(language, dict) else None
    for coded in codes if isinstance(codes, list) else []:
        if isinstance(coded, dict) and isinstance(coded.get("code"), str):
            return str(coded["code"]).partition("-")[0].casefold()
    return None


def _has_ended(one: Json) -> bool:
    period = one.get("period")
    return isinstance(period, dict) and bool(period.get("end"))


def _ended(member: str, place: int, one: Json, since: date) -> Json:
    period = dict(one.get("period") or {})
    if str(period.get("start") or "")[:10] <= since.isoformat():  # a period may not end before it starts (per-1)
        period["end"] = since.isoformat()
    value = {**one, "use": "old"} | ({"period": period} if period else {})
    return {"op": "replace", "path": f"/{member}/{place}", "value": value}


def _added(member: str, there: Sequence[Any], value: Json) -> Json:
    if there:
        return {"op": "add", "path": f"/{member}/-", "value": value}
    return {"op": "add", "path": f"/{member}", "value": [value]}


def _list_of(patient: Json, member: str) -> list[dict[str, Any]] | None:
    """Return a record's list in its places; None where one in it is not as FHIR R4 has it."""
    found = patient.get(member) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) and _is_whole(one) for one in found):
        return None
    return found


def _is_whole(one: Json) -> bool:
    period = one.get("period") or {}
    return isinstance(period, dict) and all(isinstance(period.get(end), str | None) for end in ("start", "end"))
