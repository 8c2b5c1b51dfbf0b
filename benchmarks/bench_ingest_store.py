"""How fast the store takes alerts in, as a ratio of a floor measured in the same run.

Floor: the same rows parsed with `csv` and inserted into one bare SQLite table by `executemany`, in batches of the same
size. Ours: the rows parsed with `csv`, made alerts, fingerprinted, deduplicated, interned, kept with their original
bytes, and committed batch by batch.

Reads the real AIT-ADS file where it is (``../shared/data``), else rows of the same form made here.

    python benchmarks/bench_ingest_store.py [--records N] [--batch N] [--postgresql-url URL]
"""

from __future__ import annotations

import argparse
import csv
import gzip
import runpy
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from watchfloor_core.alert import (
    Alert,
    Attribute,
    Detector,
    Entity,
    EntityKind,
    EntityRole,
    Integrity,
    Severity,
    TimePrecision,
)
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.ingest import ParsedBatch, ParsedRecord, prepare, register_source, write_batch
from watchfloor_core.store.migrate import migrate

ROOT: Final = Path(__file__).resolve().parent.parent
DATA: Final = ROOT.parent / "shared" / "data" / "ait_ads" / "santos_alerts.csv.gz"
ROUNDS: Final = 3


def read_lines(limit: int) -> list[str]:
    """CSV lines without the header."""
    if DATA.exists():
        with gzip.open(DATA, "rt", encoding="utf-8", newline="") as file:
            next(file)
            return list(islice(file, limit))
    return [
        f"{1_642_723_347 + n // 2},Wazuh: rule {n * n % 40},172.19.130.{n % 7},host-{n % 11},W-{n * n % 40},-,-\n"
        for n in range(limit)
    ]


class Parser:
    """CSV rows to alerts; what repeats is made once, as connectors do."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[Detector, tuple[Entity, ...], tuple[Attribute, ...]]] = {}

    def alert(self, row: Sequence[str]) -> Alert:
        key = tuple(row[1:5])
        parts = self._known.get(key)
        if parts is None:
            parts = self._known[key] = self._parts(*key)
        detector, entities, attributes = parts
        event_us = int(row[0]) * 1_000_000
        return Alert("ait-ads", detector, Severity.LOW, event_us, TimePrecision.SECOND, entities, attributes)

    def _parts(
        self, name: str, ip: str, host: str, short: str
    ) -> tuple[Detector, tuple[Entity, ...], tuple[Attribute, ...]]:
        product, _, title = name.partition(": ")
        return (
            Detector(product.lower(), title, title),
            (Entity(EntityKind.HOST, host, EntityRole.TARGET), Entity(EntityKind.IP, ip)),
            (Attribute("short", short, Integrity.SENSOR),),
        )


def chunks(lines: Sequence[str], size: int) -> Iterator[tuple[int, Sequence[str]]]:
    for start in range(0, len(lines), size):
        yield start, lines[start : start + size]


class Stopwatch:
    """Wall clock and CPU of this process: the latter stays true on a machine that others use too."""

    def __init__(self) -> None:
        self._started = (time.perf_counter(), time.process_time())

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._started[0], time.process_time() - self._started[1]


def floor_seconds(lines: Sequence[str], size: int) -> tuple[float, float]:
    """Parse and insert into one bare table."""
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(Path(folder) / "floor.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(
            "CREATE TABLE row (time INTEGER, name TEXT, ip TEXT, host TEXT, short TEXT, tl TEXT, el TEXT)"
        )
        watch = Stopwatch()
        for _, part in chunks(lines, size):
            with connection:
                connection.executemany("INSERT INTO row VALUES (?, ?, ?, ?, ?, ?, ?)", csv.reader(part))
        return watch.read()


def ingest_seconds(store: Store, lines: Sequence[str], size: int, tenant: str) -> tuple[float, float]:
    """Parse and take in; checks that every record is accounted for."""
    with store.write() as connection:
        register_source(connection, tenant, "file:bench", "bench", is_bounded=True)
    parser = Parser()
    records = 0
    watch = Stopwatch()
    for start, part in chunks(lines, size):
        parsed = [
            ParsedRecord(position, line.encode(), parser.alert(row))
            for position, (line, row) in enumerate(zip(part, csv.reader(part), strict=True), start + 1)
        ]
        ready = prepare(ParsedBatch("file:bench", str(start), "ait-ads", "1", parsed))
        with store.write() as connection:
            result = write_batch(connection, tenant, ready)
        records += result.alerts + result.duplicates
    seconds = watch.read()
    if records != len(lines):
        raise SystemExit(f"{len(lines)} records went in and {records} were counted")
    return seconds


@contextmanager
def opened(url: str) -> Iterator[Store]:
    migrate(url)
    store = open_store(url)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def postgresql(url: str | None) -> Iterator[str]:
    """The given server, else the one that the tests use."""
    if url is not None:
        yield url
        return
    # What the tests have in common imports from its own package.
    sys.path.insert(0, str(ROOT))
    tests = runpy.run_path(str(ROOT / "tests" / "conftest.py"))
    with tests["postgresql_server"]() as server:
        yield tests["database_url"](server, "postgres")


def report(
    name: str,
    records: int,
    floor: Callable[[], tuple[float, float]],
    ours: Callable[[int], tuple[float, float]],
    target: int,
) -> None:
    """Run both in turn and print the best of each: a busy machine only ever slows."""
    floors, runs = [], []
    for number in range(ROUNDS):
        floors.append(floor())
        runs.append(ours(number))
    floor_wall, floor_cpu = (min(column) for column in zip(*floors, strict=True))
    wall, cpu = (min(column) for column in zip(*runs, strict=True))
    print(
        f"{name:<12}{records / wall:>9,.0f} records/s   floor {records / floor_wall:>9,.0f}   "
        f"ratio {floor_wall / wall:.2f}   target {target:,}/s   "
        f"CPU {cpu / records * 1e6:.1f} us a record, floor {floor_cpu / records * 1e6:.1f}"
    )


def main() -> None:
    options = argparse.ArgumentParser(description="Ingest into the store, against a bare SQLite insert.")
    options.add_argument("--records", type=int, default=130_000)
    options.add_argument("--batch", type=int, default=5_000)
    options.add_argument("--postgresql-url", help="none: the embedded server of the tests")
    given = options.parse_args()
    lines = read_lines(given.records)
    print(f"{len(lines):,} records of {DATA.name if DATA.exists() else 'made-up rows'}, batches of {given.batch:,}")

    def floor() -> tuple[float, float]:
        return floor_seconds(lines, given.batch)

    with tempfile.TemporaryDirectory() as folder:

        def into_sqlite(number: int) -> tuple[float, float]:
            with opened(f"sqlite:///{folder}/{number}.db") as store:
                return ingest_seconds(store, lines, given.batch, "bench")

        report("SQLite", len(lines), floor, into_sqlite, 60_000)

    with postgresql(given.postgresql_url) as url, opened(url) as store:

        def into_postgresql(number: int) -> tuple[float, float]:
            # A tenant of its own each time: nothing is a duplicate of an earlier round.
            return ingest_seconds(store, lines, given.batch, f"bench-{number}-{time.time_ns()}")

        report("PostgreSQL", len(lines), floor, into_postgresql, 25_000)


if __name__ == "__main__":
    main()
