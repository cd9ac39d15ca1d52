"""Proposals: what is to change in the register, who approved it, and every version of what is in it."""

from broker.store.migrations.sql import run_beside

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    run_beside(__file__)
