"""Change types of others: packages installed here that announce one, as they announce adapters.

A package announces its `ChangeKind` as an entry point of the group `unwaith.changes`, by the type's name. Beside the
module that holds it lie `en.ftl` and `cy.ftl` with its messages (see docs/change-types.md) and `example.json` with a
change of it. Who installs a package on our machines trusts it: it runs with us.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.metadata import EntryPoint, entry_points
from importlib.resources.abc import Traversable
from typing import Any, Final

from contracts.changes.kind import ChangeKind

GROUP: Final = "unwaith.changes"

NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
EVENT_TYPE: Final = re.compile(r"wales\.unwaith\.[a-z0-9-]+\.v[0-9]+")


@dataclass(frozen=True, slots=True)
class Installed:
    """A change type of somebody else's, and the folder its package keeps it in."""

    kind: ChangeKind
    example: Mapping[str, Any]
    """A change of this type in wire form."""
    folder: Traversable

    def messages(self, language: str) -> str:
        """Return its messages in a language, as Fluent text."""
        return self.folder.joinpath(f"{language}.ftl").read_text(encoding="utf-8")


@cache
def installed() -> tuple[Installed, ...]:
    """Return every change type that is announced, by name.

    Raises ValueError, naming the package's module and what must be put right, for one that cannot be what it says.
    """
    announced = sorted(entry_points(group=GROUP), key=lambda found: (found.name, found.value))
    return tuple(_loaded(found) for found in {(found.name, found.value): found for found in announced}.values())


def _loaded(found: EntryPoint) -> Installed:
    try:
        kind = found.load()
        folder = resources.files(found.module)
        written = folder.joinpath("example.json").read_text(encoding="utf-8")
        for language in ("cy", "en"):
            folder.joinpath(f"{language}.ftl").read_text(encoding="utf-8")
    except Exception as fault:  # whatever a package of somebody else's does
        raise _wrong(found, f"{found.value} cannot be loaded ({type(fault).__name__}: {fault})") from fault
    if not isinstance(kind, ChangeKind) or kind.name != found.name:
        raise _wrong(found, f"{found.value} is not a ChangeKind of this name")
    if not NAME.fullmatch(kind.name) or not EVENT_TYPE.fullmatch(kind.event_type):
        raise _wrong(found, "its name or its event type does not have the right form")
    try:
        example = kind.model.model_validate_json(written, by_alias=True, by_name=False)
        places = kind.places(example)
        kind.effective(example)
    except Exception as fault:
        raise _wrong(found, f"example.json is not a change of this type ({type(fault).__name__})") from fault
    if set(places) != set(kind.ends):
        raise _wrong(found, "places are not those of its ends")
    return Installed(kind, example.model_dump(mode="json", exclude_none=True, exclude_defaults=True), folder)


def _wrong(found: EntryPoint, what: str) -> ValueError:
    return ValueError(f"change type {found.name}: {what}")
