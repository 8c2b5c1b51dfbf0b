"""What the routes of channels work with, built once by the application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from fastapi import Request

from watchfloor_connectors.channels.settings import Channels
from watchfloor_core.store.engine import Store
from watchfloor_service.access.accounts import load_account
from watchfloor_service.api.throttle import FailureThrottle

_LOG = logging.getLogger(__name__)

PATIENCE_S: Final = 2.0
"""Slack waits three seconds for an answer, Teams five."""


MAX_RECORDED: Final = 10


class RoleLookup(Protocol):
    """What a person is in a tenant."""

    def __call__(self, principal: str, tenant: str) -> tuple[str, ...]:
        """The roles of an account that exists and is enabled; none of any other principal."""
        ...


@dataclass(frozen=True, slots=True)
class AccountRoles:
    """The roles that the store has of people's accounts, asked anew for each decision."""

    store: Store

    def __call__(self, principal: str, tenant: str) -> tuple[str, ...]:
        with self.store.read() as connection:
            account = load_account(connection, principal)
        if account is None or not account.is_enabled:
            return ()
        return tuple(sorted(role.value for role in account.roles.get(tenant, ())))


@dataclass(slots=True)
class LateAnswers:
    """Votes that take longer than a chat waits: they go on, and what comes of them is told afterwards."""

    patience_s: float = PATIENCE_S
    _running: set[asyncio.Task[str]] = field(default_factory=set)

    async def within_patience(self, work: Coroutine[Any, Any, str], then: Callable[[str], None]) -> str | None:
        """What ``work`` says; None where it is not ready yet. ``then`` is called in a thread with what it says later.

        Any: what a coroutine yields and is sent is the event loop's business.
        """
        task = asyncio.create_task(work)
        done, _ = await asyncio.wait({task}, timeout=self.patience_s)
        if done:
            return task.result()
        follow_up = asyncio.create_task(_follow_up(task, then))
        self._running.add(follow_up)
        follow_up.add_done_callback(self._running.discard)
        return None


async def _follow_up(task: asyncio.Task[str], then: Callable[[str], None]) -> str:
    try:
        said = await task
        await asyncio.to_thread(then, said)
    except Exception:  # noqa: BLE001 -- nobody waits for this task any more; the log is where it is seen
        _LOG.exception("a decision from a chat, or telling what came of it, failed")
        return ""
    return said


@dataclass(frozen=True, slots=True)
class ChannelParts:
    channels: Channels
    roles: RoleLookup
    late: LateAnswers = field(default_factory=LateAnswers)
    recorded: FailureThrottle = field(default_factory=lambda: FailureThrottle(MAX_RECORDED))
    """Counts refusals of one outside user: the ledger takes the first of each minute."""


def channel_parts_of(request: Request) -> ChannelParts:
    """The parts of the application that a request came to."""
    parts = request.app.state.channel_parts
    if not isinstance(parts, ChannelParts):
        raise TypeError(f"app.state.channel_parts is {parts!r}, expected ChannelParts")
    return parts
