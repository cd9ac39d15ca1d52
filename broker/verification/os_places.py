"""Ordnance Survey's OS Places API: one question after the other, within its limits, and what its answers say.

Source: docs.os.uk, "OS Places API, technical specification" (find, postcode, uprn), "Authentication" (the key in a header
`key`, or OAuth 2.0 client credentials), "Rate-limiting policy" (600 a minute for each project; 429, no `Retry-After`).

What an answer means:

    200                      its results; none stands for an empty list
    400                      they cannot look for that: no results
    401                      with a token: once more with a new one. Else the key is refused: away, and an alarm
    403 404 405 410 3xx      not for us, or nothing there: away, and an alarm
    408 429 5xx, none        away for a while, longer each time
    anything else            away: not what was documented

A postcode and what somebody typed stand in URLs of theirs, which is how they ask to be asked. No URL of that kind is
logged, counted or put into an error here or in the way out.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import orjson
import structlog
from pydantic import ValidationError

from broker.store.register import Place
from broker.verification.gazetteer import GazetteerAway
from contracts.adapters import HttpAnswer
from contracts.address import Address
from contracts.delivery import Misconfigured, Unavailable, Unknown

A_MINUTE: Final = 600
PAGE: Final = 100
MOST_PAGES: Final = 4
"""Of a postcode: a hundred addresses, each by Royal Mail and by its authority, in two languages."""
DEADLINE: Final = timedelta(seconds=4)
CAP: Final = 2 * 1024 * 1024
"""Bytes: four hundred results have about 600,000."""
LONGEST_AWAY: Final = 60.0

_NOT_NOW: Final = frozenset({408, 429, *range(500, 600)})
_OK: Final = 200
_NONE: Final = 400
_REFUSED: Final = 401
_APPROVED: Final = "1"
_SMALL: Final = frozenset("y yr ar o i of the and upon on".split())  # noqa: SIM905  words of two languages

log = structlog.get_logger()


class Get(Protocol):
    """GET once: `GuardedClient.get`."""

    async def __call__(
        self, url: str, *, cap: int, deadline: timedelta, headers: Mapping[str, str] | None = None
    ) -> HttpAnswer: ...


class Bearer(Protocol):
    """Access tokens: `broker.outbound.oauth.Tokens`."""

    async def token(self, seconds: float) -> str: ...

    def refused(self, token: str) -> None: ...


class OsPlaces:
    """The API, asked by one process. Every question raises GazetteerAway."""

    def __init__(
        self,
        get: Get,
        url: str,
        *,
        key: str | None = None,
        tokens: Bearer | None = None,
        a_minute: int = A_MINUTE,
        clock: Callable[[], float],
    ) -> None:
        """By `key` or by `tokens`; `a_minute` is this process's part of what the project may ask; `clock` in seconds."""
        self._get = get
        self._url = url
        self._key = key
        self._tokens = tokens
        self._a_minute = a_minute
        self._clock = clock
        self._asked: deque[float] = deque()
        """When, within the last minute."""
        self._failures = 0
        """In a row."""
        self._not_before = float("-inf")

    def answers(self) -> bool:
        """Return whether it answered when it was last asked, and may be asked now."""
        self._forget()
        return self._failures == 0 and len(self._asked) < self._a_minute

    async def at(self, postal_code: str) -> list[Place]:
        """Return every address at a postcode, in each language it has."""
        found: list[Place] = []
        for page in range(MOST_PAGES):
            results, total = await self._ask("postcode", {"postcode": postal_code, "offset": str(page * PAGE)})
            found += results
            if (page + 1) * PAGE >= total:
                break
        return found

    async def find(self, text: str) -> list[Place]:
        """Return the addresses that may be meant by a text, the likeliest first."""
        return (await self._ask("find", {"query": text}))[0]

    async def property(self, uprn: int) -> list[Place]:
        """Return a property in each language it has; none where there is no such UPRN."""
        return (await self._ask("uprn", {"uprn": str(uprn)}))[0]

    async def _ask(self, resource: str, asked: Mapping[str, str]) -> tuple[list[Place], int]:
        query = urlencode({**asked, "dataset": "DPA,LPI", **({} if resource == "uprn" else {"maxresults": str(PAGE)})})
        answer = await self._answer(f"{self._url}/{resource}?{query}")
        if answer.status == _NONE:
            return [], 0
        if answer.status != _OK:
            log.error("gazetteer.refused", status=answer.status)
            raise self._away()
        try:
            said = orjson.loads(answer.body)
            total = int(said["header"]["totalresults"])
            results = said.get("results", [])
            places = [place for one in results if (place := place_of(one)) is not None]
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            log.error("gazetteer.unreadable", status=answer.status)  # noqa: TRY400  its words would be theirs
            raise self._away() from None
        self._failures = 0
        return places, total

    async def _answer(self, url: str) -> HttpAnswer:
        answer, token = await self._once(url)
        if answer.status == _REFUSED and self._tokens is not None and token is not None:
            self._tokens.refused(token)
            answer, _ = await self._once(url)
        if answer.status in _NOT_NOW:
            log.warning("gazetteer.away", status=answer.status)
            raise self._away()
        return answer

    async def _once(self, url: str) -> tuple[HttpAnswer, str | None]:
        self._may_ask()
        headers = {"accept": "application/json"}
        try:
            token = None if self._tokens is None else await self._tokens.token(DEADLINE.total_seconds())
            if token is not None:
                headers["authorization"] = f"Bearer {token}"
            elif self._key is not None:
                headers["key"] = self._key
            return await self._get(url, cap=CAP, deadline=DEADLINE, headers=headers), token
        except (Unavailable, Unknown, Misconfigured) as failure:
            log.warning("gazetteer.away", reason=failure.reason.value)
            raise self._away() from None

    def _may_ask(self) -> None:
        now = self._clock()
        self._forget()
        if now < self._not_before or len(self._asked) >= self._a_minute:
            raise GazetteerAway
        self._asked.append(now)

    def _forget(self) -> None:
        while self._asked and self._asked[0] <= self._clock() - 60.0:
            self._asked.popleft()

    def _away(self) -> GazetteerAway:
        """Ask nothing for a while: a second, and twice as long after each failure in a row."""
        self._failures += 1
        self._not_before = self._clock() + min(LONGEST_AWAY, 2.0 ** (self._failures - 1))
        return GazetteerAway()


def place_of(result: Mapping[str, Any]) -> Place | None:
    """Return a result in our words; None for one that is no address anybody lives or works at, or that is not whole."""
    by_mail, by_authority = result.get("DPA"), result.get("LPI")
    said = by_mail or by_authority
    if not isinstance(said, Mapping):
        return None
    if by_mail is None and (
        str(said.get("LPI_LOGICAL_STATUS_CODE")) != _APPROVED or said.get("POSTAL_ADDRESS_CODE") == "N"
    ):
        return None
    try:
        wire = _of_mail(said) if by_mail is not None else _of_authority(said)
        address = Address.model_validate(
            {**{name: value for name, value in wire.items() if value}, "uprn": int(said["UPRN"])}
        )
        code = int(said["LOCAL_CUSTODIAN_CODE"])
    except (KeyError, TypeError, ValueError, ValidationError):
        log.warning("gazetteer.result_skipped", kind="DPA" if by_mail is not None else "LPI")
        return None
    if address.uprn is None:
        return None
    return Place(
        uprn=address.uprn,
        language="cy" if str(said.get("LANGUAGE", "EN")).upper().startswith(("CY", "W")) else "en",
        custodian_code=code,
        postal_code=address.postal_code or "",
        address=address.model_dump(mode="json", exclude_none=True),
        invented=False,
    )


def _of_mail(said: Mapping[str, Any]) -> dict[str, str]:
    """A delivery point address, as Royal Mail has it."""
    return {
        "organisation_name": _text(said, "ORGANISATION_NAME"),
        "department_name": _text(said, "DEPARTMENT_NAME"),
        "sub_building_name": _text(said, "SUB_BUILDING_NAME"),
        "building_name": _text(said, "BUILDING_NAME"),
        "building_number": _text(said, "BUILDING_NUMBER"),
        "po_box_number": _text(said, "PO_BOX_NUMBER"),
        "dependent_street_name": _text(said, "DEPENDENT_THOROUGHFARE_NAME"),
        "street_name": _text(said, "THOROUGHFARE_NAME"),
        "double_dependent_address_locality": _text(said, "DOUBLE_DEPENDENT_LOCALITY"),
        "dependent_address_locality": _text(said, "DEPENDENT_LOCALITY"),
        "address_locality": _text(said, "POST_TOWN"),
        "postal_code": str(said.get("POSTCODE") or ""),
    }


def _of_authority(said: Mapping[str, Any]) -> dict[str, str]:
    """A land and property identifier (BS 7666), as its authority has it: secondary and primary object, street."""
    secondary, number = _range(said, "SAO"), _range(said, "PAO")
    return {
        "organisation_name": _text(said, "ORGANISATION"),
        "sub_building_name": " ".join(part for part in (_text(said, "SAO_TEXT"), secondary) if part),
        "building_name": _text(said, "PAO_TEXT"),
        "building_number": number,
        "street_name": _text(said, "STREET_DESCRIPTION"),
        "dependent_address_locality": _text(said, "LOCALITY_NAME"),
        "address_locality": _text(said, "TOWN_NAME") or _text(said, "POST_TOWN"),
        "postal_code": str(said.get("POSTCODE_LOCATOR") or ""),
    }


def _range(said: Mapping[str, Any], which: str) -> str:
    ends = [
        f"{said.get(f'{which}_{end}_NUMBER') or ''}{said.get(f'{which}_{end}_SUFFIX') or ''}"
        for end in ("START", "END")
    ]
    return "-".join(end for end in ends if end)


def _text(said: Mapping[str, Any], name: str) -> str:
    """Return a text as people write it: theirs is in capitals."""
    text = " ".join(str(said.get(name) or "").split())
    if not text.isupper():
        return text
    return " ".join(
        "-".join(_cased(part, first=place == turn == 0) for turn, part in enumerate(word.split("-")))
        for place, word in enumerate(text.split())
    )


def _cased(word: str, *, first: bool) -> str:
    if any(one.isdigit() for one in word):
        return word
    return word.lower() if word.lower() in _SMALL and not first else word.capitalize()


def chosen(places: Sequence[Place], language: str) -> list[Place]:
    """Return each property once, in the order they came, in that language where it has it."""
    best: dict[int, Place] = {}
    for place in places:
        known = best.get(place.uprn)
        if known is None or (known.language != language and place.language == language):
            best[place.uprn] = place
    return list(best.values())
