"""Tracking: what was set aside and who looked at it, how long organisations were paused, draining."""

from broker.store.migrations.sql import run_beside

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_beside(__file__)
