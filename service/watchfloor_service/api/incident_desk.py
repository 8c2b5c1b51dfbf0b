"""Where people's decisions on incidents go: the incident's own workflow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from watchfloor_core.errors import UnavailableError
from watchfloor_core.settings import Settings
from watchfloor_service.api.problems import ProblemError, ProblemKind, retry_after

if TYPE_CHECKING:
    from watchfloor_workflows.messages import DecideIncidentInput, IncidentStanding, ReopenIncidentInput

_LOG = logging.getLogger(__name__)
T = TypeVar("T")


class IncidentDesk(Protocol):
    """Takes decisions. A call raises `RefusedError` with the reason, `NotFoundError`, or `UnavailableError`."""

    async def decide(self, tenant: str, incident_id: str, decision: DecideIncidentInput) -> IncidentStanding: ...

    async def reopen(self, tenant: str, incident_id: str, order: ReopenIncidentInput) -> IncidentStanding: ...

    async def is_reachable(self) -> bool: ...


class LazyDesk:
    """Connects to Temporal at the first decision, so that alerts are taken in whether Temporal is there or not."""

    def __init__(self, connect: Callable[[], Awaitable[IncidentDesk]]) -> None:
        self._connect = connect
        self._connecting = asyncio.Lock()
        self._desk: IncidentDesk | None = None

    async def decide(self, tenant: str, incident_id: str, decision: DecideIncidentInput) -> IncidentStanding:
        return await self._ask(lambda desk: desk.decide(tenant, incident_id, decision))

    async def reopen(self, tenant: str, incident_id: str, order: ReopenIncidentInput) -> IncidentStanding:
        return await self._ask(lambda desk: desk.reopen(tenant, incident_id, order))

    async def is_reachable(self) -> bool:
        try:
            return await (await self._connected()).is_reachable()
        except UnavailableError:
            return False

    async def _ask(self, question: Callable[[IncidentDesk], Awaitable[T]]) -> T:
        try:
            return await question(await self._connected())
        except UnavailableError as error:
            _LOG.warning("a decision could not be delivered: %s", error)
            raise ProblemError(
                ProblemKind.UNAVAILABLE,
                "Temporal or its worker does not answer; send this again with the same Idempotency-Key, "
                "which records it once",
                headers=retry_after(),
            ) from error

    async def _connected(self) -> IncidentDesk:
        async with self._connecting:
            if self._desk is None:
                self._desk = await self._connect()
            return self._desk


def temporal_desk(settings: Settings) -> LazyDesk:
    """The desk in front of the Temporal of the settings."""

    async def connect() -> IncidentDesk:
        # Imported here: the client costs memory and start time that taking alerts in does not need.
        from watchfloor_workflows.client import connect as connect_client
        from watchfloor_workflows.desk import TemporalDesk

        return TemporalDesk(await connect_client(settings), settings)

    return LazyDesk(connect)
