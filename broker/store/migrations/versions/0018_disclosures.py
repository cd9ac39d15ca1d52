"""Disclosures: when staff were shown what a person told, and why."""

from broker.store.migrations.sql import run_beside

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    run_beside(__file__)
