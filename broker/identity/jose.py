"""The few JOSE rules everything here stands on: strict base64url, strict JSON, and the algorithms that are taken."""

import base64
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

from joserfc.jwa import JWS_ALGORITHMS
from joserfc.jwk import Key


class Algorithm(Protocol):
    """How a signature is checked. What joserfc's algorithm models offer."""

    def verify(self, msg: bytes, sig: bytes, key: Any) -> bool: ...


_JOSERFC: Final = {algorithm.name: algorithm for algorithm in JWS_ALGORITHMS}

ALGORITHMS: Final[Mapping[str, Algorithm]] = MappingProxyType(
    {
        "ES256": _JOSERFC["ES256"],
        "EdDSA": _JOSERFC["Ed25519"],  # joserfc's own `EdDSA` also takes Ed448
        "PS256": _JOSERFC["PS256"],
        "RS256": _JOSERFC["RS256"],
    }
)
"""The `alg` values that are taken, all asymmetric (RFC 7518, section 3.1; RFC 8037). Anything else proves nothing."""


_ALL: Final[Mapping[str, Algorithm]] = MappingProxyType({**ALGORITHMS, "RS512": _JOSERFC["RS512"]})
"""And `RS512`, which is taken only of a provider that has no other: NHS login."""


def signature_holds(algorithm: str, signed: bytes, signature: bytes, key: Key) -> bool:
    """Return whether `signature` over `signed` verifies. `key` must be one found for that algorithm."""
    return _ALL[algorithm].verify(signed, signature, key)


def unbase64url(text: str) -> bytes:
    """Return the bytes of unpadded base64url (RFC 7515, section 2).

    Raises ValueError unless `text` is the one canonical spelling: spare bits, padding and foreign characters would
    let two texts be the same token.
    """
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise ValueError("not base64url") from None
    if base64url(raw) != text:
        raise ValueError("not canonical base64url")
    return raw


def base64url(raw: bytes) -> str:
    """Return unpadded base64url."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def json_object(raw: bytes) -> dict[str, Any]:
    """Return the JSON object in `raw`, which must be UTF-8 without a byte order mark.

    Raises ValueError for anything else, for a repeated name (RFC 7515, section 4: two readers could disagree),
    for NaN and Infinity, and for nesting too deep to read. The message never repeats the content.
    """
    try:
        value = _STRICT.decode(raw.decode())
    except (ValueError, RecursionError):
        raise ValueError("not one JSON object") from None
    if not isinstance(value, dict):
        raise ValueError("not one JSON object")  # noqa: TRY004  wrong content, not a wrong argument
    return value


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name is repeated")
    return value


def _refused(_: str) -> Any:
    raise ValueError("not a JSON number")


_STRICT: Final = json.JSONDecoder(object_pairs_hook=_no_repeats, parse_constant=_refused)
