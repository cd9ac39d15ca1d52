"""Intake: a person's change is previewed, checked, decided on and stored with what is owed, in one transaction.

It never calls an organisation and never waits for the log.
"""

from broker.intake.intake import Accepted, Fresh, Intake, Told
from broker.intake.refusals import (
    AlreadyTold,
    KeyReused,
    LevelTooLow,
    NobodyToTell,
    NotAcceptable,
    PreviewChanged,
    Refusal,
    TooBusy,
    TooMany,
)
from broker.intake.withdrawing import cancel, refuse
from broker.intake.writer import Writer

__all__ = [
    "Accepted",
    "AlreadyTold",
    "Fresh",
    "Intake",
    "KeyReused",
    "LevelTooLow",
    "NobodyToTell",
    "NotAcceptable",
    "PreviewChanged",
    "Refusal",
    "Told",
    "TooBusy",
    "TooMany",
    "Writer",
    "cancel",
    "refuse",
]
