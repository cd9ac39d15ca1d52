"""Who may ask for which page, in one table. The pages do not start with a route that is not in it.

Apart from `policy`: people at pages hold a session, callers of the API a token, and neither opens what is the other's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from broker.identity.policy import Route, RouteNotDeclared
from broker.identity.staff import May

STAFF: Final = "/staff"
"""Before the path of every page of the operators'."""


@dataclass(frozen=True, slots=True)
class ForAnybody:
    """No session is needed; where there is one, it is the citizens', beneath `STAFF` the staff's."""


@dataclass(frozen=True, slots=True)
class ForPeople:
    """Citizens who are signed in, each for what is their own."""


@dataclass(frozen=True, slots=True)
class ForStaff:
    """Staff who are signed in and, where `needs` says so, belong to a group that may."""

    needs: May | None


@dataclass(frozen=True, slots=True)
class ForProvider:
    """The provider of the trust domain, which proves itself by the token it signed; no session is looked at."""


PageRule = ForAnybody | ForPeople | ForStaff | ForProvider


def _beneath(prefix: str, signed_in: PageRule) -> dict[Route, PageRule]:
    """Coming in and going out, the same for both trust domains."""
    return {
        ("GET", f"{prefix}/sign-in"): ForAnybody(),
        ("GET", f"{prefix}/signed-in"): ForAnybody(),
        ("GET", f"{prefix}/signed-out"): ForAnybody(),
        ("GET", f"{prefix}/session-ended"): ForAnybody(),
        ("GET", f"{prefix}/not-signed-in"): ForAnybody(),
        ("POST", f"{prefix}/sign-out"): signed_in,
        ("GET", f"{prefix}/sign-out/everywhere"): signed_in,
        ("POST", f"{prefix}/sign-out/everywhere"): signed_in,
        ("POST", f"{prefix}/signed-out-there"): ForProvider(),
        ("GET", f"{prefix}/session/left"): signed_in,
        ("POST", f"{prefix}/session/stay"): signed_in,
    }


def _asked(path: str, rule: PageRule) -> dict[Route, PageRule]:
    """A question: it is shown, and its answer taken."""
    return {("GET", path): rule, ("POST", path): rule}


def _journey(root: str, *asked: str) -> dict[Route, PageRule]:
    """The pages of a journey that is not a move: its own questions, then what all of them have."""
    found: dict[Route, PageRule] = {("GET", f"{root}/check"): ForPeople()}
    finding = ("home/postcode", "home/choose", "home/type")
    for name in (*asked, *finding, "contact", "tell", "declaration"):
        found |= _asked(f"{root}/{name}", ForPeople())
    return found


PAGES: Final[Mapping[Route, PageRule]] = MappingProxyType(
    {
        # About the service, and what pages are made of.
        ("GET", "/"): ForAnybody(),
        ("GET", "/cookies"): ForAnybody(),
        ("GET", "/accessibility"): ForAnybody(),
        ("GET", "/privacy"): ForAnybody(),
        ("GET", "/static/{name}"): ForAnybody(),
        **_beneath("", ForPeople()),
        # A citizen tells a change. That it needs a proven identity is the journey's to know: it leads there.
        **_asked("/change", ForPeople()),
        ("GET", "/change/other"): ForPeople(),
        ("GET", "/identity"): ForPeople(),
        ("GET", "/identity-not-proven"): ForPeople(),
        **_asked("/move/new/postcode", ForPeople()),
        **_asked("/move/new/choose", ForPeople()),
        **_asked("/move/new/type", ForPeople()),
        **_asked("/move/previous", ForPeople()),
        **_asked("/move/previous/postcode", ForPeople()),
        **_asked("/move/previous/choose", ForPeople()),
        **_asked("/move/previous/type", ForPeople()),
        **_asked("/move/date", ForPeople()),
        **_asked("/move/children", ForPeople()),
        **_asked("/move/child", ForPeople()),
        **_asked("/move/children/list", ForPeople()),
        **_asked("/move/private", ForPeople()),
        ("GET", "/move/private/person"): ForPeople(),
        **_asked("/move/contact", ForPeople()),
        **_asked("/move/tell", ForPeople()),
        ("GET", "/move/check"): ForPeople(),
        **_asked("/move/declaration", ForPeople()),
        **_journey("/name", "new", "reason", "evidence", "home", "date"),
        **_journey("/reach", "what", "previous", "new", "home", "date"),
        **_journey("/language", "speech", "formats", "home", "date"),
        **_journey("/bereavement", "person", "died", "registration", "informant"),
        # What became of their own changes.
        ("GET", "/changes"): ForPeople(),
        ("GET", "/changes/{number:int}"): ForPeople(),
        ("GET", "/changes/{number:int}/following"): ForPeople(),
        ("GET", "/changes/{number:int}/sent"): ForPeople(),
        ("GET", "/changes/{number:int}/live"): ForPeople(),
        **_asked("/changes/{number:int}/cancel", ForPeople()),
        **_asked("/changes/earlier", ForPeople()),
        ("GET", "/changes/earlier/asked"): ForPeople(),
        **_asked("/changes/{number:int}/release", ForPeople()),
        # A link in a letter, which can only hold: whoever has it may.
        **_asked("/hold/{token}", ForAnybody()),
        # Operators.
        **_beneath(STAFF, ForStaff(needs=None)),
        ("GET", STAFF): ForStaff(May.LOOK),
        ("GET", f"{STAFF}/live"): ForStaff(May.LOOK),
        ("GET", f"{STAFF}/organisations/{{organisation}}/deliveries/{{status}}"): ForStaff(May.LOOK),
        ("POST", f"{STAFF}/organisations/{{organisation}}/deliveries/{{status}}"): ForStaff(May.TRACE),
        **_asked(f"{STAFF}/trace", ForStaff(May.TRACE)),
        **_asked(f"{STAFF}/trace/{{place}}", ForStaff(May.TRACE)),
        ("POST", f"{STAFF}/trace/{{place}}/replay"): ForStaff(May.REPLAY),
        ("GET", f"{STAFF}/organisations/{{organisation}}"): ForStaff(May.PAUSE),
        ("POST", f"{STAFF}/organisations/{{organisation}}/pause"): ForStaff(May.PAUSE),
        ("POST", f"{STAFF}/organisations/{{organisation}}/resume"): ForStaff(May.PAUSE),
        **_asked(f"{STAFF}/replay", ForStaff(May.REPLAY)),
        **_asked(f"{STAFF}/replay/{{place}}", ForStaff(May.REPLAY)),
        ("GET", f"{STAFF}/replays/{{replay}}"): ForStaff(May.REPLAY),
        ("GET", f"{STAFF}/replays/{{replay}}/live"): ForStaff(May.REPLAY),
        ("GET", f"{STAFF}/holds"): ForStaff(May.DECIDE),
        ("GET", f"{STAFF}/holds/{{hold}}"): ForStaff(May.DECIDE),
        ("POST", f"{STAFF}/holds/{{hold}}/reveal"): ForStaff(May.DECIDE),
        ("POST", f"{STAFF}/holds/{{hold}}/release"): ForStaff(May.DECIDE),
        ("POST", f"{STAFF}/holds/{{hold}}/refuse"): ForStaff(May.DECIDE),
        ("GET", f"{STAFF}/joinings"): ForStaff(May.JOIN),
        ("GET", f"{STAFF}/joinings/{{joining}}"): ForStaff(May.JOIN),
        ("POST", f"{STAFF}/joinings/{{joining}}/approve"): ForStaff(May.JOIN),
        ("POST", f"{STAFF}/joinings/{{joining}}/refuse"): ForStaff(May.JOIN),
        ("GET", f"{STAFF}/acts"): ForStaff(May.READ_ACTS),
        ("GET", f"{STAFF}/register"): ForStaff(May.READ_REGISTER),
        ("GET", f"{STAFF}/register/{{organisation}}"): ForStaff(May.READ_REGISTER),
        ("GET", f"{STAFF}/agreements"): ForStaff(May.READ_REGISTER),
        ("GET", f"{STAFF}/agreements/{{agreement}}"): ForStaff(May.READ_REGISTER),
        ("GET", f"{STAFF}/agreements/{{agreement}}/{{version:int}}"): ForStaff(May.READ_REGISTER),
        ("POST", f"{STAFF}/agreements/{{agreement}}/{{version:int}}/revoke"): ForStaff(May.REVOKE),
        **_asked(f"{STAFF}/proposals", ForStaff(May.PROPOSE)),
        **_asked(f"{STAFF}/proposals/check/{{place}}", ForStaff(May.PROPOSE)),
        ("GET", f"{STAFF}/proposals/{{proposal}}"): ForStaff(May.READ_REGISTER),
        ("POST", f"{STAFF}/proposals/{{proposal}}/try"): ForStaff(May.TRY),
        ("POST", f"{STAFF}/proposals/{{proposal}}/approve"): ForStaff(May.APPROVE),
        ("POST", f"{STAFF}/proposals/{{proposal}}/reject"): ForStaff(May.APPROVE),
    }
)


def page_rule(method: str, path: str) -> PageRule:
    """Return the rule of a page. Raises RouteNotDeclared."""
    rule = PAGES.get((method, path))
    if rule is None:
        raise RouteNotDeclared(f"{method} {path} is not declared in broker/identity/page_policy.py")
    return rule


def check_pages_declared(served: Iterable[Route]) -> None:
    """Raise RouteNotDeclared for the first route served that is not declared; HEAD is GET's."""
    for method, path in served:
        page_rule("GET" if method == "HEAD" else method, path)
