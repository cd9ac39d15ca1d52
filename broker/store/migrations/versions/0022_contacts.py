"""Contacts: where people are written to, since when, and links that only hold."""

from broker.store.migrations.sql import run_beside

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    run_beside(__file__)
