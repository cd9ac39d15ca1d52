"""A number moves no index: what a delivery is found by is fixed when it is accepted."""

from broker.store.migrations.sql import run_beside

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    run_beside(__file__)
