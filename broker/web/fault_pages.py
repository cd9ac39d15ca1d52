"""Pages for what did not work. They need neither session nor store, so that they work when those do not."""

from typing import Final

from starlette.responses import HTMLResponse, Response

from broker.language import Language, words_in
from broker.web.rendering import render

_MESSAGES: Final = {
    400: ("fault-unreadable-title", "fault-unreadable-body"),
    403: ("fault-foreign-title", "fault-foreign-body"),
    404: ("fault-not-found-title", "fault-not-found-body"),
    405: ("fault-not-found-title", "fault-not-found-body"),
    410: ("fault-erased-title", "fault-erased-body"),
    500: ("fault-problem-title", "fault-problem-body"),
    503: ("fault-unavailable-title", "fault-unavailable-body"),
}


def fault_page(status: int, language: Language, *, switch_url: str | None = None, home: str = "/") -> Response:
    """Return the page for a status, in one language, with a link to the other where the address can be asked again.

    `home` is where its reader starts anew.
    """
    words = words_in(language)
    title, body = _MESSAGES.get(status, _MESSAGES[500])
    html = render(
        "fault.html", words, title=title, body=body, other_language=words.other, switch_url=switch_url, home=home
    )
    headers = {"Content-Language": language, "Vary": "Accept-Language, Cookie"}
    if status == 503:  # noqa: PLR2004  as HTTP has it
        headers["Retry-After"] = "5"
    return HTMLResponse(html, status, headers)
