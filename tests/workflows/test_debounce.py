"""Floods and waits: passes follow incidents and time, not signals. The time-skipping server makes hours short."""

from __future__ import annotations

import asyncio
import shutil
import sysconfig
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.testing import WorkflowEnvironment

from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_workflows import search_attributes
from watchfloor_workflows.client import connect
from watchfloor_workflows.incident import LONGEST_QUIET_WAIT, IncidentWorkflow
from watchfloor_workflows.messages import ChangeIncidentInput, WaitingFor, WorkflowState
from watchfloor_workflows.payload_keys import payload_keys
from watchfloor_workflows.plugin import watchfloor_plugin
from watchfloor_workflows.testing import DevServer, FixedEngine, Workbench, change_incident

pytestmark = pytest.mark.anyio


def waits(state: WorkflowState) -> bool:
    return state.waiting_for is WaitingFor.PERSON


@pytest.fixture
async def skipping(sqlite_store: Store, tmp_path: Path) -> AsyncIterator[tuple[WorkflowEnvironment, Workbench]]:
    """A bench whose workflow clock is wound on by hand; re-triage waits for an hour of quiet."""
    path = shutil.which("temporal-test-server", path=sysconfig.get_path("scripts"))
    settings = Settings(data_dir=tmp_path, tenant="acme", task_queue="acme", debounce_s=3600)
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=path, plugins=[watchfloor_plugin(payload_keys(settings))]
    ) as environment:
        # This server cannot list its search attributes, which `register` does first.
        await environment.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(search_attributes=search_attributes.TYPES)
        )
        workbench = Workbench(environment.client, sqlite_store, settings, FixedEngine())
        workbench.set_level("L2")
        yield environment, workbench


async def test_a_new_incident_is_triaged_without_waiting(
    skipping: tuple[WorkflowEnvironment, Workbench],
) -> None:
    environment, bench = skipping
    before = await environment.get_current_time()
    async with bench.worker():
        await bench.open()
        await bench.until(waits)
        after = await environment.get_current_time()

    assert after - before < timedelta(minutes=1)


async def test_re_triage_waits_until_the_incident_has_been_quiet_for_one_interval(
    skipping: tuple[WorkflowEnvironment, Workbench],
) -> None:
    environment, bench = skipping
    async with bench.worker():
        handle = await bench.open()
        await bench.until(waits)
        await bench.change()
        await bench.until(lambda state: state.waiting_for is WaitingFor.QUIET)
        await environment.sleep(timedelta(minutes=30))
        await bench.change()
        await environment.sleep(timedelta(minutes=45))
        before = await handle.query(IncidentWorkflow.state)
        await environment.sleep(timedelta(minutes=60))
        after = await bench.until(lambda state: state.passes == 2 and waits(state))

    assert (before.passes, before.waiting_for) == (1, WaitingFor.QUIET)
    assert after.revision == 3
    assert bench.engine.asked == [1, 3]


async def test_a_flood_that_never_ends_is_triaged_all_the_same(
    skipping: tuple[WorkflowEnvironment, Workbench],
) -> None:
    environment, bench = skipping
    async with bench.worker():
        handle = await bench.open()
        await bench.until(waits)
        for _ in range(2 * LONGEST_QUIET_WAIT + 4):
            await bench.change()
            await environment.sleep(timedelta(minutes=30))
        state = await handle.query(IncidentWorkflow.state)

    assert state.passes == 2


async def test_a_thousand_signals_are_a_few_passes(bench: Workbench) -> None:
    bench.set_level("L2")
    async with bench.worker():
        handle = await bench.open()
        await bench.until(waits)
        turn = asyncio.Semaphore(50)

        async def signal(revision: int) -> None:
            async with turn:
                await handle.signal(IncidentWorkflow.incident_changed, ChangeIncidentInput(revision))

        with bench.store.write() as connection:
            for _ in range(1_000):
                change_incident(connection, bench.tenant, "inc-1", announce=False)
        await asyncio.gather(*(signal(revision) for revision in range(2, 1_002)))
        state = await bench.until(lambda state: state.revision == 1_001 and waits(state))

    assert bench.stored().triaged_revision == 1_001
    assert bench.engine.asked == [1, 1_001]
    # Each pass may follow a while of waiting; none of them belongs to one signal.
    assert state.passes <= 1 + 10


async def test_a_long_history_is_continued_in_a_new_run_that_remembers(sqlite_store: Store, tmp_path: Path) -> None:
    options = ("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=30")
    with DevServer(options=options) as server:
        settings = Settings(
            data_dir=tmp_path, tenant="acme", task_queue="acme", temporal_address=server.address, debounce_s=0
        )
        bench = Workbench(await connect(settings), sqlite_store, settings, FixedEngine())
        bench.set_level("L2")
        async with bench.worker():
            handle = await bench.open()
            first = await bench.until(waits)
            first_run = (await handle.describe()).run_id
            for _ in range(8):
                revision = await bench.change()
                while (
                    await handle.query(IncidentWorkflow.state)
                ).revision < revision or not bench.standing().is_settled:
                    await asyncio.sleep(0.01)
            last = await bench.until(waits)
            last_run = (await handle.describe()).run_id
            events = await bench.events()

    assert last_run != first_run
    assert len(events) < 60
    assert (last.revision, last.status, last.since_us) == (9, first.status, first.since_us)
    assert last.passes >= 9
    assert bench.engine.asked == list(range(1, 10))
