"""Days and moments as they may enter the exchange.

pydantic's own readers take more than is published: `"1717200000"` as a date, a moment that cannot be told in UTC.
"""

import calendar
import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AwareDatetime, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

WALES: Final = ZoneInfo("Europe/London")

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def day_in_wales(moment: datetime) -> date:
    """Return the day it is in Wales: in summer it begins an hour before it does in UTC."""
    return moment.astimezone(WALES).date()


class _Written:
    """How a date or moment is written in JSON; Python values are left to pydantic's strict rules."""

    def __init__(self, schema_format: str) -> None:
        self._format = schema_format

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        read = _read_day if self._format == "date" else _read_moment
        return core_schema.json_or_python_schema(
            json_schema=core_schema.chain_schema(
                [core_schema.str_schema(), core_schema.no_info_plain_validator_function(read), handler(source)]
            ),
            python_schema=handler(source),
        )

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "format": self._format}


def _read_day(text: str) -> date:
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise PydanticCustomError("date_parsing", "not a date")


def _read_moment(text: str) -> datetime:
    try:
        if _MOMENT.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError("datetime_parsing", "not a moment")


Day = Annotated[date, _Written("date")]
"""A day, YYYY-MM-DD (RFC 3339, section 5.6, `full-date`)."""

Moment = Annotated[AwareDatetime, _Written("date-time")]
"""A moment with its zone (RFC 3339, section 5.6, `date-time`, and a space for the `T`); in UTC once read."""


def first_day(partial: str) -> date:
    """Return the first day a `PartialDay` may be."""
    year, month, day = (*map(int, partial.split("-")), 1, 1)[:3]
    return date(year, month, day)


def last_day(partial: str) -> date:
    """Return the last day a `PartialDay` may be."""
    known = [int(part) for part in partial.split("-")]
    year, month = (*known, 12)[:2]
    return date(year, month, known[2] if len(known) > 2 else calendar.monthrange(year, month)[1])  # noqa: PLR2004  days


def _partial(text: str) -> str:
    try:
        first_day(text)
    except ValueError:
        raise PydanticCustomError("date_parsing", "not a date") from None
    return text


PartialDay = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?$"), AfterValidator(_partial)
]
"""A day of which the day, or the month too, may not be known: YYYY-MM-DD, YYYY-MM or YYYY (ISO 8601-1, 5.2.2.2, as FHIR
has it)."""
