"""What an organisation keeps of a delivery, and reading one off the wire: CloudEvents 1.0.2, structured mode."""

import hashlib
from dataclasses import dataclass, field
from email.message import Message
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from contracts.events import SEQUENCE_DIGITS, canonical

MEDIA_TYPE: Final = "application/cloudevents+json"


class Unreadable(Exception):  # noqa: N818  answered as 422
    """The body is not an event as agreed. Names the fields, never their values."""


@dataclass(frozen=True, slots=True)
class Event:
    """What the organisation keeps of one delivery."""

    id: str
    """By which a repeat is known: the delivery's id, or whatever the way here has in its place."""
    type: str
    subject: str
    sequence: int | None
    """None where the way here carries none: then no order is held."""
    time: str
    origin: str
    data: bytes = field(repr=False)
    """Canonical JSON."""

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical data, in hex."""
        return hashlib.sha256(self.data).hexdigest()


class _Wire(BaseModel):
    # attributes we do not know are ignored, as CloudEvents asks
    model_config = ConfigDict(extra="ignore", strict=True, hide_input_in_errors=True, allow_inf_nan=False)

    specversion: Literal["1.0"]
    id: UUID
    type: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    source: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    subject: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    sequence: Annotated[str, StringConstraints(pattern=rf"^[0-9]{{{SEQUENCE_DIGITS}}}$")]
    time: AwareDatetime
    datacontenttype: Literal["application/json"] = "application/json"
    origin: Annotated[str, Field(max_length=255)] = ""
    data: dict[str, Any]


def is_structured(content_type: str) -> bool:
    """Return whether a `Content-Type` is the structured mode's, in UTF-8."""
    parsed = Message()
    parsed["content-type"] = content_type
    charset = parsed.get_param("charset", "utf-8")
    return parsed.get_content_type() == MEDIA_TYPE and str(charset).lower() == "utf-8"


def read_event(body: bytes) -> Event:
    """Return the event in `body`. Raises Unreadable."""
    try:
        wire = _Wire.model_validate_json(body)
        data = canonical(wire.data)
    except ValidationError as fault:
        places = sorted({".".join(str(part) for part in error["loc"][:1]) or "body" for error in fault.errors()})
        raise Unreadable(f"wrong or missing: {', '.join(places)}") from None
    except TypeError:
        raise Unreadable("data holds a number that is not whole") from None
    return Event(
        id=str(wire.id),
        type=wire.type,
        subject=wire.subject,
        sequence=int(wire.sequence),
        time=wire.time.isoformat(),
        origin=wire.origin,
        data=data,
    )
