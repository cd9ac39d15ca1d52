"""A change of the language somebody is written and spoken to in, and of the form that what they are sent must have."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from contracts.address import Address
from contracts.changes.kind import ChangeKind, Sensitivity
from contracts.person import IdentityLevel
from contracts.text import Strict
from contracts.times import Day

Format = Literal["standard", "large-print", "braille", "easy-read", "bsl", "text-relay"]
"""`standard` says that no other is needed; `bsl` is British Sign Language."""

Formats = Annotated[tuple[Format, ...], Field(min_length=1, max_length=5)]
"""All that somebody needs, not what is added: the list replaces the one before."""


class LanguageChange(Strict):
    """A change of language or accessible format, version 1. What is absent stays as it is."""

    previous_language: Literal["cy", "en"] | None = None
    new_language: Literal["cy", "en"] | None = None
    previous_formats: Formats | None = None
    new_formats: Formats | None = None
    effective_date: Day
    """The first day on which it holds (ISO 8601)."""
    home_address: Address
    """Where the person lives, which decides whom it concerns."""

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.new_language is None and self.new_formats is None:
            raise ValueError("needs newLanguage or newFormats")
        if self.new_language is not None and self.new_language == self.previous_language:
            raise ValueError("previousLanguage and newLanguage are the same")
        for formats in (self.previous_formats or (), self.new_formats or ()):
            if len(set(formats)) != len(formats):
                raise ValueError("a format is named twice")
            if "standard" in formats and len(formats) > 1:
                raise ValueError("standard goes with no other format")
        if self.new_formats is not None and set(self.new_formats) == set(self.previous_formats or ()):
            raise ValueError("previousFormats and newFormats are the same")
        return self


KIND = ChangeKind(
    name="language",
    event_type="wales.unwaith.language-changed.v1",
    model=LanguageChange,
    identity_level=IdentityLevel.P1,
    ends=("home",),
    places=lambda change: {"home": change.home_address},
    effective=lambda change: change.effective_date,
    sensitivity={
        "/change/previousFormats": Sensitivity.SPECIAL,
        "/change/newFormats": Sensitivity.SPECIAL,
        "/change/homeAddress": Sensitivity.CONFIDENTIAL,
    },
)
