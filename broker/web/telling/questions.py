"""A question on a page of its own: shown with what was answered, taken with what is wrong with it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from starlette.responses import Response

from broker.language import as_language
from broker.web.telling.dates import read_date
from broker.web.telling.journey import Journey, answers_of, keep_answers, kept_query
from broker.web.visit import Fault, Form, Page, Visit
from contracts.text import normalise
from contracts.times import day_in_wales

BACK: Final = 10
"""Years; further back is refused by verification too."""
LONGEST: Final = 100
"""Characters of one field; the contracts take more."""

Taken = Mapping[str, Any] | list[Fault]
"""What to keep of an answer, or what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Question:
    """One step of a journey, asked on one page."""

    journey: Journey
    step: str
    template: str
    take: Callable[[Visit, Form], Awaitable[Taken]]
    shown: Mapping[str, Any] = field(default_factory=dict)
    """What the template is given besides the answer."""
    look: Callable[[Visit], Mapping[str, Any]] | None = None
    """And what it is given of the visit."""

    @property
    def path(self) -> str:
        return next(step.path for step in self.journey.steps if step.name == self.step)

    def pages(self) -> list[Page]:
        return [Page("GET", self.path, self._ask), Page("POST", self.path, self._answered)]

    async def _ask(self, visit: Visit) -> Response:
        if stop := self.journey.stop_before(visit, self.step):
            return stop
        answers = answers_of(visit.data)
        return visit.page(
            self.template,
            back=self.journey.before(visit, self.step),
            answer=answers.get(self.step),
            query=kept_query(visit),
            **self.shown,
            **(self.look(visit) if self.look else {}),
        )

    async def _answered(self, visit: Visit) -> Response:
        if stop := self.journey.stop_before(visit, self.journey.asked[0].name):
            return stop  # another journey's answers are not written into
        taken = await self.take(visit, await visit.form())
        if isinstance(taken, list):
            return await visit.again(taken)
        await keep_answers(visit, lambda answers: answers.update(taken))
        return self.journey.onward(visit, self.step)


def choice(
    journey: Journey, step: str, items: Mapping[str, str], *, title: str, missing: str, hint: str = ""
) -> Question:
    """Return a question with one answer of several: codes, each with its message."""

    async def take(_visit: Visit, form: Form) -> Taken:
        said = form.get(step)
        return {step: said} if said in items else [(step, missing)]

    return Question(
        journey, step, "telling/choice.html", take, {"name": step, "title": title, "items": items, "hint": hint}
    )


def day(journey: Journey, *, title: str, hint: str = "") -> Question:
    """Return the question from which day it holds."""

    async def take(visit: Visit, form: Form) -> Taken:
        found, fault = read_date(form, "date")
        today = today_of(visit)
        if found is not None and (found - today).days > 366:  # noqa: PLR2004  a year, whichever it is
            fault = ("date-day", "date-too-far")
        elif found is not None and today.year - found.year > BACK:
            fault = ("date-day", "date-too-long-ago")
        return (
            [fault or ("date-day", "date-missing")]
            if fault is not None or found is None
            else {"date": found.isoformat()}
        )

    def look(visit: Visit) -> Mapping[str, Any]:
        return {"parts": parts_of(answers_of(visit.data).get("date"))}

    return Question(journey, "date", "telling/day.html", take, {"title": title, "lead": hint}, look)


def written_to(journey: Journey) -> Question:
    """Return the question in which language we write to whoever tells it, and whether they want a confirmation."""

    async def take(visit: Visit, form: Form) -> Taken:
        known = visit.signed_in.who.get("email")
        language = as_language(form.get("language"))
        faults: list[Fault] = []
        if language is None:
            faults.append(("language", "contact-language-missing"))
        if known and form.get("by") not in {"email", "none"}:
            faults.append(("by", "contact-by-missing"))
        if faults:
            return faults
        # Only to the address the provider verified: whoever could name another could have us write to anybody.
        return {"contact": {"language": language, "email": known if form.get("by") == "email" else None}}

    def look(visit: Visit) -> Mapping[str, Any]:
        known = answers_of(visit.data).get("contact")
        return {
            "known": known or {"language": visit.language, "email": None},
            "asked_before": known is not None,
            "email": visit.signed_in.who.get("email"),
        }

    return Question(journey, "contact", "move/contact.html", take, look=look)


def parts_of(day_or_part: str | None) -> Mapping[str, str]:
    """Return a day as its three fields have it; what is not known of it is absent."""
    found = zip(("year", "month", "day"), (day_or_part or "").split("-"), strict=False)
    return {name: str(int(part)) for name, part in found if part}


def line(form: Form, name: str) -> str:
    """Return one field, with single spaces and none around it."""
    return " ".join(form.get(name, "").split())


def line_fault(value: str, missing: str | None) -> str | None:
    """Return the message for a line that cannot be: missing, with strange characters, or too long."""
    if not value:
        return missing
    try:
        normalise(value)
    except ValueError:
        return "text-not-allowed"
    return "text-too-long" if len(value) > LONGEST else None


def name_of(form: Form, prefix: str, missing: str) -> tuple[dict[str, Any] | None, list[Fault]]:
    """Return the name of the fields `{prefix}given` and `{prefix}family` in wire form; one of them is enough."""
    said = {f"{prefix}given": line(form, f"{prefix}given"), f"{prefix}family": line(form, f"{prefix}family")}
    faults = [(name, fault) for name, value in said.items() if (fault := line_fault(value, None))]
    if not any(said.values()):
        faults.append((f"{prefix}given", missing))
    if faults:
        return None, faults
    kinds = zip(("GivenName", "FamilyName"), said.values(), strict=True)
    return {"nameParts": [{"type": kind, "value": value} for kind, value in kinds if value]}, []


def today_of(visit: Visit) -> date:
    """Return the day it is in Wales."""
    return day_in_wales(visit.parts.clock())
