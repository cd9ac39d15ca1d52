"""One request to a page: who asks, in which language, and what they filled in. What every page is written against."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from broker import sealing
from broker.identity.sessions import Session
from broker.language import Language, Words, words_in
from broker.web.parts import Door, WebParts
from broker.web.rendering import render

LARGEST_FORM: Final = 32 * 1024
MOST_FIELDS: Final = 200
LANGUAGE_COOKIE: Final = "unwaith-language"
WARNED_SECONDS: Final = 300
"""How long before its end a session's end is announced."""

Form = Mapping[str, str]
Fault = tuple[str, str]
"""The id of a field and the message that says what to do about it."""


class BadForm(Exception):  # noqa: N818  an answer: 400
    """The form cannot be read."""


class NotFromHere(Exception):  # noqa: N818  an answer: 403
    """The form was not sent by a page of ours in this session."""


@dataclass(slots=True)
class Visit:
    """One request."""

    request: Request
    parts: WebParts
    door: Door
    """The trust domain the page belongs to; a public page belongs to the citizens'."""
    language: Language
    session: Session | None = field(repr=False)
    _form: dict[str, str] | None = field(default=None, repr=False)
    _lists: dict[str, list[str]] = field(default_factory=dict, repr=False)

    @property
    def words(self) -> Words:
        return words_in(self.language)

    @property
    def signed_in(self) -> Session:
        """The session of a page that is not public."""
        if self.session is None:
            raise TypeError("the page is not declared for people who are signed in")
        return self.session

    @property
    def data(self) -> Mapping[str, Any]:
        """What the pages keep in the session."""
        return self.signed_in.data

    async def keep(self, how: Callable[[dict[str, Any]], None]) -> None:
        """Change what the pages keep. `how` may be called again if another tab was quicker."""
        self.session = await self.door.sessions.change(self.signed_in, how)

    # What was sent

    async def form(self) -> Form:
        """Return the form's fields, the last of each name. Raises BadForm."""
        if self._form is None:
            pairs = await _pairs(self.request)
            for name, value in pairs:
                self._lists.setdefault(name, []).append(value)
            self._form = dict(pairs)
        return self._form

    async def chosen(self, name: str) -> list[str]:
        """Return every value of a field, as checkboxes have them. Raises BadForm."""
        await self.form()
        return self._lists.get(name, [])

    # Answers

    def page(self, template: str, *, status: int = 200, **context: object) -> Response:
        """Return a page. `template` extends `page.html`."""
        failed = self._failed()
        faults: Mapping[str, str] = failed.get("faults", {}) if failed else {}
        sent: Mapping[str, str] = failed.get("form", {}) if failed else {}
        words = self.words

        def error(name: str) -> dict[str, str] | None:
            """Return a field's error as the macros take it."""
            if name not in faults:
                return None
            return {"text": words(faults[name]), "visuallyHiddenText": words("error-prefix")}

        body = render(
            template,
            words,
            path=self.request.url.path,
            other_language=words.other,
            switch_url=self._switched(words.other),
            door=self.door,
            home=self.door.home,
            session=self.session,
            csrf=self.session.csrf if self.session else "",
            seconds_left=self.door.sessions.seconds_left(self.session) if self.session else 0,
            warned_seconds=WARNED_SECONDS,
            can_stay=self.session is not None and self.door.sessions.last_seconds(self.session) > WARNED_SECONDS,
            error=error,
            errors=[{"text": words(message), "href": f"#{name}"} for name, message in faults.items()],
            sent=sent,
            **context,
        )
        return HTMLResponse(body, status)

    def to(self, path: str) -> Response:
        """Send the browser on, by GET."""
        return RedirectResponse(path, 303)

    async def again(self, faults: list[Fault], path: str | None = None) -> Response:
        """Show the page once more with what was filled in and what is wrong with it.

        By a redirect, so that switching the language, going back and reloading keep both.
        """
        sent = {name: value[:300] for name, value in (await self.form()).items() if name != "csrf"}
        place = path or self.request.url.path
        failed = {"path": place, "form": sent, "faults": dict(faults)}
        await self.keep(lambda data: data.update(failed=failed))
        query = [(name, value) for name, value in self.request.query_params.multi_items() if name != "again"]
        return self.to(f"{place}?{urlencode([*query, ('again', '1')])}")

    def _failed(self) -> Mapping[str, Any] | None:
        if self.session is None or "again" not in self.request.query_params:
            return None
        failed: Mapping[str, Any] = self.session.data.get("failed") or {}
        return failed if failed.get("path") == self.request.url.path else None

    def _switched(self, language: Language) -> str:
        query = [(name, value) for name, value in self.request.query_params.multi_items() if name != "lang"]
        return f"{self.request.url.path}?{urlencode([*query, ('lang', language)])}"


Handler = Callable[[Visit], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Page:
    """One route: how it is asked for, and what answers. Who may ask stands in `identity.page_policy`."""

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    quiet: bool = False
    """A script asks it by itself: it keeps no session alive, and sends nobody to sign in."""
    by_itself: bool = False
    """A page the browser loads again by itself: it keeps no session alive."""


def check_sent_from_here(request: Request, public_url: str) -> None:
    """Raise NotFromHere for a POST that a browser says came from elsewhere (Fetch Metadata; RFC 6454)."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        raise NotFromHere
    origin = request.headers.get("origin")
    if origin is not None and origin != public_url:
        raise NotFromHere


async def check_token(visit: Visit) -> None:
    """Raise NotFromHere unless the form carries this session's token."""
    sent = (await visit.form()).get("csrf", "")
    if not sealing.same(sent.encode(), visit.signed_in.csrf.encode()):
        raise NotFromHere


async def _pairs(request: Request) -> list[tuple[str, str]]:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise BadForm
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            raise BadForm
    try:
        return parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise BadForm from None
