"""One journey: what is asked about a type of change, in which order, and how somebody goes from step to step.

Answers live in the session until they are sent, those of one journey at a time.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import orjson
from starlette.responses import Response

from broker.intake import Told
from broker.language import Words
from broker.web.visit import Visit
from contracts.address import Address
from contracts.changes import CHANGE_TYPES, ChangeKind
from contracts.person import IdentityLevel, PersonName
from contracts.requests import PreviewRequest, preview_requests

Answers = Mapping[str, Any]
Who = Mapping[str, Any]
"""Who is signed in, as the session has them."""

KIND: Final = "/change"
IDENTITY: Final = "/identity"
NHS_NUMBER: Final = "https://fhir.nhs.uk/Id/nhs-number"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is asked."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Row:
    """One answer, to be checked: its label, what was said, and where it is changed with what that link says."""

    label: str
    said: str
    path: str | None = None
    change: str = ""


@dataclass(frozen=True, slots=True)
class Journey:
    """The pages about one type of change. All begin alike and end alike; what is between is each one's own."""

    type: str
    """Of the change; its pages lie beneath `/` and this word, a move's beneath `/move`."""
    root: str
    asked: tuple[Step, ...]
    """What is its own, in the order it is asked."""
    is_answered: Callable[[str, Answers], bool]
    """Whether one of those steps needs nothing more."""
    change: Callable[[Answers, Who], Mapping[str, Any]]
    """The change in wire form, once everything is answered."""
    rows: Callable[[Answers, Words], list[Row]]
    """Its own answers, to be checked."""
    amend: Callable[[Answers], str]
    """Where answers that contradict each other are put right."""
    dated: str
    """Where its day is asked, to which a day that cannot be leads back."""
    offered: str
    """The message by which it is chosen."""
    declared: str
    """The message by which they confirm that it is theirs to tell."""
    own_numbers: bool = True
    """Whether numbers of whoever tells it go with it: not where it is about somebody else."""

    @property
    def kind(self) -> ChangeKind:
        return CHANGE_TYPES[self.type]

    @property
    def check(self) -> str:
        return f"{self.root}/check"

    @property
    def steps(self) -> tuple[Step, ...]:
        """Everything, in the order it is asked."""
        return (
            Step("kind", KIND),
            Step("identity", IDENTITY),
            *self.asked,
            Step("contact", f"{self.root}/contact"),
            Step("tell", f"{self.root}/tell"),
            Step("check", self.check),
        )

    @property
    def first(self) -> str:
        """Where it begins for somebody who has proven who they are."""
        return self.asked[0].path

    def answered(self, step: str, answers: Answers, who: Who) -> bool:
        match step:
            case "kind":
                return answers.get("kind") == self.type
            case "identity":
                return proven(who, self.kind)
            case "contact":
                return "contact" in answers
            case "tell":
                return "seen" in answers
            case "check":
                return False
            case _:
                return self.is_answered(step, answers)

    def first_open(self, answers: Answers, who: Who) -> Step:
        """Return the first step that is not answered; `check` when all are."""
        return next(step for step in self.steps if not self.answered(step.name, answers, who))

    def _place(self, step: str) -> int:
        return [one.name for one in self.steps].index(step)

    # From step to step

    def stop_before(self, visit: Visit, step: str) -> Response | None:
        """Return a redirect to whatever must be answered before this step, None if nothing is in the way."""
        open_step = self.first_open(answers_of(visit.data), visit.signed_in.who)
        return visit.to(open_step.path) if self._place(open_step.name) < self._place(step) else None

    def onward(self, visit: Visit, step: str) -> Response:
        """Send the browser to the next step, or back to where a Change link was followed."""
        if changing(visit):
            return visit.to(self.first_open(answers_of(visit.data), visit.signed_in.who).path)
        return visit.to(self.steps[self._place(step) + 1].path)

    def before(self, visit: Visit, step: str) -> str:
        """Return where the back link of a step leads."""
        if changing(visit):
            return self.check
        place = self._place(step)
        return self.steps[place - 1 if self.steps[place - 1].name != "identity" else place - 2].path

    # What is told

    def request(self, answers: Answers, who: Who) -> PreviewRequest:
        """Return the change as intake takes it. Raises ValidationError where answers contradict each other.

        The NHS number that came with the sign-in goes with it: the person is shown it, with who would get it, before
        anything is sent, and tells it by sending.
        """
        nhs_number = who.get("nhs_number") if self.own_numbers else None
        wire = {
            "type": self.type,
            "change": self.change(answers, who),
            "preferredLanguage": answers["contact"]["language"],
            "identifiers": [{"system": NHS_NUMBER, "value": nhs_number}] if nhs_number else [],
        }
        return preview_requests().validate_json(orjson.dumps(wire))


def answers_of(data: Mapping[str, Any]) -> Answers:
    answers: Answers = data.get("answers") or {}
    return answers


async def keep_answers(visit: Visit, how: Callable[[dict[str, Any]], None]) -> None:
    """Change the answers, and forget what was wrong with earlier ones."""

    def change(data: dict[str, Any]) -> None:
        data.pop("failed", None)
        how(data.setdefault("answers", {}))

    await visit.keep(change)


def changing(visit: Visit) -> bool:
    """Return whether somebody came from the page where answers are checked."""
    return visit.request.query_params.get("from") == "check"


def kept_query(visit: Visit) -> str:
    """Return the query a form or link of this page must carry on."""
    return "?from=check" if changing(visit) else ""


def proven(who: Who, kind: ChangeKind) -> bool:
    """Return whether this person is known well enough to tell such a change."""
    return bool(who.get("person")) and IdentityLevel(who["level"]).meets(kind.identity_level)


def told_by(who: Who) -> Told:
    """Return the person as intake knows them. For somebody `proven`."""
    return Told(
        issuer=who["issuer"],
        subject=who["subject"],
        level=IdentityLevel(who["level"]),
        name=PersonName.model_validate_json(orjson.dumps(who["person"]["name"])),
        birth_date=date.fromisoformat(who["person"]["birth_date"]),
    )


def same_home(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Return whether two addresses are one property."""
    if not one or not other:
        return False
    return one == other or (one.get("uprn") is not None and one.get("uprn") == other.get("uprn"))


def address_of(wire: Mapping[str, Any]) -> Address:
    return Address.model_validate_json(orjson.dumps(dict(wire)))


def mark_of(answers: Answers) -> str:
    """Return a mark of everything answered: a declaration holds for the answers it was shown with."""
    told = {name: value for name, value in answers.items() if name != "key"}
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()


def is_for(data: Mapping[str, Any], key: str) -> bool:
    """Return whether the answers kept are those of the change with this key."""
    return answers_of(data).get("key") == key
