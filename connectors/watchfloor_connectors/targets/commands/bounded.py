"""A program whose output and time are bounded: nothing that it writes fills memory, and it ends with all its group."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final

from watchfloor_connectors.targets.base import NotReadyError

MAX_BYTES: Final = 64 * 1024
"""Kept of each of the two streams. What is beyond is read and dropped, so that the program does not hang."""
_CHUNK: Final = 64 * 1024


class Running:
    """A program of an argument list in a session of its own. Used with ``with``, at whose end it is dead.

    Raises `NotReadyError` where it cannot be started.
    """

    def __init__(
        self, command: Sequence[str], *, ends_s: float, environment: Mapping[str, str], is_told: bool = False
    ) -> None:
        """``ends_s`` is the moment of `time.monotonic` by which it is stopped; ``is_told``: it gets `tell`."""
        self._ends_s = ends_s
        self.output, self.problem = bytearray(), bytearray()
        self.is_cut = False
        try:
            self._process = subprocess.Popen(  # noqa: S603 - an argument list; no shell reads it
                command,
                stdin=subprocess.PIPE if is_told else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=dict(environment),
                cwd="/",
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise NotReadyError(f"{command[0]} cannot be started: {error}") from error
        self._selector = selectors.DefaultSelector()
        for stream, kept in ((self._process.stdout, self.output), (self._process.stderr, self.problem)):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                self._selector.register(stream.fileno(), selectors.EVENT_READ, kept)

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()
        self._process.wait()
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def says(self, mark: bytes) -> bool:
        """Whether a line ``mark`` is written in time; what is up to and with it is taken away."""
        while True:
            before, found, after = bytes(self.output).partition(mark + b"\n")
            if found and (not before or before.endswith(b"\n")):
                self.output[:] = after
                return True
            if len(self.output) >= MAX_BYTES or not self._read():
                return False

    def tell(self, text: bytes, *, is_last: bool) -> bool:
        """Whether ``text`` was written to its standard input as a whole, in time."""
        stream = self._process.stdin
        if stream is None:
            return False
        os.set_blocking(stream.fileno(), False)
        rest = memoryview(text)
        try:
            while rest and time.monotonic() < self._ends_s:
                written = stream.write(rest)
                rest = rest[written or 0 :]
                if not written:
                    self._read(wait_s=0.01)
            if is_last:
                stream.close()
        except OSError:
            return False
        return not rest

    def code(self) -> int | None:
        """Its exit code once it has ended and all is read; None where it was stopped at its time limit."""
        while self._read():
            pass
        if self._selector.get_map():
            return None
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(max(0.0, self._ends_s - time.monotonic()))
        return None

    def _read(self, wait_s: float | None = None) -> bool:
        """False once the streams have ended, or the time has."""
        left = self._ends_s - time.monotonic()
        if left <= 0 or not self._selector.get_map():
            return False
        for key, _ in self._selector.select(left if wait_s is None else min(left, wait_s)):
            self._take(key.fd, key.data)
        return True

    def _take(self, descriptor: int, kept: bytearray) -> None:
        try:
            part = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return
        if not part:
            self._selector.unregister(descriptor)
        room = MAX_BYTES - len(kept)
        self.is_cut |= len(part) > room
        kept += part[:room]

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
