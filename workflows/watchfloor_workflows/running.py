"""What every process that works for Temporal does alike: connect, hold threads, and stop when it is told to."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Final

from temporalio.client import Client

from watchfloor_core.errors import UnavailableError
from watchfloor_core.settings import Settings
from watchfloor_workflows import search_attributes
from watchfloor_workflows.client import connect

logger = logging.getLogger(__name__)

ACTIVITY_THREADS: Final = 8
"""Activities wait for the store most of the time; the store lets one write at a time on SQLite."""


@contextmanager
def activity_threads() -> Iterator[Executor]:
    """Where activities do what blocks. Leaving it waits for none of them: an engine that thinks cannot be interrupted,
    and what it had to say is asked for again elsewhere."""
    threads = ThreadPoolExecutor(ACTIVITY_THREADS, "activity")
    try:
        yield threads
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


async def connect_patiently(settings: Settings, stop: asyncio.Event) -> Client | None:
    """A client of a cluster that knows our search attributes, or None where the stop came first."""
    delay = 0.25
    while not stop.is_set():
        try:
            client = await connect(settings)
            await search_attributes.register(client)
            return client
        except UnavailableError as error:
            logger.warning("%s; next try in %.1f s", error, delay)
        await wait(stop, delay)
        delay = min(15.0, delay * 2)
    return None


async def wait(stop: asyncio.Event, seconds: float) -> None:
    """For so long, or until the stop."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


@contextmanager
def stopping_on_signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
