"""Newest: what only a newer change says as well, and so what a newer one may supersede."""

from broker.store.migrations.sql import run_beside

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    run_beside(__file__)
