"""What the operators did, from the ledger."""

from datetime import datetime
from typing import Any, Final

from starlette.responses import Response

from broker.store import operations
from broker.web.staff.allowed import staff_page
from broker.web.staff.wording import coded, exact, organisation_name
from broker.web.visit import Page, Visit

LAST: Final = 100


async def acts(visit: Visit) -> Response:
    found = await operations.acts(visit.parts.database, LAST)
    return staff_page(visit, "staff/acts.html", acts=[_act(visit, leaf) for leaf in found])


def _act(visit: Visit, leaf: dict[str, Any]) -> dict[str, Any]:
    words, detail = visit.words, leaf.get("detail", {})
    about = [organisation_name(visit, leaf["organisation"])] if "organisation" in leaf else []
    about += [words(f"staff-act-{kind}", id=leaf[kind]) for kind in ("change", "delivery") if kind in leaf]
    if detail.get("kind"):  # of a proposal
        about.append(f"{detail['subject']}/{detail['version']}")
    elif "agreement" in leaf:
        about.append(leaf["agreement"])
    who = leaf["actor"].rpartition(":")[2]
    return {
        "at": exact(words, datetime.fromisoformat(leaf["at"])),
        "who": [who[place : place + 12] for place in range(0, len(who), 12)],  # an opaque id: it may break anywhere
        "what": coded(words, "did", leaf["action"].replace(".", "-")),
        "about": "; ".join(about) or words(f"staff-act-{leaf.get('outcome', 'nothing')}"),
        "why": coded(words, "reason", detail.get("reason", "")),
        "note": detail.get("note", ""),
    }


PAGES: Final = (Page("GET", "/acts", acts),)
