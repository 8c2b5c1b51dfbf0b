"""Writers at the same time, in threads and processes, and writers that die: no alert lost, none counted twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from watchfloor_core.alert import Alert
from watchfloor_core.errors import ConflictError
from watchfloor_core.store import schema
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.ingest import BatchResult, ParsedBatch, register_source, write_batch

Login = Callable[..., Alert]
BatchOf = Callable[..., ParsedBatch]

WRITERS = 4
ALERTS = 300
BATCHES = 5


def register(store: Store, *sources: str) -> None:
    with store.write() as connection:
        for source in sources:
            register_source(connection, "acme", source, source, is_bounded=True)


def count(store: Store, table: str) -> int:
    with store.read() as connection:
        return connection.execute(select(func.count()).select_from(schema.metadata.tables[table])).scalar_one()


def is_consistent(store: Store) -> None:
    """Everything points at something, and the counts of the batches are those of the rows."""
    record, alert, batch, shape = schema.record, schema.alert, schema.batch, schema.shape
    with store.read() as connection:
        records = connection.execute(select(func.count()).select_from(record)).scalar_one()
        joined = connection.execute(
            select(func.count())
            .select_from(record)
            .join(alert, (alert.c.tenant == record.c.tenant) & (alert.c.fingerprint == record.c.fingerprint))
            .join(shape, (shape.c.tenant == alert.c.tenant) & (shape.c.id == alert.c.shape_id))
            .join(schema.dedup_rule, (schema.dedup_rule.c.shape_id == shape.c.id))
            .join(batch, batch.c.id == record.c.batch_id)
            .join(schema.batch_raw, schema.batch_raw.c.batch_id == batch.c.id)
        ).scalar_one()
        assert joined == records
        per_batch = select(func.count()).where(record.c.batch_id == batch.c.id).scalar_subquery()
        of_alerts = select(func.count()).where(alert.c.batch_id == batch.c.id).scalar_subquery()
        for row in connection.execute(
            select(batch.c.alerts, batch.c.duplicates, per_batch.label("records"), of_alerts.label("stored"))
        ):
            assert row.alerts == row.stored
            assert row.alerts + row.duplicates == row.records


def test_threads_with_overlapping_batches_lose_nothing_and_count_each_alert_once(
    store: Store, login: Login, batch_of: BatchOf
) -> None:
    register(store, *(f"file:{writer}" for writer in range(WRITERS)))
    together = threading.Barrier(WRITERS, timeout=30)
    results: list[BatchResult] = []

    def write_all(writer: int) -> None:
        # Each writer has every alert, in an order and with shapes that come first in another place.
        alerts = [login(second, host=f"host-{second % 17}") for second in range(ALERTS)]
        random.Random(writer).shuffle(alerts)
        size = ALERTS // BATCHES
        for number in range(BATCHES):
            batch = batch_of(
                alerts[number * size : (number + 1) * size],
                key=str(number),
                first=1 + number * size,
                source_id=f"file:{writer}",
            )
            together.wait()
            with store.write() as connection:
                results.append(write_batch(connection, "acme", batch))

    threads = [threading.Thread(target=write_all, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == WRITERS * BATCHES
    assert sum(result.alerts for result in results) == ALERTS
    assert sum(result.duplicates for result in results) == (WRITERS - 1) * ALERTS
    assert (count(store, "alert"), count(store, "record")) == (ALERTS, WRITERS * ALERTS)
    assert (count(store, "shape"), count(store, "entity")) == (17, 18)
    is_consistent(store)


_WRITER = """
import random, runpy, sys
from watchfloor_core.store.engine import open_store
from watchfloor_core.store.ingest import write_batch
url, helpers, writer, alerts, batches = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
made = runpy.run_path(helpers)
mine = [made["_alert"](second, host=f"host-{second % 17}") for second in range(alerts)]
random.Random(writer).shuffle(mine)
store, size = open_store(url), alerts // batches
print("ready", flush=True)
sys.stdin.readline()
new = 0
for number in range(batches):
    batch = made["_batch"](
        mine[number * size : (number + 1) * size], key=str(number), first=1 + number * size, source_id=f"file:{writer}"
    )
    with store.write() as connection:
        new += write_batch(connection, "acme", batch).alerts
print(new)
store.close()
"""


def start(url: str, writer: int, script: str = _WRITER) -> subprocess.Popen[str]:
    helpers = str(Path(__file__).with_name("conftest.py"))
    process = subprocess.Popen(
        [sys.executable, "-c", script, url, helpers, str(writer), str(ALERTS), str(BATCHES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_processes_with_overlapping_batches_lose_nothing_and_count_each_alert_once(
    store: Store, store_url: str
) -> None:
    register(store, *(f"file:{writer}" for writer in range(WRITERS)))
    processes = [start(store_url, writer) for writer in range(WRITERS)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    new = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0] * WRITERS
    assert sum(new) == ALERTS
    assert (count(store, "alert"), count(store, "record")) == (ALERTS, WRITERS * ALERTS)
    assert (count(store, "shape"), count(store, "entity")) == (17, 18)
    is_consistent(store)


# Stops dead after the statement named on the command line: as a crash would find it, in the middle of a batch.
_VICTIM = """
import runpy, signal, sys
from sqlalchemy import event
from watchfloor_core.store.engine import open_store
from watchfloor_core.store.ingest import write_batch
url, helpers, table = sys.argv[1], sys.argv[2], sys.argv[3]
made = runpy.run_path(helpers)
store = open_store(url)

@event.listens_for(store.engine, "after_cursor_execute")
def stop(_connection, _cursor, statement, *_):
    if statement.startswith(table):
        print("stopped", flush=True)
        signal.pause()

with store.write() as connection:
    write_batch(connection, "acme", made["_batch"]([made["_alert"](second) for second in range(50)]))
"""


@pytest.mark.parametrize("statement", ["INSERT INTO batch ", "INSERT INTO alert ", "UPDATE source "])
def test_a_writer_killed_in_the_middle_of_a_batch_leaves_nothing_half_done(
    store: Store, store_url: str, login: Login, batch_of: BatchOf, statement: str
) -> None:
    register(store, "file:1")
    helpers = str(Path(__file__).with_name("conftest.py"))
    command = [sys.executable, "-c", _VICTIM, store_url, helpers, statement]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == "stopped\n"
        victim.send_signal(signal.SIGKILL)
    assert [count(store, table) for table in ("batch", "batch_raw", "alert", "record", "shape", "entity")] == [0] * 6
    # And whoever comes next is not held up, and finds nothing in its way.
    with store.write() as connection:
        result = write_batch(connection, "acme", batch_of([login(second) for second in range(50)]))
    assert (result.alerts, result.was_known) == (50, False)
    is_consistent(store)


def test_a_writer_killed_after_its_commit_is_found_to_have_written_when_it_comes_again(
    store: Store, store_url: str, login: Login, batch_of: BatchOf
) -> None:
    register(store, "file:0")
    process = start(store_url, 0)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    assert process.stdout.readline() == f"{ALERTS}\n"
    process.kill()
    process.communicate()
    again = start(store_url, 0)
    again.communicate("go\n", timeout=60)
    assert again.returncode == 0
    assert (count(store, "alert"), count(store, "record"), count(store, "batch")) == (ALERTS, ALERTS, BATCHES)
    is_consistent(store)


def test_batches_of_one_source_wait_for_each_other_and_do_not_deadlock(
    store: Store, login: Login, batch_of: BatchOf
) -> None:
    register(store, "file:1")
    together = threading.Barrier(WRITERS, timeout=30)
    conflicts: list[ConflictError] = []

    def write_all(writer: int) -> None:
        for number in range(BATCHES):
            alerts = [login(second, host=f"host-{writer}-{second % 5}") for second in range(50)]
            batch = batch_of(alerts, key=f"{writer}.{number}", first=1)
            together.wait()
            try:
                with store.write() as connection:
                    write_batch(connection, "acme", batch)
            except ConflictError as error:
                conflicts.append(error)

    threads = [threading.Thread(target=write_all, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert conflicts == []
    assert count(store, "alert") == WRITERS * 50
    is_consistent(store)


def test_a_reader_never_sees_half_a_batch(store: Store, store_url: str, login: Login, batch_of: BatchOf) -> None:
    register(store, "file:1")
    reader = open_store(store_url)
    done = threading.Event()
    seen: set[tuple[int, int]] = set()

    def look() -> None:
        while not done.is_set():
            with reader.read() as connection:
                alerts = connection.execute(select(func.count()).select_from(schema.alert)).scalar_one()
                records = connection.execute(select(func.count()).select_from(schema.record)).scalar_one()
                seen.add((alerts, records))

    thread = threading.Thread(target=look)
    thread.start()
    for number in range(10):
        alerts = [login(number * 100 + second) for second in range(100)]
        with store.write() as connection:
            write_batch(connection, "acme", batch_of(alerts, key=str(number), first=1 + number * 100))
    done.set()
    thread.join()
    reader.close()
    assert seen <= {(number * 100, number * 100) for number in range(11)}
