"""Wakes the workflows of playbook runs, and starts those that do not run.

A row is marked after Temporal has taken it; waking twice does no harm, as the store says what there is to do.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from sqlalchemy import and_, or_, select, update
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from watchfloor_core.clock import now_us
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import action_proposal
from watchfloor_core.store.schema_playbook import playbook_outbox, playbook_run, playbook_work
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_playbooks.running.work import RunStatus
from watchfloor_workflows import search_attributes, wire
from watchfloor_workflows.authority.announcing import Notices
from watchfloor_workflows.playbook_messages import RunPlaybookInput
from watchfloor_workflows.playbook_workflow import PlaybookWorkflow
from watchfloor_workflows.playbooks.tasks import remind
from watchfloor_workflows.relaying import SWEEP_US, relay_until

ROWS_AT_ONCE: Final = 200
IDLE_S: Final = 0.25
_RPC_TIMEOUT: Final = timedelta(seconds=5)
_OPEN: Final = [status.value for status in ProposalStatus if status.is_open]


class PlaybookRelay:
    """Wakes as long as it runs; safe beside other relays."""

    def __init__(self, client: Client, store: Store, settings: Settings, notices: Notices) -> None:
        self._client = client
        self._store = store
        self._settings = settings
        self._notices = notices

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop. A store or Temporal that is down is waited for."""
        await relay_until(stop, drain=self.drain, sweep=self.sweep, idle_s=IDLE_S, waiting="playbook runs")

    async def drain(self) -> int:
        """Wake every run that something has been written for; returns how many. Raises RPCError."""
        woken = 0
        while True:
            rows = await asyncio.to_thread(self._waiting)
            for tenant, run_id in dict.fromkeys((tenant, run_id) for _, tenant, run_id in rows):
                await self._wake(tenant, run_id)
                woken += 1
            await asyncio.to_thread(self._mark, [row_id for row_id, _, _ in rows])
            if not rows:
                return woken

    async def sweep(self) -> int:
        """Wake runs of which something has ended, or whose time has come, and that have not noticed; remind people.

        Returns how many runs. Raises RPCError where Temporal does not take one.
        """
        overdue = await asyncio.to_thread(self._overdue)
        for tenant, run_id in overdue:
            await self._wake(tenant, run_id)
        await asyncio.to_thread(remind, self._store, self._notices)
        return len(overdue)

    def _waiting(self) -> list[tuple[int, str, str]]:
        table = playbook_outbox.c
        with self._store.read() as connection:
            rows = connection.execute(
                select(table.id, table.tenant, table.run_id)
                .where(table.delivered_us.is_(None))
                .order_by(table.id)
                .limit(ROWS_AT_ONCE)
            )
            return [(row.id, row.tenant, row.run_id) for row in rows]

    def _mark(self, rows: list[int]) -> None:
        if rows:
            with self._store.write() as connection:
                connection.execute(
                    update(playbook_outbox).where(playbook_outbox.c.id.in_(rows)).values(delivered_us=now_us())
                )

    def _overdue(self) -> list[tuple[str, str]]:
        run, work, proposal = playbook_run.c, playbook_work.c, action_proposal.c
        before = now_us() - SWEEP_US
        has_ended = (
            select(work.run_id)
            .join(action_proposal, and_(proposal.tenant == work.tenant, proposal.id == work.proposal_id))
            .where(
                work.tenant == run.tenant,
                work.run_id == run.id,
                work.status == "open",
                proposal.status.not_in(_OPEN),
                proposal.updated_us < before,
            )
            .exists()
        )
        with self._store.read() as connection:
            rows = connection.execute(
                select(run.tenant, run.id)
                .where(
                    run.status == RunStatus.RUNNING.value,
                    run.updated_us < before,
                    or_(run.wakes_us < before, has_ended),
                )
                .order_by(run.updated_us)
                .limit(ROWS_AT_ONCE)
            )
            return [(row.tenant, row.id) for row in rows]

    async def _wake(self, tenant: str, run_id: str) -> None:
        """Signal the run's workflow, or start it where none runs: it goes on from where the store says."""
        await self._client.start_workflow(
            PlaybookWorkflow.run,
            RunPlaybookInput(tenant, run_id, self._settings.executor_queue),
            id=wire.playbook_workflow_id(tenant, run_id),
            task_queue=self._settings.task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=wire.WAKE,
            search_attributes=search_attributes.of_new_workflow(tenant),
            rpc_timeout=_RPC_TIMEOUT,
        )
