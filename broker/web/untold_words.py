"""Who is not told of a change, in a person's words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from broker.language import Words
from contracts.requests import NotTold, NotToldReason

_WHY: Final[Mapping[NotToldReason, str]] = {
    "not-connected": "untold-not-connected",
    "no-agreement": "untold-no-agreement",
    "not-agreed-for-this": "untold-not-agreed-for-this",
    "left-out": "untold-left-out",
    "outside-wales": "untold-outside-wales",
    "area-unknown": "untold-area-unknown",
    "no-fixed-abode": "untold-no-fixed-abode",
    "only-yourself": "untold-only-yourself",
}


@dataclass(frozen=True, slots=True)
class Untold:
    """One of them, as a template shows it."""

    who: str
    why: str
    instead: str
    href: str | None
    in_english: bool
    """Whether the page is in English while this one is in Welsh."""


def untold_words(not_told: Iterable[NotTold], words: Words) -> list[Untold]:
    return [
        Untold(words.of(one.who), words(_WHY[one.reason]), words.of(one.instead), *_page(one, words))
        for one in not_told
    ]


def _page(one: NotTold, words: Words) -> tuple[str | None, bool]:
    if one.page is None:
        return None, False
    welsh = words.language == "cy"
    return (one.page.cy if welsh and one.page.cy else one.page.en), welsh and one.page.cy is None
