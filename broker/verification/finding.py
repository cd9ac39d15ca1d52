"""Which address somebody means by what they typed: candidates by postcode and words, ranked by how alike they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rapidfuzz import fuzz, process

from broker.language.address_words import is_number, without_postcode, words_of
from broker.store import Database, finding, register
from broker.store.finding import Candidate
from broker.verification.open_data import packed

MOST: Final = 20
"""Addresses given."""
ALIKE: Final = 60.0
"""Of a hundred: less is somebody else's address."""
CERTAIN: Final = 85.0
"""So alike that nobody looks further than the postcode."""
_BELOW_BEST: Final = 15.0
"""What is so much less alike than the best is left out."""
_FOR_THE_POSTCODE: Final = 10.0
"""How much more alike an address must be that does not lie at the postcode that was said."""
_REFINED: Final = 100
_WRONG_NUMBER: Final = 20.0
_NUMBER_NOT_SAID: Final = 2.0
_POSTCODES: Final = 40
"""Looked at where a number tells which of their addresses are meant."""
_FEW_POSTCODES: Final = 12
_LONGEST: Final = 12
"""Words that are looked for; an address has fewer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody typed, taken apart."""

    words: tuple[str, ...]
    postal_code: str | None
    """With its space."""

    @property
    def numbers(self) -> list[str]:
        return [word for word in self.words if is_number(word)]

    @property
    def names(self) -> list[str]:
        return [word for word in self.words if not is_number(word) and not word.startswith("~")]


def asked_by(text: str, postal_code: str | None) -> Asked:
    """Return what is asked for. A postcode in the text counts where none is given beside it."""
    rest, within = without_postcode(text)
    if postal_code is not None:
        code = packed(postal_code)
        within = f"{code[:-3]} {code[-3:]}"
    return Asked(tuple(dict.fromkeys(words_of(rest)))[:_LONGEST], within)


async def find(database: Database, asked: Asked, language: str) -> list[register.Place]:
    """Return the addresses that may be meant, the likeliest first, in one language where they have it.

    Raises StoreUnavailable.
    """
    ranked: list[tuple[int, float]] = []
    if asked.postal_code is not None:
        ranked = rank(asked, await finding.at(database, asked.postal_code))
    if asked.words and (not ranked or ranked[0][1] < CERTAIN):
        elsewhere = rank(asked, await _by_words(database, asked))
        if elsewhere and (not ranked or elsewhere[0][1] > ranked[0][1] + _FOR_THE_POSTCODE):
            ranked = elsewhere
    uprns = [uprn for uprn, _ in ranked[:MOST]]
    places = await register.places_of(database, uprns, language) if uprns else {}
    return [places[uprn] for uprn in uprns if uprn in places]


async def _by_words(database: Database, asked: Asked) -> list[Candidate]:
    meant = await finding.meanings(database, asked.names)
    groups = [meant[word] for word in asked.names if meant[word]]
    for some, numbers in _less_and_less(groups, asked.numbers):
        found = await finding.where_all_stand(database, some, numbers, _POSTCODES if numbers else _FEW_POSTCODES)
        if found:
            return found
    return []


def _less_and_less(
    groups: Sequence[Sequence[str]], numbers: Sequence[str]
) -> Iterator[tuple[Sequence[Sequence[str]], Sequence[str]]]:
    """Yield what is looked for: all that was said, then less, for a town or a number may be another than is held."""
    if not groups:
        return
    yield groups, numbers
    if numbers:
        if len(numbers) > 1:
            yield groups, numbers[-1:]
        yield groups, ()
    if len(groups) > 1:
        for left_out in reversed(range(len(groups))):
            yield [*groups[:left_out], *groups[left_out + 1 :]], numbers


def rank(asked: Asked, candidates: Sequence[Candidate]) -> list[tuple[int, float]]:
    """Return the UPRNs that may be meant with how alike they are (0 to 100), the most alike first.

    Of a property in both languages the likelier counts. A number that was said and is not there tells against it.
    Without words everything at the postcode is as likely as the rest.
    """
    if not asked.words:
        return [(uprn, 0.0) for uprn in dict.fromkeys(one.uprn for one in candidates)]
    said, numbers = " ".join(asked.words), set(asked.numbers)
    texts = [one.found_by for one in candidates]
    best: dict[int, float] = {}
    for text, _, place in process.extract(said, texts, scorer=fuzz.token_set_ratio, limit=_REFINED):
        words = text.split()
        theirs = {word for word in words if is_number(word)}
        score = 0.7 * _found(asked.words, words) + 0.3 * fuzz.token_sort_ratio(said, text)
        score -= _WRONG_NUMBER * len(numbers - theirs) + _NUMBER_NOT_SAID * len(theirs - numbers)
        uprn = candidates[place].uprn
        best[uprn] = max(best.get(uprn, 0.0), score)
    ranked = sorted(
        ((uprn, score) for uprn, score in best.items() if score >= ALIKE), key=lambda one: (-one[1], one[0])
    )
    return [one for one in ranked if one[1] >= ranked[0][1] - _BELOW_BEST]


def _found(said: Sequence[str], words: Sequence[str]) -> float:
    """Return how well what was said is found among the words (0 to 100), the longer counting for more."""
    named = [word.removeprefix("~") for word in words if not is_number(word)]
    total = found = 0.0
    for word in said:
        if is_number(word):
            continue  # a number is right or wrong, never nearly
        likest = process.extractOne(word.removeprefix("~"), named, scorer=fuzz.ratio)
        total += len(word)
        found += len(word) * (likest[1] if likest else 0.0)
    return found / total if total else 100.0
