"""Answers: when they are next fetched, and how that went."""

from broker.store.migrations.sql import run_beside

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_beside(__file__)
