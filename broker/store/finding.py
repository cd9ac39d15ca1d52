"""Finding addresses by words: a word is looked up with what it may have been meant as, then where those words stand.

Words stand by postcode, not by address: there are fifteen times fewer of those, and what is at one is ranked whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from broker.store.database import Connection, Database

SHORTEST: Final = 4
"""Letters of a word of which one may be wrong."""
AT_ONCE: Final = 2_000
"""Postcodes whose words are gathered by one statement."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address that may be meant, in one language."""

    uprn: int
    language: str
    found_by: str


async def gather(connection: Connection, postal_codes: Sequence[str]) -> None:
    """Gather anew the words of the addresses at these postcodes. A word that is found nowhere any more does no harm."""
    codes = sorted(set(postal_codes))
    for first in range(0, len(codes), AT_ONCE):
        await connection.execute(
            f"""
            WITH told AS MATERIALIZED (
                SELECT postal_code, array_agg(DISTINCT word) AS words
                FROM place, string_to_table(found_by, ' ') AS word
                WHERE postal_code = ANY($1) AND word <> '' AND word NOT LIKE '~%'
                GROUP BY postal_code
            ), words AS MATERIALIZED (
                SELECT DISTINCT word FROM told, unnest(words) AS word WHERE length(word) >= {SHORTEST} AND word !~ '[0-9]'
            ), known AS (
                INSERT INTO meant (variant, word)
                SELECT word, word FROM words
                UNION SELECT left(word, letter - 1) || substr(word, letter + 1), word
                FROM words, generate_series(1, length(word)) AS letter
                ON CONFLICT DO NOTHING
            )
            INSERT INTO found_at (postal_code, words) SELECT postal_code, words FROM told
            ON CONFLICT (postal_code) DO UPDATE SET words = excluded.words WHERE found_at.words <> excluded.words
            """,  # noqa: S608  a number of ours
            codes[first : first + AT_ONCE],
        )


async def meanings(database: Database, words: Sequence[str]) -> dict[str, list[str]]:
    """Return for each word those it may have been meant as: itself, or with one letter wrong, too many or too few.

    Two neighbours that changed places count as one. A short word and a number are only themselves. Raises
    StoreUnavailable.
    """
    asked = [(word, variant) for word in words for variant in variants(word)]
    async with database.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT DISTINCT asked.word AS said, meant.word AS meant
            FROM unnest($1::text[], $2::text[]) AS asked (word, variant) JOIN meant USING (variant)
            """,
            [word for word, _ in asked],
            [variant for _, variant in asked],
        )
    found: dict[str, list[str]] = {word: [] for word in words}
    for row in rows:
        found[row["said"]].append(row["meant"])
    return {word: ([word] if word in meant or not may_be_wrong(word) else meant) for word, meant in found.items()}


def may_be_wrong(word: str) -> bool:
    return len(word) >= SHORTEST and word.isalpha()


def variants(word: str) -> list[str]:
    """Return a word and what is left of it without one of its letters."""
    if not may_be_wrong(word):
        return []
    return [word, *dict.fromkeys(word[:letter] + word[letter + 1 :] for letter in range(len(word)))]


async def at(database: Database, postal_code: str) -> list[Candidate]:
    """Return every address at a postcode, in both languages. Raises StoreUnavailable."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT uprn, language, found_by FROM place WHERE postal_code = $1 LIMIT 1000", postal_code
        )
    return [Candidate(*row) for row in rows]


async def where_all_stand(
    database: Database, groups: Sequence[Sequence[str]], numbers: Sequence[str], postcodes: int
) -> list[Candidate]:
    """Return the addresses at the first postcodes where a word of every group stands, and with every number.

    `groups` has at least one. Raises StoreUnavailable.
    """
    every = [*groups, *([number] for number in numbers)]
    stand = " AND ".join(f"words && ${place}::text[]" for place in range(3, len(every) + 3))
    async with database.connection() as connection:
        rows = await connection.fetch(
            f"""
            SELECT uprn, language, found_by
            FROM (SELECT postal_code FROM found_at WHERE {stand} LIMIT $1) AS near
            JOIN place USING (postal_code)
            WHERE string_to_array(found_by, ' ') @> $2 LIMIT 2000
            """,  # noqa: S608  numbers of parameters
            postcodes,
            list(numbers),
            *every,
        )
    return [Candidate(*row) for row in rows]
