"""Secrets of organisations are proposed too."""

from broker.store.migrations.sql import run_beside

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    run_beside(__file__)
