"""Looking closer: how long deliveries take, and those a person must look at, by when."""

from broker.store.migrations.sql import run_beside

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_beside(__file__)
