"""Whether the new address must be kept private: then nothing is sent from here, and a person deals with it."""

from typing import Any

from starlette.responses import Response

from broker.web.move.journey import MOVE
from broker.web.telling.journey import answers_of, keep_answers, kept_query
from broker.web.visit import Page, Visit


def pages() -> list[Page]:
    return [
        Page("GET", "/move/private", ask_private),
        Page("POST", "/move/private", take_private),
        Page("GET", "/move/private/person", to_a_person),
    ]


async def ask_private(visit: Visit) -> Response:
    stop = MOVE.stop_before(visit, "private")
    return stop or visit.page(
        "move/private.html",
        back=MOVE.before(visit, "private"),
        answer=answers_of(visit.data).get("private"),
        query=kept_query(visit),
    )


async def take_private(visit: Visit) -> Response:
    private = (await visit.form()).get("private")
    if private not in {"yes", "no"}:
        return await visit.again([("private", "private-missing")])
    if private == "no":
        await keep_answers(visit, lambda answers: answers.update(private="no"))
        return MOVE.onward(visit, "private")

    def forget(answers: dict[str, Any]) -> None:
        """What must be kept private is not kept here, where whoever comes to this screen next could read it."""
        answers.update(private="yes")
        answers.pop("new", None)

    await keep_answers(visit, forget)
    return visit.to("/move/private/person")


async def to_a_person(visit: Visit) -> Response:
    """Say that a person deals with this: nothing is sent from here."""
    return visit.page("move/private-person.html", back="/move/private")
