"""The short questions: what changed, who you are, when, is the new address private, how to write to you."""

from datetime import date
from typing import Any, Final

from starlette.responses import Response

from broker.language import as_language
from broker.web.move.answers import answers_of, proven
from broker.web.move.dates import read_date
from broker.web.move.going import before, keep_answers, kept_query, onward, stop_before
from broker.web.visit import Page, Visit

BACK: Final = 10
"""Years; further back is refused by verification too."""


def pages() -> list[Page]:
    return [
        Page("GET", "/change", ask_kind),
        Page("POST", "/change", take_kind),
        Page("GET", "/change/other", other_kind),
        Page("GET", "/identity", ask_identity),
        Page("GET", "/identity-not-proven", not_proven),
        Page("GET", "/move/date", ask_date),
        Page("POST", "/move/date", take_date),
        Page("GET", "/move/private", ask_private),
        Page("POST", "/move/private", take_private),
        Page("GET", "/move/private/person", to_a_person),
        Page("GET", "/move/contact", ask_contact),
        Page("POST", "/move/contact", take_contact),
    ]


async def ask_kind(visit: Visit) -> Response:
    return visit.page("move/kind.html", back="/", answer=answers_of(visit.data).get("kind"))


async def take_kind(visit: Visit) -> Response:
    kind = (await visit.form()).get("kind")
    if kind not in {"address", "other"}:
        return await visit.again([("kind", "kind-missing")])
    await keep_answers(visit, lambda answers: answers.update(kind=kind))
    if kind == "other":
        return visit.to("/change/other")
    return visit.to("/move/new/postcode" if proven(visit.signed_in.who) else "/identity")


async def other_kind(visit: Visit) -> Response:
    return visit.page("move/other.html", back="/change")


async def ask_identity(visit: Visit) -> Response:
    """Explain the step up, which is at the provider."""
    if proven(visit.signed_in.who):
        return visit.to("/move/new/postcode")
    return stop_before(visit, "identity") or visit.page("move/identity.html", back="/change")


async def not_proven(visit: Visit) -> Response:
    return visit.page("move/not-proven.html", back="/change")


async def ask_date(visit: Visit) -> Response:
    if stop := stop_before(visit, "date"):
        return stop
    known = answers_of(visit.data).get("date")
    day = date.fromisoformat(known) if known else None
    parts = {"day": str(day.day), "month": str(day.month), "year": str(day.year)} if day else {}
    return visit.page("move/date.html", back=before(visit, "date"), parts=parts, query=kept_query(visit))


async def take_date(visit: Visit) -> Response:
    day, fault = read_date(await visit.form(), "date")
    today = visit.parts.clock().date()
    if day is not None and (day - today).days > 366:  # noqa: PLR2004  a year, whichever it is
        fault = ("date-day", "date-too-far")
    elif day is not None and today.year - day.year > BACK:
        fault = ("date-day", "date-too-long-ago")
    if fault is not None or day is None:
        return await visit.again([fault or ("date-day", "date-missing")])
    await keep_answers(visit, lambda answers: answers.update(date=day.isoformat()))
    return onward(visit, "date")


async def ask_private(visit: Visit) -> Response:
    stop = stop_before(visit, "private")
    return stop or visit.page(
        "move/private.html",
        back=before(visit, "private"),
        answer=answers_of(visit.data).get("private"),
        query=kept_query(visit),
    )


async def take_private(visit: Visit) -> Response:
    private = (await visit.form()).get("private")
    if private not in {"yes", "no"}:
        return await visit.again([("private", "private-missing")])
    if private == "no":
        await keep_answers(visit, lambda answers: answers.update(private="no"))
        return onward(visit, "private")

    def forget(answers: dict[str, Any]) -> None:
        """What must be kept private is not kept here, where whoever comes to this screen next could read it."""
        answers.update(private="yes")
        answers.pop("new", None)

    await keep_answers(visit, forget)
    return visit.to("/move/private/person")


async def to_a_person(visit: Visit) -> Response:
    """Say that a person deals with this: nothing is sent from here."""
    return visit.page("move/private-person.html", back="/move/private")


async def ask_contact(visit: Visit) -> Response:
    if stop := stop_before(visit, "contact"):
        return stop
    return visit.page(
        "move/contact.html",
        back=before(visit, "contact"),
        answer=answers_of(visit.data).get("contact") or {"language": visit.language, "email": None},
        asked_before="contact" in answers_of(visit.data),
        email=visit.signed_in.who.get("email"),
        query=kept_query(visit),
    )


async def take_contact(visit: Visit) -> Response:
    form = await visit.form()
    known = visit.signed_in.who.get("email")
    language = as_language(form.get("language"))
    faults = []
    if language is None:
        faults.append(("language", "contact-language-missing"))
    if known and form.get("by") not in {"email", "none"}:
        faults.append(("by", "contact-by-missing"))
    if faults:
        return await visit.again(faults)
    # Only to the address the provider verified: whoever could name another could have us write to anybody.
    contact = {"language": language, "email": known if form.get("by") == "email" else None}
    await keep_answers(visit, lambda answers: answers.update(contact=contact))
    return onward(visit, "contact")
