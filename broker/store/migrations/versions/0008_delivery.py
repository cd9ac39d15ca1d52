"""Delivery: where organisations' breakers stand."""

from broker.store.migrations.sql import run_beside

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_beside(__file__)
