"""What incidents' workflows have done for them. Each is safe to repeat after a lost result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, Final, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from watchfloor_agents.triage.engine import TriageEngine
from watchfloor_core.store.engine import Store
from watchfloor_guardrails.engine import family_of
from watchfloor_workflows import human, settle, triaging, wire
from watchfloor_workflows.authority.vouching import Vouched, Vouchers
from watchfloor_workflows.messages import (
    ChangedIncidentResult,
    RecordHumanVerdictInput,
    ReopenIncidentOrder,
    SettleIncidentInput,
    SettleIncidentResult,
    TriageIncidentInput,
    TriageIncidentResult,
)
from watchfloor_workflows.policy import PolicyFile

HEARTBEAT_S: Final = 5.0
"""A third of the time after which the workflow gives up on a silent worker."""
_QUICK_ENGINES: Final = frozenset({"specialist"})

ResultT = TypeVar("ResultT")


class IncidentActivities:
    """The activities with what they work on."""

    def __init__(
        self,
        store: Store,
        engine: TriageEngine,
        policy: PolicyFile,
        threads: Executor,
        has_logs: Callable[[str], bool] = lambda _: False,
        vouchers: Vouchers | None = None,
    ) -> None:
        """``has_logs``: whether a tenant has log sources to investigate in; ``vouchers``: endorsers of others; no one
        where none are given."""
        self._vouchers = vouchers or Vouchers()
        self._store = store
        self._has_logs = has_logs
        self._engine = engine
        self._policy = policy
        self._threads = threads

    @property
    def all(self) -> Sequence[Callable[..., Any]]:
        """For the worker, which takes activities of any signature."""
        return [self.triage_incident, self.settle_incident, self.record_human_verdict, self.reopen_incident]

    @activity.defn(name=wire.TRIAGE_INCIDENT)
    async def triage_incident(self, order: TriageIncidentInput) -> TriageIncidentResult:
        """Ask the engine about what the incident holds now, and keep its answer."""
        if activity.info().is_local and family_of(self._engine.name) not in _QUICK_ENGINES:
            # A model takes longer than a workflow task may, and asking it twice is dear.
            raise _needs_own_activity(f"engine {self._engine.name!r}")
        revision = await self._in_thread(
            lambda: triaging.triage(self._store, self._engine, self._policy.current(), order.tenant, order.incident_id)
        )
        return TriageIncidentResult(revision)

    @activity.defn(name=wire.SETTLE_INCIDENT)
    async def settle_incident(self, order: SettleIncidentInput) -> SettleIncidentResult:
        """Rule on the incident under the policy of this moment, and close, queue or escalate it."""
        vouched = await self._vouched(order)
        standing = await self._in_thread(
            lambda: settle.settle(
                self._store,
                self._policy.current(),
                order.tenant,
                order.incident_id,
                order.revision,
                has_logs=self._has_logs(order.tenant),
                vouched=vouched,
            )
        )
        return SettleIncidentResult(standing)

    async def _vouched(self, order: SettleIncidentInput) -> Vouched:
        """Before the transaction: an endorser may take its time, and the store waits for nobody's code."""
        if not self._vouchers.endorsers:
            return {}
        asked = await self._in_thread(
            lambda: settle.to_vouch_for(
                self._store, self._policy.current(), order.tenant, order.incident_id, order.revision
            )
        )
        if not asked:
            return {}
        if activity.info().is_local:
            raise _needs_own_activity("an endorser is to be asked, which")
        return await self._in_thread(lambda: self._vouchers.of_values(asked))

    @activity.defn(name=wire.RECORD_HUMAN_VERDICT)
    async def record_human_verdict(self, order: RecordHumanVerdictInput) -> ChangedIncidentResult:
        """Record a person's verdict, and close where they say so."""
        standing = await self._in_thread(
            lambda: human.record_decision(
                self._store, order.tenant, order.incident_id, order.decision, self._policy.current()
            )
        )
        return ChangedIncidentResult(standing)

    @activity.defn(name=wire.REOPEN_INCIDENT)
    async def reopen_incident(self, order: ReopenIncidentOrder) -> ChangedIncidentResult:
        """Put a closed incident back into the queue."""
        standing = await self._in_thread(
            lambda: human.record_reopening(
                self._store, order.tenant, order.incident_id, order.request, self._policy.current()
            )
        )
        return ChangedIncidentResult(standing)

    async def _in_thread(self, work: Callable[[], ResultT]) -> ResultT:
        """The store's calls block, so each has a thread; meanwhile the worker tells that it lives."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        while not (await asyncio.wait({future}, timeout=HEARTBEAT_S))[0]:
            if not activity.info().is_local:
                activity.heartbeat()
        return future.result()


def _needs_own_activity(what: str) -> ApplicationError:
    return ApplicationError(
        f"{what} needs an activity of its own",
        type=wire.NEEDS_OWN_ACTIVITY,
        non_retryable=True,
        # Expected: it is not logged as a failure.
        category=ApplicationErrorCategory.BENIGN,
    )
