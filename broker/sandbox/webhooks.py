"""The receiver's side of a webhook: our own check of the signature, and agreeing to be sent to, as an organisation would."""

import base64
import binascii
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

TOLERANCE: Final = timedelta(minutes=5)
LONGEST_HEADER: Final = 4096


def written(secret: bytes) -> str:
    """Return a secret as Standard Webhooks writes it down: `whsec_` and base64. So the exchange's register takes it."""
    return f"whsec_{base64.b64encode(secret).decode('ascii')}"


class NotAuthentic(Exception):  # noqa: N818  answered as 401
    """The request is not signed by the exchange, or too old. Says which rule failed."""


def verify(secret: bytes, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """Check `webhook-id`, `webhook-timestamp` and `webhook-signature` over the body's bytes. Raises NotAuthentic.

    Any one good `v1` signature is enough: there are two while a secret is being changed.
    """
    identifier = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    signatures = headers.get("webhook-signature", "")
    if not (identifier and timestamp and signatures):
        raise NotAuthentic("webhook-id, webhook-timestamp and webhook-signature are required")
    if len(identifier) + len(signatures) > LONGEST_HEADER:
        raise NotAuthentic("the webhook headers are too long")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):  # noqa: PLR2004  year 33658
        raise NotAuthentic("webhook-timestamp must be whole seconds")
    signed = f"{identifier}.{timestamp}.".encode() + body
    expected = hmac.digest(secret, signed, "sha256")
    if not any([hmac.compare_digest(expected, given) for given in _given(signatures)]):  # noqa: C419  look at all
        raise NotAuthentic("no signature fits")
    if abs(int(timestamp) - now.timestamp()) > TOLERANCE.total_seconds():
        raise NotAuthentic("webhook-timestamp is more than five minutes off")


def _given(signatures: str) -> list[bytes]:
    given = []
    for entry in signatures.split(" "):
        version, comma, encoded = entry.partition(",")
        if comma and version == "v1":
            try:
                given.append(base64.b64decode(encoded, validate=True))
            except (binascii.Error, ValueError):
                continue
    return given


def agreement(request: Request) -> Response:
    """Agree to be sent to by who asks, as CloudEvents' Web Hooks for Event Delivery, section 4, has it.

    A real organisation agrees to the exchange it knows, and to no other: here any on this machine.
    """
    origin = request.headers.get("webhook-request-origin")
    if not origin:
        return Response(status_code=400)
    allowed = {"WebHook-Allowed-Origin": origin, "Allow": "OPTIONS, POST"}
    if "webhook-request-rate" in request.headers:
        allowed["WebHook-Allowed-Rate"] = "*"
    return Response(status_code=200, headers=allowed)
