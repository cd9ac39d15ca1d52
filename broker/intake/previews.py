"""What a person is shown before they send, and the digest that binds us to it. Pure."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from broker import sealing
from broker.routing import Recipient
from contracts.agreement import Agreement
from contracts.changes import Sensitivity
from contracts.organisation import Organisation
from contracts.requests import NotTold, Preview, PreviewedRecipient


@dataclass(frozen=True, slots=True)
class Frozen:
    """A recipient with its data as bytes, exactly as they will be delivered."""

    recipient: Recipient
    data: bytes = field(repr=False)
    digest: str
    """Keyed, over person, organisation, agreement and data: it cannot be carried over to another."""


def freeze(digest: sealing.Digester, person_id: int, recipients: Sequence[Recipient]) -> list[Frozen]:
    """Fix each recipient's bytes. Nothing may change them afterwards; later checks only withhold."""
    frozen = []
    for recipient in recipients:
        data = sealing.canonical(recipient.data)
        mark = digest(
            b"%d" % person_id,
            recipient.organisation.encode(),
            f"{recipient.agreement}/{recipient.agreement_version}".encode(),
            data,
        )
        frozen.append(Frozen(recipient, data, base64.urlsafe_b64encode(mark).decode().rstrip("=")))
    return frozen


def digest_of(frozen: Sequence[Frozen]) -> str:
    """Return the opaque digest of a preview."""
    marks = {item.recipient.organisation: item.digest for item in frozen}
    return base64.urlsafe_b64encode(sealing.canonical(marks)).decode().rstrip("=")


def shown(digest: str) -> dict[str, str] | None:
    """Return the mark of each organisation in a digest that came back; None if it is not one of ours."""
    try:
        read = orjson.loads(base64.urlsafe_b64decode(digest + "=" * (-len(digest) % 4)))
    except ValueError:
        return None
    if not isinstance(read, dict) or not all(isinstance(mark, str) and mark.isascii() for mark in read.values()):
        return None
    return read


def grown(frozen: Sequence[Frozen], marks: Mapping[str, str]) -> bool:
    """Return whether anything would be told that the person was not shown."""
    return any(
        not sealing.same(item.digest.encode(), marks.get(item.recipient.organisation, "").encode()) for item in frozen
    )


def preview_of(
    frozen: Sequence[Frozen],
    organisations: Mapping[str, Organisation],
    agreements: Mapping[tuple[str, int], Agreement],
    unknown_areas: Sequence[str],
    unverified: Sequence[str],
    not_told: tuple[NotTold, ...],
    sensitivity: Mapping[str, Sensitivity],
) -> Preview:
    """Return what the person is shown; `sensitivity` are the change type's parts that need care."""
    recipients = []
    for item in frozen:
        recipient = item.recipient
        agreement = agreements[recipient.agreement, recipient.agreement_version]
        recipients.append(
            PreviewedRecipient(
                organisation=recipient.organisation,
                name=organisations[recipient.organisation].name,
                required=recipient.required,
                because=recipient.because,
                purpose=agreement.purpose,
                lawful_basis=agreement.lawful_basis,
                agreement=f"{agreement.id}/{agreement.version}",
                data=recipient.data,
                sensitive={path: care for path, care in sensitivity.items() if _there(recipient.data, path)},
            )
        )
    return Preview.model_validate(
        {
            "digest": digest_of(frozen),
            "recipients": tuple(recipients),
            "not_told": not_told,
            "unverified": tuple(unverified),
            "unknown_areas": tuple(unknown_areas),
        }
    )


def _there(data: Mapping[str, Any], path: str) -> bool:
    """Return whether a path (RFC 6901, without indexes) leads anywhere."""
    here: Any = data
    for step in path.split("/")[1:]:
        if not isinstance(here, Mapping) or step not in here:
            return False
        here = here[step]
    return True
