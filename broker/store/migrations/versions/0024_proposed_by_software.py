"""An organisation's own software proposes too, and takes back what is not decided."""

from broker.store.migrations.sql import run_beside

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    run_beside(__file__)
