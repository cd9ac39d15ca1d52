"""Run a version's SQL file inside Alembic's transaction."""

from pathlib import Path

from alembic import op


def run_beside(version_file: str) -> None:
    """Execute the `.sql` file of the same name as `version_file`, many statements at once.

    SQLAlchemy prepares what it executes, and PostgreSQL prepares one statement at a time, so the file goes through the
    raw asyncpg connection. SQLAlchemy opens its transaction with its first own statement, hence the one before.
    """
    sql = Path(version_file).with_suffix(".sql").read_text(encoding="utf-8")
    bind = op.get_bind()
    bind.exec_driver_sql("SET LOCAL statement_timeout = 0")
    bind.connection.dbapi_connection.run_async(lambda raw: raw.execute(sql))  # type: ignore[union-attr]  # the asyncpg adapter's
