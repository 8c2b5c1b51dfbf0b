"""Hands incidents from the store's outbox to Temporal.

A row is marked after Temporal has taken the signal, so one that is delivered when the relay dies is delivered again;
the workflow triages the incident's state and not the signal, so the second time changes nothing. Several relays may
run: on PostgreSQL they share the rows out by locks, on SQLite (one machine, one relay as a rule) they may do the same
row twice, which costs a signal and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, assert_never

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.errors import UnavailableError
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_workflows import search_attributes, wire
from watchfloor_workflows.incident import IncidentWorkflow
from watchfloor_workflows.messages import ChangeIncidentInput, RunIncidentInput
from watchfloor_workflows.outbox import Delivery, mark_delivered, read_waiting

logger = logging.getLogger(__name__)

CONCURRENT_SIGNALS: Final = 24
"""More did not raise the rate of one embedded server, on two cores."""
BUSY_INTERVAL_S: Final = 0.02
IDLE_INTERVAL_S: Final = 0.5
LONGEST_BACKOFF_S: Final = 15.0
_RPC_TIMEOUT: Final = timedelta(seconds=5)

_THIS_ROW_ONLY: Final = (RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.OUT_OF_RANGE)
"""What Temporal answers where one signal is bad; anything else would meet the next one just the same."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one look at the outbox came to."""

    delivered: int
    """Incidents."""
    error: RPCError | None
    """The last one, where some were not delivered."""


class Relay:
    """Delivers as long as it runs; safe beside other relays."""

    def __init__(self, client: Client, store: Store, settings: Settings) -> None:
        self._client = client
        self._store = store
        self._settings = settings
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There is something new: look at once. To be called in the relay's event loop."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until told to stop. A store or Temporal that is down is waited for."""
        interval = failures = 0.0
        while not stop.is_set():
            problem: Exception | None
            try:
                outcome = await self._round(now_us() - int(self._settings.debounce_s * MICROSECONDS))
                problem = outcome.error
            except UnavailableError as error:
                outcome, problem = Round(0, error=None), error
            if problem is not None:
                failures += 1
                interval = min(LONGEST_BACKOFF_S, 0.25 * 2**failures)
                logger.warning("incidents wait for delivery to Temporal, next try in %.1f s: %s", interval, problem)
            elif outcome.delivered:
                failures, interval = 0, BUSY_INTERVAL_S
            else:
                failures, interval = 0, min(IDLE_INTERVAL_S, max(BUSY_INTERVAL_S, interval * 2))
            await self._rest(stop, interval)

    async def drain(self) -> int:
        """Deliver all that waits now, without holding anything back; returns the number of signals sent.

        Raises `UnavailableError` where Temporal does not take them.
        """
        delivered = 0
        while True:
            outcome = await self._round(settled_before_us=now_us())
            delivered += outcome.delivered
            if outcome.error is not None:
                raise UnavailableError(f"Temporal did not take an incident: {outcome.error}") from outcome.error
            if not outcome.delivered:
                return delivered

    async def _rest(self, stop: asyncio.Event, seconds: float) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (stop, self._woken)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            self._woken.clear()

    async def _round(self, settled_before_us: int) -> Round:
        # The store's calls block, so the round has a thread, and goes back to the loop for Temporal's client alone.
        return await asyncio.to_thread(self._round_in_thread, asyncio.get_running_loop(), settled_before_us)

    def _round_in_thread(self, loop: asyncio.AbstractEventLoop, settled_before_us: int) -> Round:
        match self._store.dialect:
            case "postgresql":
                with self._store.write() as connection:
                    waiting = read_waiting(connection, settled_before_us=settled_before_us)
                    delivered, error = self._send_from_thread(loop, waiting.due)
                    mark_delivered(connection, delivered, now_us())
            case "sqlite":
                # One writer at a time: the write lock must not be held while Temporal is asked.
                with self._store.read() as connection:
                    waiting = read_waiting(connection, settled_before_us=settled_before_us)
                delivered, error = self._send_from_thread(loop, waiting.due)
                if delivered:
                    with self._store.write() as connection:
                        mark_delivered(connection, delivered, now_us())
            case unknown:
                assert_never(unknown)
        return Round(len(delivered), error)

    def _send_from_thread(
        self, loop: asyncio.AbstractEventLoop, deliveries: Sequence[Delivery]
    ) -> tuple[list[Delivery], RPCError | None]:
        if not deliveries:
            return [], None
        return asyncio.run_coroutine_threadsafe(self._send_all(deliveries), loop).result()

    async def _send_all(self, deliveries: Sequence[Delivery]) -> tuple[list[Delivery], RPCError | None]:
        """What Temporal took, and the last error where it did not take all."""
        turn = asyncio.Semaphore(CONCURRENT_SIGNALS)
        delivered: list[Delivery] = []
        error: RPCError | None = None
        is_down = False

        async def send(delivery: Delivery) -> None:
            nonlocal error, is_down
            async with turn:
                if is_down:
                    return
                try:
                    await self._send(delivery)
                except RPCError as caught:
                    error, is_down = caught, caught.status not in _THIS_ROW_ONLY
                else:
                    delivered.append(delivery)

        await asyncio.gather(*(send(delivery) for delivery in deliveries))
        return delivered, error

    async def _send(self, delivery: Delivery) -> None:
        await self._client.start_workflow(
            IncidentWorkflow.run,
            RunIncidentInput(delivery.tenant, delivery.incident_id, self._settings.debounce_s),
            id=wire.incident_workflow_id(delivery.tenant, delivery.incident_id),
            task_queue=self._settings.task_queue,
            # A closed incident that changes gets a new run.
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            start_signal=wire.INCIDENT_CHANGED,
            start_signal_args=[ChangeIncidentInput(delivery.revision)],
            search_attributes=search_attributes.of_new_workflow(delivery.tenant),
            rpc_timeout=_RPC_TIMEOUT,
        )
