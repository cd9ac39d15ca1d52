"""How we prove ourselves to an organisation: a certificate, a token of its authorization server, our signature."""

import base64
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote_plus

from broker.outbound.authorized import AuthorizedClient
from broker.outbound.certificates import ClientCertificate
from broker.outbound.client import GuardedClient
from broker.outbound.oauth import Proof, Prove, Tokens
from broker.store import StoreUnavailable
from broker.vault import SigningKeys
from contracts.adapters import HttpClient
from contracts.credentials import CLIENT_CERTIFICATE, CLIENT_SECRET, ClientCredentials
from contracts.delivery import Unavailable
from contracts.statuses import Reason

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME: Final = timedelta(seconds=120)


def certificate_of(secrets: Mapping[str, bytes], clock: Callable[[], datetime]) -> ClientCertificate | None:
    """Return the certificate we show an organisation, if it is to be shown one. Raises ValueError naming the secret."""
    pem = secrets.get(CLIENT_CERTIFICATE)
    if pem is None:
        return None
    try:
        return ClientCertificate.read(pem, clock)
    except ValueError as wrong:
        raise ValueError(f"secret {CLIENT_CERTIFICATE}: {wrong}") from None


def authorizing(
    client: GuardedClient,
    secret: Callable[[str], bytes],
    keys: SigningKeys,
    deadline: timedelta,
    clock: Callable[[], datetime],
) -> Callable[[ClientCredentials], HttpClient]:
    """Return what puts a token of ours on all that `client` sends: `AdapterContext.authorized`."""

    def authorized(credentials: ClientCredentials) -> HttpClient:
        prove = (
            _by_assertion(credentials, keys, clock)
            if credentials.method == "private_key_jwt"
            else by_secret(credentials, secret)
        )
        return AuthorizedClient(client, Tokens(client.post, credentials, prove, clock), deadline)

    return authorized


def signing(organisation: str, keys: SigningKeys, clock: Callable[[], datetime]) -> Callable[[bytes], Awaitable[str]]:
    """Return what signs for one organisation: `AdapterContext.signed`."""

    async def signed(content: bytes) -> str:
        header = {"iat": int(clock().timestamp()), "aud": organisation}
        try:
            return await keys.sign_detached(content, header)
        except StoreUnavailable:
            raise Unavailable(Reason.ADAPTER_FAULT) from None  # nothing was sent

    return signed


def _by_assertion(credentials: ClientCredentials, keys: SigningKeys, clock: Callable[[], datetime]) -> Prove:
    """RFC 7523, sections 2.2 and 3. Signed anew for each request, with an id of its own: a server takes each but once."""

    async def prove() -> Proof:
        now = int(clock().timestamp())
        claims = {
            "iss": credentials.client_id,
            "sub": credentials.client_id,
            "aud": credentials.audience or credentials.token_endpoint,
            "iat": now,
            "exp": now + int(ASSERTION_LIFETIME.total_seconds()),
            "jti": secrets.token_urlsafe(16),
        }
        try:
            assertion = await keys.sign_jwt(claims, credentials.algorithm)
        except StoreUnavailable:
            raise Unavailable(Reason.ADAPTER_FAULT) from None
        return Proof(
            form={
                "client_id": credentials.client_id,
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": assertion,
            }
        )

    return prove


def by_secret(credentials: ClientCredentials, secret: Callable[[str], bytes]) -> Prove:
    """RFC 6749, section 2.3.1: both parts form-encoded, then together in base64."""
    try:
        password = secret(CLIENT_SECRET).decode()
    except (KeyError, UnicodeDecodeError):
        raise ValueError(f"secret {CLIENT_SECRET}: is missing or not UTF-8") from None
    pair = f"{quote_plus(credentials.client_id)}:{quote_plus(password)}".encode("ascii")
    proof = Proof(headers={"authorization": "Basic " + base64.b64encode(pair).decode("ascii")})

    async def prove() -> Proof:
        return proof

    return prove
