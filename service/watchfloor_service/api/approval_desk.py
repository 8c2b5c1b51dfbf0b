"""Where people's decisions on proposals go: the workflow that waits for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from watchfloor_core.errors import UnavailableError
from watchfloor_core.settings import Settings
from watchfloor_service.api.problems import ProblemError, ProblemKind, retry_after

if TYPE_CHECKING:
    from watchfloor_workflows.action_messages import VoteInput, VoteResult

_LOG = logging.getLogger(__name__)


class ApprovalDesk(Protocol):
    """Takes votes. A call raises `RefusedError` with the reasons, `NotFoundError`, or `UnavailableError`."""

    async def vote(self, tenant: str, proposal_id: str, vote: VoteInput) -> VoteResult: ...


class LazyApprovalDesk:
    """Connects to Temporal at the first vote."""

    def __init__(self, connect: Callable[[], Awaitable[ApprovalDesk]]) -> None:
        self._connect = connect
        self._connecting = asyncio.Lock()
        self._desk: ApprovalDesk | None = None

    async def vote(self, tenant: str, proposal_id: str, vote: VoteInput) -> VoteResult:
        try:
            async with self._connecting:
                if self._desk is None:
                    self._desk = await self._connect()
            return await self._desk.vote(tenant, proposal_id, vote)
        except UnavailableError as error:
            _LOG.warning("a vote could not be delivered: %s", error)
            raise ProblemError(
                ProblemKind.UNAVAILABLE,
                "Temporal or its worker does not answer; send this again with the same Idempotency-Key, "
                "which records it once",
                headers=retry_after(),
            ) from error


def temporal_approval_desk(settings: Settings) -> LazyApprovalDesk:
    """The desk in front of the Temporal of the settings."""

    async def connect() -> ApprovalDesk:
        # Imported here: the client costs memory and start time that taking alerts in does not need.
        from watchfloor_workflows.approval_desk import ActionDesk
        from watchfloor_workflows.client import connect as connect_client

        return ActionDesk(await connect_client(settings))

    return LazyApprovalDesk(connect)
