"""The development OpenID provider: shaped like GOV.UK One Login, for invented people, on this machine only.

Unlike One Login it can also issue JWT access tokens for our API (RFC 9068): when the authorization request names
`resource` (RFC 8707) or a scope `changes:*`. Otherwise access tokens are opaque, as One Login's are.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from broker.sandbox.addresses import sample_addresses
from broker.sandbox.assertions import NotThisClient, authenticate
from broker.sandbox.authorization import (
    RETURN_CODE_CLAIM,
    AuthorizationRequest,
    Refused,
    Unsafe,
    read_request,
)
from broker.sandbox.clients import Client
from broker.sandbox.clock import Clock, utc_now
from broker.sandbox.codes import Codes, InvalidGrant
from broker.sandbox.discovery import did_document, discovery_document
from broker.sandbox.expiring import Expiring
from broker.sandbox.loopback import LoopbackOnly, TooLarge, body_of, from_elsewhere
from broker.sandbox.pages import stylesheet
from broker.sandbox.people import SamplePerson, sample_people
from broker.sandbox.sign_in_page import choose_page, problem_page, signed_out_page
from broker.sandbox.state import SandboxState
from broker.sandbox.tokens import JWT_LIFE, OPAQUE_LIFE, Names, SignIn, api_token, id_token, logout_token, subject_of
from broker.sandbox.userinfo import userinfo
from broker.sandbox.wording import Language

log = structlog.get_logger()

LARGEST_FORM: Final = 64 * 1024
TIME_TO_CHOOSE: Final = timedelta(minutes=10)
TELLING_SECONDS: Final = 3.0
"""How long a client may take to hear that somebody signed out; it is told once."""


def provider_app(
    *,
    issuer: str,
    state: SandboxState,
    clients: Sequence[Client],
    api_audience: str,
    people: Sequence[SamplePerson] | None = None,
    clock: Clock = utc_now,
) -> Starlette:
    """Return the provider as an ASGI app.

    `issuer` is where it will be served, with a trailing slash: `http://127.0.0.1:8102/`.
    `api_audience` is the `aud` of the JWT access tokens it issues, and the `resource` it accepts.
    Raises ValueError when `issuer` is no such URL, or a client's key is of a type it does not register.
    """
    parts = urlsplit(issuer)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path != "/":
        raise ValueError("issuer must be a URL that ends in its only slash, http://127.0.0.1:8102/")
    for client in clients:
        client.key()
    provider = _Provider(issuer, state, clients, api_audience, people or sample_people(), clock)
    return Starlette(
        routes=[
            Route("/", provider.about),
            Route("/.well-known/openid-configuration", provider.discovery),
            Route("/.well-known/jwks.json", provider.jwks),
            Route("/.well-known/did.json", provider.did),
            Route("/trustmark", provider.trustmark),
            Route("/authorize", provider.authorize, methods=["GET", "POST"]),
            Route("/choose", provider.choose, methods=["POST"]),
            Route("/token", provider.token, methods=["POST"]),
            Route("/userinfo", provider.userinfo, methods=["GET", "POST"]),
            Route("/logout", provider.logout),
            Route("/sign-out-everywhere", provider.sign_out_everywhere, methods=["POST"]),
            Route("/style.css", stylesheet),
            Route("/livez", provider.livez),
        ],
        middleware=[Middleware(LoopbackOnly)],
        exception_handlers={TooLarge: _too_large},
    )


class _Provider:
    """The endpoints, and what is remembered between them."""

    def __init__(
        self,
        issuer: str,
        state: SandboxState,
        clients: Sequence[Client],
        api_audience: str,
        people: Sequence[SamplePerson],
        clock: Clock,
    ) -> None:
        self._names = Names(issuer)
        self._state = state
        self._clients: Mapping[str, Client] = {client.client_id: client for client in clients}
        self._api_audience = api_audience
        self._people = people
        self._clock = clock
        self._homes = {row.uprn: row for row in sample_addresses() if row.language == "en"}
        self._waiting: Expiring[AuthorizationRequest] = Expiring()
        self._codes = Codes()
        self._used_assertions: Expiring[None] = Expiring()
        self._access: Expiring[SignIn] = Expiring()
        """By the digest of the access token."""

    async def about(self, _request: Request) -> Response:
        return PlainTextResponse("A development OpenID provider. Everyone here is invented.\n")

    async def livez(self, _request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def discovery(self, _request: Request) -> Response:
        return JSONResponse(discovery_document(self._names))

    async def jwks(self, _request: Request) -> Response:
        return JSONResponse({"keys": [self._state.signing_key.as_dict(private=False)]})

    async def did(self, _request: Request) -> Response:
        return JSONResponse(did_document(self._names, self._state.identity_key))

    async def trustmark(self, _request: Request) -> Response:
        return JSONResponse({"idp": self._names.issuer, "P": ["P0", "P2"], "C": ["Cl", "Cl.Cm"]})

    async def authorize(self, request: Request) -> Response:
        _require_user_agent(request)
        parameters = request.query_params.multi_items() if request.method == "GET" else await _form_of(request)
        try:
            asked = read_request(parameters, clients=self._clients, api_audience=self._api_audience)
        except Unsafe as fault:
            return problem_page(_browser_language(request), str(fault))
        except Refused as refused:
            return self._back(refused.redirect_uri, refused.state, error=refused.error, says=refused.description)
        ticket = secrets.token_urlsafe(32)
        now = self._clock()
        self._waiting.add(ticket, asked, until=now + TIME_TO_CHOOSE, now=now)
        return choose_page(
            people=self._people,
            language=asked.language,
            ticket=ticket,
            parameters=parameters,
            redirect_uri=asked.redirect_uri,
        )

    async def choose(self, request: Request) -> Response:
        """Take the person's choice; the ticket works once."""
        form = dict(await _form_of(request))
        language = _browser_language(request)
        if from_elsewhere(request):
            return problem_page(language, "The form was sent from another site")
        now = self._clock()
        person = next((person for person in self._people if person.key == form.get("person")), None)
        cancelled = form.get("answer") == "cancel"
        if person is None and not cancelled:
            return problem_page(language, "No sample person was chosen")
        asked = self._waiting.take(form.get("ticket", ""), now)
        if asked is None:
            return problem_page(language)
        if person is None or cancelled:
            return self._back(asked.redirect_uri, asked.state, error="access_denied", says="the person cancelled")
        signed_in = SignIn(request=asked, person=person, sid=secrets.token_urlsafe(24), at=now)
        if asked.identity and not signed_in.identity_proved and RETURN_CODE_CLAIM not in asked.claims:
            says = "the identity could not be proved"
            return self._back(asked.redirect_uri, asked.state, error="access_denied", says=says)
        code = self._codes.issue(signed_in, now)
        return self._back(asked.redirect_uri, asked.state, code=code)

    def _back(self, redirect_uri: str, state: str | None, **answer: str) -> Response:
        """Redirect to the client, naming ourselves (RFC 9207)."""
        if "says" in answer:
            answer["error_description"] = answer.pop("says")
        if state is not None:
            answer["state"] = state
        answer["iss"] = self._names.issuer
        joined = "&" if urlsplit(redirect_uri).query else "?"
        # 303, so that a form's POST is not repeated at the client
        return RedirectResponse(f"{redirect_uri}{joined}{urlencode(answer)}", 303)

    async def token(self, request: Request) -> Response:
        _require_user_agent(request)
        pairs = await _form_of(request)
        form = dict(pairs)
        now = self._clock()
        if len(form) != len(pairs):
            return _token_error("invalid_request", "a parameter is given twice")
        try:
            client = authenticate(
                form,
                clients=self._clients,
                audiences=frozenset({self._names.issuer, f"{self._names.issuer}token"}),
                used=self._used_assertions,
                now=now,
            )
        except NotThisClient as fault:
            log.info("sandbox.client_refused", reason=str(fault))
            return _token_error("invalid_client", str(fault), 401)
        if form.get("grant_type") != "authorization_code":
            return _token_error("unsupported_grant_type", "grant_type must be authorization_code")
        try:
            signed_in = self._codes.redeem(
                form.get("code", ""),
                client_id=client.client_id,
                redirect_uri=form.get("redirect_uri", ""),
                verifier=form.get("code_verifier", ""),
                now=now,
            )
        except InvalidGrant as fault:
            if fault.replayed is not None:
                replayed = fault.replayed
                self._access.drop(lambda access: access.sid == replayed.sid)
                log.warning("sandbox.code_replayed", client_id=client.client_id)
            return _token_error("invalid_grant", str(fault))
        if form.get("resource", signed_in.request.resource) != signed_in.request.resource:
            return _token_error("invalid_target", "resource is not the one the code was given for")
        return self._issue(signed_in)

    def _issue(self, signed_in: SignIn) -> Response:
        now = self._clock()
        asked = signed_in.request
        if asked.resource:
            life, access_token = JWT_LIFE, api_token(self._names, self._state, signed_in, now)
        else:
            life, access_token = OPAQUE_LIFE, secrets.token_urlsafe(32)
        self._access.add(_digest(access_token), signed_in, until=now + life, now=now)
        log.info("sandbox.tokens_issued", client_id=asked.client.client_id)
        answer = {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": int(life.total_seconds()),
            "scope": " ".join(asked.scopes),
            "id_token": id_token(self._names, self._state, signed_in, access_token, now),
        }
        return JSONResponse(answer, headers={"Pragma": "no-cache"})

    async def userinfo(self, request: Request) -> Response:
        _require_user_agent(request)
        scheme, _, access_token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not access_token:
            return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})
        now = self._clock()
        signed_in = self._access.get(_digest(access_token), now)
        if signed_in is None:
            challenge = 'Bearer error="invalid_token", error_description="expired, revoked or never issued here"'
            return Response(status_code=401, headers={"WWW-Authenticate": challenge})
        return JSONResponse(userinfo(self._names, self._state, signed_in, self._homes, now))

    async def logout(self, request: Request) -> Response:
        """End the session an ID token names (OpenID Connect RP-Initiated Logout 1.0); an expired one still does."""
        asked = request.query_params
        language = _browser_language(request)
        hint = asked.get("id_token_hint")
        if hint is None:
            return signed_out_page(language)
        claims = self._own_id_token(hint)
        client = self._clients.get(str(claims.get("aud"))) if claims else None
        if claims is None or client is None:
            return problem_page(language, "id_token_hint is not an ID token of this provider")
        self._access.drop(lambda access: access.sid == claims["sid"])
        await self._tell(client, str(claims["sub"]), str(claims["sid"]))
        target = asked.get("post_logout_redirect_uri")
        if target is None:
            return signed_out_page(language)
        if target not in client.post_logout_redirect_uris:
            return problem_page(language, "post_logout_redirect_uri is not registered for this client")
        if "state" in asked:
            target += ("&" if urlsplit(target).query else "?") + urlencode({"state": asked["state"]})
        return RedirectResponse(target, 303)

    async def sign_out_everywhere(self, request: Request) -> Response:
        """End every session of `person` here and tell every client, as when somebody closes their account."""
        form = dict(await _form_of(request))
        person = next((person for person in self._people if person.key == form.get("person")), None)
        if from_elsewhere(request) or person is None:
            return PlainTextResponse("POST person=… with the key of a sample person.\n", 400)
        self._access.drop(lambda access: access.person == person)
        told = await asyncio.gather(
            *(
                self._tell(client, subject_of(self._state, client.sector, person), None)
                for client in self._clients.values()
            )
        )
        return PlainTextResponse(f"Clients told: {sum(told)}\n")

    async def _tell(self, client: Client, subject: str, sid: str | None) -> bool:
        """Tell a client that somebody signed out here; return whether it heard. One that does not answer is left."""
        if client.back_channel_logout_uri is None:
            return False
        word = logout_token(self._names, self._state, client.client_id, self._clock(), subject=subject, sid=sid)
        try:
            async with httpx.AsyncClient(timeout=TELLING_SECONDS, trust_env=False) as http:
                answer = await http.post(client.back_channel_logout_uri, data={"logout_token": word})
        except httpx.HTTPError as fault:
            log.warning("sandbox.client_not_told", client_id=client.client_id, error=type(fault).__name__)
            return False
        log.info("sandbox.client_told", client_id=client.client_id, status=answer.status_code)
        return answer.is_success

    def _own_id_token(self, hint: str) -> dict[str, object] | None:
        try:
            token = jwt.decode(hint, self._state.signing_key, algorithms=["ES256"])
        except (JoseError, ValueError):
            return None
        # an access token is signed by the same key, but names no session
        return token.claims if "sid" in token.claims else None


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


async def _form_of(request: Request) -> list[tuple[str, str]]:
    """Return the pairs of an `application/x-www-form-urlencoded` body; none for any other."""
    body = await body_of(request, LARGEST_FORM)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return []
    return parse_qsl(body.decode("utf-8", errors="replace"), keep_blank_values=True)


def _browser_language(request: Request) -> Language:
    return "cy" if request.headers.get("accept-language", "").lower().startswith("cy") else "en"


def _require_user_agent(request: Request) -> None:
    """GOV.UK One Login turns away a caller without one, so a client of ours must notice here."""
    if not request.headers.get("user-agent", "").strip():
        raise HTTPException(403, "Send a User-Agent header.")


def _token_error(error: str, description: str, status: int = 400) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status)


async def _too_large(_request: Request, _fault: Exception) -> Response:
    return PlainTextResponse("The body is too large.\n", 413)
