"""The catalogues: nothing missing, nothing idle, the same values in both languages; dates; which language is shown."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from fluent.syntax import parse
from fluent.syntax.ast import Comment, Message, ResourceComment
from fluent.syntax.serializer import serialize_pattern

from broker.api.problems import DETAILS, TITLES
from broker.identity.refusals import Denial
from broker.intake import joining
from broker.language import Language, clock_time, long_date, moment_in_words, negotiated, words_in
from broker.language.catalogue import LANGUAGES, sources
from broker.register import checking, proposing
from broker.sandbox.definitions import sample_agreements
from broker.store import joinings, operations, proposals
from broker.tracking.replay import Refusal
from broker.web.staff import alarms, overview, reasons, replaying
from contracts.breaker import Phase
from contracts.changes import CHANGE_TYPES, EVENTS
from contracts.holds import DECIDED_BY, DecidedBy, HoldReason
from contracts.organisation import Sector
from contracts.receipts import ReceiptKind
from contracts.statuses import Outcome, Reason, Status

ROOT = Path(__file__).parents[2]
PLURAL_FORMS = {"cy": {"zero", "one", "two", "few", "many", "other"}, "en": {"one", "other"}}
"""Of CLDR."""
SOURCED = {
    "Allgofnodi", "Beth sy’n digwydd nesaf", "Blwyddyn", "Chwilio eto", "Cod post", "Cwcis", "Cwcis hanfodol",
    "Cymraeg", "Datganiad hygyrchedd", "Dewislen", "Dewiswch gyfeiriad", "Diwrnod", "Enw cyntaf", "Enw olaf", "Gwall",
    "Hysbysiad preifatrwydd", "Mae problem", "Mae’n ddrwg gennym, mae problem", "Mewngofnodi", "Mis",
    "Neidio i’r prif gynnwys", "Newid", "Parhau", "Pwysig", "Rhowch ddyddiad", "Rhowch ddyddiad gwirioneddol",
    "Rhowch y cod post", "Rhowch y dref neu’r ddinas", "Rhybudd", "Tref neu Ddinas", "Tudalen heb ei darganfod",
    "Ymddiheuriadau. Dyw’r gwasanaeth ddim ar gael", "Yn ôl",
}  # fmt: skip
"""Welsh with a published source: services of GOV.UK, GOV.WALES and HMRC."""

_STAFF_CODES: dict[str, Iterable[str]] = {
    "breaker": [phase.value for phase in Phase if phase is not Phase.CLOSED],
    "status": Status,
    "outcome": Outcome,
    "reason": {
        *Reason,
        *reasons.PAUSE,
        *reasons.RESUME,
        *reasons.REPLAY,
        *reasons.TRACE,
        *proposing.REJECT,
        *proposing.REVOKE,
        operations.PAUSED_FOR,
        proposals.KEY_REPLACED,
        *reasons.REVEAL,
        *reasons.RELEASE,
        *reasons.REFUSE,
        *joining.APPROVE,
        *joining.REFUSE,
        "operator",
    },
    "refusal": Refusal,
    "receipt": ReceiptKind,
    "change": EVENTS,
    "event": [event for event, _, _ in overview.SERIES],
    "part": ("store", "log"),
    "alarm": get_args(alarms.Alarm),
    "did": (
        *("organisation-paused", "organisation-draining", "organisation-resumed", "replay-asked", "replay-cancelled"),
        *(
            "delivery-replayed",
            "delivery-given_up",
            "change-traced",
            "quarantine-examined",
            "keys-rotated",
            "store-restored",
        ),
        *("proposal-proposed", "proposal-approved", "proposal-in_force", "proposal-rejected", "agreement-revoked"),
        "proposal-lapsed",
        "agreement-tried",
        *("change-disclosed", "hold-released", "hold-refused"),
        *("account-approved", "account-joined", "account-refused"),
    ),
    "hold": [reason for reason, by in DECIDED_BY.items() if by is DecidedBy.STAFF],
    "problem": get_args(checking.Code),
    "kind": get_args(proposals.Kind),
    "sector": get_args(Sector),
    "standing": get_args(checking.Standing),
    "propose": ("over-title", "over-body"),
    "proposal": ("none-title", "none-body", "waiting", *get_args(proposals.Outcome)),
    "joining": ("waiting", *(one for one in get_args(joinings.Outcome) if one != "not_agreed")),
    "act": ("change", "delivery", "absent", "nothing"),
    "span": ("millisecond", "second", "minute", "hour", "day"),
}
_OF_KINDS = {f"{what}-{kind}" for what in ("changes", "change-title", "cancel-title") for kind in CHANGE_TYPES}
PATHS = {path for agreement in sample_agreements() for share in agreement.shares for path in share.paths} | {
    "/person", "/change", "/change/moveKind",
}  # fmt: skip
"""What agreements permit, in words."""
COMPOSED = (
    _OF_KINDS
    | {f"staff-{kind}-{code}" for kind, codes in _STAFF_CODES.items() for code in codes}
    | {
        *(f"agreement-role-{role}" for role in ("controller", "joint-controller", "processor")),
        *(f"agreement-where-{where}" for where in ("old", "new", "home", "anywhere")),
        *(f"agreement-field-{'-'.join(path.strip('/').split('/'))}" for path in PATHS),
    }
    | {f"staff-{name}" for name in (*(part for part, _ in replaying.PARTS), "since", "upto")}
    | {f"held-{reason.replace('_', '-')}" for reason in HoldReason}
    | {f"looked-{reason.replace('_', '-')}" for reason in reasons.REVEAL}
)
"""Messages named after a code: whoever adds a code finds out here that it has no words yet."""


def messages(language: Language) -> dict[str, Any]:
    """Return every message by its id; an id in two files fails."""
    found: dict[str, Any] = {}
    for name, text in sources(language).items():
        for entry in parse(text).body:
            assert isinstance(entry, Message | Comment | ResourceComment), f"{name}: {entry.span}"
            if isinstance(entry, Message):
                assert entry.id.name not in found, f"{entry.id.name} stands twice"
                found[entry.id.name] = entry
    return found


def text_of(entry: Any) -> str:
    return re.sub(r"\s+", " ", serialize_pattern(entry.value)).strip()


def variables(entry: Any) -> set[str]:
    return set(re.findall(r"\$([a-z]+)", text_of(entry)))


def forms(entry: Any) -> set[str]:
    return set(re.findall(r"\[([a-z]+)\]", text_of(entry)))


def test_both_languages_say_the_same_things() -> None:
    assert [*sources("cy")] == [*sources("en")]
    cy, en = messages("cy"), messages("en")
    assert [*cy] == [*en], "in the same order, so that they can be read side by side"
    assert {name: variables(entry) for name, entry in cy.items()} == {
        name: variables(entry) for name, entry in en.items()
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_counted_has_every_plural_form(language: Language) -> None:
    counted = {name: forms(entry) for name, entry in messages(language).items() if forms(entry)}
    assert counted
    assert set(counted) == {name for name, entry in messages("en").items() if forms(entry)}
    assert {frozenset(found) for found in counted.values()} == {frozenset(PLURAL_FORMS[language])}


def test_no_message_is_idle_and_none_is_missing() -> None:
    files = [*(ROOT / "broker").rglob("*.py"), *(ROOT / "broker" / "web" / "templates").rglob("*.html")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    known = set(messages("en"))
    assert COMPOSED - known == set()
    idle = {name for name in known - COMPOSED if f'"{name}"' not in text and f"'{name}'" not in text}
    assert {name for name in idle if not name.startswith(("problem-", "detail-"))} == set()
    asked = set(re.findall(r"""\bt\(["']([a-z0-9-]*[a-z0-9])["']""", text)) | set(
        re.findall(r'\bwords\("([a-z0-9-]+)"', text)
    )
    assert asked - known == set()


def test_every_problem_has_its_words_in_both_languages() -> None:
    en = words_in("en")
    titles = {name.removeprefix("problem-"): en(name) for name in messages("en") if name.startswith("problem-")}
    assert titles == TITLES
    details = {en(name) for name in messages("en") if name.startswith("detail-")}
    assert set(DETAILS.values()) | {denial.value for denial in Denial} <= details
    # and what stands in the code beside it: details given as literals
    code = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "broker").rglob("*.py"))
    given = set(re.findall(r'FieldProblem\([^)]*detail="([^"]+)"', code)) | set(
        re.findall(r'query_problem\([^)]*"([^"]+)"\)', code)
    )
    assert given - details == set()


def test_every_sentence_can_be_said() -> None:
    for language in LANGUAGES:
        words = words_in(language)
        for name, entry in messages(language).items():
            said = words(name, **dict.fromkeys(variables(entry), 3))
            assert said.strip() == said != ""
    with pytest.raises(LookupError):
        words_in("cy")("no-such-message")
    with pytest.raises(ValueError, match="mail-confirmation-reference"):
        words_in("cy")("mail-confirmation-reference")


def test_welsh_without_a_source_is_listed_for_review() -> None:
    review = (ROOT / "docs" / "welsh-to-review.md").read_text(encoding="utf-8")
    cy, en = messages("cy"), messages("en")
    missing = [
        f"| {text_of(en[name]).replace('|', '/')} | {text_of(entry)} |"
        for name, entry in cy.items()
        if text_of(entry) not in SOURCED and text_of(entry) != text_of(en[name])
    ]
    assert [line for line in missing if line not in review] == []


def test_dates_are_in_words_and_in_wales() -> None:
    assert long_date(date(2026, 3, 1), "cy") == "1 Mawrth 2026"
    assert long_date(date(2026, 3, 1), "en") == "1 March 2026"
    summer = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)
    assert clock_time(summer) == "00:30"
    assert moment_in_words(summer, "cy") == "2 Gorffennaf 2026, 00:30"


@pytest.mark.parametrize(
    ("asked", "chosen", "accept", "shown"),
    [
        (None, None, None, "en"),
        (None, None, "cy", "cy"),
        (None, None, "cy-GB,en;q=0.8", "cy"),
        (None, None, "en;q=0.5, cy;q=0.9", "cy"),
        (None, None, "fr, de;q=0.9", "en"),
        (None, None, "cy;q=0, en;q=0.1", "en"),
        (None, None, ",;q=,cy;q=2,\x00" + "x" * 10_000, "en"),
        (None, "cy", "en", "cy"),
        ("en", "cy", "cy", "en"),
        ("fr", "xx", "cy", "cy"),
    ],
)
def test_the_language_asked_for_goes_first(
    asked: str | None, chosen: str | None, accept: str | None, shown: Language
) -> None:
    assert negotiated(asked, chosen, accept) == shown
