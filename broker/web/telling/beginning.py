"""What every journey begins with: what has changed, and who tells it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from broker.web.telling.journey import IDENTITY, KIND, Journey, answers_of, keep_answers, proven
from broker.web.visit import Page, Visit


def pages(journeys: Sequence[Journey]) -> list[Page]:
    beginning = Beginning(journeys)
    return [
        Page("GET", KIND, beginning.ask_kind),
        Page("POST", KIND, beginning.take_kind),
        Page("GET", "/change/other", other_kind),
        Page("GET", IDENTITY, beginning.ask_identity),
        Page("GET", "/identity-not-proven", beginning.not_proven),
    ]


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first pages, which lead to each of these journeys."""

    journeys: Sequence[Journey]

    def _of(self, kind: str) -> Journey | None:
        return next((journey for journey in self.journeys if journey.type == kind), None)

    async def ask_kind(self, visit: Visit) -> Response:
        items = {journey.type: journey.offered for journey in self.journeys}
        return visit.page("move/kind.html", back="/", items=items, answer=answers_of(visit.data).get("kind"))

    async def take_kind(self, visit: Visit) -> Response:
        kind = (await visit.form()).get("kind", "")
        journey = self._of(kind)
        if journey is None and kind != "other":
            return await visit.again([("kind", "kind-missing")])

        def begin(answers: dict[str, Any]) -> None:
            if journey is not None and answers.get("of", kind) != kind:
                answers.clear()  # one journey at a time: its answers are no other's
            answers.update({"kind": kind} if journey is None else {"kind": kind, "of": kind})

        await keep_answers(visit, begin)
        if journey is None:
            return visit.to("/change/other")
        return visit.to(journey.first if proven(visit.signed_in.who, journey.kind) else IDENTITY)

    async def ask_identity(self, visit: Visit) -> Response:
        """Explain the step up, which is at the provider."""
        journey = self._of(answers_of(visit.data).get("kind", ""))
        if journey is None:
            return visit.to(KIND)
        if proven(visit.signed_in.who, journey.kind):
            return visit.to(journey.first)
        return visit.page("move/identity.html", back=KIND, there=journey.first)

    async def not_proven(self, visit: Visit) -> Response:
        journey = self._of(answers_of(visit.data).get("kind", ""))
        return visit.page("move/not-proven.html", back=KIND, there=journey.first if journey else KIND)


async def other_kind(visit: Visit) -> Response:
    return visit.page("move/other.html", back=KIND)
