"""Signing people in at an OpenID provider: authorization code with PKCE, believed only after every check.

Shaped by GOV.UK One Login: signing in proves who returns, and a second step up proves who they are, by a statement of
its identity service (`coreIdentityJWT`) and by nothing else. At NHS login the ID token itself says what was proven. A
staff provider is the same without either. What is particular about each is a `Preset`.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from pydantic import ValidationError

from broker import sealing
from broker.identity.citizens import VerifiedPerson, birth_date, current_name
from broker.identity.discovery import Discovery
from broker.identity.jose import base64url, json_object
from broker.identity.keys import IssuerKeys
from broker.identity.logout import LOGOUT_TYPES, LoggedOut, read_logout
from broker.identity.presets import PLAIN, IdentityService, Preset
from broker.identity.refusals import InvalidToken, Refusal, TokenFault
from broker.identity.tokens import Claims, check_issuer, check_times, needed_moment, text, unpack
from broker.outbound.client import GuardedClient
from contracts.address import Address
from contracts.delivery import Failure
from contracts.person import IdentityLevel

VOCABULARY: Final = "https://vocab.account.gov.uk/v1/"
CORE_IDENTITY: Final = f"{VOCABULARY}coreIdentityJWT"
ADDRESSES: Final = f"{VOCABULARY}address"
RETURN_CODE: Final = f"{VOCABULARY}returnCode"
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFE: Final = timedelta(minutes=4)
"""Below the five minutes providers take at most."""
ID_TOKEN_TYPES: Final = frozenset({None, "jwt"})
IDENTITY_ALGORITHMS: Final = frozenset({"ES256"})
ANSWER_CAP: Final = 64 * 1024
_NHS_NUMBER: Final = re.compile(r"[0-9]{10}")
_UPRN: Final = re.compile(r"[0-9]{1,12}")
_NHS_NAMES: Final = (("GivenName", "given_name"), ("FamilyName", "family_name"))
"""NHS login's claims of the names it compared with its record."""
DEADLINE: Final = timedelta(seconds=8)


class SignInFault(StrEnum):
    """Why nobody was signed in. Closed, and fit for a log."""

    DENIED = "the person cancelled, or the provider refused"
    NOT_PROVEN = "the provider could not prove who the person is"
    ISSUER = "the answer names another issuer, or none"
    CODE = "the answer has no code"
    EXCHANGE = "the provider did not take the code"
    ANSWER = "the provider's answer cannot be read"
    TOKEN = "the ID token does not hold"  # noqa: S105  a sentence
    SECOND_FACTOR = "the ID token does not say that a second factor was used"
    SUBJECT = "userinfo is about somebody else"
    IDENTITY = "the statement about the identity does not hold"


class SignInRefused(Refusal):
    """Nobody is signed in."""

    def __init__(self, fault: SignInFault, detail: str = "") -> None:
        super().__init__(fault.value + (f": {detail}" if detail else ""))
        self.fault = fault


class ProviderAway(Refusal):
    """The provider does not answer now; trying again later may help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactor:
    """What in an ID token proves that somebody used more than a password (OpenID Connect Core 1.0, section 2).

    Nothing named proves nothing: then nobody gets in.
    """

    amr: frozenset[str] = frozenset()
    """Methods, one of which is enough: `mfa`, `hwk` (RFC 8176)."""
    acr: frozenset[str] = frozenset()
    """Classes of the provider's own, one of which is enough; asked for when signing in begins."""

    def proven_by(self, claims: Claims) -> bool:
        methods = claims.get("amr")
        used = {one for one in methods if isinstance(one, str)} if isinstance(methods, list) else set()
        reached = claims.get("acr")
        return bool(self.amr & used) or (isinstance(reached, str) and reached in self.acr)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRules:
    """One provider as one trust domain uses it."""

    issuer: str
    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...] = ("openid",)
    facts: Preset = PLAIN
    """What is particular about it."""
    identity: IdentityService | None = None
    second_factor: SecondFactor | None = None
    """Without its proof nobody is signed in; None where none is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A sign-in under way: what its answer must fit. To be kept where only we can read it."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    prove: bool
    """Whether the person's identity is to be proven (P2)."""

    def kept(self) -> dict[str, Any]:
        return {"nonce": self.nonce, "verifier": self.verifier, "prove": self.prove}

    @classmethod
    def read(cls, state: str, kept: Mapping[str, Any]) -> "Begun":
        return cls(state=state, nonce=kept["nonce"], verifier=kept["verifier"], prove=kept["prove"])


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """Somebody who is signed in, and what the provider says of them. Personal."""

    issuer: str
    subject: str = field(repr=False)
    level: IdentityLevel
    person: VerifiedPerson | None = field(repr=False)
    """There from P2 on."""
    homes: tuple[Address, ...] = field(repr=False)
    """Where the provider believes they lived, latest first: evidence, never the new address."""
    nhs_number: str | None = field(repr=False)
    """As NHS login says it (`nhs_number`, of the scope `profile`); None from a provider that does not."""
    email: str | None = field(repr=False)
    display_name: str | None = field(repr=False)
    """Of staff."""
    groups: tuple[str, ...]
    """Of staff: what their provider says they belong to."""
    id_token: str = field(repr=False)
    """To be sent back at sign-out, as a hint."""
    provider_session: str | None = field(repr=False)


class Provider:
    """One provider, for one trust domain. Holds no state of any sign-in."""

    def __init__(
        self,
        rules: ProviderRules,
        client_key: ECKey | RSAKey,
        discovery: Discovery,
        keys: IssuerKeys,
        identity_keys: IssuerKeys | None,
        http: GuardedClient,
        clock: Callable[[], datetime],
    ) -> None:
        """`keys` are the issuer's, `identity_keys` those of its identity service."""
        self.rules = rules
        self._client_key = client_key
        self._discovery = discovery
        self._keys = keys
        self._identity_keys = identity_keys
        self._http = http
        self._clock = clock

    async def begin(self, *, prove: bool, language: str) -> tuple[str, Begun]:
        """Return where to send the browser, and what to keep until it is back. Raises KeysUnavailable."""
        endpoints = await self._discovery.endpoints()
        begun = Begun(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            prove=prove,
        )
        challenge = base64url(hashlib.sha256(begun.verifier.encode()).digest())
        asked = {
            "response_type": "code",
            "client_id": self.rules.client_id,
            "redirect_uri": self.rules.redirect_uri,
            "scope": " ".join(self.rules.scopes),
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "ui_locales": language,
        }
        if self.rules.second_factor is not None and self.rules.second_factor.acr:
            asked["acr_values"] = " ".join(sorted(self.rules.second_factor.acr))
        if vectors := self.rules.facts.vectors:
            asked["vtr"] = json.dumps(vectors.prove if prove else vectors.sign_in)
        if prove and self.rules.identity is not None:
            claims = dict.fromkeys((CORE_IDENTITY, ADDRESSES, RETURN_CODE))
            asked["claims"] = json.dumps({"userinfo": claims})
        joined = "&" if "?" in endpoints.authorization else "?"
        return f"{endpoints.authorization}{joined}{urlencode(asked)}", begun

    async def finish(self, begun: Begun, answer: Mapping[str, str]) -> SignedIn:
        """Return who signed in. Raises SignInRefused, ProviderAway and KeysUnavailable.

        `answer` is the query the browser came back with; that its `state` is `begun`'s, and that this browser began
        it, is the caller's to know, as it found `begun` by them.
        """
        endpoints = await self._discovery.endpoints()
        if answer.get("iss", None if endpoints.names_itself else self.rules.issuer) != self.rules.issuer:
            raise SignInRefused(SignInFault.ISSUER)  # RFC 9207, section 2.4
        if "error" in answer:
            unproven = begun.prove and answer["error"] == "access_denied"
            raise SignInRefused(SignInFault.NOT_PROVEN if unproven else SignInFault.DENIED)
        if not answer.get("code"):
            raise SignInRefused(SignInFault.CODE)
        id_token, access_token = await self._exchange(endpoints.token, answer["code"], begun.verifier)
        claims = await self._verified(id_token, access_token, begun.nonce)
        said = await self._userinfo(endpoints.userinfo, access_token)
        if said.get("sub") != claims["sub"]:  # OpenID Connect Core 1.0, section 5.3.2
            raise SignInRefused(SignInFault.SUBJECT)
        person, level = await self._proven(claims, said) if begun.prove else (None, self._said_level(claims))
        sid = claims.get("sid")
        return SignedIn(
            issuer=self.rules.issuer,
            subject=str(claims["sub"]),
            level=level,
            person=person,
            homes=_homes(said.get(ADDRESSES)) if person else (),
            nhs_number=_nhs_number(said.get("nhs_number")) if person else None,
            email=_email(said),
            display_name=_short(said.get("name")),
            groups=_groups(claims.get("groups", said.get("groups"))),
            id_token=id_token,
            provider_session=sid if isinstance(sid, str) and len(sid) <= 255 else None,  # noqa: PLR2004  as `sub`
        )

    async def sign_out_url(self, id_token: str, return_to: str) -> str | None:
        """Return where the browser signs out at the provider (RP-Initiated Logout 1.0), None if it has no such place."""
        endpoint = (await self._discovery.endpoints()).end_session
        if endpoint is None:
            return None
        asked = {"id_token_hint": id_token, "post_logout_redirect_uri": return_to}
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"

    async def logged_out(self, logout_token: str) -> LoggedOut:
        """Return who signed out there, as the provider says unasked. Raises InvalidToken and KeysUnavailable.

        Whether the token was used before is for whoever remembers them to say.
        """
        signed = unpack(logout_token, types=LOGOUT_TYPES, algorithms=self.rules.facts.algorithms)
        if signed.key_id is None:
            raise InvalidToken(TokenFault.KEY_ID)
        claims = signed.proven_by(await self._keys.find(signed.key_id, signed.algorithm))
        return read_logout(claims, issuer=self.rules.issuer, client_id=self.rules.client_id, now=self._clock())

    async def _exchange(self, url: str, code: str, verifier: str) -> tuple[str, str]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.rules.redirect_uri,
            "code_verifier": verifier,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self._assertion(url),
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            answer = await self._http.post(url, headers=headers, content=urlencode(form).encode())
        except Failure:
            raise ProviderAway from None
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ProviderAway
        if answer.status != HTTPStatus.OK:
            raise SignInRefused(SignInFault.EXCHANGE)
        read = _document(answer.body)
        id_token, access_token = read.get("id_token"), read.get("access_token")
        bearer = str(read.get("token_type")).lower() == "bearer"
        if not bearer or not isinstance(id_token, str) or not isinstance(access_token, str):
            raise SignInRefused(SignInFault.ANSWER)
        if not access_token.isascii() or not access_token.isprintable() or " " in access_token:
            raise SignInRefused(SignInFault.ANSWER)  # it goes into a header
        return id_token, access_token

    def _assertion(self, audience: str) -> str:
        """Return a client assertion (RFC 7523), good once."""
        now = self._clock()
        claims = {
            "iss": self.rules.client_id,
            "sub": self.rules.client_id,
            "aud": audience,
            "iat": int(now.timestamp()),
            "exp": int((now + ASSERTION_LIFE).timestamp()),
            "jti": secrets.token_urlsafe(24),
        }
        algorithm = self.rules.facts.assertion_algorithm if isinstance(self._client_key, RSAKey) else "ES256"
        header = {"alg": algorithm, "typ": "JWT"}
        if self._client_key.kid is not None:  # a key from a PEM file has none
            header["kid"] = self._client_key.kid
        return jwt.encode(header, claims, self._client_key, algorithms=[algorithm])

    async def _verified(self, id_token: str, access_token: str, nonce: str) -> Claims:
        """Return an ID token's claims (OpenID Connect Core 1.0, section 3.1.3.7, and stricter). Raises SignInRefused."""
        try:
            signed = unpack(id_token, types=ID_TOKEN_TYPES, algorithms=self.rules.facts.algorithms)
            if signed.key_id is None:
                raise SignInRefused(SignInFault.TOKEN, "kid")
            claims = signed.proven_by(await self._keys.find(signed.key_id, signed.algorithm))
            check_issuer(claims, self.rules.issuer)
            needed_moment(claims, "iat")
            check_times(claims, self._clock())
            text(claims, "sub")
        except InvalidToken as wrong:
            raise SignInRefused(SignInFault.TOKEN, wrong.fault.name) from None
        if claims.get("aud") not in (self.rules.client_id, [self.rules.client_id]):  # ours, and nobody's beside
            raise SignInRefused(SignInFault.TOKEN, "aud")
        if claims.get("azp", self.rules.client_id) != self.rules.client_id:
            raise SignInRefused(SignInFault.TOKEN, "azp")
        said = claims.get("nonce")
        if not isinstance(said, str) or not sealing.same(said.encode("utf-8", "replace"), nonce.encode()):
            raise SignInRefused(SignInFault.TOKEN, "nonce")
        whole = (hashlib.sha512 if signed.algorithm.endswith("512") else hashlib.sha256)(access_token.encode()).digest()
        half = base64url(whole[: len(whole) // 2])  # section 3.1.3.6: by the hash of the token's own algorithm
        if claims.get("at_hash", half) != half:
            raise SignInRefused(SignInFault.TOKEN, "at_hash")
        if self.rules.facts.vectors and not self.rules.facts.vectors.met(claims.get("vot")):
            raise SignInRefused(SignInFault.TOKEN, "vot")
        if self.rules.second_factor is not None and not self.rules.second_factor.proven_by(claims):
            raise SignInRefused(SignInFault.SECOND_FACTOR)
        return claims

    async def _userinfo(self, url: str, access_token: str) -> Mapping[str, Any]:
        try:
            answer = await self._http.get(
                url, cap=ANSWER_CAP, deadline=DEADLINE, headers={"Authorization": f"Bearer {access_token}"}
            )
        except Failure:
            raise ProviderAway from None
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ProviderAway
        if answer.status != HTTPStatus.OK:
            raise SignInRefused(SignInFault.ANSWER)
        return _document(answer.body)

    def _said_level(self, claims: Claims) -> IdentityLevel:
        """Return what the ID token says was proven, P1 at most: no name comes with it here."""
        return min(_proofing(claims, self.rules.facts), IdentityLevel.P1)

    async def _proven(self, claims: Claims, said: Mapping[str, Any]) -> tuple[VerifiedPerson, IdentityLevel]:
        """Return who the person is, as well as P2 or better. Raises SignInRefused."""
        if self.rules.facts.levels is None:
            return await self._identity(said, str(claims["sub"])), IdentityLevel.P2
        level = _proofing(claims, self.rules.facts)
        if not level.meets(IdentityLevel.P2):
            raise SignInRefused(SignInFault.NOT_PROVEN)
        try:
            parts = [{"type": kind, "value": said[name]} for kind, name in _NHS_NAMES]
            return VerifiedPerson(
                current_name([{"nameParts": parts}]), birth_date(said["birthdate"], self._clock())
            ), level
        except (KeyError, TypeError, ValueError):
            raise SignInRefused(SignInFault.IDENTITY, "person") from None

    async def _identity(self, said: Mapping[str, Any], subject: str) -> VerifiedPerson:
        """Return the person the identity service states. Raises SignInRefused, also if it states nobody."""
        statement, service = said.get(CORE_IDENTITY), self.rules.identity
        if service is None or self._identity_keys is None:
            raise SignInRefused(SignInFault.IDENTITY, "none is configured")
        if not isinstance(statement, str):
            raise SignInRefused(SignInFault.NOT_PROVEN)
        now = self._clock()
        try:
            signed = unpack(statement, types=ID_TOKEN_TYPES, algorithms=IDENTITY_ALGORITHMS)
            if signed.key_id is None or not signed.key_id.startswith(f"{service.did}#"):
                raise SignInRefused(SignInFault.IDENTITY, "kid")
            claims = signed.proven_by(await self._identity_keys.find(signed.key_id, signed.algorithm))
            check_issuer(claims, service.issuer)
            check_times(claims, now)
        except InvalidToken as wrong:
            raise SignInRefused(SignInFault.IDENTITY, wrong.fault.name) from None
        if claims.get("aud") not in (self.rules.client_id, [self.rules.client_id]):
            raise SignInRefused(SignInFault.IDENTITY, "aud")
        if claims.get("sub") != subject:
            raise SignInRefused(SignInFault.IDENTITY, "sub")
        if claims.get("vot") not in {"P2", "P3"}:
            raise SignInRefused(SignInFault.IDENTITY, "vot")
        try:
            stated = claims["vc"]["credentialSubject"]
            [born] = [one["value"] for one in stated["birthDate"] if one.get("validUntil") is None]
            return VerifiedPerson(current_name(stated["name"]), birth_date(born, now))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise SignInRefused(SignInFault.IDENTITY, "person") from None


def _proofing(claims: Claims, facts: Preset) -> IdentityLevel:
    """Return what the one identity component of `vot` proves at this provider (RFC 8485, section 3.1)."""
    shown = [part for part in str(claims.get("vot", "")).split(".") if part.startswith("P")]
    return (facts.levels or {}).get(shown[0], IdentityLevel.P0) if len(shown) == 1 else IdentityLevel.P0


def _document(body: bytes) -> dict[str, Any]:
    if len(body) >= ANSWER_CAP:
        raise SignInRefused(SignInFault.ANSWER)
    try:
        return json_object(body)
    except ValueError:
        raise SignInRefused(SignInFault.ANSWER) from None


def _homes(claim: object) -> tuple[Address, ...]:
    """Return the addresses that can be read, latest first; their dates are years at best, and are left out."""
    found = []
    for item in claim if isinstance(claim, list) else []:
        if isinstance(item, dict):
            plain = {name: value for name, value in item.items() if name not in {"validFrom", "validUntil"}}
            uprn = plain.get("uprn")
            if isinstance(uprn, str) and _UPRN.fullmatch(uprn):  # One Login's examples write it so
                plain["uprn"] = int(uprn)
            try:
                found.append((str(item.get("validFrom", "")), Address.model_validate_json(json.dumps(plain))))
            except (ValidationError, ValueError):
                continue  # evidence we cannot read is none; the person is asked
    return tuple(address for _, address in sorted(found, key=lambda one: one[0], reverse=True))


def _nhs_number(value: object) -> str | None:
    """Return ten digits, None for anything else; whoever uses them looks at the check digit."""
    return value if isinstance(value, str) and _NHS_NUMBER.fullmatch(value) else None


def _email(said: Mapping[str, Any]) -> str | None:
    return _short(said.get("email")) if said.get("email_verified") is True else None


def _short(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 320 and value.isprintable() else None  # noqa: PLR2004


def _groups(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else []
    return tuple(item for item in listed if isinstance(item, str) and len(item) <= 100)[:100]  # noqa: PLR2004
