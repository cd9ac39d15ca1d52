"""Dates and times in words, in Wales' own time (Babel; CLDR)."""

from datetime import date, datetime

from babel.dates import format_date

from broker.language.catalogue import Language
from contracts.times import WALES


def long_date(day: date, language: Language) -> str:
    """Return `1 March 2026`, `1 Mawrth 2026`."""
    return format_date(day, "d MMMM y", locale=language)


def clock_time(moment: datetime) -> str:
    """Return `14:05`, which needs no language."""
    return f"{moment.astimezone(WALES):%H:%M}"


def moment_in_words(moment: datetime, language: Language) -> str:
    """Return `1 March 2026, 14:05`."""
    there = moment.astimezone(WALES)
    return f"{long_date(there.date(), language)}, {clock_time(there)}"
