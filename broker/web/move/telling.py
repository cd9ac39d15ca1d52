"""Who will be told what, the answers once more, and the telling itself."""

import secrets
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import structlog
from pydantic import ValidationError
from starlette.responses import Response

from broker import intake
from broker.language import long_date
from broker.notify import Contact
from broker.store import changes
from broker.web.move.answers import CHECK, Answers, answers_of, is_for, mark_of, request_of, told_by
from broker.web.move.going import before, keep_answers, stop_before
from broker.web.move.household import is_adult
from broker.web.move.wording import address_line, basis_words, child_in_words, name_in_full, told_fields
from broker.web.untold_words import untold_words
from broker.web.visit import Page, Visit
from contracts.requests import ChangeRequest, Preview, PreviewRequest

MOST_REMEMBERED: Final = 10
"""Keys of changes sent in this session: pressing the button again, or going back to it, finds the change."""

log = structlog.get_logger()


def pages() -> list[Page]:
    return [
        Page("GET", "/move/tell", show_recipients),
        Page("POST", "/move/tell", take_recipients),
        Page("GET", CHECK, check),
        Page("GET", "/move/declaration", declaration),
        Page("POST", "/move/declaration", tell),
    ]


async def show_recipients(visit: Visit) -> Response:
    """Show each organisation, what it gets field by field, why, and on which basis; some may be left out."""
    if stop := stop_before(visit, "tell"):
        return stop
    answers = answers_of(visit.data)
    try:
        preview = await _preview(visit)
    except intake.NobodyToTell:
        request = request_of(answers, visit.signed_in.who)
        untold = await visit.parts.intake.untold(request.type, request.change, None)
        return visit.page("move/nobody.html", back=before(visit, "tell"), untold=untold_words(untold, visit.words))
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
            "because": [words.of(reason) for reason in one.because],
            "purpose": words.of(one.purpose),
            "basis": basis_words(one.lawful_basis, words),
        }
        for one in preview.recipients
    ]
    return visit.page(
        "move/tell.html",
        back=before(visit, "tell"),
        recipients=recipients,
        optional=[one for one in recipients if not one["required"]],
        untold=untold_words(preview.not_told, words),
        unverified=preview.unverified,
        digest=preview.digest,
        changed="seen" in answers and answers["seen"] != preview.digest,
    )


async def take_recipients(visit: Visit) -> Response:
    if stop := stop_before(visit, "tell"):
        return stop
    form, chosen = await visit.form(), await visit.chosen("tell")
    try:
        preview = await _preview(visit)
    except intake.NobodyToTell:
        return visit.to("/move/tell")
    if isinstance(preview, str):
        return visit.to(preview)
    if form.get("digest") != preview.digest:
        return visit.to("/move/tell")  # something changed since it was shown: show it again
    left_out = [one.organisation for one in preview.recipients if not one.required and one.organisation not in chosen]
    if len(left_out) == len(preview.recipients):
        return await visit.again([("tell", "tell-nobody-left")])
    await keep_answers(visit, lambda answers: answers.update(seen=preview.digest, left_out=left_out))
    return visit.to(CHECK)


async def check(visit: Visit) -> Response:
    """Show every answer with a link to change it."""
    if stop := stop_before(visit, "check"):
        return stop
    answers = answers_of(visit.data)
    try:
        preview = await _preview(visit)
    except intake.NobodyToTell:
        return visit.to("/move/tell")
    if isinstance(preview, str):
        return visit.to(preview)
    if preview.digest != answers["seen"]:
        return visit.to("/move/tell?from=check")
    changed = "changed" in visit.request.query_params
    return visit.page(
        "move/check.html",
        back="/move/tell",
        rows=_rows(visit, answers, preview),
        changed=changed,
        untold=untold_words(preview.not_told, visit.words),
    )


def _rows(visit: Visit, answers: Answers, preview: Preview) -> list[dict[str, str]]:
    words = visit.words
    who = visit.signed_in.who["person"]
    children = answers.get("children") or []
    moved = answers["children_moved"] == "yes"
    names = [words.of(one.name) for one in preview.recipients if one.organisation not in answers.get("left_out", [])]
    contact = answers["contact"]

    def row(key: str, value: str, path: str | None, hidden: str = "") -> dict[str, str]:
        return {"key": words(key), "value": value, "href": f"{path}?from=check" if path else "", "hidden": hidden}

    return [
        row("check-name", name_in_full(who["name"]), None),
        row("check-birth-date", long_date(date.fromisoformat(who["birth_date"]), words.language), None),
        row("check-new", address_line(answers["new"]["address"]), "/move/new/postcode", words("check-change-new")),
        row(
            "check-previous",
            address_line(answers["previous"]["address"]),
            "/move/previous",
            words("check-change-previous"),
        ),
        row(
            "check-date",
            long_date(date.fromisoformat(answers["date"]), words.language),
            "/move/date",
            words("check-change-date"),
        ),
        row(
            "check-children",
            "; ".join(child_in_words(child, words) for child in children) if moved else words("check-children-none"),
            "/move/children",
            words("check-change-children"),
        ),
        row("check-private", words("check-private-no"), "/move/private", words("check-change-private")),
        row(
            "check-language",
            words("language-cy" if contact["language"] == "cy" else "language-en"),
            "/move/contact",
            words("check-change-language"),
        ),
        row(
            "check-confirmation",
            contact["email"] or words("check-confirmation-none"),
            "/move/contact",
            words("check-change-confirmation"),
        ),
        row("check-told", "; ".join(names), "/move/tell", words("check-change-told")),
    ]


async def declaration(visit: Visit) -> Response:
    """Ask for the last word. The key of the change is fixed here, so that however often it is sent it is one change."""
    if stop := stop_before(visit, "check"):
        return stop
    fresh = secrets.token_urlsafe(24)
    await visit.keep(lambda data: data["answers"].setdefault("key", fresh))
    answers = answers_of(visit.data)
    return visit.page("move/declaration.html", back=CHECK, key=answers["key"], mark=mark_of(answers))


async def tell(visit: Visit) -> Response:
    form = await visit.form()
    sent: Mapping[str, int] = visit.data.get("sent") or {}
    if form.get("key", "") in sent:  # pressed twice, or gone back to
        return visit.to(f"/changes/{sent[form['key']]}/sent")
    answers = answers_of(visit.data)
    if stop_before(visit, "check") or "key" not in answers:
        return visit.to(CHECK)
    if (form.get("key"), form.get("mark")) != (answers["key"], mark_of(answers)):
        return visit.to(f"{CHECK}?changed=1")  # another tab changed an answer: what is sent must have been seen
    accepted = await _accepted(visit, answers)
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


async def _accepted(visit: Visit, answers: Answers) -> intake.Accepted | Response:
    """Hand the change to intake; return it accepted, or where to go because it was not."""
    told = request_of(answers, visit.signed_in.who)
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
        return visit.to("/move/tell?from=check")
    except intake.NotAcceptable:
        return visit.to(CHECK)
    except intake.KeyReused:  # sent a moment ago from another tab, with other answers
        return visit.to("/changes")
    except intake.AlreadyTold as known:
        found = await changes.one_of_person(visit.parts.database, known.person_id, known.reference)
        return visit.page("move/told-already.html", number=found.ordinal if found else None, reference=known.reference)
    except intake.TooMany:
        return visit.page("move/too-many.html", status=429)
    except intake.TooBusy:
        return visit.page("move/too-busy.html", status=503, back="/move/declaration")


def _contact(answers: Answers) -> Contact | None:
    contact = answers["contact"]
    return Contact(email=contact["email"], language=contact["language"]) if contact["email"] else None


async def _preview(visit: Visit) -> Preview | str:
    """Return who would be told, or where to go to put an answer right. Raises NobodyToTell."""
    answers = answers_of(visit.data)
    request = _read(answers, visit.signed_in.who)
    if request is None:
        late = any(is_adult(child["birthDate"], answers["date"]) for child in answers.get("children") or [])
        return "/move/children/list?from=check" if late else "/move/previous?from=check"
    try:
        return await visit.parts.intake.preview(told_by(visit.signed_in.who), request)
    except intake.NotAcceptable:
        return "/move/date?from=check"


def _read(answers: Answers, who: Mapping[str, Any]) -> PreviewRequest | None:
    try:
        return request_of(answers, who)
    except ValidationError:
        return None
