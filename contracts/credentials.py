"""How we prove ourselves to an organisation, as its adapter's settings say it. Never a secret."""

from typing import Annotated, Final, Literal

from pydantic import StringConstraints

from contracts.text import Strict

CLIENT_SECRET: Final = "client-secret"  # noqa: S105  its name
CLIENT_CERTIFICATE: Final = "client-certificate"
"""Names of secrets. An adapter that uses `AdapterContext.authorized` has the first among its `secrets`. One that has the
second shows that certificate (PEM: it, those above it but the last, its private key) wherever TLS asks for one."""

Url = Annotated[str, StringConstraints(max_length=2000, pattern=r"^https?://[A-Za-z0-9._:\[\]-]+(/[!$-?A-~]*)?$")]
"""No user name, no fragment, and ASCII alone (RFC 3986; of a host its A-label): whoever approves it by eye must not take
one letter for another. Plain HTTP reaches only hosts an operator has allowed."""


class ClientCredentials(Strict):
    """An OAuth 2.0 access token by client credentials (RFC 6749, section 4.4)."""

    token_endpoint: Url
    client_id: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
    """What their authorization server knows us as."""
    method: Literal["private_key_jwt", "client_secret_basic"] = "private_key_jwt"
    """By an assertion we sign (RFC 7523, section 2.2), verified with our `/.well-known/jwks/client-assertions.json`; or by
    the secret `client-secret` (RFC 6749, section 2.3.1)."""
    scope: Annotated[str, StringConstraints(max_length=1000, pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$")] | None = None  # fmt: skip
    audience: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = None
    """`aud` of the assertion, where it is not the token endpoint."""
    algorithm: Literal["ES256", "PS256", "RS512"] = "ES256"
    """Of the assertion's signature."""
