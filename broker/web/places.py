"""Where somebody may be sent after signing in: a place of ours, whatever a link says."""

import re
from typing import Final

_PLACE: Final = re.compile(r"/(?:[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*)?")
"""A plain path: no second slash, no backslash, no percent sign, no scheme, no query. Every page of ours is one."""


def own_path(asked: str | None, home: str) -> str:
    """Return `asked` if it is a plain path under `home`, else `home`."""
    if not asked or not _PLACE.fullmatch(asked) or len(asked) > 200:  # noqa: PLR2004  longer than any of ours
        return home
    return asked if home in {"/", asked} or asked.startswith(f"{home}/") else home
