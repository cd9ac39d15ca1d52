"""Letters to the contacts of organisations."""

from broker.store.migrations.sql import run_beside

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    run_beside(__file__)
