"""Addresses: by postcode and choosing, or typed; one's own also as the provider knows it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from broker.store.register import Place
from broker.verification import GazetteerAway, that_do_not_exist
from broker.web.telling.journey import Journey, address_of, answers_of, keep_answers, kept_query, same_home
from broker.web.telling.wording import address_line
from broker.web.visit import Fault, Page, Visit
from contracts.address import PostalCode
from contracts.text import normalise

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


@dataclass(frozen=True, slots=True)
class Finder:
    """One address that a journey asks for: a step of it."""

    journey: Journey
    which: str
    """The step's name, and where its answer is kept."""
    by_postcode: str
    """Messages over its pages."""
    chosen: str
    typed: str
    suggesting: Mapping[str, str] | None = None
    """Messages by which the provider's address is suggested: `title`, `body`, `question`, `yes`, `no`, `missing`. None
    where it cannot be this one."""
    filled_in: bool = False
    """Whether a browser may fill in what it knows of its user."""
    unlike: str | None = None
    """Another address, which this one cannot be."""

    @property
    def base(self) -> str:
        return f"{self.journey.root}/{self.which}"

    def pages(self) -> list[Page]:
        found = [
            page
            for name, ask, take in (
                ("postcode", ask_postcode, take_postcode),
                ("choose", ask_choice, take_choice),
                ("type", ask_typed, take_typed),
            )
            for page in (
                Page("GET", f"{self.base}/{name}", self._with(ask, shown=True)),
                Page("POST", f"{self.base}/{name}", self._with(take, shown=False)),
            )
        ]
        if self.suggesting is not None:
            found += [
                Page("GET", self.base, self._with(ask_suggested, shown=True)),
                Page("POST", self.base, self._with(take_suggested, shown=False)),
            ]
        return found

    def known(self, visit: Visit) -> Mapping[str, Any]:
        known: Mapping[str, Any] = answers_of(visit.data).get(self.which) or {}
        return known

    def is_unlike(self, visit: Visit, address: Mapping[str, Any]) -> bool:
        other = answers_of(visit.data).get(self.unlike or "") or {}
        return not same_home(address, other.get("address"))

    def _with(
        self, handler: "Callable[[Visit, Finder], Awaitable[Response]]", *, shown: bool
    ) -> Callable[[Visit], Awaitable[Response]]:
        async def answer(visit: Visit) -> Response:
            # an answer out of turn is kept for its turn, but not for another journey's
            stop = self.journey.stop_before(visit, self.which if shown else self.journey.asked[0].name)
            return stop or await handler(visit, self)

        return answer


async def ask_suggested(visit: Visit, finder: Finder) -> Response:
    """Ask whether the address the provider knows is the previous one: evidence, and only a suggestion."""
    suggested = await _suggested(visit)
    if suggested is None:
        return visit.to(f"{finder.base}/postcode{kept_query(visit)}")
    return visit.page(
        "move/suggested.html",
        back=finder.journey.before(visit, finder.which),
        suggested=address_line(suggested),
        answer=finder.known(visit).get("suggested"),
        says=finder.suggesting,
        query=kept_query(visit),
    )


async def take_suggested(visit: Visit, finder: Finder) -> Response:
    said = (await visit.form()).get("suggested")
    suggested = await _suggested(visit)
    if said == "no" or suggested is None:
        await keep_answers(visit, lambda answers: answers.setdefault(finder.which, {}).update(suggested="no"))
        return visit.to(f"{finder.base}/postcode{kept_query(visit)}")
    if said != "yes":
        return await visit.again([("suggested", (finder.suggesting or {})["missing"])])
    if not finder.is_unlike(visit, suggested):
        return await visit.again([("suggested", "address-same")])
    await keep_answers(
        visit, lambda answers: answers.update({finder.which: {"suggested": "yes", "address": suggested}})
    )
    return finder.journey.onward(visit, finder.which)


async def _suggested(visit: Visit) -> Mapping[str, Any] | None:
    """Return the provider's address, in the gazetteer's spelling where it is known there."""
    homes = visit.signed_in.who.get("homes") or []
    if not homes:
        return None
    home: Mapping[str, Any] = homes[0]
    if home.get("uprn") and home.get("postalCode"):
        try:
            for place in await visit.parts.gazetteer.at(home["postalCode"], visit.language):
                if place.uprn == home["uprn"]:
                    return _wire(place)
        except GazetteerAway:
            pass  # as the provider has it
    return home


async def ask_postcode(visit: Visit, finder: Finder) -> Response:
    return visit.page(
        "move/postcode.html",
        back=f"{finder.base}{kept_query(visit)}" if finder.suggesting else finder.journey.before(visit, finder.which),
        title=finder.by_postcode,
        finder=finder,
        answer=finder.known(visit),
        query=kept_query(visit),
    )


async def take_postcode(visit: Visit, finder: Finder) -> Response:
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
    try:
        found = await _found(visit, asked)
    except GazetteerAway:
        return await visit.again([("part" if part else "postcode", "gazetteer-away")])
    if not found:
        return await visit.again([("part", "part-unknown")] if part else [("postcode", "postcode-unknown")])
    await keep_answers(visit, lambda answers: answers.setdefault(finder.which, {}).update(asked))
    return visit.to(f"{finder.base}/choose{kept_query(visit)}")


async def _found(visit: Visit, asked: Mapping[str, Any]) -> list[Place]:
    """Return the addresses to choose from, by the postcode and the part of the address that were asked for."""
    gazetteer, postcode, part = visit.parts.gazetteer, asked.get("postcode") or None, asked.get("part")
    if part:
        return await gazetteer.search(part, postcode, visit.language)
    return await gazetteer.at(postcode, visit.language) if postcode else []


async def ask_choice(visit: Visit, finder: Finder) -> Response:
    known = finder.known(visit)
    if not (known.get("postcode") or known.get("part")):
        return visit.to(f"{finder.base}/postcode{kept_query(visit)}")
    try:
        found = await _found(visit, known)
    except GazetteerAway:
        return visit.to(f"{finder.base}/type{kept_query(visit)}")
    return visit.page(
        "move/choose.html",
        back=f"{finder.base}/postcode{kept_query(visit)}",
        title=finder.chosen,
        finder=finder,
        asked=", ".join(said for said in (known.get("part"), known.get("postcode")) if said),
        found=[(str(place.uprn), address_line(_wire(place))) for place in found],
        invented=any(place.invented for place in found),
        answer=str((finder.known(visit).get("address") or {}).get("uprn", "")),
        query=kept_query(visit),
    )


async def take_choice(visit: Visit, finder: Finder) -> Response:
    chosen = (await visit.form()).get("uprn")
    if chosen == "none":
        return visit.to(f"{finder.base}/type{kept_query(visit)}")
    try:
        found = await _found(visit, finder.known(visit))
    except GazetteerAway:
        return visit.to(f"{finder.base}/type{kept_query(visit)}")
    address = next((_wire(place) for place in found if str(place.uprn) == chosen), None)
    if address is None:
        return await visit.again([("uprn", "choose-missing")])
    return await _take(visit, finder, address, "uprn")


async def ask_typed(visit: Visit, finder: Finder) -> Response:
    known = finder.known(visit)
    typed = known.get("typed") or {"postcode": known.get("postcode", "")}
    return visit.page(
        "move/type.html",
        back=f"{finder.base}/postcode{kept_query(visit)}",
        title=finder.typed,
        finder=finder,
        typed=typed,
        query=kept_query(visit),
    )


async def take_typed(visit: Visit, finder: Finder) -> Response:
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
    if finder.which == "new" and await that_do_not_exist(visit.parts.database, [address_of(wire)]):
        return await visit.again([("postcode", "postcode-not-real")])
    address = address_of(wire).model_dump(mode="json", exclude_none=True)
    await keep_answers(visit, lambda answers: answers.setdefault(finder.which, {}).update(typed=typed))
    return await _take(visit, finder, address, "building")


_CAMEL: Final = {
    "sub_building_name": "subBuildingName",
    "building": "buildingName",
    "street_name": "streetName",
    "dependent_address_locality": "dependentAddressLocality",
    "address_locality": "addressLocality",
}


async def _take(visit: Visit, finder: Finder, address: Mapping[str, Any], field: str) -> Response:
    if not finder.is_unlike(visit, address):
        return await visit.again([(field, "address-same")])
    await keep_answers(visit, lambda answers: answers.setdefault(finder.which, {}).update(address=dict(address)))
    return finder.journey.onward(visit, finder.which)


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
