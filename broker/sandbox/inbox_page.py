"""A sample organisation's inbox as a page for its staff, and as JSON for tests."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any, Final

from starlette.responses import Response

from broker.sandbox.behaviours import Behaviour
from broker.sandbox.inbox import Entry
from broker.sandbox.pages import page
from contracts.organisation import Organisation
from contracts.statuses import Outcome

PAGE_SIZE: Final = 25
WAYS: Final = {
    "webhook": "webhook",
    "sftp": "SFTP",
    "hl7v2": "HL7 v2",
    "fhir": "FHIR",
    "pull": "pull",
}
"""What people call each adapter that a sample organisation is reached by."""

_TOTALS: Final = (
    ("events", "Events"),
    ("effects", "Records changed"),
    ("receipts", "Requests that carried them"),
    ("orderViolations", "Out of order"),
    ("dataViolations", "Same id, other data"),
    ("webhookIdViolations", "webhook-id not the event's"),
)


def inbox_page(
    organisation: Organisation, entries: Sequence[Entry], totals: dict[str, int], behaviour: Behaviour
) -> Response:
    """Return the page, newest first; it links to older events while there may be any."""
    counts = "".join(_count(label, totals[name], wrong="iolations" in name) for name, label in _TOTALS)
    shown = "".join(_article(entry) for entry in entries) or "<p>Nothing has arrived yet.</p>"
    older = f'<p><a href="/?before={entries[-1].position}">Older events</a></p>' if len(entries) == PAGE_SIZE else ""
    body = f"""
<p lang="cy">{escape(organisation.name.cy)}</p>
<p>Reached by <strong>{escape(WAYS[organisation.adapter])}</strong></p>
<p>Answers now: <strong>{escape(behaviour.behaviour.replace("_", " "))}</strong></p>
<dl>{counts}</dl>
{shown}
{older}
"""
    return page(
        title=f"{organisation.name.en}: sample inbox",
        banner=f"A sample system on this machine. It is not {organisation.name.en}'s; the people are invented.",
        body=body,
    )


def as_json(entry: Entry, *, with_data: bool = False) -> dict[str, Any]:
    """Return one event of the inbox; its data only when asked for, as tests compare digests."""
    told: dict[str, Any] = {
        "position": entry.position,
        "id": entry.id,
        "type": entry.type,
        "subject": entry.subject,
        "sequence": entry.sequence,
        "outcome": entry.outcome,
        "reference": entry.reference,
        "receipts": entry.receipts,
        "digest": entry.digest,
        "receivedAt": entry.received_at,
        "answeredLater": entry.answered_later,
    }
    return told | {"data": json.loads(entry.data)} if with_data else told


def _count(label: str, number: int, *, wrong: bool) -> str:
    mark = ' class="wrong"' if wrong and number else ""
    return f"<dt>{escape(label)}</dt><dd{mark}>{number}</dd>"


def _article(entry: Entry) -> str:
    repeats = f"{entry.receipts - 1} repeated" if entry.receipts > 1 else "once"
    data = json.dumps(json.loads(entry.data), ensure_ascii=False, indent=2)
    number = "" if entry.sequence is None else f", number {entry.sequence}"
    return f"""
<article>
<h2>{escape(entry.reference)}: {escape(_outcome(entry))}</h2>
<dl>
<dt>Received</dt><dd>{escape(entry.received_at)}, {repeats}</dd>
<dt>Event</dt><dd>{escape(entry.id)}</dd>
<dt>Person</dt><dd>{escape(entry.subject)}{number}</dd>
</dl>
<details><summary>What we were told ({escape(entry.reference)})</summary><pre>{escape(data)}</pre></details>
</article>
"""


def _outcome(entry: Entry) -> str:
    said = entry.outcome.replace("_", " ")
    if entry.answered_later is None:
        return said
    later = "applied later" if entry.outcome == Outcome.RECEIVED else "and said so later"
    return f"{said}, {later}" if entry.answered_later else f"{said}, a later answer is not yet given"
