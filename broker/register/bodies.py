"""Who there is, connected or not: what lets a preview say honestly who is concerned and cannot be told.

Pure: councils and health boards come from the package, others and edits from the register's store.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache

from broker.register.wales import councils, health_boards
from contracts.body import Body
from contracts.organisation import Organisation


@cache
def packaged() -> tuple[Body, ...]:
    """Return the 22 councils and 7 health boards of Wales, by id."""
    found = [
        Body(
            id=_id_of(council.council.en),
            name=council.council,
            sector="council",
            codes={"gss": council.gss, "local-custodian-code": str(council.custodian_code)},
            area=(council.custodian_code,),
        )
        for council in councils().values()
    ]
    found += [
        Body(
            id=_id_of(board.name.en),
            name=board.name,
            sector="health-board",
            codes={"gss": board.gss, "ods": board.ods},
            area=board.area,
        )
        for board in health_boards().values()
    ]
    return tuple(sorted(found, key=lambda body: body.id))


def known(stored: Iterable[Body]) -> tuple[Body, ...]:
    """Return every body by id; what the register's store has of one comes before what the package has."""
    return tuple(sorted({body.id: body for body in (*packaged(), *stored)}.values(), key=lambda body: body.id))


def answering_for(bodies: Iterable[Body], custodian_codes: Collection[int | None]) -> list[Body]:
    """Return the bodies that answer for an area of their own in which one of these codes lies. None is no area."""
    codes = {code for code in custodian_codes if code is not None}
    return [body for body in bodies if codes & set(body.area)]


def is_connected(body: Body, organisations: Mapping[str, Organisation]) -> bool:
    """Return whether something can be sent to it: an organisation has its id, or its ONS code."""
    return as_organisation(body, organisations) is not None


def as_organisation(body: Body, organisations: Mapping[str, Organisation]) -> str | None:
    """Return the id of the organisation that is this body, None where it is not connected."""
    if body.id in organisations:
        return body.id
    gss = body.codes.get("gss")
    return next((item.id for item in organisations.values() if gss is not None and item.codes.get("gss") == gss), None)


def _id_of(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
