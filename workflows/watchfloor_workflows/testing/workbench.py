"""Everything that an incident's workflow needs, put together as the worker does, for one test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from watchfloor_core.incident import Function
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import ledger_entry
from watchfloor_workflows import wire
from watchfloor_workflows.activities import IncidentActivities
from watchfloor_workflows.authority.vouching import Vouchers
from watchfloor_workflows.desk import TemporalDesk
from watchfloor_workflows.incident import IncidentWorkflow
from watchfloor_workflows.messages import IncidentStanding, RunIncidentResult, WorkflowState
from watchfloor_workflows.policy import OPERATORS_FILE, PolicyFile
from watchfloor_workflows.relay import Relay
from watchfloor_workflows.running import activity_threads
from watchfloor_workflows.standing import StoredIncident, read_incident, standing_of
from watchfloor_workflows.testing.incidents import FixedEngine, change_incident, plant_incident
from watchfloor_workflows.worker import incident_worker

IncidentHandle = WorkflowHandle[IncidentWorkflow, RunIncidentResult]


def write_policy(data_dir: Path, level: str, limits: str = "{close_below: 0.5, min_certainty: 0.0}") -> None:
    """An operator's policy with this level for alert_triage; the other functions stay with people."""
    data_dir.mkdir(parents=True, exist_ok=True)
    others = "".join(f"  - {{function: {each}, level: L0}}\n" for each in Function if each != Function.ALERT_TRIAGE)
    text = f"rows:\n  - {{function: alert_triage, level: {level}, limits: {limits}}}\n{others}"
    (data_dir / OPERATORS_FILE).write_text(text)


@dataclass
class Workbench:
    """One tenant with its own task queue on a shared server."""

    client: Client
    store: Store
    settings: Settings
    engine: FixedEngine
    vouchers: Vouchers = field(default_factory=Vouchers)

    def __post_init__(self) -> None:
        self.relay = Relay(self.client, self.store, self.settings)
        self.desk = TemporalDesk(self.client, self.settings)

    @property
    def tenant(self) -> str:
        return self.settings.tenant

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        """A worker for as long as the block lasts."""
        with activity_threads() as threads:
            policy = PolicyFile(self.settings, self.store)
            activities = IncidentActivities(self.store, self.engine, policy, threads, vouchers=self.vouchers)
            async with incident_worker(self.client, self.settings, activities) as worker:
                yield worker

    def set_level(self, level: str, limits: str = "{close_below: 0.5, min_certainty: 0.0}") -> None:
        write_policy(self.settings.data_dir, level, limits)

    async def open(self, incident_id: str = "inc-1", **values: Any) -> IncidentHandle:
        """Plant an incident and have the relay start its workflow."""
        with self.store.write() as connection:
            plant_incident(connection, self.tenant, incident_id, **values)
        await self.relay.drain()
        return self.handle(incident_id)

    async def change(self, incident_id: str = "inc-1") -> int:
        """New material, and a signal about it; returns the revision."""
        with self.store.write() as connection:
            revision = change_incident(connection, self.tenant, incident_id)
        await self.relay.drain()
        return revision

    def handle(self, incident_id: str = "inc-1") -> IncidentHandle:
        workflow_id = wire.incident_workflow_id(self.tenant, incident_id)
        return self.client.get_workflow_handle_for(IncidentWorkflow.run, workflow_id)

    async def until(self, holds: Callable[[WorkflowState], bool], incident_id: str = "inc-1") -> WorkflowState:
        """Ask until the workflow's state is so: a query waits for the workflow task under way, so it rarely asks twice.

        Raises `TimeoutError` after 30 seconds.
        """
        handle = self.handle(incident_id)
        async with asyncio.timeout(30):
            while not holds(state := await handle.query(IncidentWorkflow.state)):
                await asyncio.sleep(0.02)
        return state

    async def events(self, incident_id: str = "inc-1") -> list[str]:
        """Names of the events in the latest run's history."""
        history = await self.handle(incident_id).fetch_history()
        return [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in history.events]

    def stored(self, incident_id: str = "inc-1") -> StoredIncident:
        with self.store.read() as connection:
            return read_incident(connection, self.tenant, incident_id)

    def standing(self, incident_id: str = "inc-1") -> IncidentStanding:
        with self.store.read() as connection:
            return standing_of(connection, read_incident(connection, self.tenant, incident_id))

    def ledger(self, incident_id: str = "inc-1") -> list[str]:
        """Kinds of the incident's decisions, in order."""
        with self.store.read() as connection:
            rows = connection.execute(
                select(ledger_entry.c.kind)
                .where(ledger_entry.c.tenant == self.tenant, ledger_entry.c.chain == incident_id)
                .order_by(ledger_entry.c.seq)
            )
            return list(rows.scalars())
