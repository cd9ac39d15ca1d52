"""The event log in PostgreSQL: topics, partitions, records, groups."""

from broker.store.migrations.sql import run_beside

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_beside(__file__)
