"""The worker as a process runs it: patient at its start, quiet at its end, with house kept in between."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select, update

from watchfloor_core.incident import IncidentStatus
from watchfloor_core.ledger import last_checkpoint
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import incident, outbox
from watchfloor_workflows.client import connect
from watchfloor_workflows.housekeeping import keep_house
from watchfloor_workflows.testing import DevServer, FixedEngine, Workbench, plant_incident, write_policy
from watchfloor_workflows.worker import run_worker


@pytest.mark.anyio
async def test_a_worker_waits_for_its_server_works_and_stops_when_told(sqlite_store: Store, tmp_path: Path) -> None:
    server = DevServer()
    settings = Settings(data_dir=tmp_path, tenant="acme", temporal_address=server.address, debounce_s=0)
    write_policy(tmp_path, "L4")
    with sqlite_store.write() as connection:
        plant_incident(connection, "acme", "inc-1")
    stop, ready = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(run_worker(settings, engine=FixedEngine(), on_ready=ready.set, stop=stop))
        with server:
            await ready.wait()
            bench = Workbench(await connect(settings), sqlite_store, settings, FixedEngine())
            while bench.stored().status is not IncidentStatus.CLOSED:
                await asyncio.sleep(0.01)
            await bench.handle().result()
            stop.set()
            await asyncio.wait_for(working, 15)

    assert bench.ledger() == ["verdict", "ruling", "closure"]
    with sqlite_store.read() as connection:
        checkpoint = last_checkpoint(connection, "acme")
    assert checkpoint is not None
    assert checkpoint.entries == 3


@pytest.mark.anyio
async def test_a_worker_that_is_told_to_stop_while_it_waits_for_its_server_stops(
    sqlite_store: Store, tmp_path: Path
) -> None:
    stop = asyncio.Event()
    stop.set()
    await asyncio.wait_for(run_worker(Settings(data_dir=tmp_path, temporal_port=1), stop=stop), 10)


def test_keeping_house_forgets_what_was_delivered_long_ago_for_every_tenant(store: Store, tmp_path: Path) -> None:
    with store.write() as connection:
        for tenant in ("acme", "other"):
            plant_incident(connection, tenant, "inc-1")
        connection.execute(update(outbox).where(outbox.c.tenant == "acme").values(delivered_us=1))
    keep_house(store, Settings(data_dir=tmp_path))

    with store.read() as connection:
        assert connection.execute(select(outbox.c.tenant)).scalars().all() == ["other"]
        assert sorted(connection.execute(select(incident.c.tenant)).scalars()) == ["acme", "other"]
