"""Text as it may enter the exchange, and the strict model every contract is built from.

Welsh letters (ŵ, ŷ, â, ô) must survive everywhere, so text is normalised to NFC once, here, and never again.
"""

import unicodedata
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

_FORBIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, format characters (bidirectional and zero-width among them), lone surrogates, private use, unassigned, line
and paragraph separators (Unicode 15, section 4.5). A name that shows as another is how a clerk is fooled."""

_INVISIBLE: Final = frozenset(
    map(
        chr,
        (
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),  # joiners, fillers, a blank pattern
            *range(0x180B, 0x1810),  # variation selectors, here and below
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ),
    )
)
"""Characters that show nothing, or only how another is drawn, whatever their category (`Default_Ignorable_Code_Point`
of Unicode 15, and the empty Braille pattern): two texts that look the same must be the same."""

_LOOK_ALIKE: Final = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU", "FULLWIDTH", "MATHEMATICAL"})  # fmt: skip
"""First words of the Unicode names of letters that can stand for one another to the eye. One word uses one of these:
a whole name in another alphabet is somebody's name, a single such letter in a Latin one deceives (UTS 39, section 5)."""


def _is_allowed(character: str) -> bool:
    return character not in _INVISIBLE and unicodedata.category(character) not in _FORBIDDEN_CATEGORIES


_LATIN: Final = frozenset(filter(_is_allowed, map(chr, range(0x370))))
"""What is allowed below the first other alphabet, which spares nearly every Welsh line the look at its letters."""


def normalise(value: str) -> str:
    """Return `value` in NFC.

    Raises ValueError for control, bidirectional, zero-width, private-use or unassigned characters, for a word that
    mixes alphabets that look alike, and for white space at either end. The message never repeats the value.
    """
    if value.isascii():  # the common case, three times faster than looking up categories
        if not value.isprintable():
            raise ValueError("contains a character that is not allowed")
        text = value
    else:
        text = unicodedata.normalize("NFC", value)
        if not _LATIN.issuperset(text):
            if not all(map(_is_allowed, text)):
                raise ValueError("contains a character that is not allowed")
            if any(len(_alphabets(word)) > 1 for word in text.split()):
                raise ValueError("mixes alphabets in one word")
    if text != text.strip():
        raise ValueError("begins or ends with white space")
    return text


def _alphabets(word: str) -> set[str]:
    """Return which of the alphabets that look alike the letters of a word belong to."""
    return {unicodedata.name(letter, "").partition(" ")[0] for letter in word if letter.isalpha()} & _LOOK_ALIKE


Line = Annotated[str, AfterValidator(normalise), StringConstraints(min_length=1, max_length=255)]
"""One line of text, 1 to 255 characters, NFC: counted after composing, so that both forms of a text fit or neither."""

Name = Annotated[str, AfterValidator(normalise), StringConstraints(min_length=1, max_length=300)]
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
