"""Authorization requests: what is asked, checked before anybody is shown a page."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from broker.sandbox.clients import Client
from broker.sandbox.wording import Language

IDENTITY_CLAIM: Final = "https://vocab.account.gov.uk/v1/coreIdentityJWT"
ADDRESS_CLAIM: Final = "https://vocab.account.gov.uk/v1/address"
RETURN_CODE_CLAIM: Final = "https://vocab.account.gov.uk/v1/returnCode"
CLAIMS: Final = frozenset({IDENTITY_CLAIM, ADDRESS_CLAIM, RETURN_CODE_CLAIM})
API_SCOPES: Final = ("changes:read", "changes:write")
SCOPES: Final = ("openid", "email", "profile", *API_SCOPES)
"""`profile` as NHS login has it: with it comes the NHS number of whoever proved their identity."""
LEVELS: Final = {frozenset({"Cl"}): "Cl", frozenset({"Cl", "Cm"}): "Cl.Cm"}
"""Levels of authentication by their components, with the `vot` each leads to."""
LONGEST_VALUE: Final = 512
"""Of `state` and `nonce`, in characters."""

_VISIBLE: Final = re.compile(r"[\x20-\x7e]+")
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")  # base64url of a SHA-256


class Unsafe(Exception):  # noqa: N818  shown on a page of ours
    """The request may not be answered by redirect: client or redirect_uri is not known."""


class Refused(Exception):  # noqa: N818  sent back as an OAuth error
    """The request is refused; the client is told at its redirect_uri (RFC 6749, section 4.1.2.1)."""

    def __init__(self, redirect_uri: str, state: str | None, error: str, description: str) -> None:
        super().__init__(description)
        self.redirect_uri = redirect_uri
        self.state = state
        self.error = error
        self.description = description


class _Wrong(Exception):  # noqa: N818  becomes Refused
    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request that may be shown to the person."""

    client: Client
    redirect_uri: str
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    challenge: str = field(repr=False)
    """PKCE, S256."""
    scopes: tuple[str, ...]
    vot: str
    """`Cl.Cm` or `Cl`: all the ID token will say."""
    identity: bool
    """Whether P2 was asked for."""
    claims: frozenset[str]
    language: Language
    resource: str | None
    """The audience a JWT access token is asked for; None for an opaque one."""


def read_request(
    parameters: Sequence[tuple[str, str]], *, clients: Mapping[str, Client], api_audience: str
) -> AuthorizationRequest:
    """Check an authorization request whole. Raises Unsafe or Refused."""
    given = dict(parameters)
    client = clients.get(given.get("client_id", ""))
    if client is None:
        raise Unsafe("client_id is not registered")
    redirect_uri = given.get("redirect_uri", "")
    if [name for name, _ in parameters].count("redirect_uri") != 1 or not client.may_return_to(redirect_uri):
        raise Unsafe("redirect_uri is not registered for this client")
    try:
        _check_form(parameters)
        _check_secrets(given)
        scopes = _scopes(given.get("scope", ""))
        vot, identity = _levels(given.get("vtr"))
        return AuthorizationRequest(
            client=client,
            redirect_uri=redirect_uri,
            state=given["state"],
            nonce=given["nonce"],
            challenge=given["code_challenge"],
            scopes=scopes,
            vot=vot,
            identity=identity,
            claims=_claims(given.get("claims")),
            language=_language(given.get("ui_locales", "")),
            resource=_resource(parameters, scopes, api_audience),
        )
    except _Wrong as wrong:
        raise Refused(redirect_uri, given.get("state"), wrong.error, str(wrong)) from None


def _check_form(parameters: Sequence[tuple[str, str]]) -> None:
    # RFC 8707 lets `resource` repeat; nothing else may (RFC 6749, section 3.1)
    names = [name for name, _ in parameters if name != "resource"]
    given = dict(parameters)
    if len(names) != len(set(names)):
        raise _Wrong("invalid_request", "a parameter is given twice")
    for name in ("request", "request_uri"):
        if name in given:
            raise _Wrong(f"{name}_not_supported", "send plain parameters")
    if given.get("response_type") != "code":
        raise _Wrong("unsupported_response_type", "response_type must be code")
    if given.get("response_mode", "query") != "query":
        raise _Wrong("invalid_request", "response_mode must be query")
    if given.get("prompt") == "none":
        raise _Wrong("login_required", "the person must choose")


def _check_secrets(given: Mapping[str, str]) -> None:
    for name in ("state", "nonce"):
        value = given.get(name, "")
        if len(value) > LONGEST_VALUE or not _VISIBLE.fullmatch(value):
            raise _Wrong("invalid_request", f"{name} is required, printable ASCII, at most {LONGEST_VALUE} characters")
    if given.get("code_challenge_method") != "S256":
        raise _Wrong("invalid_request", "PKCE is required: code_challenge_method must be S256")
    if not _CHALLENGE.fullmatch(given.get("code_challenge", "")):
        raise _Wrong("invalid_request", "PKCE is required: code_challenge must be a base64url SHA-256")


def _scopes(scope: str) -> tuple[str, ...]:
    scopes = tuple(dict.fromkeys(scope.split()))
    if "openid" not in scopes or not set(scopes) <= set(SCOPES):
        raise _Wrong("invalid_scope", f"scope must hold openid, and only {' '.join(SCOPES)}")
    return scopes


def _resource(parameters: Sequence[tuple[str, str]], scopes: Sequence[str], api_audience: str) -> str | None:
    resources = [value for name, value in parameters if name == "resource"]
    if any(value != api_audience for value in resources):
        raise _Wrong("invalid_target", "resource is not an audience of this server")
    return api_audience if resources or not set(scopes).isdisjoint(API_SCOPES) else None


def _levels(vtr: str | None) -> tuple[str, bool]:
    """Return the `vot` and whether P2 is asked for. Of several vectors the first counts, as the preferred one."""
    if vtr is None:
        return "Cl.Cm", False
    try:
        vectors = json.loads(vtr)
    except ValueError:
        vectors = None
    if not isinstance(vectors, list) or not vectors or not all(isinstance(vector, str) for vector in vectors):
        raise _Wrong("invalid_request", 'vtr must be a JSON array of vectors, ["Cl.Cm.P2"]')
    read = [_vector(vector) for vector in vectors]
    return read[0]


def _vector(vector: str) -> tuple[str, bool]:
    components = vector.split(".")
    identity = "P2" in components
    vot = LEVELS.get(frozenset(components) - {"P0", "P2"})
    contradicts = len(components) != len(set(components)) or {"P0", "P2"} <= set(components)
    if vot is None or contradicts or (identity and vot != "Cl.Cm"):
        raise _Wrong("invalid_request", "vtr not valid: use Cl, Cl.Cm or Cl.Cm.P2; identity needs two factors")
    return vot, identity


def _claims(claims: str | None) -> frozenset[str]:
    if claims is None:
        return frozenset()
    try:
        asked = json.loads(claims)
    except ValueError:
        asked = None
    userinfo = asked.get("userinfo", {}) if isinstance(asked, dict) else None
    if not isinstance(userinfo, dict):
        raise _Wrong("invalid_request", "claims must be a JSON object with a userinfo object")
    if not set(userinfo) <= CLAIMS:
        raise _Wrong("invalid_request", "claims asks for one that is not offered")
    return frozenset(userinfo)


def _language(ui_locales: str) -> Language:
    for tag in ui_locales.split():
        match tag.lower().partition("-")[0]:
            case "cy":
                return "cy"
            case "en":
                return "en"
    return "en"
