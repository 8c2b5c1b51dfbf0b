"""One process of a plug-in: started for one order, spoken with, and ended with all that it has started.

What this boundary gives: it ends when its time is over, whatever it is doing; it has no memory, no store and no
variable of ours; it cannot take ours down. What it does not give: it runs as our user, and so can read files and open
connections as we can. Run the worker as a user who may do little, or in a container, where that matters.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import anyio

from watchfloor_agents.plugged.messages import MAX_SAID, Describe, Order, PlugInError, pack, read_said
from watchfloor_core.canonical import JsonValue
from watchfloor_core.settings import plugin_environment

PROGRAM: Final = "watchfloor_agents.plugged.child"
DESCRIBE_S: Final = 60.0
"""For a plug-in to be loaded and to say who it is."""


@dataclass(frozen=True, slots=True)
class PlugInProcess:
    """Where a plug-in is found; a `watchfloor_agents.plugged.messages.Converse`."""

    group: str
    name: str

    @property
    def command(self) -> tuple[str, ...]:
        # -P: nothing is imported from the folder that we happen to be in.
        return (sys.executable, "-P", "-m", PROGRAM, self.group, self.name)

    async def __call__(self, order: Order, reply: Callable[[Mapping[str, Any]], Awaitable[object]]) -> JsonValue:
        process = await asyncio.create_subprocess_exec(
            *self.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=plugin_environment(self.name),
            cwd="/",
            start_new_session=True,
            limit=MAX_SAID,
        )
        try:
            await _tell(process, order)
            while True:
                said = read_said(await _line(process))
                if said["say"] == "done":
                    value: JsonValue = said["value"]
                    return value
                await _tell(process, await reply(said))
        finally:
            _end(process.pid, is_over=process.returncode is not None)
            with anyio.CancelScope(shield=True):
                await process.wait()

    def describe(self) -> JsonValue:
        """What it says of itself. Blocks, up to `DESCRIBE_S`. Raises `PlugInError`."""
        with subprocess.Popen(  # noqa: S603  # our own program; the plug-in's name is the operator's
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=plugin_environment(self.name),
            cwd="/",
            start_new_session=True,
        ) as process:
            assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018  # as asked for above
            timer = threading.Timer(DESCRIBE_S, _end, (process.pid,))
            timer.start()
            try:
                process.stdin.write(pack(Describe()))
                process.stdin.flush()
                said = read_said(process.stdout.readline(MAX_SAID + 1))
            except OSError:
                raise PlugInError("it ended before it was asked anything") from None
            finally:
                timer.cancel()
                _end(process.pid, is_over=process.poll() is not None)
        value: JsonValue = said.get("value")
        return value


async def _line(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None  # noqa: S101  # as asked for
    try:
        return await process.stdout.readline()
    except ValueError:
        raise PlugInError(f"it said more than {MAX_SAID:,} bytes at once") from None


async def _tell(process: asyncio.subprocess.Process, message: object) -> None:
    assert process.stdin is not None  # noqa: S101  # as asked for
    try:
        process.stdin.write(pack(message))
        await process.stdin.drain()
    except OSError:
        raise PlugInError("it ended before it had its answer") from None


def _end(group: int, *, is_over: bool = False) -> None:
    """Its whole group, at once. One that ended by itself may have left its number to somebody else."""
    if not is_over:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
