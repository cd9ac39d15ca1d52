"""Disclosures: when staff were shown what a person told, and why."""

from broker.store.migrations.sql import run_beside

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    run_beside(__file__)
