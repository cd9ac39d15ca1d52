"""JSON documents of others that we read: key sets (JWKS) and discovery documents."""

from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

import orjson

from broker.outbound.client import GuardedClient
from contracts.delivery import Misconfigured, Unavailable, Unknown
from contracts.statuses import Reason

DOCUMENT_CAP: Final = 256 * 1024
DOCUMENT_DEADLINE: Final = timedelta(seconds=5)


async def get_json(
    client: GuardedClient, url: str, *, cap: int = DOCUMENT_CAP, deadline: timedelta = DOCUMENT_DEADLINE
) -> dict[str, Any]:
    """Return the JSON object at `url`: status 200, UTF-8, at most `cap` bytes, not compressed, no redirect.

    Raises Unavailable: not now (no connection, deadline, 408, 425, 429, 5xx).
    Raises Misconfigured: what is there is not such a document, or may not be reached; asking again will not help.
    """
    try:
        answer = await client.get(url, cap=cap + 1, deadline=deadline)
    except Unknown as failure:
        raise Unavailable(failure.reason) from None  # asking twice does no harm
    if answer.status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}:
        raise Unavailable(Reason.TOO_MANY_REQUESTS)
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Unavailable(Reason.SERVER_ERROR)
    if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
        raise Misconfigured(Reason.REDIRECTED)
    if answer.status != HTTPStatus.OK:
        raise Misconfigured(Reason.ENDPOINT_MISSING)
    if len(answer.body) > cap:
        raise Misconfigured(Reason.ANSWER_TOO_LARGE)
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise Misconfigured(Reason.ANSWER_UNREADABLE)
    try:
        document = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        raise Misconfigured(Reason.ANSWER_UNREADABLE) from None
    if not isinstance(document, dict):
        raise Misconfigured(Reason.ANSWER_UNREADABLE)
    return document
