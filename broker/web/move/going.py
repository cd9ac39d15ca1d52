"""Moving between the steps, the same for all of them."""

from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from broker.web.move.answers import CHECK, STEPS, after, answers_of, barrier, first_open
from broker.web.visit import Visit


def stop_before(visit: Visit, step: str) -> Response | None:
    """Return a redirect to whatever must be answered before this step."""
    place = barrier(step, answers_of(visit.data), visit.signed_in.who)
    return visit.to(place) if place else None


async def keep_answers(visit: Visit, how: Callable[[dict[str, Any]], None]) -> None:
    """Change the answers, and forget what was wrong with earlier ones."""

    def change(data: dict[str, Any]) -> None:
        data.pop("failed", None)
        how(data.setdefault("answers", {}))

    await visit.keep(change)


def onward(visit: Visit, step: str) -> Response:
    """Send the browser to the next step, or back to where a Change link was followed."""
    if changing(visit):
        left = first_open(answers_of(visit.data), visit.signed_in.who)
        return visit.to(left.path if left.name != "check" else CHECK)
    return visit.to(after(step))


def changing(visit: Visit) -> bool:
    """Return whether somebody came from the page where answers are checked."""
    return visit.request.query_params.get("from") == "check"


def kept_query(visit: Visit) -> str:
    """Return the query a form or link of this page must carry on."""
    return "?from=check" if changing(visit) else ""


def before(visit: Visit, step: str) -> str:
    """Return where the back link of a step leads."""
    if changing(visit):
        return CHECK
    names = [one.name for one in STEPS]
    place = names.index(step)
    if place == 0:
        return "/"
    return STEPS[place - 1 if STEPS[place - 1].name != "identity" else place - 2].path
