"""Batches: which deliveries were closed together at a cut-off."""

from broker.store.migrations.sql import run_beside

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_beside(__file__)
