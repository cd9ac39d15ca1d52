"""Joinings: people who told changes with an account they no longer have, and who decided that they are theirs."""

from broker.store.migrations.sql import run_beside

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    run_beside(__file__)
