"""Words in Welsh and English: catalogues, dates, and which language somebody is to be shown.

Whole sentences by id, from the `.ftl` files beside this one (Fluent). No page, no query, and no name of an
organisation: those come from the register in both languages.
"""

from broker.language.catalogue import LANGUAGES, Language, Words, check_kinds, words_in
from broker.language.dates import clock_time, long_date, moment_in_words
from broker.language.negotiation import as_language, negotiated

__all__ = [
    "LANGUAGES",
    "Language",
    "Words",
    "as_language",
    "check_kinds",
    "clock_time",
    "long_date",
    "moment_in_words",
    "negotiated",
    "words_in",
]
