"""Held though given up: what was given up is held as its change is, also what was given up before that was so."""

from broker.store.migrations.sql import run_beside

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    run_beside(__file__)
