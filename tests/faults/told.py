"""What somebody told and was answered: one side of the ledger."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Told:
    """One change and what was answered to it."""

    person: int
    number: int
    """The person's n-th, from 1."""
    key: str
    body: dict[str, Any] = field(repr=False)
    data: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    """What the preview said each organisation would receive."""
    references: set[str] = field(default_factory=set)
    """Every reference a 202 has named; one, if all is well."""
