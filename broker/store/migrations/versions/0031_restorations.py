"""Restorations: numbers that were given out and forgotten are not given out again."""

from broker.store.migrations.sql import run_beside

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    run_beside(__file__)
