"""What a page says to its reader, taken from its HTML: text, names for screen readers, and in which language each is."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

from broker.language import Language
from broker.language.catalogue import sources

_SPOKEN: Final = ("aria-label", "title", "alt", "placeholder")
_VOID: Final = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_SILENT: Final = {"script", "style"}

ENGLISH: Final = frozenset(
    {"the", "and", "you", "your", "with", "this", "that", "was", "were", "will", "has", "have", "been", "from", "which",
     "not", "are", "for", "of"}
)  # fmt: skip
"""Words no Welsh sentence has."""
WELSH: Final = frozenset(
    {"mae", "nid", "yw", "eich", "wedi", "rydym", "rydych", "hwn", "chi", "ni", "am", "gan", "ddim", "oes", "newid"}
)
"""Words no English sentence has."""


@dataclass
class Form:
    action: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass
class Read:
    """A page, read."""

    said: list[tuple[str, str]] = field(default_factory=list)
    """(language, text), in the order of the page."""
    title: str = ""
    headings: int = 0
    """Of the first level."""
    forms: list[Form] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    attributes: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Of every element, with its name."""

    def texts(self, language: Language) -> list[str]:
        return [text for spoken, text in self.said if spoken == language]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Read()
        self._open: list[tuple[str, str]] = [("", "")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        language = found.get("lang", self._open[-1][1])
        page = self.page
        page.attributes.append((tag, found))
        page.said += [(language, found[name]) for name in _SPOKEN if found.get(name)]
        if "id" in found:
            page.ids.add(found["id"])
        if tag == "h1":
            page.headings += 1
        if tag == "a":
            page.links.append(found.get("href", ""))
        if tag == "form":
            page.forms.append(Form(found.get("action", "")))
        if tag == "input" and page.forms and found.get("type") == "hidden":
            page.forms[-1].fields[found.get("name", "")] = found.get("value", "")
        if tag not in _VOID:
            self._open.append((tag, language))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if any(tag == one for one, _ in self._open):
            while self._open.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        tag, language = self._open[-1]
        text = " ".join(data.split())
        if tag == "title" and self._open[-2][0] == "head":
            self.page.title += text
        if text and tag not in _SILENT:
            self.page.said.append((language, text))


def read(html: str) -> Read:
    reader = _Reader()
    reader.feed(html)
    return reader.page


def foreign_in(html: str, language: Language) -> list[str]:
    """Return whatever a page in one language says in the other, without saying that it does (`lang`)."""
    other = WELSH if language == "en" else ENGLISH
    theirs = _sentences("cy" if language == "en" else "en") - _sentences(language)
    found = []
    for text in read(html).texts(language):
        words = {word.strip(".,:;()’'“”?!").lower() for word in text.split()}
        if text in theirs or words & other:
            found.append(text)
    return found


def _sentences(language: Language) -> set[str]:
    """Return what a catalogue says where no value is put in."""
    return {
        line.split(" = ", 1)[1].strip()
        for text in sources(language).values()
        for line in text.splitlines()
        if line[:1].isalpha() and " = " in line and "{" not in line
    }
