"""What anybody may read: the start page, and what a public service owes its readers."""

from typing import Final

from starlette.responses import Response

from broker.routing import signposts
from broker.web.untold_words import untold_words
from broker.web.visit import LANGUAGE_COOKIE, Page, Visit

ELSEWHERE: Final = ("electoral-register", "driving-licence", "hmrc", "royal-mail")
"""Whom nobody else may tell of a move, of all that routing's table has: people are shown their way in at once."""

ACCESSIBILITY: Final = (
    ("p", "accessibility-aim"),
    ("l", "accessibility-keyboard"),
    ("l", "accessibility-zoom"),
    ("l", "accessibility-reader"),
    ("l", "accessibility-scriptless"),
    ("h", "accessibility-known-title"),
    ("p", "accessibility-known"),
    ("h", "accessibility-tested-title"),
    ("p", "accessibility-tested"),
)
PRIVACY: Final = (
    ("p", "privacy-lead"),
    ("h", "privacy-what-title"),
    ("p", "privacy-what"),
    ("h", "privacy-who-title"),
    ("p", "privacy-who"),
    ("h", "privacy-basis-title"),
    ("p", "privacy-basis"),
    ("h", "privacy-long-title"),
    ("p", "privacy-long"),
    ("h", "privacy-rights-title"),
    ("p", "privacy-rights"),
)


def pages() -> list[Page]:
    return [
        Page("GET", "/", start),
        Page("GET", "/cookies", cookies),
        Page("GET", "/accessibility", accessibility),
        Page("GET", "/privacy", privacy),
    ]


async def start(visit: Visit) -> Response:
    known = signposts()
    elsewhere = untold_words([known[name] for name in ELSEWHERE], visit.words)
    return visit.page("start.html", elsewhere=elsewhere)


async def cookies(visit: Visit) -> Response:
    rules = visit.parts.citizens.sessions.rules
    return visit.page(
        "cookies.html",
        cookies=(
            (rules.cookie, "cookies-session-purpose", "cookies-session-until"),
            (rules.sign_in_cookie, "cookies-sign-in-purpose", "cookies-sign-in-until"),
            (LANGUAGE_COOKIE, "cookies-language-purpose", "cookies-language-until"),
        ),
    )


async def accessibility(visit: Visit) -> Response:
    return visit.page("text.html", title="accessibility-title", parts=ACCESSIBILITY)


async def privacy(visit: Visit) -> Response:
    return visit.page("text.html", title="privacy-title", parts=PRIVACY)
