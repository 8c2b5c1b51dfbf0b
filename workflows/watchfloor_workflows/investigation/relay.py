"""Starts the workflows of investigations that are due.

A row is marked after Temporal has taken its workflow. Where the relay dies between, it is started again; a workflow
that runs already, and questions that are answered already, take no harm from that.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from sqlalchemy import or_, select, update
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from watchfloor_core.clock import now_us
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import incident
from watchfloor_core.store.schema_investigation import investigation
from watchfloor_workflows import search_attributes, wire
from watchfloor_workflows.investigation.records import InvestigationKey, InvestigationStatus
from watchfloor_workflows.investigation_messages import RunInvestigationInput
from watchfloor_workflows.investigation_workflow import InvestigationWorkflow
from watchfloor_workflows.relaying import SWEEP_US, relay_until

ROWS_AT_ONCE: Final = 50
IDLE_S: Final = 0.5
_RPC_TIMEOUT: Final = timedelta(seconds=5)


class InvestigationRelay:
    """Starts as long as it runs; safe beside other relays."""

    def __init__(self, client: Client, store: Store, settings: Settings) -> None:
        self._client = client
        self._store = store
        self._settings = settings

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop. A store or Temporal that is down is waited for."""
        await relay_until(stop, drain=self.drain, sweep=self.sweep, idle_s=IDLE_S, waiting="investigations")

    async def drain(self) -> int:
        """Start all that is due now; returns how many. Raises RPCError where Temporal does not take one."""
        started = 0
        while True:
            due = await asyncio.to_thread(self._due)
            for key in due:
                await self._start(key)
                await asyncio.to_thread(self._mark, key)
                started += 1
            if not due:
                return started

    async def sweep(self) -> int:
        """Start the workflows anew of investigations that nothing works on; returns how many."""
        started = 0
        for key in await asyncio.to_thread(self._running):
            started += await self._start(key)
        return started

    def _due(self) -> list[InvestigationKey]:
        """Those whose time has come, and those of incidents that nothing can be added to any more."""
        table = investigation.c
        with self._store.read() as connection:
            rows = connection.execute(
                select(table.tenant, table.incident_id, table.revision)
                .join(incident, (incident.c.tenant == table.tenant) & (incident.c.id == table.incident_id))
                .where(
                    table.status == InvestigationStatus.DUE,
                    or_(table.due_us <= now_us(), incident.c.is_sealed),
                )
                .order_by(table.due_us)
                .limit(ROWS_AT_ONCE)
            )
            return [InvestigationKey(row.tenant, row.incident_id, row.revision) for row in rows]

    def _running(self) -> list[InvestigationKey]:
        table = investigation.c
        with self._store.read() as connection:
            rows = connection.execute(
                select(table.tenant, table.incident_id, table.revision)
                .where(table.status == InvestigationStatus.RUNNING, table.due_us <= now_us() - SWEEP_US)
                .order_by(table.due_us)
            )
            return [InvestigationKey(row.tenant, row.incident_id, row.revision) for row in rows]

    def _mark(self, key: InvestigationKey) -> None:
        table = investigation.c
        with self._store.write() as connection:
            connection.execute(
                update(investigation)
                .where(
                    table.tenant == key.tenant,
                    table.incident_id == key.incident_id,
                    table.revision == key.revision,
                    table.status == InvestigationStatus.DUE,
                )
                .values(status=InvestigationStatus.RUNNING)
            )

    async def _start(self, key: InvestigationKey) -> bool:
        """False where its workflow runs already."""
        try:
            await self._client.start_workflow(
                InvestigationWorkflow.run,
                RunInvestigationInput(key.tenant, key.incident_id, key.revision),
                id=wire.investigation_workflow_id(key.tenant, key.incident_id, key.revision),
                task_queue=self._settings.task_queue,
                # A second run goes on from what the store holds: nothing is asked twice.
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                search_attributes=search_attributes.of_new_workflow(key.tenant),
                rpc_timeout=_RPC_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            return False
        return True
