"""Placed: where the addresses of a change lay when it was told, so that looking at it asks nobody again."""

from broker.store.migrations.sql import run_beside

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    run_beside(__file__)
