"""Dates as people fill them in: three fields, and which of them to put right."""

from datetime import date

from broker.web.visit import Fault, Form


def read_date(form: Form, name: str) -> tuple[date | None, Fault | None]:
    """Return the date of the fields `{name}-day`, `-month` and `-year`, or the first fault with the field it is in.

    Message ids: `date-missing`, `date-day-missing`, `date-month-missing`, `date-year-missing`, `date-unreal`.
    """
    said = {part: form.get(f"{name}-{part}", "").strip() for part in ("day", "month", "year")}
    absent = [part for part, value in said.items() if not value]
    if len(absent) == len(said):
        return None, (f"{name}-day", "date-missing")
    if absent:
        return None, (f"{name}-{absent[0]}", _ABSENT[absent[0]])
    whole = all(value.isascii() and value.isdigit() for value in said.values())
    try:
        day = date(int(said["year"]), int(said["month"]), int(said["day"])) if whole else None
    except (ValueError, OverflowError):
        day = None
    if day is None or len(said["year"]) != 4:  # noqa: PLR2004  a year in two figures may mean two years
        return None, (f"{name}-day", "date-unreal")
    return day, None


def read_partial(form: Form, name: str) -> tuple[str | None, Fault | None]:
    """Return a date of which the day, or the day and the month, may be left empty, as YYYY-MM-DD, YYYY-MM or YYYY."""
    said = {part: form.get(f"{name}-{part}", "").strip() for part in ("day", "month", "year")}
    if said["day"] or not any(said.values()):
        day, fault = read_date(form, name)
        return (day.isoformat() if day else None), fault
    if not said["year"]:
        return None, (f"{name}-year", _ABSENT["year"])
    whole, fault = read_date({f"{name}-{part}": value or "1" for part, value in said.items()}, name)
    if whole is None:
        return None, fault
    return (f"{whole:%Y-%m}" if said["month"] else f"{whole:%Y}"), None


_ABSENT = {"day": "date-day-missing", "month": "date-month-missing", "year": "date-year-missing"}
