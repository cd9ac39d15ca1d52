"""The provider's words, in Welsh and English. Whole sentences: a noun put into a Welsh sentence may mutate.

Welsh without a published source is listed in `docs/welsh-to-review.md`; a test holds the two together.
"""

from dataclasses import dataclass
from typing import Final, Literal

Language = Literal["cy", "en"]


@dataclass(frozen=True, slots=True)
class Wording:
    """One language's words for the sign-in pages."""

    title: str
    invented: str
    choose: str
    born: str
    proved: str
    not_proved: str
    sign_in: str
    cancel: str
    other_language: str
    problem: str
    start_again: str
    signed_out: str


ENGLISH: Final = Wording(
    title="Sign in as a sample person",
    invented="This is a development stand-in for GOV.UK One Login. Everyone here is invented. Do not enter real details.",
    choose="Who do you want to be?",
    born="Date of birth",
    proved="Identity proved (P2)",
    not_proved="Identity not proved",
    sign_in="Sign in",
    cancel="Cancel",
    other_language="Cymraeg",
    problem="There is a problem",
    start_again="Go back to the service and start again.",
    signed_out="You are signed out.",
)

WELSH: Final = Wording(
    title="Mewngofnodi fel person enghreifftiol",
    invented="Gwasanaeth datblygu yw hwn yn lle GOV.UK One Login. Pobl ddychmygol yw pawb yma. Peidiwch â rhoi manylion go iawn.",
    choose="Pwy hoffech chi fod?",
    born="Dyddiad geni",
    proved="Hunaniaeth wedi'i phrofi (P2)",
    not_proved="Hunaniaeth heb ei phrofi",
    sign_in="Mewngofnodi",
    cancel="Canslo",
    other_language="English",
    problem="Mae problem",
    start_again="Ewch yn ôl i'r gwasanaeth a dechrau eto.",
    signed_out="Rydych wedi allgofnodi.",
)

SOURCED: Final = frozenset({"Dyddiad geni", "Mewngofnodi", "Canslo", "Mae problem", "English"})
"""Welsh words with a published source (the glossary), and the one that is not Welsh."""


def wording(language: Language) -> Wording:
    return WELSH if language == "cy" else ENGLISH
