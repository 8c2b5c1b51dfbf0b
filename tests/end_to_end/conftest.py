"""The command as an operator runs it: real processes, each in a data directory of its own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

Result = TypeVar("Result")

WATCHFLOOR = Path(sysconfig.get_path("scripts")) / "watchfloor"
PATIENCE_S = 110.0
POLL_S = 0.02


def eventually(holds: Callable[[], Result | None], what: str) -> Result:
    """The first result of ``holds`` that is true; a condition in another process has no event to wait for."""
    deadline = time.monotonic() + PATIENCE_S
    while not (result := holds()):
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_S:.0f} s"
        time.sleep(POLL_S)
    return result


@dataclass
class Place:
    """A data directory, and the commands that run on it."""

    data_dir: Path
    settings: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """The command in a process of its own."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WATCHFLOOR_")}
        process = subprocess.Popen(
            [WATCHFLOOR, *map(str, arguments)],
            env={**environment, "WATCHFLOOR_DATA_DIR": str(self.data_dir), **self.settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_as_in_a_terminal,
        )
        self.started.append(process)
        return process

    def call(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """The command, to its end."""
        return ended(self.start(*arguments))

    def up(self, *arguments: str) -> subprocess.Popen[str]:
        """A running stack."""
        process = self.start("up", "--api-port", "0", "--temporal-port", "0", *arguments)
        until_said(process, "Ctrl-C stops it.")
        return process

    @property
    def running(self) -> dict[str, object]:
        """``run.json``; empty where there is none."""
        try:
            description: dict[str, object] = json.loads((self.data_dir / "run.json").read_text())
        except FileNotFoundError:
            return {}
        return description

    def pid_of(self, part: str) -> int:
        """The process of a part, once it runs."""

        def pid() -> int | None:
            processes = self.running.get("processes")
            return processes.get(part) if isinstance(processes, dict) else None

        return eventually(pid, f"{part} runs")

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        """Of the store; none where it has no tables yet."""
        file = self.data_dir / "watchfloor.db"
        if not file.exists():
            return []
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as connection:
            try:
                return connection.execute(statement).fetchall()
            except sqlite3.OperationalError:
                return []

    def eventually(self, statement: str, what: str) -> None:
        """Wait until a count in the store is not zero."""
        eventually(lambda: self.count(statement), what)

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for a condition in other processes."""
        eventually(holds, what)

    def alerts(self, count: int) -> Path:
        """A file of alerts; equal in every place."""
        self.data_dir.parent.mkdir(exist_ok=True)
        return write_alerts(self.data_dir.parent / "eve.json", count)

    def count(self, statement: str) -> int:
        rows = self.rows(statement)
        return int(str(rows[0][0])) if rows else 0


def _as_in_a_terminal() -> None:
    """The tests may run in the background of a shell, where Ctrl-C is ignored and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """The process after its end."""
    out, err = process.communicate(timeout=PATIENCE_S)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def until_said(process: subprocess.Popen[str], text: str) -> str:
    """What the process printed up to a line with ``text``."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(f"ended with {process.wait()} before it said {text!r}: {said}{ended(process).stderr}")


def write_alerts(path: Path, count: int) -> Path:
    """Alerts of a network sensor over two days, in Suricata's format: mostly the same few, now and then a rare one."""
    start = datetime(2026, 3, 2, tzinfo=UTC)
    with path.open("w") as file:
        for number in range(count):
            host, rule = number * 7 % 20, 2_000_000 + (number % 5 if number % 11 else number % 97)
            alert = {
                "timestamp": f"{start + timedelta(days=2) * (number / count):%Y-%m-%dT%H:%M:%S.%f+0000}",
                "event_type": "alert",
                "src_ip": f"10.0.{host % 4}.{host}",
                "src_port": 40_000 + number % 1000,
                "dest_ip": f"192.0.2.{number % 13}",
                "dest_port": 443,
                "proto": "TCP",
                "alert": {
                    "action": "allowed",
                    "gid": 1,
                    "signature_id": rule,
                    "rev": 1,
                    "signature": f"RULE {rule}",
                    "category": "Misc activity",
                    "severity": 3 if rule % 3 else 1,
                },
            }
            file.write(json.dumps(alert) + "\n")
    return path


@pytest.fixture(scope="module")
def shared_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One place for the tests of a module that only look."""
    made = Place(tmp_path_factory.mktemp("shared") / "data")
    yield made
    stop(made.started)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "data")
    yield made
    stop(made.started)


def stop(processes: Sequence[subprocess.Popen[str]]) -> None:
    """End what a test has left running, with all that it started."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE_S)
