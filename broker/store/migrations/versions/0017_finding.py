"""Finding addresses by their words: what is found where, and what a word may have been meant as."""

from broker.store.migrations.sql import run_beside

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    run_beside(__file__)
