"""Why an operator acts: a reason from a closed list and the code of a ticket. Nobody's name fits into either."""

import re
from typing import Final

from broker.web.visit import Fault, Form

PAUSE: Final = ("maintenance", "organisation_asked", "incident", "wrong_data")
RESUME: Final = ("finished", "organisation_asked", "mistaken")
REPLAY: Final = ("repaired", "organisation_asked", "our_fault")
TRACE: Final = ("person_asked", "organisation_asked", "incident", "audit")
REVEAL: Final = ("evidence", "person_asked", "audit")
RELEASE: Final = ("evidence_agrees", "spoke_to_person")
REFUSE: Final = ("evidence_missing", "evidence_differs", "not_the_person")

NOTE: Final = re.compile(r"[A-Z][A-Z0-9]{0,9}-[0-9]{1,10}", re.ASCII)
"""Such as `INC-1234`."""


def read(form: Form, reasons: tuple[str, ...]) -> tuple[str, str, list[Fault]]:
    """Return the reason, the ticket's code, and what is wrong with them."""
    reason, note = form.get("reason", ""), form.get("note", "").strip().upper()
    faults: list[Fault] = []
    if reason not in reasons:
        faults.append(("reason", "staff-fault-reason"))
    if not NOTE.fullmatch(note):
        faults.append(("note", "staff-fault-note"))
    return reason, note, faults
