"""Encrypting for one organisation as JWE (RFC 7516): to a key it has published, that only it can open.

`ECDH-ES+A256KW` with `A256GCM` (RFC 7518, sections 4.6 and 5.3), in compact serialisation, as `application/jose`.
"""

from collections.abc import Mapping
from typing import Any, Final

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey

CONTENT_TYPE: Final = "application/jose"
KEY_AGREEMENT: Final = "ECDH-ES+A256KW"
ENCRYPTION: Final = "A256GCM"
CURVES: Final = frozenset({"P-256", "P-384", "P-521", "X25519"})


def encryption_key(document: Mapping[str, Any]) -> ECKey | OKPKey:
    """Return the key of a JWK or JWK Set to encrypt to: the first that is for encryption and of a curve we take.

    While it changes keys over, an organisation gives both with the new one first. Raises ValueError, without a value,
    where there is none, or a private key among them.
    """
    keys = document.get("keys", [document])
    if not isinstance(keys, list | tuple) or not all(isinstance(jwk, Mapping) for jwk in keys):
        raise ValueError("must be a JWK or a JWK Set")
    if any("d" in jwk or "k" in jwk for jwk in keys):
        raise ValueError("must hold public keys, and no private one")
    for jwk in keys:
        suited = jwk.get("use", "enc") == "enc" and jwk.get("alg", KEY_AGREEMENT) == KEY_AGREEMENT
        if suited and jwk.get("kty") in {"EC", "OKP"} and jwk.get("crv") in CURVES:
            try:
                key = JWKRegistry.import_key(
                    {name: str(jwk[name]) for name in ("kty", "crv", "x", "y", "kid") if name in jwk}
                )
            except (JoseError, ValueError, TypeError, KeyError):
                raise ValueError("holds a key that cannot be read") from None
            if isinstance(key, ECKey | OKPKey):
                return key
    raise ValueError("holds no key to encrypt to: EC (P-256, P-384, P-521) or OKP (X25519), for use enc")


def encrypted(content: bytes, content_type: str, key: ECKey | OKPKey) -> bytes:
    """Return `content` encrypted, different each time; `content_type` stands in its header, in clear (`cty`)."""
    header = {
        "alg": KEY_AGREEMENT,
        "enc": ENCRYPTION,
        "typ": "JOSE",
        "cty": content_type.partition(";")[0].removeprefix("application/"),
        "kid": key.kid or key.thumbprint(),
    }
    return jwe.encrypt_compact(header, content, key, algorithms=[KEY_AGREEMENT, ENCRYPTION]).encode("ascii")
