"""The journey of a death. Nobody is told before a registrar has confirmed it, and nothing is ever sent to who died.

What is sent of a confirmation goes to whoever tells it, at the address their own sign-in proved.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from broker.language import Words, long_date
from broker.web.changed.home import HOME, has_home, home_row
from broker.web.changed.name import is_number
from broker.web.telling.addresses import Finder
from broker.web.telling.dates import read_date, read_partial
from broker.web.telling.journey import Answers, Journey, Row, Step, Who, answers_of
from broker.web.telling.questions import (
    Question,
    Taken,
    choice,
    line,
    line_fault,
    name_of,
    parts_of,
    today_of,
    written_to,
)
from broker.web.telling.wording import INFORMANTS, child_in_words, partial_in_words
from broker.web.visit import Fault, Form, Page, Visit
from contracts.times import first_day, last_day


def _answered(step: str, answers: Answers) -> bool:
    return has_home(answers) if step == HOME else step in answers


def _change(answers: Answers, _who: Who) -> Mapping[str, Any]:
    registration = answers["registration"]
    return {
        "deceased": answers["person"],
        "deathDate": answers["died"],
        "registration": {
            "reference": registration["reference"],
            "registeredAt": f"{registration['day']}T12:00:00Z",  # the middle of what the certificate has: the day alone
            "registeredOn": registration["day"],
            **({"district": registration["district"]} if registration["district"] else {}),
        },
        "informant": answers["informant"],
        "homeAddress": answers[HOME]["address"],
    }


def _rows(answers: Answers, words: Words) -> list[Row]:
    registration = answers["registration"]
    registered = long_date(date.fromisoformat(registration["day"]), words.language)
    said = [registration["reference"], registration["district"], registered]
    return [
        Row("field-deceased", child_in_words(answers["person"], words), "/bereavement/person", "field-deceased"),
        Row("field-death-date", partial_in_words(answers["died"], words), "/bereavement/died", "field-death-date"),
        Row(
            "field-registration",
            ", ".join(part for part in said if part),
            "/bereavement/registration",
            "field-registration",
        ),
        Row("field-informant", words(INFORMANTS[answers["informant"]]), "/bereavement/informant", "field-informant"),
        home_row(answers, "/bereavement/home/postcode"),
    ]


BEREAVEMENT: Final = Journey(
    type="bereavement",
    root="/bereavement",
    asked=(
        Step("person", "/bereavement/person"),
        Step("died", "/bereavement/died"),
        Step("registration", "/bereavement/registration"),
        Step("informant", "/bereavement/informant"),
        Step(HOME, "/bereavement/home/postcode"),
    ),
    is_answered=_answered,
    change=_change,
    rows=_rows,
    amend=lambda _answers: "/bereavement/registration",
    dated="/bereavement/died",
    offered="kind-bereavement",
    declared="declared-bereavement",
    own_numbers=False,
)
_HOME: Final = Finder(
    BEREAVEMENT,
    HOME,
    by_postcode="late-home-postcode-title",
    chosen="late-home-choose-title",
    typed="late-home-type-title",
)


async def _take_person(visit: Visit, form: Form) -> Taken:
    name, faults = name_of(form, "", "late-name-missing")
    born, fault = read_date(form, "born")
    if fault is not None:
        faults = [*faults, fault]
    elif born is not None and born > today_of(visit):
        faults = [*faults, ("born-day", "late-born-ahead")]
    return faults if faults or born is None else {"person": {"name": name, "birthDate": born.isoformat()}}


def _look_at_person(visit: Visit) -> Mapping[str, Any]:
    known = answers_of(visit.data).get("person") or {"name": {"nameParts": []}, "birthDate": ""}
    parts = {part["type"]: part["value"] for part in known["name"]["nameParts"]}
    return {
        "given": parts.get("GivenName"),
        "family": parts.get("FamilyName"),
        "born": parts_of(known["birthDate"]),
    }


async def _take_died(visit: Visit, form: Form) -> Taken:
    died, fault = read_partial(form, "date")
    if fault is not None or died is None:
        return [fault or ("date-day", "date-missing")]
    born = (answers_of(visit.data).get("person") or {}).get("birthDate")
    if first_day(died) > today_of(visit):
        return [("date-day", "late-died-ahead")]
    if born and last_day(died) < date.fromisoformat(born):
        return [("date-day", "late-died-before-born")]
    return {"died": died}


async def _take_registration(visit: Visit, form: Form) -> Taken:
    reference, district = line(form, "reference"), line(form, "district")
    registered, fault = read_date(form, "date")
    faults: list[Fault] = []
    if not reference:
        faults.append(("reference", "late-reference-missing"))
    elif not is_number(reference):
        faults.append(("reference", "number-wrong"))
    if wrong := line_fault(district, None):
        faults.append(("district", wrong))
    died = answers_of(visit.data).get("died")
    if fault is not None:
        faults.append(fault)
    elif registered is not None and registered > today_of(visit):
        faults.append(("date-day", "late-registered-ahead"))
    elif registered is not None and died and registered < first_day(died):
        faults.append(("date-day", "late-registered-before"))
    if faults or registered is None:
        return faults
    return {"registration": {"reference": reference, "district": district, "day": registered.isoformat()}}


def pages() -> list[Page]:
    return [
        *Question(BEREAVEMENT, "person", "changed/late-person.html", _take_person, look=_look_at_person).pages(),
        *Question(
            BEREAVEMENT,
            "died",
            "telling/day.html",
            _take_died,
            {"title": "late-died-title", "lead": "late-died-lead"},
            look=lambda visit: {"parts": parts_of(answers_of(visit.data).get("died"))},
        ).pages(),
        *Question(
            BEREAVEMENT,
            "registration",
            "changed/registration.html",
            _take_registration,
            look=lambda visit: {"parts": parts_of((answers_of(visit.data).get("registration") or {}).get("day"))},
        ).pages(),
        *choice(
            BEREAVEMENT, "informant", INFORMANTS, title="late-informant-title", missing="late-informant-missing"
        ).pages(),
        *_HOME.pages(),
        *written_to(BEREAVEMENT).pages(),
    ]
