"""Pseudonyms with whose they are; organisations that can be shared among their partitions."""

from broker.store.migrations.sql import run_beside

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_beside(__file__)
