"""From files to a verdict on every alert, with everything real: Temporal, store, worker, correlator.

Prints rates as ratios of a floor measured in the same run (the same rows parsed with the csv module and inserted into
one bare SQLite table, in batches of the same size), the peak memory of each process, what a doubled flood costs in
workflow passes, and how soon `watchfloor up` is ready.

Usage::

    python benchmarks/bench_end_to_end.py [--million] [FILE.csv.gz …]

Without files it takes the two enterprises of the AIT Alert Data Set where they lie beside the project.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WATCHFLOOR = Path(sys.executable).with_name("watchfloor")
BATCH = 5_000
HEADER = ["time", "name", "ip", "host", "short", "time_label", "event_label"]
DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "ait_ads"


class Watch:
    """Peak resident memory of a process and its descendants, by what each is."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._over = threading.Event()
        self.peaks: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, float]:
        self._over.set()
        self._thread.join()
        return self.peaks

    def _run(self) -> None:
        while not self._over.wait(0.2):
            for pid in self._family():
                self._look(pid)

    def _family(self) -> list[int]:
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                except OSError:
                    continue
                children.setdefault(parent, []).append(int(entry.name))
        family, found = [self._root], [self._root]
        while found:
            found = [child for pid in found for child in children.get(pid, [])]
            family += found
        return family

    def _look(self, pid: int) -> None:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        if peak:
            name = _what(command)
            self.peaks[name] = max(self.peaks.get(name, 0.0), int(peak[1]) / 1024)


def _what(command: list[bytes]) -> str:
    words = [part.decode(errors="replace") for part in command]
    if "temporal" in Path(words[0]).name:
        return "temporal"
    for name in ("worker", "correlator", "api"):
        if name in words:
            return name
    return "run" if "run" in words else "other"


def floor(path: Path) -> tuple[int, float]:
    """Rows, and rows a second, of only parsing and inserting."""
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"CREATE TABLE row ({', '.join(HEADER)})")
        start, count = time.perf_counter(), 0
        with gzip.open(path, "rt", newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            next(rows)
            batch: list[list[str]] = []
            for row in rows:
                batch.append(row)
                if len(batch) == BATCH:
                    count += _insert(connection, batch)
                    batch = []
            count += _insert(connection, batch)
        return count, count / (time.perf_counter() - start)


def _insert(connection: sqlite3.Connection, batch: list[list[str]]) -> int:
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO row VALUES (?, ?, ?, ?, ?, ?, ?)", batch)
    connection.execute("COMMIT")
    return len(batch)


@contextmanager
def fresh() -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "data", Path(folder) / "out"


def run(path: Path, data: Path, out: Path) -> tuple[float, dict[str, float]]:
    """Seconds of the whole command, start and stop included, and the peaks in MiB."""
    start = time.perf_counter()
    command = [str(WATCHFLOOR), "--data-dir", str(data), "run", str(path), "--out", str(out), "--no-progress"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    watch = Watch(process.pid)
    output, _ = process.communicate()
    peaks = watch.stop()
    if process.returncode != 0:
        sys.exit(f"watchfloor run {path} failed with {process.returncode}:\n{output}")
    return time.perf_counter() - start, peaks


def passes(data: Path) -> tuple[int, int]:
    """Incidents, and triage passes of their workflows."""
    connection = sqlite3.connect(data / "watchfloor.db")
    incidents = connection.execute("SELECT COUNT(*) FROM incident WHERE merged_into IS NULL").fetchone()[0]
    verdicts = connection.execute("SELECT COUNT(*) FROM ledger_entry WHERE kind = 'verdict'").fetchone()[0]
    return int(incidents), int(verdicts)


def bench_file(path: Path) -> tuple[int, float]:
    count, floor_rate = floor(path)
    with fresh() as (data, out):
        seconds, peaks = run(path, data, out)
        incidents, verdicts = passes(data)
    rate = count / seconds
    print(f"{path.name}: {count:,} alerts in {seconds:.1f} s, start and stop of all processes included")
    print(f"  {rate:,.0f} alerts/s; floor {floor_rate:,.0f} rows/s; ratio {rate / floor_rate:.3f}")
    print(f"  {incidents} incidents, {verdicts} triage passes, {incidents / seconds:.1f} incidents/s")
    print("  peak memory: " + ", ".join(f"{name} {peak:.0f} MiB" for name, peak in sorted(peaks.items())))
    return count, seconds


def flood_rows(repeat: int) -> Iterator[list[str]]:
    """Three quiet days of two hosts, then one minute of a scan, so many thousand alerts of it."""
    for minute in range(0, 3 * 24 * 60, 10):
        for host in ("web01", "db01"):
            yield [str(1_767_225_600 + minute * 60), "Wazuh: heartbeat", "10.0.0.1", host, "x", "-", "-"]
    for n in range(20_000 * repeat):
        # A sixtieth of a second apart at most, so that every alert is one of its own.
        at = 1_767_225_600 + 3 * 86_400 + n / (20_000 * repeat) * 60
        yield [f"{at:.6f}", "Suricata: Alert - ET SCAN Possible Nmap", "10.0.0.1", "web01", "x", "-", "-"]


def write_rows(path: Path, rows: Iterator[list[str]]) -> None:
    with gzip.open(path, "wt", newline="", encoding="utf-8", compresslevel=1) as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(rows)


def bench_flood() -> None:
    found = []
    for repeat in (1, 2):
        with fresh() as (data, out), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "flood.csv.gz"
            write_rows(path, flood_rows(repeat))
            run(path, data, out)
            found.append(passes(data))
    (incidents, verdicts), (incidents_2, verdicts_2) = found
    print("flood of one scan, 20,000 alerts and doubled:")
    print(f"  incidents {incidents} and {incidents_2}, triage passes {verdicts} and {verdicts_2}")
    print(f"  ratio of passes {verdicts_2 / verdicts:.2f} (1 = cost follows incidents)")


def bench_million(path: Path) -> None:
    """The file again and again, each time four days later, until a million alerts are together."""
    with gzip.open(path, "rt", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    repeats = -(-1_000_000 // len(rows))
    later = ([f"{float(row[0]) + n * 4 * 86_400:.6f}", *row[1:]] for n in range(repeats) for row in rows)
    with tempfile.TemporaryDirectory() as folder:
        million = Path(folder) / "million.csv.gz"
        write_rows(million, later)
        bench_file(million)


def bench_up() -> None:
    """Seconds until `watchfloor up` says that it is ready, on a fresh data directory and on the second start."""
    with tempfile.TemporaryDirectory() as folder:
        for which in ("first", "second"):
            command = [str(WATCHFLOOR), "--data-dir", str(Path(folder) / "data"), "up"]
            start = time.perf_counter()
            environment = {**os.environ, "WATCHFLOOR_TEMPORAL_PORT": "0", "WATCHFLOOR_API_PORT": "0"}
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
            ready = None
            assert process.stdout is not None
            for line in process.stdout:
                if "is up after" in line:
                    ready = time.perf_counter() - start
                    break
            process.terminate()
            process.communicate()
            print(
                f"watchfloor up, {which} start: ready after {ready:.2f} s"
                if ready
                else f"up did not get ready ({which})"
            )


def main() -> None:
    arguments = [argument for argument in sys.argv[1:] if argument != "--million"]
    files = [Path(argument) for argument in arguments] or sorted(DATA.glob("*_alerts.csv.gz"))
    if not files:
        print(f"no data in {DATA.parent.name}/{DATA.name}: give files, or only the synthetic parts run")
    total, seconds = 0, 0.0
    for path in files:
        count, taken = bench_file(path)
        total, seconds = total + count, seconds + taken
    if len(files) > 1:
        print(f"all files: {total:,} alerts, {total / seconds:,.0f} alerts/s to a verdict")
    bench_flood()
    bench_up()
    if "--million" in sys.argv and files:
        bench_million(max(files, key=lambda path: path.stat().st_size))
    print(json.dumps({"alerts": total, "seconds": round(seconds, 1)}))


if __name__ == "__main__":
    main()
