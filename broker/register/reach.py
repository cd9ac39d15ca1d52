"""Where an organisation answers for, as the register knows it: beyond that its own software can have nothing agreed. Decision 36. Pure."""

from datetime import date
from typing import Final

from broker.register import bodies
from broker.register.checking import Fault, newest, state
from broker.store.register import Configuration
from contracts.agreement import Agreement
from contracts.organisation import Organisation

_STANDING: Final = ("in_force", "overdue", "to_come")


def beyond(document: Agreement, party: Organisation, known: Configuration, today: date) -> list[Fault]:
    """Return what of an agreement lies beyond where its organisation answers for."""
    codes = _reach(party, known, today)
    if codes is None:
        return []
    return [
        *(Fault(f"/area/{place}", "area_other") for place, code in enumerate(document.area) if code not in codes),
        *(
            Fault(f"/shares/{place}/where", "area_other")
            for place, share in enumerate(document.shares)
            if share.where == "anywhere"
        ),
    ]


def _reach(party: Organisation, known: Configuration, today: date) -> frozenset[int] | None:
    """Return where an organisation answers for, by custodian codes; None for all of Wales.

    That is the area of the body it is, and of the newest version of what is agreed with it already. Who is no body, and
    has no agreement that stands, has none: operators propose its first.
    """
    areas = [
        body.area for body in bodies.known(known.bodies) if bodies.as_organisation(body, {party.id: party}) is not None
    ]
    own = newest(one for one in known.agreements if one.organisation == party.id).values()
    standing = [one for one in own if state(one, today) in _STANDING]
    if any(not area for area in areas) or any(map(_is_anywhere, standing)):
        return None
    return frozenset(code for area in (*areas, *(one.area for one in standing)) for code in area)


def _is_anywhere(agreement: Agreement) -> bool:
    return any(share.where == "anywhere" for share in agreement.shares)
