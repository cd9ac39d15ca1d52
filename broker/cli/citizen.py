"""A sample citizen's software: signs in as a browser would, and talks to the API as anybody's would.

The authorization-code flow is real: PKCE, `private_key_jwt`, state, nonce, and the provider's own sign-in page.
"""

import html
import re
import secrets
from datetime import date, timedelta
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2 as httpx
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT, private_key_jwt_sign
from joserfc import jwt
from joserfc.jwk import Key, KeySet

from contracts.holds import HoldReason
from contracts.requests import ChangeView, Preview

NHS_NUMBER: Final = "https://fhir.nhs.uk/Id/nhs-number"
INVENTED_NUMBER: Final = "9990010102"
"""Of the range of NHS numbers that is never given out."""
SCOPE: Final = "openid changes:read changes:write"
ASSERTION_SECONDS: Final = 240
"""One Login takes at most five minutes."""


class DidNotHappen(Exception):  # noqa: N818  says what holds
    """Something on the way was refused or absent; the message says what, for whoever watches."""


class _ShortLived(PrivateKeyJWT):  # type: ignore[misc]  # Authlib has no types
    """Authlib's own assertion lives an hour and repeats its `jti` when it is given claims."""

    def __init__(self, token_endpoint: str, key: Key) -> None:
        super().__init__(token_endpoint)
        self._key = key

    def sign(self, auth: Any, token_endpoint: str) -> Any:
        return private_key_jwt_sign(
            self._key,
            client_id=auth.client_id,
            token_endpoint=token_endpoint,
            alg="ES256",
            header={"kid": self._key.kid},
            expires_in=ASSERTION_SECONDS,
        )


class Citizen:
    """One person at their software. Use as an async context."""

    def __init__(self, *, issuer: str, api: str, audience: str, client_id: str, key: Key, redirect_uri: str) -> None:
        self._issuer = issuer
        self._api = api
        self._audience = audience
        self._client_id = client_id
        self._key = key
        self._redirect_uri = redirect_uri
        self._browser = httpx.AsyncClient(trust_env=False, timeout=10.0)
        self._token = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._browser.aclose()

    async def sign_in(self, person: str) -> None:
        """Go through the whole flow as `person` chooses themselves on the provider's page. Raises DidNotHappen."""
        discovery = await self._found(urljoin(self._issuer, ".well-known/openid-configuration"))
        if discovery["issuer"] != self._issuer:
            raise DidNotHappen("the provider's discovery names another issuer")
        verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
        async with AsyncOAuth2Client(
            client_id=self._client_id,
            client_secret=self._key,
            token_endpoint_auth_method="private_key_jwt",  # noqa: S106  a method, no password
            redirect_uri=self._redirect_uri,
            scope=SCOPE,
            code_challenge_method="S256",
            trust_env=False,
        ) as client:
            client.register_client_auth_method(_ShortLived(discovery["token_endpoint"], self._key))
            url, state = client.create_authorization_url(
                discovery["authorization_endpoint"],
                code_verifier=verifier,
                nonce=nonce,
                vtr='["Cl.Cm.P2"]',
                resource=self._audience,
            )
            back = await self._choose(url, person)
            answer = parse_qs(urlsplit(back).query)
            if answer.get("state") != [state] or answer.get("iss") != [self._issuer]:
                raise DidNotHappen("the provider's answer is not for this sign-in")
            if "code" not in answer:
                raise DidNotHappen(f"the provider refused the sign-in: {answer.get('error', ['?'])[0]}")
            tokens = await client.fetch_token(
                discovery["token_endpoint"], authorization_response=back, code_verifier=verifier
            )
        await self._check_id_token(tokens["id_token"], discovery["jwks_uri"], nonce)
        self._token = tokens["access_token"]

    async def _choose(self, url: str, person: str) -> str:
        """Do what a person does in their browser, and return where the provider sends them back to."""
        page = await self._browser.get(url)
        ticket = re.search(r'name="ticket" value="([^"]+)"', page.text)
        if page.status_code != httpx.codes.OK or ticket is None:
            raise DidNotHappen(f"the provider showed no sign-in page (HTTP {page.status_code})")
        chosen = {"ticket": html.unescape(ticket[1]), "person": person, "answer": "sign-in"}
        answer = await self._browser.post(urljoin(url, "/choose"), data=chosen)
        if not answer.is_redirect:
            raise DidNotHappen(f"the provider did not sign {person} in (HTTP {answer.status_code})")
        return str(answer.headers["location"])

    async def _check_id_token(self, token: str, keys_url: str, nonce: str) -> None:
        keys = KeySet.import_key_set(await self._found(keys_url))
        claims = jwt.decode(token, keys, algorithms=["ES256"]).claims
        if claims["iss"] != self._issuer or claims["aud"] != self._client_id or claims["nonce"] != nonce:
            raise DidNotHappen("the ID token is not for this sign-in")

    async def home_and_new_home(self, old_postcode: str, new_postcode: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the first address at each postcode, as the address search finds them."""
        found = []
        for postcode in (old_postcode, new_postcode):
            body = {"postalCode": postcode, "language": "cy"}
            answer = (await self._call("POST", "/v1/addresses/search", json=body)).json()
            if not answer["addresses"]:
                raise DidNotHappen(f"no address was found at {postcode}")
            found.append(answer["addresses"][0]["address"])
        return found[0], found[1]

    async def preview(self, move: dict[str, Any]) -> Preview:
        """Return who would be told what, and why."""
        answer = await self._call("POST", "/v1/changes/preview", json=move)
        return Preview.model_validate_json(answer.content)

    async def tell(self, move: dict[str, Any], preview: Preview) -> ChangeView:
        """Tell the move that was previewed, under a fresh key."""
        body = {**move, "preview": preview.digest}
        answer = await self._call(
            "POST", "/v1/changes", json=body, headers={"Idempotency-Key": secrets.token_urlsafe(16)}
        )
        return ChangeView.model_validate_json(answer.content)

    async def follow(self, reference: str) -> ChangeView:
        """Return how far it has come."""
        return ChangeView.model_validate_json((await self._call("GET", f"/v1/changes/{reference}")).content)

    async def _call(self, method: str, path: str, *, headers: dict[str, str] | None = None, **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {self._token}", **(headers or {})}
        answer = await self._browser.request(method, self._api + path, headers=headers, **body)
        if answer.is_error:
            problem = answer.json().get("type", "?") if "json" in answer.headers.get("content-type", "") else "?"
            raise DidNotHappen(f"{method} {path.rsplit('/', 1)[0]} was answered {answer.status_code} ({problem})")
        return answer

    async def _found(self, url: str) -> Any:
        answer = await self._browser.get(url)
        answer.raise_for_status()
        return answer.json()


def a_move(previous: dict[str, Any], new: dict[str, Any], on: date, *, nhs_number: str | None) -> dict[str, Any]:
    """Return a move as `POST /v1/changes/preview` takes it, with the NHS number if the person knows it."""
    change = {"previousAddress": previous, "newAddress": new, "effectiveDate": on.isoformat(), "tenure": "owner"}
    return {"type": "address", "change": change, "preferredLanguage": "cy", "identifiers": _numbers(nhs_number)}


def after_a_move(home: dict[str, Any], on: date, *, nhs_number: str | None) -> list[tuple[str, dict[str, Any]]]:
    """Return what somebody tells who has just moved: what to call it, and it as `POST /v1/changes/preview` takes it.

    The telephone numbers are of the range Ofcom keeps for drama.
    """
    day = {"effectiveDate": on.isoformat(), "homeAddress": home}
    contact = {
        "previousContact": {"system": "phone", "use": "mobile", "value": "+447700900123"},
        "newContact": {"system": "phone", "use": "mobile", "value": "+447700900456"},
    }
    language = {"previousLanguage": "en", "newLanguage": "cy", "newFormats": ["large-print"]}
    return [
        ("A new mobile number", {"type": "contact", "change": contact | day, "identifiers": _numbers(nhs_number)}),
        (
            "Letters in Welsh, in large print",
            {"type": "language", "change": language | day, "identifiers": _numbers(nhs_number)},
        ),
    ]


def to_be_confirmed(
    name: list[tuple[str, str]],
    home: dict[str, Any],
    their_home: dict[str, Any],
    on: date,
    *,
    nhs_number: str | None,
) -> list[tuple[str, HoldReason, dict[str, Any]]]:
    """Return what is held until somebody confirms it: what to call it, why, and it as it is previewed.

    `name` are the parts of the name somebody had before they married, `their_home` is where lived who has died.
    """
    before = [{"type": kind, "value": value} for kind, value in name]
    after = [*before[:-1], {"type": "FamilyName", "value": "Ddychmygol-Ŵylan"}]
    married = {
        "previousName": {"nameParts": before},
        "newName": {"nameParts": after},
        "reason": "marriage",
        "evidenceReference": "HYS 2026/00412",
        "effectiveDate": on.isoformat(),
        "homeAddress": home,
    }
    died = {
        "deceased": {
            "name": {
                "nameParts": [{"type": "GivenName", "value": "Tŷfai"}, {"type": "FamilyName", "value": "Ddychmygol"}]
            },
            "birthDate": "1941-02-28",
            "identifiers": _numbers(INVENTED_NUMBER),
        },
        "deathDate": f"{on - timedelta(days=9)}",
        "registration": {
            "reference": "ABT/2026/0731",
            "registeredAt": f"{on - timedelta(days=1)}T10:00:00Z",
        },
        "informant": "child",
        "homeAddress": their_home,
    }
    return [
        (
            "A new name",
            HoldReason.NEEDS_PERSON,
            {"type": "name", "change": married, "identifiers": _numbers(nhs_number)},
        ),
        ("A death", HoldReason.AWAITS_REGISTRAR, {"type": "bereavement", "change": died}),
    ]


def _numbers(nhs_number: str | None) -> list[dict[str, str]]:
    return [{"system": NHS_NUMBER, "value": nhs_number}] if nhs_number else []
