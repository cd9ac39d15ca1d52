"""The bench's look at the plans of the hot statements, held against the statements as they are."""

import re
from pathlib import Path

import pytest

from broker.eventlog.postgres import PostgresLog
from broker.store import Database, catching_up, lanes
from broker.vault import RootKeyFile
from tests.load.plans import Explaining, OneTransaction, deed, plans
from tests.support.line import a_line, a_move, somebody

STEPS = ("accept", "known by key", "of_person", "next due", "claim", "mark", "gate", "fold")


async def test_every_hot_statement_is_explained_and_nothing_of_it_stays(database: Database, tmp_path: Path) -> None:
    async with a_line(database, PostgresLog(database), RootKeyFile.open(tmp_path / "root.key")) as line:
        await line.tell(somebody(), a_move())
        async with database.connection() as connection:
            found = await plans(connection)
            changes = await connection.fetchval("SELECT count(*) FROM change")
    assert list(dict.fromkeys(name.partition(":")[0] for name in found)) == list(STEPS)
    assert all("Execution Time" in plan for plan in found.values())
    assert any("update lane" in name for name in found if name.startswith("gate"))
    assert changes == 1


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT 1 FROM lane l JOIN delivery d USING (id) ORDER BY 1 FOR UPDATE OF l", "lock lane, delivery"),
        ("SELECT k.n FROM unnest($1::int[]) AS k(n) JOIN change_key USING (n)", "read change_key"),
        (
            "WITH told AS (SELECT 1) INSERT INTO lane SELECT * FROM told ON CONFLICT DO UPDATE SET due = 1",
            "insert lane",
        ),
        ("UPDATE lane SET due = 1", "update lane"),
    ],
)
def test_a_statement_is_named_by_what_it_does(statement: str, said: str) -> None:
    assert deed(statement) == said


async def test_what_one_subject_was_sent_is_found_by_keys_alone(database: Database) -> None:
    found: dict[str, str] = {}
    async with database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "INSERT INTO lane (person_id, organisation, subject) SELECT n, 'council', 'subject-' || n"
            " FROM generate_series(1, 5000) n"
        )
        await connection.execute("SET LOCAL enable_seqscan = off")  # what has no index is read whole all the same
        await catching_up.of_subject(OneTransaction(Explaining(connection, found)), "council", "subject-7", 0, 10)
        await transaction.rollback()
    [plan] = found.values()
    assert "Seq Scan" not in plan
    assert "lane" not in plan, "lanes are looked through"
    assert re.search(r"Scan using pseudonym_pkey .*\n *Index Cond: .*subject = ", plan), plan


async def test_a_claim_reads_no_whole_table_whatever_the_planner_makes_of_its_limit(database: Database) -> None:
    async with database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "INSERT INTO lane (person_id, organisation, subject, due) SELECT n, o, o || n, now() - interval '1 day'"
            " FROM generate_series(1, 10000) n, unnest('{a,b,c}'::text[]) o"
        )
        await connection.execute("ANALYZE lane")
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")  # as it is from the sixth time on
        await connection.execute(f"PREPARE claim AS {lanes._CLAIM}")
        asked = "ARRAY['a', 'b', 'c'], 500, 8192, interval '30 s'"
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN (COSTS OFF) EXECUTE claim({asked})"))
        await transaction.rollback()
    assert "Index Scan using lane_due on lane" in plan
    assert "Seq Scan on lane" not in plan
    assert "Seq Scan on delivery" not in plan


async def test_nothing_that_is_written_on_its_way_is_in_an_index_of_deliveries(database: Database) -> None:
    """Else each step of a delivery would be an entry more in every index, and its row would leave its page."""
    async with database.connection() as connection:
        known = await connection.fetch(
            """
            SELECT DISTINCT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
            WHERE i.indrelid = 'delivery'::regclass
              AND (a.attnum = ANY(i.indkey) OR pg_get_indexdef(i.indexrelid) ~ ('WHERE.*\\m' || a.attname || '\\M'))
            """
        )
    assert {row["attname"] for row in known} == {"id", "change_id", "person_id", "organisation", "ordinal"}
