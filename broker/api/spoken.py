"""Problems in the caller's language: `title` and `detail` in Welsh where `Accept-Language` prefers it.

The rooms below write problems in English, once. Here, on the way out, each sentence of ours is exchanged for its Welsh
twin of the catalogue; what has none stays as it is, and types, codes and pointers never change.
"""

from functools import cache
from typing import Any, Final

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.language import negotiated, words_in
from broker.language.catalogue import ids
from contracts.problems import TYPE_PREFIX

MEDIA_TYPE: Final = b"application/problem+json"


class Spoken:
    """ASGI middleware, the outermost of the API."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held: Message | None = None
        body = b""

        async def speaking(message: Message) -> None:
            nonlocal held, body
            if message["type"] == "http.response.start" and _is_problem(message):
                held = message
            elif held is None:
                await send(message)
            elif message["type"] == "http.response.body":
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    welsh = negotiated(None, None, Headers(scope=scope).get("accept-language")) == "cy"
                    spoken = in_welsh(body) if welsh else body
                    headers = MutableHeaders(scope=held)
                    headers["Content-Language"] = "cy" if welsh else "en"
                    headers.add_vary_header("Accept-Language")
                    headers["Content-Length"] = str(len(spoken))
                    await send(held)
                    await send({"type": "http.response.body", "body": spoken})

        await self._app(scope, receive, speaking)


def _is_problem(start: Message) -> bool:
    return any(name.lower() == b"content-type" and value == MEDIA_TYPE for name, value in start["headers"])


def in_welsh(body: bytes) -> bytes:
    """Return a problem's JSON with its sentences in Welsh."""
    problem: dict[str, Any] = orjson.loads(body)
    words = words_in("cy")
    title = f"problem-{str(problem.get('type', '')).removeprefix(TYPE_PREFIX)}"
    if title in ids("cy"):
        problem["title"] = words(title)
    for part in (problem, *problem.get("errors", ())):
        if "detail" in part:
            part["detail"] = _said(part["detail"])
    return orjson.dumps(problem)


def _said(detail: str) -> str:
    """Return one detail in Welsh: a sentence of ours, or one with an id of ours in it."""
    if detail in _details():
        return _details()[detail]
    for (before, after), name in _about().items():
        if detail.startswith(before) and detail.endswith(after):
            return words_in("cy")(name, about=detail[len(before) : len(detail) - len(after)])
    return detail


@cache
def _about() -> dict[tuple[str, str], str]:
    """Return the message of each English detail that names something of ours, by what stands before and after it."""
    said = {
        name: words_in("en")(name, about="\0").split("\0") for name in ids("en") if name.startswith("staff-problem-")
    }
    return {(parts[0], parts[1]): name for name, parts in said.items() if len(parts) > 1}


@cache
def _details() -> dict[str, str]:
    """Return the Welsh of each English detail."""
    english, welsh = words_in("en"), words_in("cy")
    said: dict[str, str] = {}
    for ours in ("staff-problem-", "detail-"):  # what is the same sentence in both is said as of old
        said |= {english(name, about=""): welsh(name, about="") for name in ids("en") if name.startswith(ours)}
    return said
