"""``watchfloor up``: the whole stack in this terminal, until a signal."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

from watchfloor_core.clock import now_us, to_iso
from watchfloor_service.supervision.interruption import run_interruptibly
from watchfloor_service.supervision.running import RunningStack
from watchfloor_service.supervision.stack import LOG_FOLDER, embedded_stack

if TYPE_CHECKING:
    from watchfloor_core.settings import Settings


def keep_up(settings: Settings, *, started: float) -> None:
    """Start, say where everything is, and stay until SIGINT or SIGTERM.

    ``started``: the monotonic time at which the command began.
    """
    run_interruptibly(_up(settings, started))
    print("Stopped.", flush=True)


def tell(line: str) -> None:
    """A line with its time, for what happens while the stack runs."""
    print(f"{to_iso(now_us() // 1_000_000 * 1_000_000)} {line}", flush=True)


def describe(stack: RunningStack, settings: Settings) -> str:
    """Where everything is."""
    return "\n".join(
        [
            f"  API       {stack.api_url}",
            f"  Temporal  {stack.temporal_address}",
            f"  data      {settings.data_dir}",
            f"  logs      {settings.data_dir / LOG_FOLDER}",
        ]
    )


async def _up(settings: Settings, started: float) -> None:
    async with embedded_stack(settings, "up", has_api=True, tell=tell) as stack:
        print(f"Watchfloor is up after {time.monotonic() - started:.1f} s.")
        print(describe(stack, settings))
        problem = await asyncio.to_thread(policy_problem, settings)
        if problem is not None:
            print(f"The policy cannot be used, so everything asks a person: {problem}", file=sys.stderr)
        link = await asyncio.to_thread(_first_link, stack, settings)
        if link is not None:
            print("There is no account yet. Set the password of 'admin' within a day, by this link, once:")
            print(f"  {link}")
        print("Ctrl-C stops it.", flush=True)
        await asyncio.Event().wait()


def policy_problem(settings: Settings) -> str | None:
    """Why the policy in force cannot be used; None where it can."""
    from watchfloor_core.store.engine import open_store
    from watchfloor_workflows.policy import PolicyFile

    store = open_store(settings.store_url)
    try:
        return PolicyFile(settings, store).current().problem
    finally:
        store.close()


def _first_link(stack: RunningStack, settings: Settings) -> str | None:
    from watchfloor_core.store.engine import open_store
    from watchfloor_service.access.login_links import first_link, link_address
    from watchfloor_service.access.operator_token import local_principal

    store = open_store(settings.store_url)
    try:
        token = first_link(store, settings.tenant, local_principal())
    finally:
        store.close()
    return None if token is None or stack.api_url is None else link_address(stack.api_url, token)
