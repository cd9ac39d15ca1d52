"""The catalogues: every sentence of ours by its id, in both languages."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, Literal

from fluent.runtime import FluentBundle, FluentResource
from fluent.syntax.ast import Message

from contracts.changes import change_types
from contracts.changes.installed import installed
from contracts.text import Bilingual

Language = Literal["cy", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("cy", "en")
HERE: Final = Path(__file__).parent


class Words:
    """One language's sentences."""

    def __init__(self, language: Language, sources: Mapping[str, str]) -> None:
        """`sources` are Fluent texts by file name; an id may stand in one of them only (fluent keeps the first)."""
        self.language = language
        # Isolation marks are for mixed directions of writing; in a value of a form they would be sent back.
        self._bundle = FluentBundle([language], use_isolating=False)
        for text in sources.values():
            self._bundle.add_resource(FluentResource(text))

    def __call__(self, message: str, **values: str | int) -> str:
        """Return a sentence. Raises LookupError for an id that is none, ValueError for a value that is missing."""
        if not self._bundle.has_message(message):
            raise LookupError(f"{message} is in no catalogue: add it to broker/language/cy and en")
        pattern = self._bundle.get_message(message).value
        if pattern is None:
            raise LookupError(f"{message} has no text")
        text, faults = self._bundle.format_pattern(pattern, values)
        if faults:
            raise ValueError(f"{message} in {self.language}: {type(faults[0]).__name__}")
        return str(text)

    def of(self, named: Bilingual) -> str:
        """Return the words of this language of what has both, such as an organisation's name."""
        return named.cy if self.language == "cy" else named.en

    @property
    def other(self) -> Language:
        return "en" if self.language == "cy" else "cy"


def sources(language: Language) -> dict[str, str]:
    """Return a language's Fluent texts by file name: ours, then those of installed change types."""
    ours = {file.name: file.read_text(encoding="utf-8") for file in sorted((HERE / language).glob("*.ftl"))}
    return ours | {f"{one.kind.name}/{language}.ftl": one.messages(language) for one in installed()}


KIND_MESSAGES: Final = ("changes", "change-title", "cancel-title", "staff-change")
"""What every change type is called: in a list, over its timeline, where it is cancelled, and for operators."""


def check_kinds() -> None:
    """See that every change type is named in both languages. Raises ValueError, naming the messages that are missing."""
    for language in LANGUAGES:
        wanted = [f"{what}-{name}" for name in change_types() for what in KIND_MESSAGES]
        if missing := [message for message in wanted if message not in ids(language)]:
            raise ValueError(f"messages are missing in {language}.ftl: {', '.join(missing)}")


@cache
def ids(language: Language) -> frozenset[str]:
    """Return the id of every message of a language."""
    return frozenset(
        entry.id.name
        for text in sources(language).values()
        for entry in FluentResource(text).body
        if isinstance(entry, Message)
    )


@cache
def words_in(language: Language) -> Words:
    """Return a language's sentences, read once."""
    return Words(language, sources(language))
