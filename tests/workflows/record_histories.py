"""Records anew the histories that `test_replay` replays: ``python tests/workflows/record_histories.py``.

Each file in ``histories/`` is the history of one run of the workflow, made on a real server by the code of that day.
Record anew only what the change at hand is meant to change, and keep the old file under another name as long as
workflows of its kind may still be under way: it is the proof that they go on.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from watchfloor_core.incident import Verdict
from watchfloor_core.keys.payload_file import ring_file
from watchfloor_core.keys.private_file import create_private
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_workflows.client import connect
from watchfloor_workflows.messages import DecideIncidentInput, ReopenIncidentInput, WaitingFor, WorkflowState
from watchfloor_workflows.testing import DevServer, FixedEngine, Workbench

PROCESS = re.compile(r"\A\d+@\S+\Z")
"""Names a worker and its sticky queue: ``4711@machine``."""
HISTORIES = Path(__file__).parent / "histories"


def waits(state: WorkflowState) -> bool:
    return state.waiting_for is WaitingFor.PERSON


def decision(update_id: str, verdict: Verdict, *, close: bool) -> DecideIncidentInput:
    return DecideIncidentInput("ana", "person", verdict, close, "seen before", 1, update_id, acknowledges_newer=True)


async def closed_by_agent(bench: Workbench) -> None:
    await (await bench.open()).result()


async def decided_by_person(bench: Workbench) -> None:
    bench.set_level("L2")
    handle = await bench.open()
    await bench.until(waits)
    await bench.desk.decide(bench.tenant, "inc-1", decision("u-1", Verdict.TRUE_POSITIVE, close=False))
    await bench.desk.decide(bench.tenant, "inc-1", decision("u-2", Verdict.TRUE_POSITIVE, close=True))
    await handle.result()


async def triaged_again(bench: Workbench) -> None:
    bench.set_level("L2")
    await bench.open()
    await bench.until(waits)
    bench.engine.verdict = Verdict.TRUE_POSITIVE
    await bench.change()
    await bench.until(lambda state: state.revision == 2 and waits(state))
    bench.set_level("L0")
    await bench.change()
    await bench.until(lambda state: state.revision == 3 and waits(state))


async def reopened_by_person(bench: Workbench) -> None:
    await (await bench.open()).result()
    order = ReopenIncidentInput("ben", "person", "the ticket says otherwise", "r-1")
    await bench.desk.reopen(bench.tenant, "inc-1", order)
    await bench.until(waits)


async def answered_by_slow_engine(bench: Workbench) -> None:
    bench.engine.name = "generative:slow"
    await bench.open()
    await bench.until(waits)


async def continued_as_new(bench: Workbench) -> None:
    bench.set_level("L2")
    await bench.open()
    first = await bench.until(waits)
    for _ in range(6):
        revision = await bench.change()
        first = await bench.until(lambda state, revision=revision: state.revision == revision and waits(state))  # type: ignore[misc]  # bound at once
    assert first.passes > 1


SCENARIOS: tuple[Callable[[Workbench], Awaitable[None]], ...] = (
    closed_by_agent,
    decided_by_person,
    triaged_again,
    reopened_by_person,
    answered_by_slow_engine,
    continued_as_new,
)


async def record(scenario: Callable[[Workbench], Awaitable[None]], folder: Path) -> None:
    name = scenario.__name__
    options = ("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=30")
    with DevServer(options=options if scenario is continued_as_new else ()) as server:
        settings = Settings(
            data_dir=folder, tenant="acme", task_queue="acme", temporal_address=server.address, debounce_s=0.05
        )
        # So that the test can decrypt what is recorded.
        create_private(ring_file(folder), (HISTORIES / "keys" / "payload.json").read_bytes())
        migrate(settings.store_url)
        store = open_store(settings.store_url)
        bench = Workbench(await connect(settings), store, settings, FixedEngine())
        bench.set_level("L4")
        async with bench.worker():
            await scenario(bench)
            history = await bench.handle().fetch_history()
        store.close()
    (HISTORIES / f"{name}.json").write_text(json.dumps(without_place(history.to_json_dict()), indent=1) + "\n")
    print(f"{name}: {len(history.events)} events")


def without_place(value: Any) -> Any:
    """The JSON without where it was recorded: process, machine, paths."""
    if isinstance(value, dict):
        return {key: without_place(item) for key, item in value.items() if key != "stackTrace"}
    if isinstance(value, list):
        return [without_place(item) for item in value]
    return PROCESS.sub("recorder", value) if isinstance(value, str) else value


async def main() -> None:
    HISTORIES.mkdir(exist_ok=True)
    for scenario in SCENARIOS:
        with tempfile.TemporaryDirectory() as folder:
            await record(scenario, Path(folder))


if __name__ == "__main__":
    asyncio.run(main())
