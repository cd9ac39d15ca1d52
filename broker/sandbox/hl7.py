r"""HL7 v2.5 as a health board's integration engine reads it: one ADT message, and its acknowledgement.

Written from the standard (2.5, sections 2.5 to 2.9 and 3.3.31), not from our adapter. Only what a change of ours
needs is looked at; the usual delimiters `|^~\&` are the only ones taken.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

VT: Final = b"\x0b"
END: Final = b"\x1c\r"
"""What frames a message (HL7 MLLP release 1, section 2.2)."""

EVENTS: Final = frozenset({"A28", "A31"})
_SAID: Final = (9, 11, 13, 14, 15, 29)
"""Fields of PID by which something can have changed: a former name, an address, telephones, a language, a death."""
VERSIONS: Final = frozenset({"2.5", "2.5.1"})
LONGEST_CONTROL_ID: Final = 20

MISSING: Final = "101"
WRONG_TYPE: Final = "102"
OTHER_MESSAGE: Final = "200"
OTHER_EVENT: Final = "201"
OTHER_PROCESSING: Final = "202"
OTHER_VERSION: Final = "203"
NOT_KNOWN: Final = "204"
KNOWN_ALREADY: Final = "205"
LOCKED: Final = "206"
"""Codes of table 0357."""

_PLAIN: Final = re.compile(r"[^\x00-\x1f\x7f|^~\\&]*")
_DAY: Final = re.compile(r"[0-9]{8}")


class NoMessage(Exception):  # noqa: N818  what came
    """It is no HL7 that could be answered."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message, as far as it can be told from its segments."""

    segments: Sequence[str] = field(repr=False)
    fields: Mapping[str, Sequence[str]] = field(repr=False)
    """By segment, the first of each name; place 0 is the name, and MSH counts from its separator."""

    def at(self, segment: str, place: int) -> str:
        found = self.fields.get(segment, ())
        return found[place] if place < len(found) else ""

    @property
    def control_id(self) -> str:
        return self.at("MSH", 10)

    @property
    def person(self) -> str:
        """The first identifier of the person that is no NHS number, else the first."""
        identifiers = [one.split("^") for one in self.at("PID", 3).split("~")]
        local = [one[0] for one in identifiers if one[4:5] != ["NH"]]
        return (local or [identifiers[0][0]])[0]

    def fault(self) -> str | None:
        """Return the code of what keeps it from being taken, None if nothing does."""
        kind, event, *_ = (*self.at("MSH", 9).split("^"), "", "")
        if kind != "ADT":
            return OTHER_MESSAGE
        if event not in EVENTS:
            return OTHER_EVENT
        if self.at("MSH", 11) not in {"P", "T", "D"}:
            return OTHER_PROCESSING
        if self.at("MSH", 12).split("^")[0] not in VERSIONS:
            return OTHER_VERSION
        says_something = any(self.at("PID", place) for place in _SAID)
        if not (self.person and self.at("PID", 5).split("^")[0] and says_something and self.at("PV1", 2)):
            return MISSING
        return None if _DAY.fullmatch(self.at("PID", 7)) else WRONG_TYPE


def read(frame: bytes) -> Message:
    """Return the message in a frame without its end. Raises NoMessage for what could not even be answered."""
    if not frame.startswith(VT):
        raise NoMessage("it is in no frame")
    try:
        segments = [segment for segment in frame.removeprefix(VT).decode("utf-8").split("\r") if segment]
    except UnicodeDecodeError:
        raise NoMessage("it is not in UTF-8") from None
    if not segments or not segments[0].startswith("MSH|^~\\&|"):
        raise NoMessage("it does not begin with MSH and the usual delimiters")
    fields: dict[str, Sequence[str]] = {}
    for segment in segments:
        name, *rest = segment.split("|")
        fields.setdefault(name, (name, "|", *rest) if name == "MSH" else (name, *rest))
    message = Message(segments, fields)
    identifier = message.control_id
    if not 0 < len(identifier) <= LONGEST_CONTROL_ID or not _PLAIN.fullmatch(identifier):
        raise NoMessage("MSH-10 is missing, too long or not plain")
    return message


def acknowledgement(message: Message, code: str, now: datetime, *, reference: str, error: str = "") -> bytes:
    """Return the acknowledgement in original mode: `code` is AA, AE or AR, `error` a code of table 0357."""
    head = [message.at("MSH", place) for place in (5, 6, 3, 4)]
    parties = "|".join(one if _PLAIN.fullmatch(one) else "" for one in head)
    event = message.at("MSH", 9).split("^")[1:2]
    kind = f"ACK^{event[0]}^ACK" if event and event[0] in EVENTS else "ACK"
    segments = [
        f"MSH|^~\\&|{parties}|{now:%Y%m%d%H%M%S}+0000||{kind}|{reference}|P|2.5||||||UNICODE UTF-8",
        f"MSA|{code}|{message.control_id}",
        *([f"ERR||PID^1|{error}^^HL70357|E"] if error else []),
    ]
    return "".join(f"{segment}\r" for segment in segments).encode()
