"""The pages: sessions, sign-ins under way, notices to people."""

from broker.store.migrations.sql import run_beside

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_beside(__file__)
