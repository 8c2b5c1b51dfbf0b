"""The executor process: the only one with the targets' credentials, and without any key that signs.

The composition root of its side. It takes orders from a task queue of its own; what it is sent is an id, and what it
acts on is a grant that the worker signed.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from temporalio.client import Client
from temporalio.worker import Worker

from watchfloor_connectors.targets.registry import ActionTargets
from watchfloor_core.dsse import key_id_of
from watchfloor_core.keys.signing import GRANT_KEY, public_key
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.telemetry.setup import configure_telemetry
from watchfloor_workflows.action_activities import ExecutorActivities
from watchfloor_workflows.authority.executing import DEAD_AFTER_S, Executor, Tools
from watchfloor_workflows.passkeys import relying_party
from watchfloor_workflows.policy import PolicyFile
from watchfloor_workflows.running import activity_threads, connect_patiently, stopping_on_signals

CONCURRENT_ACTIONS: Final = 8
SHUTDOWN: Final = timedelta(seconds=20)
"""What is under way may finish within this time after a stop: longer than any tool's own time limit."""


async def run_executor(
    settings: Settings,
    *,
    tools: Tools | None = None,
    dead_after_s: float = DEAD_AFTER_S,
    on_ready: Callable[[], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Execute until SIGTERM, SIGINT or ``stop``; what is under way is finished first.

    ``dead_after_s``: another executor's silence after which its work is taken over.

    Raises `ConfigurationError` where a setting, a tool or the worker's public key is wrong.
    """
    stop = stop or asyncio.Event()
    store = open_store(settings.store_url)
    try:
        with stopping_on_signals(stop), configure_telemetry(settings, store, "watchfloor-executor"):
            known = tools or ActionTargets.load(settings)
            client = await connect_patiently(settings, stop)
            if client is not None:
                with activity_threads() as threads:
                    executor = make_executor(settings, store, known, dead_after_s=dead_after_s)
                    async with executor_worker(client, settings, ExecutorActivities(executor, threads)):
                        if on_ready is not None:
                            on_ready()
                        await stop.wait()
    finally:
        store.close()


def make_executor(settings: Settings, store: Store, tools: Tools, *, dead_after_s: float = DEAD_AFTER_S) -> Executor:
    """The executor of these settings. Raises `ConfigurationError` where the worker's public key cannot be read."""
    issuer = public_key(settings.grant_public_key or settings.data_dir / "keys" / f"{GRANT_KEY}.pub")
    policy = PolicyFile(settings, store)
    return Executor(
        store,
        tools,
        policy.current,
        {key_id_of(issuer): issuer},
        audience=settings.executor_queue,
        name=f"{socket.gethostname()}:{os.getpid()}",
        party=relying_party(settings),
        dead_after_s=dead_after_s,
    )


def executor_worker(client: Client, settings: Settings, activities: ExecutorActivities) -> Worker:
    """A Temporal worker that looks at targets and carries out grants, and does nothing else."""
    return Worker(
        client,
        task_queue=settings.executor_queue,
        activities=activities.all,
        max_concurrent_activities=CONCURRENT_ACTIONS,
        # A process that stands still keeps what its open polls are given until that times out: the fewer, the sooner
        # another executor takes over.
        max_concurrent_activity_task_polls=2,
        graceful_shutdown_timeout=SHUTDOWN,
    )
