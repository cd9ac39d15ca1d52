"""Who there is: organisations that are connected, bodies that are known, and every version of each organisation."""

from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from broker.register.bodies import as_organisation
from broker.register.differences import differences
from broker.store import proposals
from broker.web.staff.allowed import staff_page
from broker.web.staff.wording import exact, organisation_name
from broker.web.visit import Page, Visit


async def everybody(visit: Visit) -> Response:
    """Show connected organisations, and the bodies that cannot be told anything yet."""
    directory, words = visit.parts.directory, visit.words
    organisations = directory.organisations()
    unconnected = [
        (words.of(body.name), words(f"staff-sector-{body.sector}"))
        for body in directory.bodies()
        if as_organisation(body, organisations) is None
    ]
    return staff_page(
        visit,
        "staff/register.html",
        organisations=sorted(
            (words.of(item.name), words(f"staff-sector-{item.sector}"), item.adapter, key)
            for key, item in organisations.items()
        ),
        unconnected=sorted(unconnected),
    )


async def organisation(visit: Visit) -> Response:
    """Show whom one organisation has to be written to, and every version of it, the newest first, each with what it changed."""
    key = str(visit.request.path_params["organisation"])
    organisations = visit.parts.directory.organisations()
    if key not in organisations:
        raise HTTPException(404)
    kept = await proposals.versions(visit.parts.database, "organisation", key)
    before: list[dict[str, Any]] = [*(one.definition for one in kept[1:]), {}]
    return staff_page(
        visit,
        "staff/registered.html",
        name=organisation_name(visit, key),
        contacts=[one.email for one in organisations[key].contacts],
        versions=[
            (one.version, exact(visit.words, one.at), differences(older, one.definition))
            for one, older in zip(kept, before, strict=True)
        ],
        back=f"{visit.door.prefix}/register",
    )


PAGES: Final = (
    Page("GET", "/register", everybody),
    Page("GET", "/register/{organisation}", organisation),
)
