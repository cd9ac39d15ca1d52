"""Who moved too: children only. An adult tells their own move, so that nobody's is disclosed by another."""

from typing import Any, Final

import orjson
from starlette.responses import Response

from broker.web.move.journey import MOVE, is_adult
from broker.web.telling.dates import read_date
from broker.web.telling.journey import answers_of, keep_answers, kept_query
from broker.web.telling.wording import child_in_words
from broker.web.visit import Fault, Page, Visit
from contracts.changes.address import Dependant
from contracts.text import normalise
from contracts.times import day_in_wales

MOST_CHILDREN: Final = 12
"""As the contract has it."""


def pages() -> list[Page]:
    return [
        Page("GET", "/move/children", ask_whether),
        Page("POST", "/move/children", take_whether),
        Page("GET", "/move/child", ask_child),
        Page("POST", "/move/child", take_child),
        Page("GET", "/move/children/list", show_list),
        Page("POST", "/move/children/list", take_list),
    ]


async def ask_whether(visit: Visit) -> Response:
    stop = MOVE.stop_before(visit, "children")
    return stop or visit.page(
        "move/children.html",
        back=MOVE.before(visit, "children"),
        answer=answers_of(visit.data).get("children_moved"),
        query=kept_query(visit),
    )


async def take_whether(visit: Visit) -> Response:
    moved = (await visit.form()).get("moved")
    if moved not in {"yes", "no"}:
        return await visit.again([("moved", "children-missing")])
    await keep_answers(visit, lambda answers: answers.update(children_moved=moved))
    if moved == "no":
        return MOVE.onward(visit, "children")
    there = bool(answers_of(visit.data).get("children"))
    return visit.to(("/move/children/list" if there else "/move/child") + kept_query(visit))


async def ask_child(visit: Visit) -> Response:
    stop = MOVE.stop_before(visit, "children")
    return stop or visit.page("move/child.html", back=f"/move/children{kept_query(visit)}", query=kept_query(visit))


async def take_child(visit: Visit) -> Response:
    form = await visit.form()
    given, family = (" ".join(form.get(name, "").split()) for name in ("given", "family"))
    faults: list[Fault] = []
    if not given and not family:
        faults.append(("given", "child-name-missing"))
    faults += [(name, "text-not-allowed") for name, value in (("given", given), ("family", family)) if not _fit(value)]
    born, fault = read_date(form, "born")
    moved = answers_of(visit.data).get("date") or day_in_wales(visit.parts.clock()).isoformat()
    if fault is not None:
        faults.append(fault)
    elif born is not None and born.isoformat() > moved:
        faults.append(("born-day", "child-born-later"))
    elif born is not None and is_adult(born.isoformat(), moved):
        faults.append(("born-day", "child-adult"))
    if faults or born is None:
        return await visit.again(faults)
    parts = [{"type": "GivenName", "value": name} for name in [given] if name]
    parts += [{"type": "FamilyName", "value": name} for name in [family] if name]
    child = Dependant.model_validate_json(orjson.dumps({"name": {"nameParts": parts}, "birthDate": born.isoformat()}))

    def add(answers: dict[str, Any]) -> None:
        added = child.model_dump(mode="json", exclude_none=True)
        children = [one for one in answers.get("children", []) if one != added] + [added]  # sent twice is one child
        answers.update(children_moved="yes", children=children[:MOST_CHILDREN], children_done=False)

    await keep_answers(visit, add)
    return visit.to(f"/move/children/list{kept_query(visit)}")


async def show_list(visit: Visit) -> Response:
    if stop := MOVE.stop_before(visit, "children"):
        return stop
    children = answers_of(visit.data).get("children") or []
    if not children:
        return visit.to(f"/move/children{kept_query(visit)}")
    return visit.page(
        "move/children-list.html",
        back=f"/move/children{kept_query(visit)}",
        children=[child_in_words(child, visit.words) for child in children],
        full=len(children) >= MOST_CHILDREN,
        query=kept_query(visit),
    )


async def take_list(visit: Visit) -> Response:
    form = await visit.form()
    if "remove" in form:
        place = form["remove"]

        def remove(answers: dict[str, Any]) -> None:
            children = list(answers.get("children") or [])
            if place.isascii() and place.isdigit() and int(place) < len(children):
                del children[int(place)]
            answers.update(children=children, children_done=False)

        await keep_answers(visit, remove)
        return visit.to(f"/move/children/list{kept_query(visit)}")
    more = form.get("more")
    if more not in {"yes", "no"}:
        return await visit.again([("more", "children-more-missing")])
    if more == "yes":
        return visit.to(f"/move/child{kept_query(visit)}")
    await keep_answers(visit, lambda answers: answers.update(children_done=True))
    return MOVE.onward(visit, "children")


def _fit(value: str) -> bool:
    try:
        normalise(value)
    except ValueError:
        return False
    return len(value) <= 100  # noqa: PLR2004  the contract takes 300
