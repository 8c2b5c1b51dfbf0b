"""One supervised process: started, watched, started again when it dies or falls silent, stopped in bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from watchfloor_core.errors import ConfigurationError, UnavailableError, WatchfloorError
from watchfloor_service.supervision import heartbeat
from watchfloor_service.supervision.part import Part
from watchfloor_service.supervision.rotation import RotatingLog

LEASH: Final = str(Path(__file__).with_name("leash.py"))
FIRST_BACKOFF_S: Final = 0.2
LAST_BACKOFF_S: Final = 10.0
STEADY_S: Final = 30.0
"""A process that lived so long starts its backoff anew."""
VAIN_STARTS: Final = 4
"""So many ends in a row before it was ever ready: the start of the stack has failed."""
PROBE_STARTING_S: Final = 0.05
PROBE_RUNNING_S: Final = 2.0


class Child:
    """Keeps one part running."""

    def __init__(
        self,
        part: Part,
        log: RotatingLog,
        *,
        inherited: tuple[int, ...] = (),
        tell: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self.part = part
        self._log = log
        self._inherited = inherited
        """Descriptors that the process keeps open without knowing of them."""
        self._tell = tell
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._first_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Where several parts fail at once, only the first is asked for its reason; the others are no defect.
        self._first_ready.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        self._sign_of_life = 0.0
        self._refusal: str | None = None
        self._tail: deque[bytes] = deque(maxlen=5)

    @property
    def pid(self) -> int | None:
        """The process, where one runs now."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def until_ready(self) -> None:
        """Wait until the part first does its work.

        Raises `ConfigurationError` with the part's own words where an operator must mend something, and
        `UnavailableError` where it keeps dying.
        """
        await asyncio.shield(self._first_ready)

    async def keep(self) -> None:
        """Run the part until `stop`, or until its start has failed for good."""
        try:
            await self._keep()
        except Exception as error:
            if not self._first_ready.done():
                self._first_ready.set_exception(error)
            raise
        finally:
            if not self._first_ready.done():
                self._first_ready.cancel()

    async def _keep(self) -> None:
        backoff, vain = FIRST_BACKOFF_S, 0
        while not self._stopping.is_set():
            started = time.monotonic()
            code = await self._run()
            if self._stopping.is_set():
                break
            vain += 1
            if not self._first_ready.done() and (self._refusal is not None or vain >= VAIN_STARTS):
                self._first_ready.set_exception(self._start_failure(code))
                break
            backoff = FIRST_BACKOFF_S if time.monotonic() - started > STEADY_S else backoff
            self._tell(f"{self.part.name} ended ({_ending(code)}); starting it again in {backoff:.1f} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff)
            backoff = min(backoff * 2, LAST_BACKOFF_S)

    async def stop(self) -> None:
        """End the process: SIGTERM, and SIGKILL after the part's ``stop_s``. No new one is started."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), self.part.stop_s)
        except TimeoutError:
            self._tell(f"{self.part.name} did not end within {self.part.stop_s:g} s; killed")
            self._signal(signal.SIGKILL)
            await process.wait()

    def kill(self) -> None:
        """End the process at once."""
        self._stopping.set()
        self._signal(signal.SIGKILL)

    async def _run(self) -> int:
        """One life of the process, from start to end; its return code."""
        reading, writing = os.pipe()
        speaks = self.part.has_heartbeat
        command = (*self.part.command, "--heartbeat", str(writing)) if speaks else self.part.command
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-S", LEASH, str(os.getpid()), *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(self.part.environment),
                # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which then stops in order.
                start_new_session=True,
                # What a part writes, Temporal's database above all, is for its owner only.
                umask=0o077,
                pass_fds=(*self._inherited, *((writing,) if speaks else ())),
            )
        finally:
            os.close(writing)
        self._process, self._refusal = process, None
        self._sign_of_life = time.monotonic()
        if self._stopping.is_set():
            # `stop` came while the process was being made and has seen none.
            self._signal(signal.SIGKILL)
        self._changed()
        listening = asyncio.create_task(self._listen(reading))
        pumping = asyncio.create_task(self._pump(process))
        watching = asyncio.create_task(self._watch())
        try:
            ending = asyncio.ensure_future(process.wait())
            await asyncio.wait((ending, watching), return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                # Watching ends by itself only through a defect, and an unwatched process must not run on.
                self._signal(signal.SIGKILL)
                await watching
            code = await ending
            # The last words are already in the pipes; a grandchild that keeps them open must not hold us up.
            await asyncio.wait((listening, pumping), timeout=1.0)
        finally:
            for task in (listening, pumping, watching):
                task.cancel()
            await asyncio.gather(listening, pumping, watching, return_exceptions=True)
        self._changed()
        return code

    async def _listen(self, descriptor: int) -> None:
        """Take the messages of the heartbeat pipe until it closes."""
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
        )
        try:
            async for line in reader:
                self._sign_of_life = time.monotonic()
                if line.rstrip() == heartbeat.READY:
                    self._is_ready()
                elif line.startswith(heartbeat.FAILED):
                    self._refusal = line.removeprefix(heartbeat.FAILED).decode("utf-8", "replace").strip()
        finally:
            transport.close()

    async def _pump(self, process: asyncio.subprocess.Process) -> None:
        """Write what the process says into its log."""
        if process.stdout is None:
            return
        while data := await process.stdout.read(64 * 1024):
            self._log.write(data)
            self._tail.extend(line for line in data.split(b"\n") if line.strip())

    async def _watch(self) -> None:
        """Probe where the part has a probe; kill it when it was silent for too long."""
        is_answering = False
        while True:
            if self.part.probe is not None:
                with contextlib.suppress(OSError, TimeoutError):
                    if await self.part.probe():
                        is_answering = True
                        self._sign_of_life = time.monotonic()
                        self._is_ready()
            if time.monotonic() - self._sign_of_life > self.part.silent_s:
                self._tell(f"{self.part.name} gave no sign of life for {self.part.silent_s:g} s; killed")
                self._signal(signal.SIGKILL)
            await asyncio.sleep(PROBE_RUNNING_S if is_answering or self.part.probe is None else PROBE_STARTING_S)

    def _is_ready(self) -> None:
        if not self._first_ready.done():
            self._first_ready.set_result(None)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _start_failure(self, code: int) -> WatchfloorError:
        if self._refusal is not None:
            return ConfigurationError(self._refusal)
        said = self._tail[-1].decode("utf-8", "replace").strip() if self._tail else "nothing"
        return UnavailableError(
            f"{self.part.name} ended {VAIN_STARTS} times before it was ready ({_ending(code)}); "
            f"it last said {said[:400]!r}; its log is {self._log.path}"
        )


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
