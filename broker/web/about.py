"""What anybody may read: the start page, and what a public service owes its readers."""

from typing import Final

from starlette.responses import Response

from broker.web.visit import LANGUAGE_COOKIE, Page, Visit

ELSEWHERE: Final = (
    ("start-vote", "https://www.gov.uk/register-to-vote", "https://www.gov.uk/cofrestru-i-bleidleisio"),
    ("start-driving", "https://www.gov.uk/change-address-driving-licence", None),
    ("start-tax", "https://www.gov.uk/tell-hmrc-change-of-details", None),
    ("start-post", "https://www.royalmail.com/personal/receiving-mail/redirection", None),
)
"""Whom nobody else may tell: they offer no way in for others, so people are shown theirs. English, Welsh.

Addresses as those services and public bodies publish them. Where we found no Welsh one published there is none: the
Welsh page then says that its link leads to English.
"""

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
    welsh = visit.language == "cy"
    elsewhere = [(name, cy if welsh and cy else en, welsh and cy is None) for name, en, cy in ELSEWHERE]
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
