"""The line: persons, changes, deliveries, lanes, receipts, agreements, keys and audit leaves."""

from broker.store.migrations.sql import run_beside

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_beside(__file__)
