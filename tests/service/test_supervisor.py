"""The supervisor with small real processes: readiness, healing, order and bounds of its stop, no orphans."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_service.supervision.part import Part, PartName
from watchfloor_service.supervision.supervisor import STOP_ORDER, Supervisor

SERVICE = Path(__file__).parents[2] / "service"

WELL_BEHAVED = """
import os, signal, sys
from watchfloor_service.supervision.heartbeat import Heartbeat
name = sys.argv[1]
def stop(*_):
    print(name, "stopped", flush=True)
    with open(sys.argv[2], "a") as file:
        file.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print(name, "says hello", flush=True)
with Heartbeat(int(sys.argv[-1])) as heartbeat:
    heartbeat.ready()
    while True:
        signal.pause()
"""
STUBBORN = WELL_BEHAVED.replace("signal.signal(signal.SIGTERM, stop)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
SILENT = """
import signal, sys
from watchfloor_service.supervision.heartbeat import Heartbeat
Heartbeat(int(sys.argv[-1])).ready()
signal.pause()
"""
MISCONFIGURED = """
import sys
from watchfloor_service.supervision.heartbeat import Heartbeat
Heartbeat(int(sys.argv[-1])).failed("autonomy.yaml:3: level 'L7' is none of L0, L1, L2, L3, L4")
sys.exit(2)
"""
DYING = "print('no such table: alert'); raise SystemExit(1)"


class Watched:
    """What a supervisor told, and a condition to wait for it without sleeping."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.processes: dict[str, int] = {}
        self._moved = asyncio.Event()

    def tell(self, line: str) -> None:
        self.lines.append(line)
        self._moved.set()

    def changed(self, processes: dict[str, int]) -> None:
        self.processes = processes
        self._moved.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                self._moved.clear()
                await self._moved.wait()


def part(name: PartName, script: str, *arguments: str, silent_s: float = 20, stop_s: float = 10) -> Part:
    return Part(
        name=name,
        command=(sys.executable, "-c", script, name.value, *arguments),
        environment={**os.environ, "PYTHONPATH": str(SERVICE)},
        probe=None,
        has_heartbeat=True,
        silent_s=silent_s,
        stop_s=stop_s,
    )


def supervised(folder: Path, body: Callable[[Supervisor, Watched], Awaitable[None]]) -> Watched:
    """Run ``body`` with a supervisor that is stopped afterwards."""

    async def main() -> Watched:
        watched = Watched()
        supervisor = Supervisor(folder / "logs", tell=watched.tell, changed=watched.changed)
        try:
            await body(supervisor, watched)
        finally:
            await supervisor.stop()
        return watched

    return asyncio.run(main())


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_killed_part_is_started_again(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, watched: Watched) -> None:
        supervisor.start(part(PartName.WORKER, WELL_BEHAVED, str(tmp_path / "stops")))
        await supervisor.until_ready()
        first = supervisor.processes["worker"]
        os.kill(first, signal.SIGKILL)
        await watched.until(lambda: watched.processes.get("worker", first) != first)

    watched = supervised(tmp_path, body)
    assert watched.lines == ["worker ended (signal SIGKILL); starting it again in 0.2 s"]


def test_parts_stop_in_order_whatever_the_order_of_their_start(tmp_path: Path) -> None:
    stops = tmp_path / "stops"

    async def body(supervisor: Supervisor, watched: Watched) -> None:
        supervisor.start(*(part(name, WELL_BEHAVED, str(stops)) for name in PartName))
        await supervisor.until_ready()

    watched = supervised(tmp_path, body)
    assert stops.read_text().split() == ["api", "correlator", "worker", "executor", "temporal"]
    assert watched.processes == {}
    assert (tmp_path / "logs" / "api.log").read_text() == "api says hello\napi stopped\n"


def test_a_part_that_ignores_sigterm_is_killed_after_its_time(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, watched: Watched) -> None:
        supervisor.start(part(PartName.API, STUBBORN, str(tmp_path / "stops"), stop_s=0.3))
        await supervisor.until_ready()

    started = time.monotonic()
    watched = supervised(tmp_path, body)
    assert watched.lines == ["api did not end within 0.3 s; killed"]
    assert time.monotonic() - started < 5
    assert watched.processes == {}


def test_a_part_that_falls_silent_is_killed_and_started_again(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, watched: Watched) -> None:
        supervisor.start(part(PartName.WORKER, SILENT, silent_s=1))
        await supervisor.until_ready()
        await watched.until(lambda: any("SIGKILL" in line for line in watched.lines))

    assert supervised(tmp_path, body).lines[0] == "worker gave no sign of life for 1 s; killed"


def test_a_part_that_needs_an_operator_fails_the_start_in_its_own_words(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, watched: Watched) -> None:
        supervisor.start(part(PartName.WORKER, MISCONFIGURED))
        await supervisor.until_ready()

    with pytest.raises(ConfigurationError, match=r"^autonomy\.yaml:3: level 'L7' is none of L0, L1, L2, L3, L4$"):
        supervised(tmp_path, body)


def test_a_part_that_keeps_dying_fails_the_start_with_its_last_words_and_its_log(tmp_path: Path) -> None:
    async def body(supervisor: Supervisor, watched: Watched) -> None:
        supervisor.start(part(PartName.CORRELATOR, DYING))
        await supervisor.until_ready()

    with pytest.raises(UnavailableError, match=r"exit code 1.*'no such table: alert'.*correlator\.log"):
        supervised(tmp_path, body)


def test_no_part_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    script = f"""
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_supervisor import STUBBORN, PartName, Supervisor, part
async def main():
    supervisor = Supervisor(Path({str(tmp_path)!r}) / "logs", tell=print, changed=lambda processes: None)
    supervisor.start(part(PartName.WORKER, STUBBORN, "unused"), part(PartName.API, STUBBORN, "unused"))
    await supervisor.until_ready()
    print(*supervisor.processes.values(), flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        children = [int(pid) for pid in supervisor.stdout.readline().split()]
        assert len(children) == 2
        # A pidfd becomes readable when its process ends: no polling for children that are not ours.
        ends = [os.pidfd_open(pid) for pid in children]
        supervisor.kill()
    try:
        for end in ends:
            _wait_readable(end)
    finally:
        for end in ends:
            os.close(end)
    assert not any(is_alive(pid) for pid in children)


def _wait_readable(descriptor: int) -> None:
    import select

    readable, _, _ = select.select([descriptor], [], [], 10)
    assert readable, "the child lives 10 s after its supervisor was killed"


def test_every_part_has_its_place_in_the_order_of_stopping() -> None:
    assert sorted(STOP_ORDER) == sorted(PartName)
    assert STOP_ORDER[-1] is PartName.TEMPORAL
