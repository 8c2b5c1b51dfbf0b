"""Hands proposals from the store's outbox to Temporal: starts their workflows, and tells them what no longer holds.

A row is marked after Temporal has taken it, so one that is delivered when the relay dies is delivered again; a workflow
that runs already, and an approval that has ended, take no harm from the second time.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Final

from sqlalchemy import select, update
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from watchfloor_core.clock import now_us
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import action_outbox
from watchfloor_workflows import search_attributes, wire
from watchfloor_workflows.action_messages import RunActionInput, VoidApprovalInput
from watchfloor_workflows.action_workflow import ActionWorkflow
from watchfloor_workflows.authority.overdue import overdue
from watchfloor_workflows.authority.renewing import renew
from watchfloor_workflows.policy import PolicyFile
from watchfloor_workflows.relaying import relay_until

logger = logging.getLogger(__name__)

ROWS_AT_ONCE: Final = 200
IDLE_S: Final = 0.5
_RPC_TIMEOUT: Final = timedelta(seconds=5)


class ActionRelay:
    """Delivers as long as it runs; safe beside other relays, which may deliver the same row twice."""

    def __init__(self, client: Client, store: Store, settings: Settings, policy: PolicyFile | None = None) -> None:
        """``policy``: by which `sweep` finds what is outdated; None where somebody else looks."""
        self._client = client
        self._store = store
        self._settings = settings
        self._policy = policy

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until told to stop. A store or Temporal that is down is waited for."""
        await relay_until(stop, drain=self.drain, sweep=self.sweep, idle_s=IDLE_S, waiting="proposals")

    async def drain(self) -> int:
        """Deliver all that waits now; returns how many rows. Raises RPCError where Temporal does not take one."""
        delivered = 0
        while True:
            rows = await asyncio.to_thread(self._waiting)
            for row_id, tenant, proposal_id, kind, reason in rows:
                await self._deliver(tenant, proposal_id, kind, reason)
                await asyncio.to_thread(self._mark, row_id)
                delivered += 1
            if not rows:
                return delivered

    async def sweep(self) -> int:
        """Start the workflows anew of proposals that stand still; returns how many. Where one runs, it is left alone.

        Before that, end what waits for people and is outdated, and propose it anew.

        Raises RPCError where Temporal does not take one.
        """
        if self._policy is not None:
            await asyncio.to_thread(renew, self._store, self._policy.current())
        started = 0
        for tenant, proposal_id in await asyncio.to_thread(self._overdue):
            started += await self._start(tenant, proposal_id)
        return started

    def _overdue(self) -> list[tuple[str, str]]:
        with self._store.read() as connection:
            return overdue(connection, now_us())

    def _waiting(self) -> list[tuple[int, str, str, str, str]]:
        table = action_outbox.c
        with self._store.read() as connection:
            rows = connection.execute(
                select(table.id, table.tenant, table.proposal_id, table.kind, table.reason)
                .where(table.delivered_us.is_(None))
                .order_by(table.id)
                .limit(ROWS_AT_ONCE)
            )
            return [(row.id, row.tenant, row.proposal_id, row.kind, row.reason) for row in rows]

    def _mark(self, row_id: int) -> None:
        with self._store.write() as connection:
            connection.execute(update(action_outbox).where(action_outbox.c.id == row_id).values(delivered_us=now_us()))

    async def _deliver(self, tenant: str, proposal_id: str, kind: str, reason: str) -> None:
        if kind == "start":
            await self._start(tenant, proposal_id)
        else:
            for workflow_id in (
                wire.action_workflow_id(tenant, proposal_id),
                wire.approval_workflow_id(tenant, proposal_id),
            ):
                await self._void(workflow_id, reason)

    async def _start(self, tenant: str, proposal_id: str) -> bool:
        """False where its workflow runs already."""
        try:
            await self._client.start_workflow(
                ActionWorkflow.run,
                RunActionInput(tenant, proposal_id, self._settings.executor_queue),
                id=wire.action_workflow_id(tenant, proposal_id),
                task_queue=self._settings.task_queue,
                # A second run goes on from where the store says that the proposal stands: nothing is done twice.
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                search_attributes=search_attributes.of_new_workflow(tenant),
                rpc_timeout=_RPC_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            logger.info("the workflow of proposal %s runs already", proposal_id)
            return False
        return True

    async def _void(self, workflow_id: str, reason: str) -> None:
        handle = self._client.get_workflow_handle(workflow_id)
        try:
            await handle.signal(wire.VOID, VoidApprovalInput(reason), rpc_timeout=_RPC_TIMEOUT)
        except RPCError as error:
            # It has ended, or nobody is asked: the ruling before the grant finds the change in any case.
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
