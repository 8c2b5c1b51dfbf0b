"""Bringing a database to this version's schema, on both databases, by several processes at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from watchfloor_core.errors import ConfigurationError
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import alembic_config, current_revision, migrate
from watchfloor_core.store.migrations import HEAD
from watchfloor_core.store.tables import metadata


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any table, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("empty_pg_url")
    return url


def test_a_migrated_database_is_what_the_schema_says(store: Store) -> None:
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, "alembic_version"}


def test_partial_indexes_keep_their_condition(store: Store) -> None:
    # The comparison above does not look at conditions.
    with store.read() as connection:
        for table, name, condition in (
            ("alert", "ix_alert_waiting", "tick IS NULL"),
            ("outbox", "ix_outbox_waiting", "delivered_us IS NULL"),
        ):
            (index,) = (one for one in inspect(connection).get_indexes(table) if one["name"] == name)
            assert condition in str(index["dialect_options"][f"{store.dialect}_where"])


def test_the_last_revision_is_the_one_named_as_head(sqlite_store: Store) -> None:
    with sqlite_store.read() as connection:
        assert ScriptDirectory.from_config(alembic_config(connection)).get_heads() == [HEAD]


def test_an_empty_database_has_no_revision_until_it_is_migrated(empty_url: str) -> None:
    assert current_revision(empty_url) is None
    migrate(empty_url)
    assert current_revision(empty_url) == HEAD
    migrate(empty_url)
    assert current_revision(empty_url) == HEAD


_MIGRATE = """
import sys
from watchfloor_core.store.migrate import migrate
print("ready", flush=True)
sys.stdin.readline()
migrate(sys.argv[1])
"""


def test_processes_that_start_at_once_migrate_once(empty_url: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _MIGRATE, empty_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    complaints = [process.communicate(timeout=60)[1] for process in processes]
    assert complaints == [""] * 4
    assert [process.returncode for process in processes] == [0] * 4
    assert current_revision(empty_url) == HEAD


def test_a_database_of_a_newer_version_is_refused_and_left_alone(store_url: str) -> None:
    store = open_store(store_url)
    with store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(ConfigurationError, match=r"'9999', which this version does not know.*install that version"):
        migrate(store_url)
    assert current_revision(store_url) == "9999"


def test_tables_that_no_migration_made_are_refused_and_left_alone(empty_url: str) -> None:
    store = open_store(empty_url)
    with store.write() as connection:
        connection.execute(text("CREATE TABLE incident (id INTEGER)"))
    with pytest.raises(ConfigurationError, match=r"holds tables \(incident\).*name an empty database"):
        migrate(empty_url)
    with store.read() as connection:
        assert inspect(connection).get_table_names() == ["incident"]
    store.close()


def test_a_migration_that_fails_leaves_the_database_as_it_was(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("alembic.op.create_index", broken)
    with pytest.raises(OSError, match="disk full"):
        migrate(empty_url)
    assert current_revision(empty_url) is None
    monkeypatch.undo()
    migrate(empty_url)
    assert current_revision(empty_url) == HEAD


_TIMED = """
import sys, time
from watchfloor_core.store.migrate import migrate
best = 1.0
for _ in range(5):
    started = time.perf_counter()
    migrate(sys.argv[1])
    best = min(best, time.perf_counter() - started)
print(best, "alembic" in sys.modules)
"""


def test_nothing_to_do_takes_no_time_and_does_not_load_alembic(store_url: str) -> None:
    done = subprocess.run([sys.executable, "-c", _TIMED, store_url], capture_output=True, text=True, check=True)
    seconds, has_loaded = done.stdout.split()
    assert has_loaded == "False"
    assert float(seconds) < 0.05
