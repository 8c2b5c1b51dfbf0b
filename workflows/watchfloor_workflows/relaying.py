"""The loop of the relays that look for what is due, hand it to Temporal, and now and then for what stands still."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from temporalio.service import RPCError

from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.errors import UnavailableError
from watchfloor_workflows.running import wait

logger = logging.getLogger(__name__)

SWEEP_US: Final = 60 * MICROSECONDS
"""How often it is looked for what stands still."""
LONGEST_BACKOFF_S: Final = 15.0


async def relay_until(
    stop: asyncio.Event,
    *,
    drain: Callable[[], Awaitable[object]],
    sweep: Callable[[], Awaitable[object]],
    idle_s: float,
    waiting: str,
) -> None:
    """Drain every ``idle_s`` seconds, and sweep every minute, until told to stop.

    A store or Temporal that is down is waited for, longer each time; ``waiting`` says in the log what waits.
    """
    wait_s, swept_us = idle_s, now_us()
    while not stop.is_set():
        try:
            await drain()
            if now_us() - swept_us > SWEEP_US:
                swept_us = now_us()
                await sweep()
            wait_s = idle_s
        except (UnavailableError, RPCError) as error:
            wait_s = min(LONGEST_BACKOFF_S, wait_s * 2)
            logger.warning("%s wait for Temporal, next try in %.1f s: %s", waiting, wait_s, error)
        await wait(stop, wait_s)
