"""Killed without warning, worker or server: the work goes on where it was, and nothing is entered twice."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import uuid
from pathlib import Path

import pytest

from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_workflows.client import connect
from watchfloor_workflows.testing import DevServer, FixedEngine, Workbench

pytestmark = pytest.mark.anyio

WORKER = """
import asyncio, os, signal, sys
from watchfloor_core.settings import Settings
from watchfloor_workflows import settle, triaging
from watchfloor_workflows.testing import FixedEngine
from watchfloor_workflows.worker import run_worker

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def dying_after(function):
    def doomed(*arguments, **named):
        function(*arguments, **named)
        die()
    return doomed

engine = FixedEngine()
match sys.argv[1]:
    case "thinking":
        engine.assess = die
    case "triaged":
        triaging.triage = dying_after(triaging.triage)
    case "settled":
        settle.settle = dying_after(settle.settle)
asyncio.run(run_worker(Settings(), engine=engine))
"""


async def start_worker(settings: Settings, moment_of_death: str) -> asyncio.subprocess.Process:
    environment = {
        **os.environ,
        "WATCHFLOOR_DATA_DIR": str(settings.data_dir),
        "WATCHFLOOR_TENANT": settings.tenant,
        "WATCHFLOOR_TASK_QUEUE": settings.task_queue,
        "WATCHFLOOR_TEMPORAL_ADDRESS": str(settings.temporal_address),
    }
    return await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, moment_of_death, env=environment)


async def bench_of(settings: Settings, store: Store) -> Workbench:
    workbench = Workbench(await connect(settings), store, settings, FixedEngine())
    workbench.set_level("L4")
    return workbench


async def survives(server: DevServer, folder: Path, moment_of_death: str) -> tuple[int | None, int, list[str]]:
    """Exit codes of the worker that is killed and of the one after it, and what the ledger holds then."""
    tenant = f"t-{uuid.uuid4().hex[:12]}"
    settings = Settings(data_dir=folder, tenant=tenant, task_queue=tenant, temporal_address=server.address)
    store = open_store(settings.store_url)
    bench = await bench_of(settings, store)
    try:
        handle = await bench.open()
        killed = await (await start_worker(settings, moment_of_death)).wait()
        worker = await start_worker(settings, "never")
        await handle.result()
        worker.send_signal(signal.SIGTERM)
        return killed, await worker.wait(), bench.ledger()
    finally:
        store.close()


async def test_a_worker_may_be_killed_before_or_after_any_step(
    temporal_server: DevServer, tmp_path: Path, migrated_sqlite_file: Path
) -> None:
    moments = ("thinking", "triaged", "settled")
    for each in moments:
        (tmp_path / each).mkdir()
        shutil.copyfile(migrated_sqlite_file, tmp_path / each / "watchfloor.db")
    # Side by side, since each waits ten seconds for Temporal to give the dead worker's task to another.
    outcomes = await asyncio.gather(*(survives(temporal_server, tmp_path / each, each) for each in moments))

    once = ["verdict", "ruling", "closure"]
    assert dict(zip(moments, outcomes, strict=True)) == dict.fromkeys(moments, (-signal.SIGKILL, 0, once))


async def test_a_killed_server_finds_everything_again(sqlite_store: Store, tmp_path: Path) -> None:
    with DevServer(tmp_path / "temporal.db") as server:
        settings = Settings(
            data_dir=tmp_path, tenant="acme", task_queue="acme", temporal_address=server.address, debounce_s=0
        )
        bench = await bench_of(settings, sqlite_store)
        bench.engine.think()
        async with bench.worker():
            thinking = await bench.open("inc-1")
            await asyncio.to_thread(bench.engine.is_thinking.wait, 20)
            server.kill()
            bench.engine.may_answer.set()
            server.start()
            await thinking.result()
            bench.set_level("L2")
            await bench.open("inc-2")
            before = await bench.until(lambda state: state.waiting_for == "person", "inc-2")
            server.kill()
            server.start()
            after = await bench.until(lambda state: state.waiting_for == "person", "inc-2")

    assert bench.ledger("inc-1") == ["verdict", "ruling", "closure"]
    assert after == before
