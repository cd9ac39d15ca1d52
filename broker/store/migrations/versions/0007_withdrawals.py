"""Withdrawals: changes their person took back or replaced, and what is owed because of it."""

from broker.store.migrations.sql import run_beside

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_beside(__file__)
