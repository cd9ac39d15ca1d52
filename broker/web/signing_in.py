"""Coming in and going out, the same for every trust domain: sign in, step up, sign out, a session that ended."""

import contextlib
import secrets
from collections.abc import Mapping
from typing import Any, Final

import structlog
from starlette.responses import JSONResponse, Response

from broker.identity.refusals import InvalidToken, KeysUnavailable
from broker.identity.sessions import SIGN_IN_LIFE, Session, SessionRules
from broker.identity.sign_in import Begun, SignedIn, SignInRefused
from broker.web.parts import Door
from broker.web.places import own_path
from broker.web.visit import Page, Visit

log = structlog.get_logger()

_SPENT: Final = 200
"""Longest value of the answer's query that is looked at, but for the code."""


def pages(prefix: str) -> list[Page]:
    """Return the pages of one trust domain."""
    return [
        Page("GET", f"{prefix}/sign-in", begin),
        Page("GET", f"{prefix}/signed-in", finish),
        Page("POST", f"{prefix}/sign-out", sign_out),
        Page("GET", f"{prefix}/sign-out/everywhere", leaving_everywhere),
        Page("POST", f"{prefix}/sign-out/everywhere", sign_out_everywhere),
        Page("POST", f"{prefix}/signed-out-there", signed_out_there),
        Page("GET", f"{prefix}/signed-out", signed_out),
        Page("GET", f"{prefix}/session-ended", ended),
        Page("GET", f"{prefix}/not-signed-in", not_signed_in),
        Page("GET", f"{prefix}/session/left", left, quiet=True),
        Page("POST", f"{prefix}/session/stay", stay),
    ]


async def begin(visit: Visit) -> Response:
    """Send the browser to the provider. `?prove=1` asks for a proven identity; `next` says where to go afterwards."""
    door = visit.door
    prove = visit.request.query_params.get("prove") == "1"
    going = own_path(visit.request.query_params.get("next"), door.home)
    url, begun = await door.provider.begin(prove=prove, language=visit.language)
    browser = visit.request.cookies.get(door.sessions.rules.sign_in_cookie) or secrets.token_urlsafe(32)
    await door.sessions.sweep()
    await door.sessions.begin_sign_in(begun.state, browser, {**begun.kept(), "next": going})
    response = visit.to(url)
    set_cookie(
        response, door.sessions.rules, door.sessions.rules.sign_in_cookie, browser, int(SIGN_IN_LIFE.total_seconds())
    )
    return response


async def finish(visit: Visit) -> Response:
    """Take the provider's answer and begin a session under a new name."""
    door = visit.door
    query = visit.request.query_params
    answer = dict(query)
    state, browser = query.get("state", ""), visit.request.cookies.get(door.sessions.rules.sign_in_cookie, "")
    repeated = len(answer) != len(query.multi_items())
    kept = None if repeated or len(state) > _SPENT else await door.sessions.take_sign_in(state, browser)
    if kept is None:
        if visit.session is not None:  # the same answer a second time: the back button, or a reload
            return visit.to(door.home)
        log.info("sign_in.refused", reason="state")
        return visit.to(f"{door.prefix}/not-signed-in")
    going = own_path(kept["next"], door.home)
    try:
        found = await door.provider.finish(Begun.read(state, kept), answer)
        before = _stepped_up_from(visit.session, found)
    except SignInRefused as refused:
        log.info("sign_in.refused", reason=refused.fault.name.lower())
        if kept["prove"] and visit.session is not None:  # whatever went wrong, they are still signed in as before
            return visit.to("/identity-not-proven")
        return visit.to(f"{door.prefix}/not-signed-in")
    if before is None and visit.session is not None:
        await door.sessions.end(visit.session)
    session = await door.sessions.start(
        who_is(found, before),
        account=(found.issuer, found.subject),
        provider_session=found.provider_session,
        replaces=before,
    )
    log.info("sign_in.accepted", level=found.level.value)
    response = visit.to(going)
    set_cookie(response, door.sessions.rules, door.sessions.rules.cookie, session.name)
    return response


def who_is(found: SignedIn, before: Session | None) -> dict[str, Any]:
    """Return what a session keeps of who signed in. A level once proven in this session stays."""
    if before is not None and found.person is None and before.who.get("person"):
        return {**before.who, "id_token": found.id_token}
    person = found.person
    return {
        "issuer": found.issuer,
        "subject": found.subject,
        "level": found.level.value,
        "person": None
        if person is None
        else {
            "name": person.name.model_dump(mode="json", exclude_none=True),
            "birth_date": person.birth_date.isoformat(),
        },
        "homes": [home.model_dump(mode="json", exclude_none=True) for home in found.homes],
        "nhs_number": found.nhs_number,
        "email": found.email,
        "display_name": found.display_name,
        "groups": list(found.groups),
        "id_token": found.id_token,
    }


def _stepped_up_from(session: Session | None, found: SignedIn) -> Session | None:
    """Return the session to go on with if it is the same person's."""
    if session is None:
        return None
    return session if _same_account(session.who, found) else None


def _same_account(who: Mapping[str, Any], found: SignedIn) -> bool:
    return (who["issuer"], who["subject"]) == (found.issuer, found.subject)


async def sign_out(visit: Visit) -> Response:
    """End the session here, then at the provider."""
    await visit.door.sessions.end(visit.signed_in)
    return await _gone(visit)


async def leaving_everywhere(visit: Visit) -> Response:
    """Ask whether to sign out on every device."""
    return visit.page("sign-out-everywhere.html")


async def sign_out_everywhere(visit: Visit) -> Response:
    """End every session of the account here, this one among them, then this one at the provider."""
    who = visit.signed_in.who
    ended = await visit.door.sessions.end_all(who["issuer"], who["subject"])
    log.info("sessions.ended_everywhere", count=ended)
    return await _gone(visit)


async def signed_out_there(visit: Visit) -> Response:
    """Take the provider's word that somebody signed out there (Back-Channel Logout 1.0, sections 2.5 to 2.8)."""
    try:
        said = await visit.door.provider.logged_out((await visit.form()).get("logout_token", ""))
    except InvalidToken as wrong:
        log.warning("logout_token.refused", reason=wrong.fault.name.lower())
        return _refused(wrong.fault.value)
    ended = await visit.door.sessions.end_at_word(said)
    if ended is None:
        log.warning("logout_token.refused", reason="repeated")
        return _refused("the token was used before")
    log.info("logout_token.accepted", count=ended)
    return Response(status_code=200)


def _refused(description: str) -> Response:
    return JSONResponse({"error": "invalid_request", "error_description": description}, 400)


async def _gone(visit: Visit) -> Response:
    """Send somebody whose session has ended here on to the provider, to end it there; forget them in the browser."""
    door = visit.door
    back = f"{visit.parts.public_url}{door.prefix}/signed-out"
    url: str | None = None
    id_token = visit.signed_in.who.get("id_token")
    if isinstance(id_token, str):
        with contextlib.suppress(KeysUnavailable):  # a provider that is away keeps nobody from leaving here
            url = await door.provider.sign_out_url(id_token, back)
    response = visit.to(url or back)
    forget(response, door)
    return response


async def signed_out(visit: Visit) -> Response:
    """Say that somebody is signed out, if they are: a link to this page signs nobody out."""
    return visit.to(visit.door.home) if visit.session is not None else visit.page("signed-out.html")


async def ended(visit: Visit) -> Response:
    """Say kindly that a session has ended; nothing of it is kept."""
    going = own_path(visit.request.query_params.get("next"), visit.door.home)
    if visit.session is not None:  # signed in again meanwhile, in another tab
        return visit.to(going)
    response = visit.page("session-ended.html", next=going)
    forget(response, visit.door)
    return response


async def not_signed_in(visit: Visit) -> Response:
    return visit.to(visit.door.home) if visit.session is not None else visit.page("not-signed-in.html")


async def left(visit: Visit) -> Response:
    """Return how many seconds the session lasts if nothing else is asked."""
    return JSONResponse({"left": visit.door.sessions.seconds_left(visit.signed_in)})


async def stay(visit: Visit) -> Response:
    """Prolong the session: that it was asked is enough."""
    await visit.keep(lambda _: None)
    return visit.to(own_path((await visit.form()).get("back"), visit.door.home))


def set_cookie(response: Response, rules: SessionRules, name: str, value: str, seconds: int | None = None) -> None:
    response.set_cookie(name, value, max_age=seconds, path="/", secure=rules.secure, httponly=True, samesite="lax")


def forget(response: Response, door: Door) -> None:
    """Have the browser drop the session's name and whatever it stored of our pages."""
    rules = door.sessions.rules
    response.delete_cookie(rules.cookie, path="/", secure=rules.secure, httponly=True, samesite="lax")
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
