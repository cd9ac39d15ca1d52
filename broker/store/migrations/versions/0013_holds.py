"""Holds: what keeps a change from being sent, and who decides."""

from broker.store.migrations.sql import run_beside

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_beside(__file__)
