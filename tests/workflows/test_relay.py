"""From the outbox to Temporal: everything, once in effect, and few signals for a flood."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from watchfloor_core.clock import now_us
from watchfloor_core.errors import UnavailableError
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.schema import outbox
from watchfloor_workflows.client import connect
from watchfloor_workflows.outbox import forget_delivered, mark_delivered, read_waiting
from watchfloor_workflows.relay import Relay
from watchfloor_workflows.testing import DevServer, FixedEngine, Workbench, change_incident, plant_incident

anyio = pytest.mark.anyio

LONG_AGO = 0


def waiting_rows(store: Store) -> int:
    with store.read() as connection:
        count: int = connection.execute(
            select(func.count()).select_from(outbox).where(outbox.c.delivered_us.is_(None))
        ).scalar_one()
    return count


def signals(events: list[str]) -> int:
    return events.count("WORKFLOW_EXECUTION_SIGNALED")


def test_a_new_incident_is_due_at_once_and_a_changed_one_when_it_has_been_quiet(store: Store) -> None:
    with store.write() as connection:
        plant_incident(connection, "acme", "inc-1")
        first = read_waiting(connection, settled_before_us=LONG_AGO)
        mark_delivered(connection, first.due, now_us())
        change_incident(connection, "acme", "inc-1")
        change_incident(connection, "acme", "inc-1")
        held_back = read_waiting(connection, settled_before_us=LONG_AGO)
        later = read_waiting(connection, settled_before_us=now_us())

    assert [delivery.revision for delivery in first.due] == [1]
    assert (held_back.due, held_back.is_holding_back) == ((), True)
    assert [(delivery.revision, len(delivery.row_ids)) for delivery in later.due] == [(3, 2)]


@pytest.fixture
def postgresql_store(pg_url: str) -> Iterator[Store]:
    store = open_store(pg_url)
    yield store
    store.close()


def test_two_relays_share_the_rows_out_on_postgresql(postgresql_store: Store) -> None:
    with postgresql_store.write() as connection:
        plant_incident(connection, "acme", "inc-1")
    with postgresql_store.write() as one, postgresql_store.write() as other:
        first = read_waiting(one, settled_before_us=LONG_AGO)
        second = read_waiting(other, settled_before_us=LONG_AGO)

    assert (len(first.due), len(second.due)) == (1, 0)


def test_delivered_rows_are_forgotten_and_waiting_ones_are_not(store: Store) -> None:
    with store.write() as connection:
        for incident_id in ("inc-1", "inc-2"):
            plant_incident(connection, "acme", incident_id)
        connection.execute(update(outbox).where(outbox.c.incident_id == "inc-1").values(delivered_us=1))

    assert forget_delivered(store, before_us=2) == 1
    assert waiting_rows(store) == 1


@anyio
async def test_a_thousand_changes_of_one_incident_are_one_signal(bench: Workbench) -> None:
    with bench.store.write() as connection:
        plant_incident(connection, bench.tenant, "inc-1")
        for _ in range(999):
            change_incident(connection, bench.tenant, "inc-1")
    sent = await bench.relay.drain()
    async with bench.worker():
        await bench.handle().result()

    assert sent == 1
    assert signals(await bench.events()) == 1
    assert waiting_rows(bench.store) == 0
    assert bench.engine.asked == [1000]


@anyio
async def test_several_relays_at_once_deliver_everything_and_nothing_is_settled_twice(bench: Workbench) -> None:
    names = [f"inc-{number}" for number in range(20)]
    with bench.store.write() as connection:
        for name in names:
            plant_incident(connection, bench.tenant, name)
    relays = [Relay(bench.client, bench.store, bench.settings) for _ in range(3)]
    async with bench.worker():
        await asyncio.gather(*(relay.drain() for relay in relays))
        for name in names:
            await bench.handle(name).result()

    assert waiting_rows(bench.store) == 0
    assert all(bench.ledger(name) == ["verdict", "ruling", "closure"] for name in names)


@anyio
async def test_on_postgresql_several_relays_send_each_signal_once(settings: Settings, postgresql_store: Store) -> None:
    bench = Workbench(await connect(settings), postgresql_store, settings, FixedEngine())
    bench.set_level("L4")
    names = [f"inc-{number}" for number in range(20)]
    with postgresql_store.write() as connection:
        for name in names:
            plant_incident(connection, bench.tenant, name)
    relays = [Relay(bench.client, postgresql_store, settings) for _ in range(3)]
    sent = await asyncio.gather(*(relay.drain() for relay in relays))
    async with bench.worker():
        for name in names:
            await bench.handle(name).result()

    assert sum(sent) == 20
    assert waiting_rows(postgresql_store) == 0
    assert all(bench.ledger(name) == ["verdict", "ruling", "closure"] for name in names)


@anyio
async def test_a_running_relay_delivers_what_comes_and_stops_when_told(bench: Workbench) -> None:
    stop = asyncio.Event()
    async with bench.worker(), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(bench.relay.run(stop))
        with bench.store.write() as connection:
            plant_incident(connection, bench.tenant, "inc-1")
        bench.relay.wake()
        while waiting_rows(bench.store):
            await asyncio.sleep(0.01)
        await bench.handle().result()
        stop.set()
        await asyncio.wait_for(running, 5)

    assert bench.ledger() == ["verdict", "ruling", "closure"]


@anyio
async def test_while_temporal_is_down_everything_waits_and_then_goes(sqlite_store: Store, tmp_path: Path) -> None:
    with DevServer(tmp_path / "temporal.db") as server:
        settings = Settings(
            data_dir=tmp_path, tenant="acme", task_queue="acme", temporal_address=server.address, debounce_s=0
        )
        bench = Workbench(await connect(settings), sqlite_store, settings, FixedEngine())
        bench.set_level("L4")
        server.kill()
        with sqlite_store.write() as connection:
            plant_incident(connection, "acme", "inc-1")
        with pytest.raises(UnavailableError, match="Temporal did not take an incident"):
            await bench.relay.drain()
        assert waiting_rows(sqlite_store) == 1

        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(bench.relay.run(stop))
            server.start()
            async with bench.worker():
                while waiting_rows(sqlite_store):
                    await asyncio.sleep(0.01)
                await bench.handle().result()
            stop.set()

    assert bench.ledger() == ["verdict", "ruling", "closure"]
