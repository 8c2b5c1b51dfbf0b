"""Records anew the histories that `test_replay` replays: ``python tests/workflows/record_histories.py [NAME…]``.

Each file in ``histories/`` is the history of one run of a workflow, made on a real server by the code of that day; a
``NAME`` is that of a scenario below, none records all.
Record anew only what the change at hand is meant to change, and keep the old file under another name as long as
workflows of its kind may still be under way: it is the proof that they go on.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from watchfloor_core.incident import Verdict
from watchfloor_core.keys.payload_file import ring_file
from watchfloor_core.keys.private_file import create_private
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_guardrails.approval import VoteDecision
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_workflows import search_attributes, wire
from watchfloor_workflows.authority.drafting import announce
from watchfloor_workflows.client import connect
from watchfloor_workflows.messages import DecideIncidentInput, ReopenIncidentInput, WaitingFor, WorkflowState
from watchfloor_workflows.payload_keys import payload_keys
from watchfloor_workflows.plugin import watchfloor_plugin
from watchfloor_workflows.testing import DevServer, FixedEngine, Workbench
from watchfloor_workflows.testing.actions import ActionBench, Person, make_attack, register

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


# Anything: workflows of several types.
Handles = dict[str, WorkflowHandle[Any, Any]]
"""Name of the file → the workflow whose history it is to hold."""
ANA = Person("ana")


async def waiting(bench: ActionBench, **values: Any) -> str:
    proposal_id = bench.draft(**values)
    await bench.until(proposal_id, ProposalStatus.WAITING)
    return proposal_id


def approval(bench: ActionBench, proposal_id: str) -> WorkflowHandle[Any, Any]:
    return bench.client.get_workflow_handle(wire.approval_workflow_id(bench.tenant, proposal_id))


async def action_approved(bench: ActionBench) -> Handles:
    """Carried out, held for its lease, and taken back by an action of its own."""
    proposal_id = await waiting(bench, lease_s=1)
    await bench.vote(ANA, proposal_id)
    await bench.handle(proposal_id).result()
    history = await bench.handle(proposal_id).fetch_history()
    started = (event.start_child_workflow_execution_initiated_event_attributes for event in history.events)
    undo = next(one.workflow_id for one in started if one.workflow_type.name == wire.ACTION_WORKFLOW)
    return {
        "action_with_lease_and_undo": bench.handle(proposal_id),
        "action_undoes_at_the_end_of_a_lease": bench.client.get_workflow_handle(undo),
        "approval_given": approval(bench, proposal_id),
    }


async def action_denied(bench: ActionBench) -> Handles:
    proposal_id = await waiting(bench)
    await bench.vote(ANA, proposal_id, VoteDecision.DENY)
    await bench.handle(proposal_id).result()
    return {"action_denied": bench.handle(proposal_id), "approval_denied": approval(bench, proposal_id)}


async def action_voided(bench: ActionBench) -> Handles:
    proposal_id = await waiting(bench)
    with bench.store.write() as connection:
        announce(connection, bench.tenant, proposal_id, "void", "the incident is no longer open")
    await bench.until(proposal_id, ProposalStatus.VOIDED)
    await bench.handle(proposal_id).result()
    return {"action_voided": bench.handle(proposal_id), "approval_voided": approval(bench, proposal_id)}


async def action_expired(bench: ActionBench, environment: WorkflowEnvironment) -> Handles:
    """Reminded, escalated, and a no at the deadline."""
    proposal_id = await waiting(bench)
    await environment.sleep(timedelta(hours=5))
    await bench.handle(proposal_id).result()
    return {"approval_expired": approval(bench, proposal_id)}


ACTION_SCENARIOS: tuple[Callable[[ActionBench], Awaitable[Handles]], ...] = (
    action_approved,
    action_denied,
    action_voided,
)


async def record_action(scenario: Callable[[ActionBench], Awaitable[Handles]], folder: Path) -> None:
    with DevServer() as server:
        settings = action_settings(server.address, folder)
        await record_with(await connect(settings), settings, scenario)


async def record_expiry(folder: Path) -> None:
    """On the server that skips the waiting."""
    program = shutil.which("temporal-test-server", path=sysconfig.get_path("scripts"))
    async with await WorkflowEnvironment.start_time_skipping(test_server_existing_path=program) as environment:
        address = environment.client.service_client.config.target_host
        settings = action_settings(address, folder)
        await environment.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace="default", search_attributes=search_attributes.TYPES)
        )
        client = await Client.connect(address, plugins=[watchfloor_plugin(payload_keys(settings))])
        await record_with(client, settings, lambda bench: action_expired(bench, environment))


def action_settings(address: str, folder: Path) -> Settings:
    settings = Settings(data_dir=folder, tenant="acme", task_queue="acme", temporal_address=address)
    create_private(ring_file(folder), (HISTORIES / "keys" / "payload.json").read_bytes())
    migrate(settings.store_url)
    return settings


async def record_with(
    client: Client, settings: Settings, scenario: Callable[[ActionBench], Awaitable[Handles]]
) -> None:
    store = open_store(settings.store_url)
    register(store, ANA)
    make_attack(store, settings.tenant)
    bench = ActionBench(client, store, settings)
    async with bench.workers():
        for name, handle in (await scenario(bench)).items():
            write(name, (await handle.fetch_history()).to_json_dict())
    store.close()


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
    write(name, history.to_json_dict())


def write(name: str, history: dict[str, Any]) -> None:
    (HISTORIES / f"{name}.json").write_text(json.dumps(without_place(history), indent=1) + "\n")
    print(f"{name}: {len(history['events'])} events")


def without_place(value: Any) -> Any:
    """The JSON without where it was recorded: process, machine, paths."""
    if isinstance(value, dict):
        return {key: without_place(item) for key, item in value.items() if key != "stackTrace"}
    if isinstance(value, list):
        return [without_place(item) for item in value]
    return PROCESS.sub("recorder", value) if isinstance(value, str) else value


async def main(names: list[str]) -> None:
    HISTORIES.mkdir(exist_ok=True)
    known: dict[str, Callable[[Path], Awaitable[None]]] = {
        **{one.__name__: partial(record, one) for one in SCENARIOS},
        **{one.__name__: partial(record_action, one) for one in ACTION_SCENARIOS},
        action_expired.__name__: record_expiry,
    }
    for name in names or known:
        with tempfile.TemporaryDirectory() as folder:
            await known[name](Path(folder))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
