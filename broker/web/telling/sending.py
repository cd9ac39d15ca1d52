"""Who will be told what, the answers once more, and the telling itself."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from typing import Any, Final

import structlog
from pydantic import ValidationError
from starlette.responses import Response

from broker import intake
from broker.language import long_date
from broker.notify import Contact
from broker.store import changes
from broker.web.telling.journey import Answers, Journey, Row, answers_of, is_for, keep_answers, mark_of, told_by
from broker.web.telling.wording import basis_words, label_of, name_in_full, told_fields
from broker.web.untold_words import untold_words
from broker.web.visit import Page, Visit
from contracts.changes import Confirmation, Sensitivity
from contracts.requests import ChangeRequest, Preview

MOST_REMEMBERED: Final = 10
"""Keys of changes sent in this session: pressing the button again, or going back to it, finds the change."""

_WAITS: Final[Mapping[Confirmation | None, str]] = {
    Confirmation.A_PERSON: "tell-waits-person",
    Confirmation.REGISTRAR: "tell-waits-registrar",
}
"""What is said before it is sent of a type that somebody must confirm."""

log = structlog.get_logger()


def pages(journey: Journey) -> list[Page]:
    """Return the last pages of a journey."""
    root = journey.root
    return [
        Page("GET", f"{root}/tell", _of(journey, show_recipients)),
        Page("POST", f"{root}/tell", _of(journey, take_recipients)),
        Page("GET", journey.check, _of(journey, check)),
        Page("GET", f"{root}/declaration", _of(journey, declaration)),
        Page("POST", f"{root}/declaration", _of(journey, tell)),
    ]


def _of(
    journey: Journey, handler: Callable[[Visit, Journey], Awaitable[Response]]
) -> Callable[[Visit], Awaitable[Response]]:
    async def answer(visit: Visit) -> Response:
        return await handler(visit, journey)

    return answer


async def show_recipients(visit: Visit, journey: Journey) -> Response:
    """Show each organisation, what it gets field by field, why, and on which basis; some may be left out."""
    if stop := journey.stop_before(visit, "tell"):
        return stop
    answers = answers_of(visit.data)
    try:
        preview = await _preview(visit, journey)
    except intake.NobodyToTell:
        request = journey.request(answers, visit.signed_in.who)
        untold = await visit.parts.intake.untold(request.type, request.change, None)
        back = journey.before(visit, "tell")
        return visit.page("move/nobody.html", back=back, journey=journey, untold=untold_words(untold, visit.words))
    if isinstance(preview, str):
        return visit.to(preview)
    words = visit.words
    recipients = [
        {
            "id": one.organisation,
            "name": words.of(one.name),
            "required": one.required,
            "chosen": one.organisation not in answers.get("left_out", []),
            "fields": told_fields(one.data, words),
            "care": [
                words("tell-care-special", label=label_of(path, words))
                if care is Sensitivity.SPECIAL
                else label_of(path, words)
                for path, care in one.sensitive.items()
            ],
            "because": [words.of(reason) for reason in one.because],
            "purpose": words.of(one.purpose),
            "basis": basis_words(one.lawful_basis, words),
        }
        for one in preview.recipients
    ]
    return visit.page(
        "move/tell.html",
        back=journey.before(visit, "tell"),
        recipients=recipients,
        optional=[one for one in recipients if not one["required"]],
        untold=untold_words(preview.not_told, words),
        unverified=preview.unverified,
        waits=_WAITS.get(journey.kind.confirmation),
        digest=preview.digest,
        changed="seen" in answers and answers["seen"] != preview.digest,
    )


async def take_recipients(visit: Visit, journey: Journey) -> Response:
    if stop := journey.stop_before(visit, "tell"):
        return stop
    form, chosen = await visit.form(), await visit.chosen("tell")
    try:
        preview = await _preview(visit, journey)
    except intake.NobodyToTell:
        return visit.to(f"{journey.root}/tell")
    if isinstance(preview, str):
        return visit.to(preview)
    if form.get("digest") != preview.digest:
        return visit.to(f"{journey.root}/tell")  # something changed since it was shown: show it again
    left_out = [one.organisation for one in preview.recipients if not one.required and one.organisation not in chosen]
    if len(left_out) == len(preview.recipients):
        return await visit.again([("tell", "tell-nobody-left")])
    await keep_answers(visit, lambda answers: answers.update(seen=preview.digest, left_out=left_out))
    return visit.to(journey.check)


async def check(visit: Visit, journey: Journey) -> Response:
    """Show every answer with a link to change it."""
    if stop := journey.stop_before(visit, "check"):
        return stop
    answers = answers_of(visit.data)
    try:
        preview = await _preview(visit, journey)
    except intake.NobodyToTell:
        return visit.to(f"{journey.root}/tell")
    if isinstance(preview, str):
        return visit.to(preview)
    if preview.digest != answers["seen"]:
        return visit.to(f"{journey.root}/tell?from=check")
    changed = "changed" in visit.request.query_params
    return visit.page(
        "move/check.html",
        back=f"{journey.root}/tell",
        rows=_rows(visit, journey, answers, preview),
        journey=journey,
        changed=changed,
        untold=untold_words(preview.not_told, visit.words),
    )


def _rows(visit: Visit, journey: Journey, answers: Answers, preview: Preview) -> list[dict[str, str]]:
    words = visit.words
    who = visit.signed_in.who["person"]
    names = [words.of(one.name) for one in preview.recipients if one.organisation not in answers.get("left_out", [])]
    contact = answers["contact"]
    writes = f"{journey.root}/contact"
    rows = [
        Row("check-name", name_in_full(who["name"])),
        Row("check-birth-date", long_date(date.fromisoformat(who["birth_date"]), words.language)),
        *journey.rows(answers, words),
        Row(
            "check-language",
            words("language-cy" if contact["language"] == "cy" else "language-en"),
            writes,
            "check-change-language",
        ),
        Row(
            "check-confirmation",
            contact["email"] or words("check-confirmation-none"),
            writes,
            "check-change-confirmation",
        ),
        Row("check-told", "; ".join(names), f"{journey.root}/tell", "check-change-told"),
    ]
    return [
        {
            "key": words(row.label),
            "value": row.said,
            "href": f"{row.path}?from=check" if row.path else "",
            "hidden": words(row.change) if row.change else "",
        }
        for row in rows
    ]


async def declaration(visit: Visit, journey: Journey) -> Response:
    """Ask for the last word. The key of the change is fixed here, so that however often it is sent it is one change."""
    if stop := journey.stop_before(visit, "check"):
        return stop
    fresh = secrets.token_urlsafe(24)
    await visit.keep(lambda data: data["answers"].setdefault("key", fresh))
    answers = answers_of(visit.data)
    return visit.page(
        "move/declaration.html", back=journey.check, journey=journey, key=answers["key"], mark=mark_of(answers)
    )


async def tell(visit: Visit, journey: Journey) -> Response:
    form = await visit.form()
    sent: Mapping[str, int] = visit.data.get("sent") or {}
    if form.get("key", "") in sent:  # pressed twice, or gone back to
        return visit.to(f"/changes/{sent[form['key']]}/sent")
    answers = answers_of(visit.data)
    if journey.stop_before(visit, "check") or "key" not in answers:
        return visit.to(journey.check)
    if (form.get("key"), form.get("mark")) != (answers["key"], mark_of(answers)):
        return visit.to(f"{journey.check}?changed=1")  # another tab changed an answer: what is sent must have been seen
    accepted = await _accepted(visit, journey, answers)
    if isinstance(accepted, Response):
        return accepted
    found = await changes.one_of_person(visit.parts.database, accepted.person.person_id, accepted.reference)
    if found is None:
        raise LookupError("an accepted change is not there")
    ordinal, key = found.ordinal, answers["key"]

    def done(data: dict[str, Any]) -> None:
        if is_for(data, key):  # another change may have been begun in another tab
            data["answers"] = {}
        data.pop("failed", None)
        data["sent"] = dict([*data.get("sent", {}).items(), (key, ordinal)][-MOST_REMEMBERED:])

    await visit.keep(done)
    log.info("change.told_on_a_page", change_id=str(accepted.change_id))
    return visit.to(f"/changes/{ordinal}/sent")


async def _accepted(visit: Visit, journey: Journey, answers: Answers) -> intake.Accepted | Response:
    """Hand the change to intake; return it accepted, or where to go because it was not."""
    told = journey.request(answers, visit.signed_in.who)
    change = ChangeRequest(
        type=told.type,
        change=told.change,
        preferred_language=told.preferred_language,
        identifiers=told.identifiers,
        preview=answers["seen"],
        leave_out=tuple(answers.get("left_out", ())),
    )
    who = told_by(visit.signed_in.who)
    try:
        return await visit.parts.intake.accept(who, answers["key"], change, contact=_contact(answers))
    except (intake.PreviewChanged, intake.NobodyToTell):
        return visit.to(f"{journey.root}/tell?from=check")
    except intake.NotAcceptable:
        return visit.to(journey.check)
    except intake.KeyReused:  # sent a moment ago from another tab, with other answers
        return visit.to("/changes")
    except intake.AlreadyTold as known:
        found = await changes.one_of_person(visit.parts.database, known.person_id, known.reference)
        return visit.page("move/told-already.html", number=found.ordinal if found else None, reference=known.reference)
    except intake.TooMany:
        return visit.page("move/too-many.html", status=429)
    except intake.TooBusy:
        return visit.page("move/too-busy.html", status=503, back=f"{journey.root}/declaration", journey=journey)


def _contact(answers: Answers) -> Contact | None:
    contact = answers["contact"]
    return Contact(email=contact["email"], language=contact["language"]) if contact["email"] else None


async def _preview(visit: Visit, journey: Journey) -> Preview | str:
    """Return who would be told, or where to go to put an answer right. Raises NobodyToTell."""
    answers = answers_of(visit.data)
    try:
        request = journey.request(answers, visit.signed_in.who)
    except ValidationError:
        return f"{journey.amend(answers)}?from=check"
    try:
        return await visit.parts.intake.preview(told_by(visit.signed_in.who), request)
    except intake.NotAcceptable:
        return f"{journey.dated}?from=check"
