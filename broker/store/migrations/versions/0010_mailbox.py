"""Mailboxes: what lies for organisations that cannot be called."""

from broker.store.migrations.sql import run_beside

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_beside(__file__)
