"""What a citizen's software calls to take a change back."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from broker import intake
from broker.api.answers import READ, json_answer, problems
from broker.api.following import whole
from broker.api.guarding import citizen
from broker.api.parts import ApiParts
from broker.identity.refusals import Absent
from broker.intake.references import read_reference
from broker.store import changes
from broker.tracking.withdrawing import carry_out
from contracts.requests import ChangeView


def routes(router: APIRouter, parts: ApiParts) -> None:
    """Add the route."""

    @router.post(
        "/v1/changes/{reference}/cancellation",
        status_code=202,
        response_model=ChangeView,
        responses={202: {"description": "It is cancelled, as far as it still can be."}, **READ, **problems(404)},
    )
    async def cancel_change(request: Request, reference: str) -> Response:
        """Cancel one of the caller's changes; once is enough. Another person's is the same 404 as none.

        What is not sent is stopped. Who was sent it is told that it is taken back, and shows under `withdrawn`.
        """
        known = read_reference(reference)
        who = citizen(request)
        person = await parts.vault.known(who.issuer, who.subject) if known else None
        found = await changes.one_of_person(parts.database, person.person_id, known) if person and known else None
        if person is None or found is None:
            raise Absent
        await intake.cancel(parts.database, person, found, parts.clock())
        await carry_out(parts.database, parts.vault, found.id, parts.clock)
        return json_answer(await whole(parts, person, found), status=202)
