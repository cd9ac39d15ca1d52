"""Counting: what a statement moved is looked at once, and a receipt's delivery with it."""

from broker.store.migrations.sql import run_beside

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    run_beside(__file__)
