"""Why a caller is turned away. Reasons are closed; no text ever holds part of a token, a key or a claim.

Refusal
├── InvalidToken      the token proves nothing: 401, `invalid_token`
├── Forbidden         the caller is known and may not: 403
├── Absent            it is another caller's, or nobody's: 404, the same for both
└── KeysUnavailable   the issuer's keys cannot be had, so nothing can be said of the token: 503
"""

from enum import StrEnum


class TokenFault(StrEnum):
    """What is wrong with a token, precisely enough to put it right and no more."""

    MISSING = "no bearer token was sent"
    OVERSIZED = "the token is too large"
    MALFORMED = "the token is not a compact JWS of JSON objects"
    HEADER = "the token's header names a parameter that is not taken"
    ALGORITHM = "the token's algorithm is not taken"
    TYPE = "the token's typ is not the one asked for"
    KEY_ID = "the token's kid is missing or misshapen"
    UNKNOWN_KEY = "the token's key is not among its issuer's keys"
    SIGNATURE = "the token's signature does not verify"
    CLAIMS = "a required claim is missing or has the wrong type"
    ISSUER = "the token has another issuer"
    AUDIENCE = "the token is for another audience"
    EXPIRED = "the token has expired"
    NOT_YET = "the token is not valid yet"
    LIFETIME = "the token lives longer than allowed"
    PERSON = "the token's verified claims cannot be read"


class Denial(StrEnum):
    """Why a known caller may not."""

    CALLER = "this is not for callers of this kind"
    SCOPE = "the token lacks the scope"
    LEVEL = "a higher level of identity is needed"


class Refusal(Exception):  # noqa: N818  it tells the caller what holds, not what broke in the program
    """The root of this tree."""


class InvalidToken(Refusal):
    """The token proves nothing. Nothing was learnt about who is calling."""

    def __init__(self, fault: TokenFault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class Forbidden(Refusal):
    """The caller is who they say, and may not do this. `scope` names what would have been needed."""

    def __init__(self, denial: Denial, *, scope: str | None = None) -> None:
        super().__init__(denial.value)
        self.denial = denial
        self.scope = scope


class Absent(Refusal):
    """Not the caller's to see. Answered exactly as something that does not exist, so that nothing can be probed."""

    def __init__(self) -> None:
        super().__init__("there is no such thing, or it is not yours")


class KeysUnavailable(Refusal):
    """The issuer's keys cannot be had now. Asking again later may help; the token may be good."""

    def __init__(self) -> None:
        super().__init__("the issuer's keys cannot be had; try again later")


def challenge(refusal: InvalidToken | Forbidden) -> str:
    """Return the `WWW-Authenticate` value for a refusal (RFC 6750, section 3).

    A request without a token gets no error code, as section 3.1 asks. All text is ours, so it needs no escaping.
    """
    if isinstance(refusal, InvalidToken):
        if refusal.fault is TokenFault.MISSING:
            return "Bearer"
        return f'Bearer error="invalid_token", error_description="{refusal.fault.value}"'
    scope = f', scope="{refusal.scope}"' if refusal.scope else ""
    return f'Bearer error="insufficient_scope", error_description="{refusal.denial.value}"{scope}'
