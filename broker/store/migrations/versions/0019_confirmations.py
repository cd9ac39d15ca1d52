"""Confirmations: what registrars have said of deaths."""

from broker.store.migrations.sql import run_beside

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    run_beside(__file__)
