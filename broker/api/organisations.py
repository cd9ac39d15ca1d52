"""What an organisation's software calls: a token, a later answer."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from broker import audit
from broker.api.answers import ALWAYS, WRITTEN, Described, body_of, problems
from broker.api.bodies import read_bytes, read_model
from broker.api.guarding import organisation
from broker.api.parts import ApiParts
from broker.api.problems import NotReadable
from broker.identity import token_endpoint
from broker.identity.refusals import Absent
from broker.store import holds
from broker.tracking.answering import take_in
from broker.vault.signing import PUBLISHED_SECONDS, Purpose, SigningKeys
from broker.verification import confirmed
from contracts.confirmation import DeathConfirmation
from contracts.receipts import Answer


def routes(router: APIRouter, parts: ApiParts) -> None:
    """Add the organisations' routes."""

    @router.post("/oauth/token", openapi_extra=_TOKEN_BODY, response_class=Response, responses=_TOKEN_ANSWERS)
    async def issue_token(request: Request) -> Response:
        """Return an access token for client credentials proven by a signed assertion (RFC 6749, RFC 7523)."""
        raw = await read_bytes(request, "application/x-www-form-urlencoded")
        try:
            form = parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=20, errors="strict")
        except ValueError:
            raise NotReadable("malformed") from None
        answer = await parts.token_endpoint.answer(form)
        return Response(
            orjson.dumps(answer.body()),
            status_code=answer.status,
            media_type="application/json",
            headers=dict(token_endpoint.HEADERS),
        )

    @router.get("/.well-known/jwks.json", operation_id="read_keys", response_class=Response, responses=_answers(*_KEYS))
    async def keys(_request: Request) -> Response:
        """Return the public keys of our tokens (RFC 7517)."""
        return _key_set(parts.organisations.jwks())

    assertions, signatures = _signing_keys(parts, "client-assertions"), _signing_keys(parts, "message-signatures")

    @router.get(
        "/.well-known/jwks/client-assertions.json",
        operation_id="read_assertion_keys",
        response_class=Response,
        responses=_answers(*_MIXED_KEYS),
    )
    async def assertion_keys(_request: Request) -> Response:
        """Return the public keys by which we prove ourselves at organisations' authorization servers (RFC 7523)."""
        return _key_set(await assertions.jwks())

    @router.get(
        "/.well-known/jwks/message-signatures.json",
        operation_id="read_signature_keys",
        response_class=Response,
        responses=_answers(*_KEYS),
    )
    async def signature_keys(_request: Request) -> Response:
        """Return the public keys that verify what we send to organisations (RFC 7515)."""
        return _key_set(await signatures.jwks())

    @router.get(
        "/.well-known/oauth-authorization-server",
        operation_id="read_metadata",
        response_class=Response,
        responses=_answers(*_METADATA),
    )
    async def metadata(_request: Request) -> Response:
        """Return what our token endpoint can do (RFC 8414)."""
        found = parts.token_endpoint.metadata(f"{parts.public_url}/.well-known/jwks.json")
        return Response(
            orjson.dumps(found), media_type="application/json", headers={"Cache-Control": "public, max-age=300"}
        )

    @router.post(
        "/v1/receipts",
        status_code=202,
        response_class=Response,
        responses={202: {"description": "It is durable, and will be told to the person."}, **WRITTEN, **problems(404)},
        openapi_extra=body_of(Answer, answer=_ANSWER),
    )
    async def answer_later(request: Request) -> Response:
        """Take an organisation's later answer for one of its deliveries; the same id again changes nothing."""
        answer = await read_model(request, Answer)
        caller = organisation(request)
        receipt = answer.receipt(epoch=0, attempt=0, now=parts.clock())
        if await take_in(parts.database, parts.eventlog, caller.organisation, [receipt], parts.clock):
            raise Absent
        return Response(status_code=202)

    @router.post(
        "/v1/confirmations",
        status_code=202,
        response_class=Response,
        responses={202: {"description": "It is kept. Whether anybody has told of this death is not said."}, **WRITTEN},
        openapi_extra=body_of(DeathConfirmation, example=_CONFIRMATION),
    )
    async def confirm_death(request: Request) -> Response:
        """Take a registrar's word for a death: its entry, and its day. Who told of it is told on; of others it waits.

        Only keyed digests of both are kept. Said again, it replaces what this registrar said of the entry before.
        """
        said = await read_model(request, DeathConfirmation)
        caller = organisation(request)
        found = confirmed(await parts.vault.digester("registrations"), said)
        leaf = audit.leaf("death.confirmed", parts.clock(), f"organisation:{caller.organisation}")
        await holds.confirm(parts.database, caller.organisation, found.registration, found.facts, leaf)
        return Response(status_code=202)


def _signing_keys(parts: ApiParts, purpose: Purpose) -> SigningKeys:
    """Return our keys, by the store's clock: by that they are dated, and workers sign."""

    def now() -> datetime:
        return parts.directory.now()

    return SigningKeys(parts.vault, purpose, now)


def _key_set(keys: Mapping[str, Any]) -> Response:
    return Response(
        orjson.dumps(keys),
        media_type="application/jwk-set+json",
        headers={"Cache-Control": f"public, max-age={PUBLISHED_SECONDS}"},
    )


_TOKEN_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["grant_type", "client_assertion_type", "client_assertion"],
                    "properties": {
                        "grant_type": {"const": token_endpoint.GRANT_TYPE},
                        "client_assertion_type": {"const": token_endpoint.ASSERTION_TYPE},
                        "client_assertion": {"type": "string"},
                        "scope": {"type": "string"},
                    },
                }
            }
        },
    }
}
_OAUTH_ERROR: Final = {
    "type": "object",
    "required": ["error", "error_description"],
    "properties": {
        "error": {"enum": [error.value for error in token_endpoint.OAuthError]},
        "error_description": {"type": "string"},
    },
}
_TOKEN: Final = {
    "type": "object",
    "required": ["access_token", "token_type", "expires_in", "scope"],
    "properties": {
        "access_token": {"type": "string"},
        "token_type": {"const": "Bearer"},
        "expires_in": {"type": "integer", "minimum": 1},
        "scope": {"type": "string"},
    },
}
_KEY: Final = {
    "type": "object",
    "required": ["kty", "crv", "x", "y", "use", "alg", "kid"],
    "properties": {
        "kty": {"const": "EC"},
        "crv": {"const": "P-256"},
        "use": {"const": "sig"},
        "alg": {"const": "ES256"},
    }
    | {name: {"type": "string"} for name in ("x", "y", "kid")},
}


def _answers(media_type: str, schema: dict[str, Any]) -> Described:
    return {
        200: {"description": "What is asked for.", "content": {media_type: {"schema": schema}}},
        **problems(*ALWAYS),
    }


_KEYS: Final = (
    "application/jwk-set+json",
    {"type": "object", "required": ["keys"], "properties": {"keys": {"type": "array", "items": _KEY, "minItems": 1}}},
)
_MIXED_KEYS: Final = (
    "application/jwk-set+json",
    {
        "type": "object",
        "required": ["keys"],
        "properties": {
            "keys": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["kty", "use", "kid"],
                    "properties": {"kty": {"enum": ["EC", "RSA"]}, "use": {"const": "sig"}, "kid": {"type": "string"}},
                },
            }
        },
    },
)
_METADATA: Final = (
    "application/json",
    {
        "type": "object",
        "required": ["issuer", "token_endpoint", "jwks_uri", "grant_types_supported"],
        "properties": {name: {"type": "string"} for name in ("issuer", "token_endpoint", "jwks_uri")}
        | {
            f"{name}_supported": {"type": "array", "items": {"type": "string"}}
            for name in ("grant_types", "response_types", "scopes", "token_endpoint_auth_methods")
        },
    },
)
_TOKEN_ANSWERS: Final[Described] = {
    200: {"description": "A token (RFC 6749, section 5.1).", "content": {"application/json": {"schema": _TOKEN}}},
    **problems(400, 413, 415, *ALWAYS),
    401: {
        "description": "The client is not known by this assertion (RFC 6749, section 5.2).",
        "content": {"application/json": {"schema": _OAUTH_ERROR}},
    },
}
_TOKEN_ANSWERS[400]["description"] = "An OAuth error (RFC 6749, section 5.2), or a problem where no form can be read."
_TOKEN_ANSWERS[400]["content"]["application/json"] = {"schema": _OAUTH_ERROR}

_CONFIRMATION: Final = {"registrationReference": "CDF 0412/2026", "deathDate": "2026-02-27"}
_ANSWER: Final = {
    "id": "0197f6a4-3c1e-7cc0-9d2b-6a0b9f1c2d3e",
    "deliveryId": "0197f6a3-1f00-7a11-8c57-53d1f0b6a9e8",
    "outcome": "applied",
    "reference": "CT-2026-004711",
    "at": "2026-03-02T09:15:00Z",
}
