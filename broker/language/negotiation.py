"""Which language to show: what was asked for now, else what was chosen before, else what the browser prefers."""

import re
from typing import Final

from broker.language.catalogue import Language

_RANGE: Final = re.compile(r"\s*([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9-]{1,32})?\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?))?\s*")
_LONGEST: Final = 500


def as_language(value: str | None) -> Language | None:
    """Return `cy` or `en` if `value` is one of them."""
    return "cy" if value == "cy" else "en" if value == "en" else None


def negotiated(asked: str | None, chosen: str | None, accept: str | None) -> Language:
    """Return the language: of the query, else of the cookie, else of `Accept-Language` (RFC 9110, section 12.5.4).

    English where nothing says otherwise, as in most browsers of people who read Welsh too: the toggle is on each page.
    """
    return as_language(asked) or as_language(chosen) or _preferred(accept or "")


def _preferred(accept: str) -> Language:
    best: tuple[float, Language] = (0.0, "en")
    for part in accept[:_LONGEST].split(","):
        read = _RANGE.fullmatch(part)
        language = as_language(read[1].lower()) if read else None
        if read and language:
            weight = float(read[2] or 1)
            if weight > best[0]:
                best = (weight, language)
    return best[1]
