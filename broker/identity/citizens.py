"""A citizen's access token (RFC 9068) from the one authorization server named in settings, and who it says is calling."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from broker.identity.keys import IssuerKeys
from broker.identity.refusals import InvalidToken, TokenFault
from broker.identity.remembered import Remembered
from broker.identity.tokens import (
    Claims,
    check_audience,
    check_issuer,
    check_times,
    needed_moment,
    scopes,
    text,
    unpack,
)
from broker.sealing import canonical
from contracts.person import IdentityLevel, PersonName
from contracts.times import day_in_wales

ACCESS_TOKEN_TYPES: Final = frozenset({"at+jwt"})
"""RFC 9068, section 2.1. An ID token has another `typ` or none, and so never passes for an access token."""

ASSURANCE: Final[Mapping[str, IdentityLevel]] = {
    "low": IdentityLevel.P1,
    "medium": IdentityLevel.P2,
    "high": IdentityLevel.P3,
    "very_high": IdentityLevel.P3,
    "P1": IdentityLevel.P1,
    "P2": IdentityLevel.P2,
    "P3": IdentityLevel.P3,
}
"""What a verification's `assurance_level` proves at most: GPG 45's levels of confidence, and One Login's names for
them. An unlisted level proves nothing."""

_LEVELS: Final[Mapping[str, IdentityLevel]] = {level.value: level for level in IdentityLevel}
_BIRTH_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NAME_PART: Final = ("type", "value", "validFrom", "validUntil")


@dataclass(frozen=True, slots=True)
class VerifiedPerson:
    """What the identity provider checked about a person. Personal: neither value is in the `repr`."""

    name: PersonName = field(repr=False)
    birth_date: date = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Citizen:
    """A citizen who is calling."""

    issuer: str
    subject: str = field(repr=False)
    """The issuer's own name for the person: pseudonymous, and still not for logs. It changes with their account."""
    client_id: str
    """The front end they use."""
    scopes: frozenset[str]
    level: IdentityLevel
    """P2 or above only if the token carries who was verified."""
    person: VerifiedPerson | None = field(repr=False)


class CitizenTokens:
    """Verifies citizens' tokens of one issuer for one audience. Remembers for up to a minute whom it verified."""

    def __init__(self, *, audience: str, issuer: str, keys: IssuerKeys, clock: Callable[[], datetime]) -> None:
        """`keys` are those of `issuer`; `clock` gives aware UTC."""
        self.issuer = issuer
        self.audience = audience
        self._keys = keys
        self._clock = clock
        self._remembered: Remembered[Citizen] = Remembered()

    async def verify(self, token: str) -> Citizen:
        """Return who is calling. Raises InvalidToken, or KeysUnavailable if the issuer's keys cannot be had."""
        known = self._remembered.recall(token, self._clock())
        if known is not None:
            return known
        signed = unpack(token, types=ACCESS_TOKEN_TYPES)
        if signed.key_id is None:
            raise InvalidToken(TokenFault.KEY_ID)
        claims = signed.proven_by(await self._keys.find(signed.key_id, signed.algorithm))
        now = self._clock()
        check_issuer(claims, self.issuer)
        check_audience(claims, self.audience)
        expires = check_times(claims, now)
        citizen = _citizen(claims, now)
        self._remembered.remember(token, citizen, expires=expires, now=now)
        return citizen


def _citizen(claims: Claims, now: datetime) -> Citizen:
    needed_moment(claims, "iat")  # RFC 9068, section 2.2: iss, exp, aud, sub, client_id, iat and jti are required
    text(claims, "jti")
    person, assured = _verified(claims, now)
    return Citizen(
        issuer=text(claims, "iss"),
        subject=text(claims, "sub"),
        client_id=text(claims, "client_id"),
        scopes=scopes(claims),
        level=min(_vector(claims), assured),
        person=person,
    )


def _vector(claims: Claims) -> IdentityLevel:
    """Return the identity level that `vot` names (RFC 8485, section 3.1), such as P2 in `Cl.Cm.P2`; P0 if none."""
    vector = claims.get("vot", "")
    if not isinstance(vector, str):
        raise InvalidToken(TokenFault.CLAIMS)
    levels = [part for part in vector.split(".") if part.startswith("P")]
    return _LEVELS.get(levels[0], IdentityLevel.P0) if len(levels) == 1 else IdentityLevel.P0


def _verified(claims: Claims, now: datetime) -> tuple[VerifiedPerson | None, IdentityLevel]:
    """Return the person of `verified_claims` (OpenID Identity Assurance Schema 1.0, section 5) and what it proves.

    Without a name and a birth date nobody was identified: P1 at most. Raises InvalidToken (PERSON) where the claims
    are there and cannot be read, rather than take a person for somebody unverified.
    """
    if "verified_claims" not in claims:
        return None, IdentityLevel.P1
    try:
        verified = _object(claims["verified_claims"])
        verification, claimed = _object(verified["verification"]), _object(verified["claims"])
        assured = _assured(verification["trust_framework"], verification.get("assurance_level", ""))
        if "name" not in claimed or "birthdate" not in claimed:
            return None, min(assured, IdentityLevel.P1)
        return VerifiedPerson(current_name(claimed["name"]), birth_date(claimed["birthdate"], now)), assured
    except (KeyError, TypeError, ValueError):
        raise InvalidToken(TokenFault.PERSON) from None


def _assured(framework: object, level: object) -> IdentityLevel:
    """Return what a verification under any named trust framework proves. Raises TypeError."""
    if not isinstance(framework, str) or not isinstance(level, str):
        raise TypeError("trust_framework and assurance_level are text")
    return ASSURANCE.get(level, IdentityLevel.P0)


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("an object is needed")
    return value


def current_name(names: object) -> PersonName:
    """Return the one name that has not ended. Raises ValueError, TypeError, KeyError."""
    if not isinstance(names, list):
        raise TypeError("a list of names is needed")
    [current] = [name for name in map(_object, names) if name.get("validUntil") is None]
    parts = [{key: part[key] for key in _NAME_PART if key in part} for part in map(_object, current["nameParts"])]
    return PersonName.model_validate_json(canonical({"nameParts": parts}))


def birth_date(value: object, now: datetime) -> date:
    """Return a whole date that is not in the future. Raises ValueError, TypeError."""
    if not isinstance(value, str) or not _BIRTH_DATE.fullmatch(value):
        raise TypeError("a whole date is needed")
    born = date.fromisoformat(value)
    if born > day_in_wales(now):
        raise ValueError("nobody is born in the future")
    return born
