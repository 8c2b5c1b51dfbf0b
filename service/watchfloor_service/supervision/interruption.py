"""Ctrl-C and SIGTERM for a command that runs processes: the first asks it to stop, a second one to stop at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import TypeVar

Result = TypeVar("Result")


def run_interruptibly(work: Coroutine[None, None, Result]) -> Result | None:
    """What ``work`` returns; None where a signal ended it.

    Each signal cancels the task: at the first one its ``finally`` blocks stop what it started, at the next one they are
    cut short.
    """

    async def main() -> Result | None:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        signals = 0

        def interrupt() -> None:
            nonlocal signals
            signals += 1
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # What was ignored at the start (nohup, a shell's background) stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, interrupt)
        try:
            return await task
        except asyncio.CancelledError:
            if not signals:
                raise
            return None

    return asyncio.run(main())
