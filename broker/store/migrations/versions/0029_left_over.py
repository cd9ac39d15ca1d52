"""Left over: holds of who was erased end, letters that were given up are found, a hold's time is no organisation's."""

from broker.store.migrations.sql import run_beside

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    run_beside(__file__)
