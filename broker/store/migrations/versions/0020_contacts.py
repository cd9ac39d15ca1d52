"""Contacts: where people are written to, since when, and links that only hold."""

from broker.store.migrations.sql import run_beside

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    run_beside(__file__)
