"""Signing as Standard Webhooks 1.0 has it: `webhook-id`, `webhook-timestamp`, `webhook-signature` (v1, HMAC-SHA256)."""

import base64
import binascii
import hmac
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from contracts.adapters import AdapterContext

SECRETS: Final = ("signing", "signing-previous")
"""Names of the secrets. While the second exists both sign, so that a receiver changes over in its own time."""

KEY_BYTES: Final = range(24, 65)


def signing_keys(context: AdapterContext) -> tuple[bytes, ...]:
    """Return the keys to sign with, newest first, from secrets of the form `whsec_` and base64 of 24 to 64 bytes.

    Raises ValueError naming the secret that is missing or malformed, never its value.
    """
    newest, previous = SECRETS
    try:
        secrets = {newest: context.secret(newest)}
    except KeyError:
        raise ValueError(f"secret {newest}: is missing") from None
    with suppress(KeyError):  # usually no change-over is going on
        secrets[previous] = context.secret(previous)
    return tuple(_key(name, secret) for name, secret in secrets.items())


def _key(name: str, secret: bytes) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(b"whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(b"whsec_") or len(key) not in KEY_BYTES:
        raise ValueError(f"secret {name}: must be whsec_ followed by base64 of 24 to 64 bytes")
    return key


def signature_headers(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers; `timestamp` is this attempt's, in seconds since 1970."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys
        ),
    }
