"""Sign-outs that providers tell of: each word is good once."""

from broker.store.migrations.sql import run_beside

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run_beside(__file__)
