"""What somebody has answered so far, in which order it is asked, and the request it becomes. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import orjson

from broker.intake import Told
from contracts.address import Address
from contracts.changes.address import KIND, Dependant
from contracts.person import IdentityLevel, PersonName
from contracts.requests import PreviewRequest, preview_requests

Answers = Mapping[str, Any]

CHECK: Final = "/move/check"
NHS_NUMBER: Final = "https://fhir.nhs.uk/Id/nhs-number"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is asked."""

    name: str
    path: str


STEPS: Final = (
    Step("kind", "/change"),
    Step("identity", "/identity"),
    Step("new", "/move/new/postcode"),
    Step("previous", "/move/previous"),
    Step("date", "/move/date"),
    Step("children", "/move/children"),
    Step("private", "/move/private"),
    Step("contact", "/move/contact"),
    Step("tell", "/move/tell"),
    Step("check", CHECK),
)
"""In the order they are asked."""
_PLACE: Final = {step.name: place for place, step in enumerate(STEPS)}


def answers_of(data: Mapping[str, Any]) -> Answers:
    answers: Answers = data.get("answers") or {}
    return answers


def answered(step: str, answers: Answers, who: Mapping[str, Any]) -> bool:
    """Return whether a step needs nothing more."""
    match step:
        case "kind":
            return answers.get("kind") == "address"
        case "identity":
            return proven(who)
        case "new" | "previous":
            return "address" in (answers.get(step) or {})
        case "children":
            return answers.get("children_moved") == "no" or bool(
                answers.get("children_moved") == "yes" and answers.get("children") and answers.get("children_done")
            )
        case "private":
            return answers.get("private") == "no"
        case "tell":
            return "seen" in answers
        case "check":
            return False
        case _:
            return step in answers


def first_open(answers: Answers, who: Mapping[str, Any]) -> Step:
    """Return the first step that is not answered; `check` when all are."""
    return next(step for step in STEPS if not answered(step.name, answers, who))


def barrier(step: str, answers: Answers, who: Mapping[str, Any]) -> str | None:
    """Return where somebody must go before they may see a step, None if nothing is in the way."""
    open_step = first_open(answers, who)
    return open_step.path if _PLACE[open_step.name] < _PLACE[step] else None


def after(step: str) -> str:
    """Return the path of the step that follows."""
    return STEPS[_PLACE[step] + 1].path


def proven(who: Mapping[str, Any]) -> bool:
    """Return whether this person is known well enough to tell a move."""
    return bool(who.get("person")) and IdentityLevel(who["level"]).meets(KIND.identity_level)


def told_by(who: Mapping[str, Any]) -> Told:
    """Return the person as intake knows them. For somebody `proven`."""
    return Told(
        issuer=who["issuer"],
        subject=who["subject"],
        level=IdentityLevel(who["level"]),
        name=PersonName.model_validate_json(orjson.dumps(who["person"]["name"])),
        birth_date=date.fromisoformat(who["person"]["birth_date"]),
    )


def request_of(answers: Answers, who: Mapping[str, Any]) -> PreviewRequest:
    """Return the change as intake takes it. Raises ValidationError where answers contradict each other.

    The NHS number that came with the sign-in goes with it: the person is shown it, with who would get it, before
    anything is sent, and tells it by sending.
    """
    nhs_number = who.get("nhs_number")
    wire = {
        "type": "address",
        "change": {
            "previousAddress": answers["previous"]["address"],
            "newAddress": answers["new"]["address"],
            "effectiveDate": answers["date"],
            "household": answers.get("children") or [] if answers.get("children_moved") == "yes" else [],
        },
        "preferredLanguage": answers["contact"]["language"],
        "identifiers": [{"system": NHS_NUMBER, "value": nhs_number}] if nhs_number else [],
    }
    return preview_requests().validate_json(orjson.dumps(wire))


def same_home(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Return whether two addresses are one property."""
    if not one or not other:
        return False
    return one == other or (one.get("uprn") is not None and one.get("uprn") == other.get("uprn"))


def address_of(wire: Mapping[str, Any]) -> Address:
    return Address.model_validate_json(orjson.dumps(dict(wire)))


def child_of(wire: Mapping[str, Any]) -> Dependant:
    return Dependant.model_validate_json(orjson.dumps(dict(wire)))


def mark_of(answers: Answers) -> str:
    """Return a mark of everything answered: a declaration holds for the answers it was shown with."""
    told = {name: value for name, value in answers.items() if name != "key"}
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()


def is_for(data: Mapping[str, Any], key: str) -> bool:
    """Return whether the answers kept are those of the change with this key."""
    return answers_of(data).get("key") == key
