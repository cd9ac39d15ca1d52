"""Gazetteer: open data by editions, of which one of each source is in use."""

from broker.store.migrations.sql import run_beside

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    run_beside(__file__)
