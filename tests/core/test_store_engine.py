"""Opening the store, its transactions and snapshots, and what a failure tells the operator."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import func, insert, make_url, select, text
from sqlalchemy.exc import DBAPIError

from watchfloor_core.errors import ConfigurationError, ConflictError, UnavailableError
from watchfloor_core.store import sqlite_file
from watchfloor_core.store.engine import Store, after_commit, open_store
from watchfloor_core.store.schema import baseline, cursor, webhook_nonce


def add_cursor(store: Store, tenant: str) -> None:
    with store.write() as connection:
        connection.execute(insert(cursor).values(tenant=tenant, tick=1, version=1, watermark_us=0))


def test_what_a_write_block_writes_is_there_when_it_ends(store: Store) -> None:
    add_cursor(store, "acme")
    with store.read() as connection:
        assert connection.execute(select(cursor.c.tenant)).scalars().all() == ["acme"]


def test_a_write_block_that_raises_leaves_nothing(store: Store) -> None:
    def write_and_raise() -> None:
        with store.write() as connection:
            connection.execute(insert(cursor).values(tenant="acme", tick=1, version=1, watermark_us=0))
            raise KeyError("acme")

    with pytest.raises(KeyError):
        write_and_raise()
    with store.read() as connection:
        assert connection.execute(select(func.count()).select_from(cursor)).scalar_one() == 0


def test_a_read_block_sees_one_moment_whatever_is_committed_meanwhile(store: Store) -> None:
    with store.read() as connection:
        count = select(func.count()).select_from(cursor)
        assert connection.execute(count).scalar_one() == 0
        add_cursor(store, "acme")
        assert connection.execute(count).scalar_one() == 0
    with store.read() as connection:
        assert connection.execute(count).scalar_one() == 1


def test_a_read_block_cannot_write(store: Store) -> None:
    with pytest.raises((DBAPIError, ConfigurationError)), store.read() as connection:
        connection.execute(insert(cursor).values(tenant="acme", tick=1, version=1, watermark_us=0))
    with store.read() as connection:
        assert connection.execute(select(func.count()).select_from(cursor)).scalar_one() == 0


def test_a_connection_that_read_can_write_when_it_is_used_again(store: Store) -> None:
    with store.read() as connection:
        connection.execute(text("SELECT 1"))
    add_cursor(store, "acme")
    with store.read() as connection:
        assert connection.execute(select(func.count()).select_from(cursor)).scalar_one() == 1


def test_json_columns_hold_what_was_put_in(store: Store) -> None:
    data = {"rates": [0.25, 1e-9], "name": 'Zoë \\ "quoted" \U0001f600', "none": None, "deep": {"a": [True, False]}}
    with store.write() as connection:
        connection.execute(insert(baseline).values(tenant="acme", kind="k", key=b"\x00" * 16, last_tick=1, data=data))
    with store.read() as connection:
        assert connection.execute(select(baseline.c.data)).scalar_one() == data


def test_callbacks_run_after_the_commit_and_never_after_a_rollback(store: Store) -> None:
    seen: list[int] = []

    def look() -> None:
        with store.read() as other:
            seen.append(other.execute(select(func.count()).select_from(cursor)).scalar_one())

    with store.write() as connection:
        connection.execute(insert(cursor).values(tenant="acme", tick=1, version=1, watermark_us=0))
        after_commit(connection, look)
        assert seen == []
    assert seen == [1]

    def write_and_raise() -> None:
        with store.write() as connection:
            after_commit(connection, look)
            raise KeyError("acme")

    with pytest.raises(KeyError):
        write_and_raise()
    assert seen == [1]


def test_nothing_is_called_back_for_a_savepoint_which_may_be_undone_alone(store: Store) -> None:
    called: list[str] = []
    with store.write() as connection:
        with connection.begin_nested():
            after_commit(connection, lambda: called.append("savepoint"))
        after_commit(connection, lambda: called.append("transaction"))
    assert called == ["transaction"]


def test_writers_in_many_threads_all_get_their_turn(store: Store) -> None:
    def count_up() -> None:
        for _ in range(10):
            with store.write() as connection:
                connection.execute(text("UPDATE cursor SET tick = tick + 1"))

    add_cursor(store, "acme")
    threads = [threading.Thread(target=count_up) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as connection:
        assert connection.execute(select(cursor.c.tick)).scalar_one() == 61


def test_sqlite_lets_no_writer_between_a_read_and_a_write_of_a_block(sqlite_store: Store) -> None:
    add_cursor(sqlite_store, "acme")
    inside, done = threading.Event(), threading.Event()

    def other() -> None:
        inside.wait(10)
        with sqlite_store.write() as connection:
            connection.execute(text("UPDATE cursor SET tick = tick * 100"))
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with sqlite_store.write() as connection:
        tick = connection.execute(select(cursor.c.tick)).scalar_one()
        inside.set()
        assert not done.wait(0.05)
        connection.execute(text("UPDATE cursor SET tick = :tick"), {"tick": tick + 1})
    thread.join()
    with sqlite_store.read() as connection:
        assert connection.execute(select(cursor.c.tick)).scalar_one() == 200


def test_a_writer_that_waits_is_not_overtaken_by_the_one_that_just_wrote(sqlite_store: Store, sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    order: list[str] = []

    def other() -> None:
        with sqlite_store.write():
            order.append("the one that waited")

    thread = threading.Thread(target=other)
    with sqlite_store.write():
        order.append("first")
        thread.start()
        while not _is_taken(f"{path}-turn"):
            assert thread.is_alive()
    # SQLite alone would let this one in at once: the other polls, and is asleep most of the time.
    with sqlite_store.write():
        order.append("first again")
    thread.join()
    assert order == ["first", "the one that waited", "first again"]


def _is_taken(turnstile: str) -> bool:
    descriptor = os.open(turnstile, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def test_the_sqlite_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "watchfloor.db"
    store = open_store(f"sqlite:///{path}")
    with store.write() as connection:
        connection.execute(text("CREATE TABLE t (x INTEGER)"))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    store.close()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert modes["watchfloor.db"] == 0o600
    assert set(modes.values()) == {0o600}


def test_a_folder_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    open_store(f"sqlite:///{tmp_path / 'watchfloor.db'}").close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 1), ("foreign_keys", 1), ("busy_timeout", 30_000)]
)
def test_sqlite_runs_with_the_pragmas_that_make_it_durable_and_shared(
    sqlite_store: Store, pragma: str, value: object
) -> None:
    for block in (sqlite_store.write, sqlite_store.read):
        with block() as connection:
            assert connection.execute(text(f"PRAGMA {pragma}")).scalar_one() == value


def test_postgresql_reads_repeatably_and_writes_read_committed(pg_url: str) -> None:
    store = open_store(pg_url)
    show = text("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')")
    with store.read() as connection:
        assert connection.execute(show).one() == ("repeatable read", "on")
    with store.write() as connection:
        assert connection.execute(show).one() == ("read committed", "off")
    store.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are not the tables you are looking for\n" * 100)
    with pytest.raises(ConfigurationError, match=r"notes\.txt.*is not an SQLite database; move it away"):
        open_store(f"sqlite:///{path}")


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a file"):
        open_store(f"sqlite:///{tmp_path}")


def test_a_folder_that_cannot_be_made_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"watchfloor\.db' cannot be made \((Not a directory|File exists)\)"):
        open_store(f"sqlite:///{tmp_path / 'file' / 'watchfloor.db'}")


_OPEN = """
import sys
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.store.engine import open_store
try:
    open_store(sys.argv[1])
except ConfigurationError as error:
    print(error)
"""


def test_a_folder_without_write_access_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "shut").mkdir(mode=0o555)
    command = [sys.executable, "-c", _OPEN, f"sqlite:///{tmp_path / 'shut' / 'watchfloor.db'}"]
    if os.geteuid() == 0:
        # Root may write everywhere; without its capabilities it is a user like any other.
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot be made (Permission denied); give this user write access" in done.stdout


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("no url at all", r"is not a database URL; expected sqlite:////absolute/path\.db or postgresql://"),
        ("mysql://u:secret@h/d", r"'mysql://u:\*\*\*@h/d' is of another kind; expected sqlite"),
        ("sqlite://", "cannot be in memory"),
        ("sqlite:///:memory:", "cannot be in memory"),
        ("postgresql://u:secret@h", r"'postgresql\+psycopg://u:\*\*\*@h' names no database|names no database"),
    ],
)
def test_a_url_that_cannot_be_used_says_what_was_expected(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        url = f"postgresql://wf:secret@127.0.0.1:{port}/watchfloor?sslpassword=secret"
        with pytest.raises(UnavailableError, match=rf"127\.0\.0\.1:{port}.*cannot be reached") as caught:
            open_store(url)
    assert "secret" not in str(caught.value)


def test_a_database_that_does_not_exist_is_the_operators_to_mend(pg_url: str) -> None:
    with pytest.raises(ConfigurationError, match=r'database "nowhere" does not exist.*mend database_url'):
        open_store(make_url(pg_url).set(database="nowhere").render_as_string(hide_password=False))


def test_a_server_that_ends_the_connection_is_unavailable(pg_url: str) -> None:
    store, other = open_store(pg_url), open_store(pg_url)

    def be_cut_off() -> None:
        with store.write() as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with other.write() as killer:
                killer.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
            connection.execute(text("SELECT 1"))

    with pytest.raises(UnavailableError, match="cannot be reached"):
        be_cut_off()
    add_cursor(store, "acme")  # the pool has noticed
    store.close()
    other.close()


def test_the_loser_of_a_deadlock_may_do_it_again(pg_url: str) -> None:
    store = open_store(pg_url)
    add_cursor(store, "acme")
    add_cursor(store, "globex")
    met = threading.Barrier(2, timeout=10)
    ends: list[str] = []

    def take(first: str, second: str) -> None:
        try:
            with store.write() as connection:
                connection.execute(text("UPDATE cursor SET tick = 2 WHERE tenant = :t"), {"t": first})
                met.wait()
                connection.execute(text("UPDATE cursor SET tick = 2 WHERE tenant = :t"), {"t": second})
            ends.append("done")
        except ConflictError as error:
            ends.append(str(error))

    threads = [threading.Thread(target=take, args=names) for names in (("acme", "globex"), ("globex", "acme"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    assert len(ends) == 2
    assert "done" in ends
    assert any(end.endswith("do it again") for end in ends)


def test_a_writer_gives_up_when_another_holds_the_store_too_long(
    sqlite_store: Store, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "WAIT_S", 0.05)
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    with (
        sqlite_file.writers_turn(path),
        pytest.raises(UnavailableError, match="stop the process that holds the store"),
        sqlite_store.write(),
    ):
        pass


def test_a_mistake_of_ours_is_not_dressed_up_as_one_of_the_operators(store: Store) -> None:
    with pytest.raises(DBAPIError), store.write() as connection:
        connection.execute(text("SELECT no_such_column FROM webhook_nonce"))
    assert webhook_nonce.name == "webhook_nonce"
