"""The write-ahead log is copied into the file on a thread, and that neither holds up nor harms a writer."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import pytest
from sqlalchemy import text

from watchfloor_core.store.checkpointer import Checkpointer, checkpoint
from watchfloor_core.store.engine import Store, open_store

ROW = "x" * 4_000
"""About a page."""
Threads: TypeAlias = Callable[[], list[threading.Thread]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "watchfloor.db"


@pytest.fixture
def kept(path: Path) -> Iterator[Store]:
    """A store with one table in its log, and an own thread that comes too late to matter here."""
    store = open_store(f"sqlite:///{path}")
    with store.write() as connection:
        connection.execute(text("CREATE TABLE kept (x TEXT)"))
    yield store
    store.close()


def keep(store: Store, rows: int) -> None:
    with store.write() as connection:
        connection.execute(text("INSERT INTO kept VALUES (:x)"), [{"x": ROW}] * rows)


def count(store: Store) -> int:
    with store.read() as connection:
        return int(connection.execute(text("SELECT count(*) FROM kept")).scalar_one())


@pytest.fixture
def threads() -> Threads:
    """Those for checkpoints that the test itself has started, and that have not ended."""
    before = set(threading.enumerate())
    return lambda: [one for one in threading.enumerate() if one.name == "store-checkpoint" and one not in before]


def test_a_commit_is_followed_by_a_checkpoint(kept: Store, path: Path) -> None:
    done = threading.Event()

    def copy() -> None:
        checkpoint(path, least_pages=1)
        done.set()

    keep(kept, 20)
    before = path.stat().st_size
    copier = Checkpointer(copy, interval_s=0)
    copier.note_commit()
    assert done.wait(30)
    copier.close()
    assert path.stat().st_size >= before + 20 * len(ROW)
    assert count(kept) == 20


def test_every_commit_after_a_checkpoint_asks_for_another(kept: Store) -> None:
    runs = threading.Semaphore(0)
    copier = Checkpointer(runs.release, interval_s=0)
    for _ in range(3):
        copier.note_commit()
        assert runs.acquire(timeout=30)
    copier.close()
    assert not runs.acquire(blocking=False)


def test_commits_of_one_interval_share_a_checkpoint_and_the_end_waits_for_none(threads: Threads) -> None:
    runs: list[int] = []
    copier = Checkpointer(lambda: runs.append(1), interval_s=3_600)
    for _ in range(100):
        copier.note_commit()
    (thread,) = threads()
    copier.close()
    assert not thread.is_alive()
    assert runs == []


def test_after_the_end_a_commit_starts_no_thread(threads: Threads) -> None:
    copier = Checkpointer(lambda: None, interval_s=0)
    copier.close()
    copier.note_commit()
    assert threads() == []


def test_a_store_has_the_thread_from_its_first_write_to_its_end(path: Path, threads: Threads) -> None:
    store = open_store(f"sqlite:///{path}")
    with store.read() as connection:
        connection.execute(text("SELECT 1"))
    assert threads() == []
    with store.write() as connection:
        connection.execute(text("CREATE TABLE kept (x TEXT)"))
    (thread,) = threads()
    keep(store, 1)
    assert threads() == [thread]
    store.close()
    assert threads() == []


def test_a_short_log_is_left_alone(kept: Store, path: Path) -> None:
    keep(kept, 20)
    before = path.stat().st_size
    assert not checkpoint(path, least_pages=100)
    assert path.stat().st_size == before
    assert checkpoint(path, least_pages=20)
    assert path.stat().st_size > before


def test_a_log_that_began_anew_is_short_however_long_its_file(kept: Store, path: Path) -> None:
    keep(kept, 50)
    assert checkpoint(path, least_pages=50)
    keep(kept, 1)
    assert Path(f"{path}-wal").stat().st_size > 50 * len(ROW)
    assert not checkpoint(path, least_pages=50)
    assert checkpoint(path, least_pages=1)


def test_a_file_that_is_gone_is_not_made_anew(path: Path) -> None:
    assert not checkpoint(path, least_pages=1)
    Path(f"{path}-wal").write_bytes(b"\0" * 100_000)
    with pytest.raises(sqlite3.OperationalError):
        checkpoint(path, least_pages=1)
    assert not path.exists()


def test_a_log_cut_short_counts_as_none(path: Path) -> None:
    for length in (0, 10, 32, 40):
        Path(f"{path}-wal").write_bytes(b"\1" * length)
        assert not checkpoint(path, least_pages=1)


def test_it_waits_for_no_reader_and_no_writer(kept: Store, path: Path) -> None:
    keep(kept, 20)
    with kept.read() as snapshot:
        assert snapshot.execute(text("SELECT count(*) FROM kept")).scalar_one() == 20
        with kept.write() as connection:
            connection.execute(text("INSERT INTO kept VALUES ('after')"))
            assert checkpoint(path, least_pages=1)
        assert checkpoint(path, least_pages=1)
        assert snapshot.execute(text("SELECT count(*) FROM kept")).scalar_one() == 20
    assert count(kept) == 21


def test_a_failure_is_told_without_what_the_store_holds_and_is_not_the_last_try(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs = threading.Semaphore(0)
    failures: Iterator[Exception] = iter([sqlite3.OperationalError("secret"), OSError("secret")])

    def fail_twice() -> None:
        error = next(failures, None)
        runs.release()
        if error is not None:
            raise error

    copier = Checkpointer(fail_twice, interval_s=0)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            copier.note_commit()
            assert runs.acquire(timeout=30)
        copier.close()
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["OperationalError", "OSError"]
    assert "secret" not in caplog.text


# Writes rows and says how many are committed, while it copies the log as often as it can.
_BUSY = """
import sys
from functools import partial
from pathlib import Path
from sqlalchemy import text
from watchfloor_core.store.checkpointer import Checkpointer, checkpoint
from watchfloor_core.store.engine import open_store
path, writer, rows = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store = open_store(f"sqlite:///{path}")
copier = Checkpointer(partial(checkpoint, path, least_pages=1), interval_s=0)
print("ready", flush=True)
sys.stdin.readline()
for number in range(rows):
    with store.write() as connection:
        connection.execute(text("INSERT INTO kept VALUES (:x)"), {"x": writer * 4_000})
    copier.note_commit()
    print(number + 1, flush=True)
"""


def start(path: Path, writer: str, rows: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _BUSY, str(path), writer, str(rows)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def is_sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))


def test_processes_that_all_checkpoint_lose_nothing_and_end_with_their_thread_alive(kept: Store, path: Path) -> None:
    processes = [start(path, writer, 150) for writer in "abc"]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0].splitlines()[-1] for process in processes]
    # None of them has closed its store or its checkpointer: neither keeps a process alive.
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert said == ["150"] * 3
    with kept.read() as connection:
        rows = connection.execute(text("SELECT substr(x, 1, 1), count(*) FROM kept GROUP BY 1 ORDER BY 1")).all()
    assert [tuple(row) for row in rows] == [("a", 150), ("b", 150), ("c", 150)]
    assert is_sound(path)


@pytest.mark.parametrize("commits", [1, 40, 133])
def test_a_process_killed_while_it_checkpoints_harms_nothing(kept: Store, path: Path, commits: int) -> None:
    process = start(path, "a", 1_000_000)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    for _ in range(commits):
        process.stdout.readline()
    process.kill()
    # What it said before it died, and was not read yet, is committed as well; its last line may be cut short.
    rest = [line for line in process.communicate(timeout=60)[0].splitlines(keepends=True) if line.endswith("\n")]
    assert count(kept) >= commits + len(rest)
    keep(kept, 1)
    kept.close()
    assert is_sound(path)
