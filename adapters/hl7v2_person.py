"""What the PID segment says of each type of change but a move (HL7 2.5, section 3.4.2), and of taking it back. Pure.

    name          PID-5 the new name, legal; PID-9 the one before
    contact       PID-13, at work PID-14: a number as XTN.1 and XTN.12, a mailbox as XTN.4
    language      PID-15
    bereavement   PID-29 as far as the day is known, PID-30; PID is the person who died

A receiver in snapshot mode takes a field for all there is of it. So what can only be said by emptying a field, that a
telephone is given up, is not said: it would take the others with it.
"""

from collections.abc import Mapping
from typing import Final

from adapters.told import Contact, Told, ToldName
from contracts.changes import bereavement, contact, language, name
from contracts.delivery import Rejected
from contracts.statuses import Reason

Components = tuple[str, ...]
Fields = Mapping[int, tuple[Components, ...]]
"""Fields of PID by their number: repetitions of components, not escaped."""

DEATH: Final = 29
"""The field with the day somebody died."""

_LANGUAGES: Final = {"cy": "Welsh", "en": "English"}


def fields(event_type: str, change: Told) -> Fields:
    """Return what PID says of a change. Raises Rejected for what cannot be said, or lacks what must be."""
    told = change.change
    match event_type:
        case name.KIND.event_type:
            _must_be_theirs(change)
            return _named(told.new_name, told.title, told.previous_name)
        case contact.KIND.event_type:
            return _reached(told.new_contact)
        case language.KIND.event_type:
            return _spoken(told.new_language)
        case bereavement.KIND.event_type:
            if told.death_date is None:
                raise Rejected(Reason.FIELDS_MISSING)
            return {DEATH: ((told.death_date.replace("-", ""),),), 30: (("Y",),)}
        case _:
            raise Rejected(Reason.INVALID_FOR_RECEIVER)


def undone(event_type: str, change: Told) -> Fields:
    """Return what PID says where a change is taken back: what held before it. Raises Rejected where that is not known.

    That somebody did not die after all is for a person to put right.
    """
    told = change.change
    match event_type:
        case name.KIND.event_type if told.previous_name is not None:
            _must_be_theirs(change)
            return _named(told.previous_name, None, None)  # nobody was ever known by the other: it is no alias
        case contact.KIND.event_type if told.previous_contact is not None:
            return _reached(told.previous_contact)
        case language.KIND.event_type if told.previous_language is not None:
            return _spoken(told.previous_language)
        case _:
            raise Rejected(Reason.INVALID_FOR_RECEIVER)


def extended_name(name: ToldName, kind: str, title: str = "") -> Components:
    """Return the components of an XPN; empty where there is no name."""
    first, *others = (*name.given, "")
    return (name.family, first, " ".join(others).strip(), "", title, "", kind) if name.family else ()


def _must_be_theirs(change: Told) -> None:
    """Raise Rejected where a change of name is neither from nor to the name somebody is verified under.

    Both names are only said then, and the message would have nothing of the person but their birth date.
    """
    if change.change.previous_name is not None and change.change.previous_name not in change.names:
        raise Rejected(Reason.INVALID_FOR_RECEIVER)


def _named(now: ToldName | None, title: str | None, before: ToldName | None) -> Fields:
    if now is None:
        raise Rejected(Reason.FIELDS_MISSING)
    said: dict[int, tuple[Components, ...]] = {5: (extended_name(now, "L", title or ""),)}
    return said if before is None else said | {9: (extended_name(before, "A"),)}


def _reached(now: Contact | None) -> Fields:
    if now is None:
        raise Rejected(Reason.INVALID_FOR_RECEIVER)
    if now.system == "email":
        return {14 if now.use == "work" else 13: (("", "NET", "Internet", now.value),)}
    use = "WPN" if now.use == "work" else "PRN"
    number = (now.value, use, "CP" if now.use == "mobile" else "PH", *[""] * 8, now.value)
    return {14 if now.use == "work" else 13: (number,)}


def _spoken(now: str | None) -> Fields:
    if now is None:
        raise Rejected(Reason.FIELDS_MISSING)
    if now not in _LANGUAGES:
        raise Rejected(Reason.INVALID_FOR_RECEIVER)
    return {15: ((now, _LANGUAGES[now], "ISO639"),)}
