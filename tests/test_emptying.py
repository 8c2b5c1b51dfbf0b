"""What a test leaves in its PostgreSQL database, the next one does not find."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy.engine import make_url

from tests.conftest import PostgresqlServer
from tests.emptying import Emptying


@pytest.fixture
def used(pg_url: str) -> Iterator[psycopg.Connection]:
    url = make_url(pg_url)
    with psycopg.connect(host=str(url.query["host"]), user="postgres", dbname=url.database) as connection:
        yield connection


def test_rows_and_numbers_are_those_of_the_template_again(used: psycopg.Connection) -> None:
    template = Emptying.of(used)
    assert {name for name, rows in template.tables.items() if rows} == {"alembic_version", "kill_switch"}
    used.execute("DELETE FROM alembic_version")
    used.execute("UPDATE kill_switch SET scope = 'other'")
    used.execute("SELECT nextval('outbox_id_seq'), nextval('batch_id_seq')")
    assert Emptying.of(used).tables != template.tables
    assert template.is_possible(used)
    template.empty(used)
    assert Emptying.of(used) == template


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE outbox ADD COLUMN more integer",
        "DROP INDEX ix_outbox_waiting",
        "CREATE TABLE another (number integer)",
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "GRANT SELECT ON outbox TO public",
        "INSERT INTO alembic_version SELECT 'x' || n FROM generate_series(1, 20000) AS n",
        "TRUNCATE outbox",
    ],
    ids=lambda change: " ".join(change.split()[:2]),
)
def test_what_changes_more_than_rows_or_very_many_makes_it_unfit(used: psycopg.Connection, change: str) -> None:
    template = Emptying.of(used)
    used.execute(change)
    assert not template.is_possible(used)


def test_a_database_has_another_name_in_each_test_and_no_connection_of_another(postgresql: PostgresqlServer) -> None:
    names: list[str | None] = []
    for number in range(6):
        url = make_url(postgresql.clone())
        names.append(url.database)
        with psycopg.connect(
            host=str(url.query["host"]), user="postgres", dbname=url.database, autocommit=True
        ) as used:
            assert used.execute("SELECT count(*) FROM kill_switch").fetchone() == (1,)
            assert used.execute("SHOW work_mem").fetchone() == ("4MB",)
            used.execute("DELETE FROM kill_switch")
            if number % 2:
                used.execute(SQL("ALTER DATABASE {} SET work_mem = '1MB'").format(Identifier(str(url.database))))
            postgresql.give_back(url.render_as_string())
            with pytest.raises(psycopg.OperationalError):
                used.execute("SELECT 1")
    assert len(set(names)) == 6
