"""Text as it may enter the exchange, and the strict model every contract is built from.

Welsh letters (ŵ, ŷ, â, ô) must survive everywhere, so text is normalised to NFC once, here, and never again.
"""

import unicodedata
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

_FORBIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, lone surrogates, private use, unassigned, line and paragraph separators (Unicode 15, section 4.5)."""

_FORBIDDEN_CHARACTERS: Final = frozenset(
    "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)
"""Bidirectional controls and zero-width characters: a name that shows as another is how a clerk is fooled."""


def normalise(value: str) -> str:
    """Return `value` in NFC.

    Raises ValueError for control, bidirectional, zero-width, private-use or unassigned characters and for
    white space at either end. The message never repeats the value.
    """
    if value.isascii():  # the common case, three times faster than looking up categories
        if not value.isprintable():
            raise ValueError("contains a character that is not allowed")
        text = value
    else:
        text = unicodedata.normalize("NFC", value)
        for character in text:
            if character in _FORBIDDEN_CHARACTERS or unicodedata.category(character) in _FORBIDDEN_CATEGORIES:
                raise ValueError("contains a character that is not allowed")
    if text != text.strip():
        raise ValueError("begins or ends with white space")
    return text


Line = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(normalise)]
"""One line of text, 1 to 255 characters, NFC."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=300), AfterValidator(normalise)]
"""Part of a person's name, 1 to 300 characters, NFC."""

Code = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(?:[-_.][a-z0-9]+)*$", max_length=64)]
"""A short lower-case identifier of ours: an organisation, an agreement, a reason."""


class Strict(BaseModel):
    """A frozen model: unknown keys refused, no coercion, camelCase on the wire, values hidden from `repr`.

    `hide_input_in_errors` and the empty `repr` keep personal data out of tracebacks and logs.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        hide_input_in_errors=True,
        ser_json_inf_nan="null",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    __str__ = __repr__


class Bilingual(Strict):
    """The same words in Welsh and English; neither may be missing."""

    cy: Line
    en: Line

    def __repr__(self) -> str:  # public wording, never personal
        return f"Bilingual(en={self.en!r})"

    __str__ = __repr__
