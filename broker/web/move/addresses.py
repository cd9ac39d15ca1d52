"""The two addresses: by postcode and choosing, or typed; the previous one also as the provider knows it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal

from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from broker.store.register import Place
from broker.web.move.answers import address_of, answers_of, same_home
from broker.web.move.going import before, keep_answers, kept_query, onward, stop_before
from broker.web.move.wording import address_line
from broker.web.visit import Fault, Page, Visit
from contracts.address import PostalCode
from contracts.text import normalise

Which = Literal["new", "previous"]

LONGEST_LINE: Final = 100
_FIELDS: Final = (
    ("flat", "sub_building_name", None),
    ("building", "building", "type-building-missing"),
    ("street", "street_name", None),
    ("locality", "dependent_address_locality", None),
    ("town", "address_locality", "type-town-missing"),
)
"""Field of the form, of the address, and what is said when it is missing; None where it may be."""
_POSTAL_CODE: Final = TypeAdapter[str](PostalCode)


def pages() -> list[Page]:
    found = [
        Page("GET", "/move/previous", ask_suggested),
        Page("POST", "/move/previous", take_suggested),
    ]
    for which in _BOTH:
        found += [
            Page("GET", f"/move/{which}/postcode", _for(which, ask_postcode)),
            Page("POST", f"/move/{which}/postcode", _for(which, take_postcode)),
            Page("GET", f"/move/{which}/choose", _for(which, ask_choice)),
            Page("POST", f"/move/{which}/choose", _for(which, take_choice)),
            Page("GET", f"/move/{which}/type", _for(which, ask_typed)),
            Page("POST", f"/move/{which}/type", _for(which, take_typed)),
        ]
    return found


_BOTH: Final[tuple[Which, ...]] = ("new", "previous")
_TITLES: Final[Mapping[tuple[Which, str], str]] = {
    ("new", "postcode"): "new-postcode-title",
    ("new", "choose"): "new-choose-title",
    ("new", "type"): "new-type-title",
    ("previous", "postcode"): "previous-postcode-title",
    ("previous", "choose"): "previous-choose-title",
    ("previous", "type"): "previous-type-title",
}


def _for(
    which: Which, handler: Callable[[Visit, Which], Awaitable[Response]]
) -> Callable[[Visit], Awaitable[Response]]:
    async def answer(visit: Visit) -> Response:
        if visit.request.method == "GET" and (stop := stop_before(visit, which)):
            return stop
        return await handler(visit, which)

    return answer


def _known(visit: Visit, which: Which) -> Mapping[str, Any]:
    known: Mapping[str, Any] = answers_of(visit.data).get(which) or {}
    return known


async def ask_suggested(visit: Visit) -> Response:
    """Ask whether the address the provider knows is the previous one: evidence, and only a suggestion."""
    if stop := stop_before(visit, "previous"):
        return stop
    suggested = await _suggested(visit)
    if suggested is None:
        return visit.to(f"/move/previous/postcode{kept_query(visit)}")
    return visit.page(
        "move/suggested.html",
        back=before(visit, "previous"),
        suggested=address_line(suggested),
        answer=_known(visit, "previous").get("suggested"),
        query=kept_query(visit),
    )


async def take_suggested(visit: Visit) -> Response:
    said = (await visit.form()).get("suggested")
    suggested = await _suggested(visit)
    if said == "no" or suggested is None:
        await keep_answers(visit, lambda answers: answers.setdefault("previous", {}).update(suggested="no"))
        return visit.to(f"/move/previous/postcode{kept_query(visit)}")
    if said != "yes":
        return await visit.again([("suggested", "suggested-missing")])
    if same_home(suggested, _known(visit, "new").get("address")):
        return await visit.again([("suggested", "address-same")])
    await keep_answers(visit, lambda answers: answers.update(previous={"suggested": "yes", "address": suggested}))
    return onward(visit, "previous")


async def _suggested(visit: Visit) -> Mapping[str, Any] | None:
    """Return the provider's address, in the gazetteer's spelling where it is known there."""
    homes = visit.signed_in.who.get("homes") or []
    if not homes:
        return None
    home: Mapping[str, Any] = homes[0]
    if home.get("uprn") and home.get("postalCode"):
        for place in await visit.parts.gazetteer.at(home["postalCode"], visit.language):
            if place.uprn == home["uprn"]:
                return _wire(place)
    return home


async def ask_postcode(visit: Visit, which: Which) -> Response:
    return visit.page(
        "move/postcode.html",
        back=before(visit, which) if which == "new" else f"/move/previous{kept_query(visit)}",
        title=_TITLES[which, "postcode"],
        which=which,
        answer=_known(visit, which),
        query=kept_query(visit),
    )


async def take_postcode(visit: Visit, which: Which) -> Response:
    form = await visit.form()
    said, part = (" ".join(form.get(name, "").split()) for name in ("postcode", "part"))
    if not said and not part:
        return await visit.again([("postcode", "postcode-missing")])
    postcode = _postal_code(said) if said else None
    if said and postcode is None:
        return await visit.again([("postcode", "postcode-wrong")])
    if fault := _line_fault(part, None):
        return await visit.again([("part", fault)])
    asked = {"postcode": postcode or "", "part": part}
    if not await _found(visit, asked):
        return await visit.again([("part", "part-unknown")] if part else [("postcode", "postcode-unknown")])
    await keep_answers(visit, lambda answers: answers.setdefault(which, {}).update(asked))
    return visit.to(f"/move/{which}/choose{kept_query(visit)}")


async def _found(visit: Visit, asked: Mapping[str, Any]) -> list[Place]:
    """Return the addresses to choose from, by the postcode and the part of the address that were asked for."""
    gazetteer, postcode, part = visit.parts.gazetteer, asked.get("postcode") or None, asked.get("part")
    if part:
        return await gazetteer.search(part, postcode, visit.language)
    return await gazetteer.at(postcode, visit.language) if postcode else []


async def ask_choice(visit: Visit, which: Which) -> Response:
    known = _known(visit, which)
    if not (known.get("postcode") or known.get("part")):
        return visit.to(f"/move/{which}/postcode{kept_query(visit)}")
    found = await _found(visit, known)
    return visit.page(
        "move/choose.html",
        back=f"/move/{which}/postcode{kept_query(visit)}",
        title=_TITLES[which, "choose"],
        which=which,
        asked=", ".join(said for said in (known.get("part"), known.get("postcode")) if said),
        found=[(str(place.uprn), address_line(_wire(place))) for place in found],
        invented=any(place.invented for place in found),
        answer=str((_known(visit, which).get("address") or {}).get("uprn", "")),
        query=kept_query(visit),
    )


async def take_choice(visit: Visit, which: Which) -> Response:
    chosen = (await visit.form()).get("uprn")
    if chosen == "none":
        return visit.to(f"/move/{which}/type{kept_query(visit)}")
    found = await _found(visit, _known(visit, which))
    address = next((_wire(place) for place in found if str(place.uprn) == chosen), None)
    if address is None:
        return await visit.again([("uprn", "choose-missing")])
    return await _take(visit, which, address, "uprn")


async def ask_typed(visit: Visit, which: Which) -> Response:
    known = _known(visit, which)
    typed = known.get("typed") or {"postcode": known.get("postcode", "")}
    return visit.page(
        "move/type.html",
        back=f"/move/{which}/postcode{kept_query(visit)}",
        title=_TITLES[which, "type"],
        which=which,
        typed=typed,
        query=kept_query(visit),
    )


async def take_typed(visit: Visit, which: Which) -> Response:
    form = await visit.form()
    typed = {name: " ".join(form.get(name, "").split()) for name in (*(name for name, *_ in _FIELDS), "postcode")}
    faults: list[Fault] = []
    wire: dict[str, Any] = {}
    for name, part, missing in _FIELDS:
        fault = _line_fault(typed[name], missing)
        if fault:
            faults.append((name, fault))
        elif typed[name]:
            wire["buildingNumber" if part == "building" and typed[name][0].isdigit() else _CAMEL[part]] = typed[name]
    postcode = _postal_code(typed["postcode"])
    if postcode is None:
        faults.append(("postcode", "postcode-wrong" if typed["postcode"] else "postcode-missing"))
    if faults or postcode is None:
        return await visit.again(faults)
    wire["postalCode"] = postcode
    address = address_of(wire).model_dump(mode="json", exclude_none=True)
    await keep_answers(visit, lambda answers: answers.setdefault(which, {}).update(typed=typed))
    return await _take(visit, which, address, "building")


_CAMEL: Final = {
    "sub_building_name": "subBuildingName",
    "building": "buildingName",
    "street_name": "streetName",
    "dependent_address_locality": "dependentAddressLocality",
    "address_locality": "addressLocality",
}


async def _take(visit: Visit, which: Which, address: Mapping[str, Any], field: str) -> Response:
    other: Which = "previous" if which == "new" else "new"
    if same_home(address, _known(visit, other).get("address")):
        return await visit.again([(field, "address-same")])
    await keep_answers(visit, lambda answers: answers.setdefault(which, {}).update(address=dict(address)))
    return onward(visit, which)


def _wire(place: Place) -> dict[str, Any]:
    return dict(address_of(place.address).model_dump(mode="json", exclude_none=True))


def _line_fault(value: str, missing: str | None) -> str | None:
    if not value:
        return missing
    try:
        normalise(value)
    except ValueError:
        return "text-not-allowed"
    return "text-too-long" if len(value) > LONGEST_LINE else None


def _postal_code(said: str) -> str | None:
    """Return a postcode with its space, None if it cannot be one."""
    packed = said.replace(" ", "").upper()
    if not 5 <= len(packed) <= 7 or not packed.isascii() or not packed.isalnum():  # noqa: PLR2004  every UK postcode
        return None
    try:
        return _POSTAL_CODE.validate_python(f"{packed[:-3]} {packed[-3:]}")
    except ValidationError:
        return None
