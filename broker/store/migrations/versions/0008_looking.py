"""Looking closer: how long deliveries take, and those a person must look at, by when."""

from broker.store.migrations.sql import run_beside

revision = "0008"
down_revision = "0006"


def upgrade() -> None:
    run_beside(__file__)
