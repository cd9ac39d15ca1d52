"""Operations: running counts, what operators asked for, and their own trail."""

from broker.store.migrations.sql import run_beside

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_beside(__file__)
