"""Why a change is not taken in. None of these stores anything.

Refusal
├── NotAcceptable    a field cannot be so
├── LevelTooLow      the person is not known well enough for this type
├── NobodyToTell     no agreement covers it, or all were left out
├── PreviewChanged   more would be told than the person was shown
├── AlreadyTold      everybody it is for was told just this before
├── TooMany          so many changes in a day are not taken in from one person
├── KeyReused        the same Idempotency-Key came with another body
└── TooBusy          more is waiting than can be written soon
"""

from collections.abc import Sequence

from contracts.person import IdentityLevel
from contracts.problems import FieldProblem
from contracts.requests import Preview


class Refusal(Exception):  # noqa: N818  an answer, not a fault
    """The change is not taken in."""


class NotAcceptable(Refusal):
    """A field cannot be so."""

    def __init__(self, errors: Sequence[FieldProblem]) -> None:
        super().__init__(f"{len(errors)} fields")
        self.errors = tuple(errors)


class LevelTooLow(Refusal):
    """This type of change needs a better known person."""

    def __init__(self, needed: IdentityLevel) -> None:
        super().__init__(needed.value)
        self.needed = needed


class NobodyToTell(Refusal):
    """Nobody would be told of this change."""


class PreviewChanged(Refusal):
    """Something would grow beyond what the person was shown; they must see the new preview first."""

    def __init__(self, preview: Preview) -> None:
        super().__init__(f"{len(preview.recipients)} recipients")
        self.preview = preview


class AlreadyTold(Refusal):
    """Everybody it is for was told just this before, or is still to be: there is nothing new."""

    def __init__(self, person_id: int, reference: str) -> None:
        super().__init__("known")
        self.person_id = person_id
        self.reference = reference
        """Of the change that told it; the person's own."""


class TooMany(Refusal):
    """One person told too many changes in a day; the next is taken in when a day has passed since the first of them."""


class KeyReused(Refusal):
    """The Idempotency-Key belongs to another change."""


class TooBusy(Refusal):
    """Ask again shortly."""
