"""What a playbook's step costs, as a ratio of a bare activity, and what a long run leaves in Temporal's history.

One playbook with loops in loops and branches side by side, run to its end on a real Temporal server and a real SQLite
file, once with steps that only lead on and once with actions among them. Each action is a proposal that a signed policy
and certificates let through without a person: it is drafted, sealed, ruled on, granted, carried out on a tool in
memory, read back and recorded, in a workflow of its own. The floor is a workflow that calls an activity which does
nothing, as many times, one after the other, on the same server and in the same run.

Usage: ``python benchmarks/bench_playbook.py [--steps 200]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import func, insert, select
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

from watchfloor_core.dsse import Signer
from watchfloor_core.incident import Function
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_core.store.schema_authority import certificate
from watchfloor_core.store.schema_playbook import playbook_step
from watchfloor_guardrails.action import Action
from watchfloor_guardrails.bundle_signature import manifest_of, sign_bundle
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.effect import EffectPermit, ReadBack, tool_pin
from watchfloor_guardrails.proposal import version_digest
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.work import RunStatus
from watchfloor_workflows import wire
from watchfloor_workflows.client import connect
from watchfloor_workflows.playbooks.starting import proposer_of
from watchfloor_workflows.policy_activation import activate_policy
from watchfloor_workflows.policy_folder import read_folder
from watchfloor_workflows.testing import DevServer
from watchfloor_workflows.testing.actions import ActionBench, Person, make_attack, register
from watchfloor_workflows.testing.playbooks import PlaybookBench, Sketch
from watchfloor_workflows.testing.tools import MemoryTool

TENANT: Final = "bench"
BARE_QUEUE: Final = "bare"
SERVER_OPTIONS: Final = ("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1")
ACTION: Final = "notify channel"
"""Leaves nothing, so that no target stands in the way of the next round."""
MAX_EVENTS: Final = 51_200
MAX_BYTES: Final = 50 * 1024 * 1024
"""Of one history: where Temporal ends a workflow."""
PATIENCE_S: Final = 1_800
OUTER, INNER = 3, 3
"""Rounds of the loops."""
LEADING, ACTING = 11, 10
"""Steps of one block of either playbook."""


class CountingTool(MemoryTool):
    """Answers how far the loops are, ``outer-7`` with ``{"outer7": …, "inner7": "1"}``; with 0 in the last round."""

    def __init__(self) -> None:
        super().__init__()
        self._done: Counter[str] = Counter()

    def act(self, permit: EffectPermit) -> None:
        super().act(permit)
        self._done[permit.action.target.value] += 1

    def read_back(self, action: Action, key: str) -> ReadBack:
        kind, _, block = action.target.value.partition("-")
        left = self._done[action.target.value] % (OUTER if kind == "outer" else INNER)
        answer = {f"{kind}{block}": str(left)} | ({f"inner{block}": "1"} if kind == "outer" else {})
        return replace(super().read_back(action, key), output=json.dumps(answer))


@activity.defn
async def do_nothing(text: str) -> str:
    return text


@workflow.defn
class BareWorkflow:
    """So many activities, one after the other."""

    @workflow.run
    async def run(self, count: int) -> None:
        for _ in range(count):
            await workflow.execute_activity(do_nothing, "", start_to_close_timeout=timedelta(seconds=8))


@dataclass(frozen=True)
class Histories:
    """What workflows have left at the server."""

    workflows: int
    runs: int
    """With those that began a history anew."""
    events: int
    bytes: int
    most_events: int
    """Of one history."""
    most_bytes: int


@dataclass(frozen=True)
class Measured:
    steps_written: int
    """In the playbook."""
    steps: int
    """That have ended, round by round."""
    actions: int
    seconds: float
    playbook: Histories
    action: Histories | None


def leading(steps: int) -> Playbook:
    """So many steps that only lead on: choices inside branches, side by side, one block after the other."""
    sketch = Sketch(f"{steps} steps that lead on").variable("__on__", value="yes")
    following = sketch.manual("never", "Nobody comes here.", on_completion=sketch.end("of never"))
    following = sketch.step(
        "if-condition", "last", condition="__on__:value = 'no'", on_true=following, on_completion=sketch.end("done")
    )
    for block in range(-(-(steps - 5) // LEADING)):
        branches = []
        for side in ("left", "right"):
            name = f"{side} {block}"
            yes, end = sketch.end(f"yes {name}"), sketch.end(f"end {name}")
            branches.append(
                sketch.step(
                    "if-condition", f"if {name}", condition="__on__:value = 'yes'", on_true=yes, on_completion=end
                )
            )
        cases = {
            "yes": sketch.step(
                "parallel", f"both {block}", next_steps=branches, on_completion=sketch.end(f"joined {block}")
            )
        }
        chosen = sketch.step(
            "switch-condition", f"switch {block}", switch="__on__:value", cases=cases, on_completion=following
        )
        following = sketch.step(
            "while-condition", f"loop {block}", condition="__on__:value = 'no'", timeout=600_000,
            on_true=sketch.end(f"none {block}"), on_completion=chosen,
        )  # fmt: skip
    return sketch.playbook(following)


def acting(steps: int) -> Playbook:
    """So many steps: a loop around two branches side by side, of which one is a loop, and actions in all of them."""
    sketch = Sketch(f"{steps} steps with actions")
    following = sketch.end("done")
    for block in range(-(-(steps - 2) // ACTING)):
        outer, inner = f"__outer{block}__", f"__inner{block}__"
        sketch.variable(outer, value="1").variable(inner, value="1")

        def tell(kind: str, block: int = block, **more: Any) -> str:
            return sketch.action(f"{kind} {block}", ACTION, f"{kind}-{block}", **more)

        once = tell("inner", on_success=sketch.end(f"round {block}"), out_args=[inner])
        left = sketch.step(
            "while-condition", f"inner loop {block}", condition=f"{inner}:value != '0'", on_true=once,
            on_completion=sketch.end(f"left {block}"),
        )  # fmt: skip
        right = tell("right", on_success=sketch.end(f"right {block}"))
        last = tell("outer", on_success=sketch.end(f"joined {block}"), out_args=[outer, inner])
        body = sketch.step("parallel", f"both {block}", next_steps=[left, right], on_completion=last)
        following = sketch.step(
            "while-condition", f"outer loop {block}", condition=f"{outer}:value != '0'", on_true=body,
            on_completion=following,
        )  # fmt: skip
    return sketch.playbook(following)


def allow(actions: ActionBench, person: Person, *playbooks: Playbook) -> None:
    """A policy at L4 that the person has signed, budgets that hold nothing up, and certificates for the playbooks."""
    folder = actions.settings.data_dir / "policy"
    folder.mkdir()
    rows = "".join(f"  - {{function: {one}, level: L4}}\n" for one in Function if one != Function.RISK_MANAGEMENT)
    (folder / "autonomy.yaml").write_text(f"rows:\n{rows}  - {{function: risk_management, level: L0}}\n")
    budgets = "".join(f"  {name}: 100000\n" for name in ("actions_per_hour", "autonomous_actions_per_hour"))
    (folder / "limits.yaml").write_text(f"defaults:\n  veto_window_s: 0\n{budgets}")
    manifest = manifest_of(read_folder(folder), version=1, author=person.name, made_us=1)
    (folder / "signature.json").write_text(sign_bundle(manifest, Signer(person.key)))
    activate_policy(actions.store, actions.settings, folder, "local:bench")
    row = {"tenant": TENANT, "function": Function.INCIDENT_RESPONSE.value, "action_class": ACTION, "level": 4}
    row |= {"issued_us": 0, "expires_us": 2**52}
    with actions.store.write() as connection:
        for playbook in playbooks:
            proposer = proposer_of(playbook, PrincipalKind.SERVICE, None)
            pin = version_digest(proposer, tool_pin(actions.tool))
            connection.execute(insert(certificate).values(version_digest=pin, **row))


async def left_by(client: Client, workflow_ids: Sequence[str]) -> Histories:
    """Of workflows that have ended, with all of their histories."""
    found: list[tuple[int, int]] = []
    for workflow_id in workflow_ids:
        run_id: str | None = None
        while run_id != "":
            handle = client.get_workflow_handle(workflow_id, run_id=run_id)
            info = (await handle.describe()).raw_description.workflow_execution_info
            found.append((info.history_length, info.history_size_bytes))
            first = await anext(handle.fetch_history_events(page_size=1))
            run_id = first.workflow_execution_started_event_attributes.continued_execution_run_id
    return Histories(
        len(workflow_ids),
        len(found),
        sum(events for events, _ in found),
        sum(size for _, size in found),
        max(events for events, _ in found),
        max(size for _, size in found),
    )


async def played(bench: PlaybookBench, playbook: Playbook) -> Measured:
    """From the order to run it until its workflow has ended."""
    client, store = bench.actions.client, bench.actions.store
    began = time.perf_counter()
    run_id = bench.start(playbook, requester=None)
    await bench.relay.drain()
    workflow_id = wire.playbook_workflow_id(TENANT, run_id)
    async with asyncio.timeout(PATIENCE_S):
        await client.get_workflow_handle(workflow_id).result()
    seconds = time.perf_counter() - began
    run = bench.run(run_id)
    assert run.status is RunStatus.SUCCEEDED, run.outcome
    proposals = [str(one.proposal_id) for one in bench.work(run_id) if one.proposal_id is not None]
    handles = [bench.actions.handle(proposal_id) for proposal_id in proposals]
    # The last one has told the run how it ended, and then ends itself.
    await asyncio.gather(*(handle.result() for handle in handles))
    with store.read() as connection:
        ended = select(func.count()).select_from(playbook_step).where(playbook_step.c.run_id == run_id)
        steps = connection.execute(ended).scalar_one()
    return Measured(
        len(playbook.steps),
        steps,
        len(proposals),
        seconds,
        await left_by(client, [workflow_id]),
        await left_by(client, [handle.id for handle in handles]) if handles else None,
    )


async def bare(client: Client, label: str, count: int) -> float:
    """Seconds for one activity that does nothing."""
    began = time.perf_counter()
    await client.execute_workflow(BareWorkflow.run, count, id=label, task_queue=BARE_QUEUE)
    return (time.perf_counter() - began) / count


async def measure(folder: Path, steps: int) -> None:
    with DevServer(folder / "temporal.db", SERVER_OPTIONS) as server:
        settings = Settings(data_dir=folder, tenant=TENANT, task_queue="playbooks", temporal_address=server.address)
        migrate(settings.store_url)
        store, person = open_store(settings.store_url), Person("ana")
        register(store, person)
        make_attack(store, TENANT)
        actions = ActionBench(await connect(settings), store, settings, CountingTool())
        bench = PlaybookBench(actions)
        logic, acts, warm = leading(steps), acting(steps), acting(ACTING + 2)
        allow(actions, person, logic, acts, warm)
        client = actions.client
        async with (
            actions.workers(),
            Worker(client, task_queue=BARE_QUEUE, workflows=[BareWorkflow], activities=[do_nothing]),
        ):
            await bare(client, "warm", 20)
            await played(bench, warm)
            floors = [await bare(client, "before", steps)]
            led = await played(bench, logic)
            acted = await played(bench, acts)
            floors.append(await bare(client, "after", steps))
        store.close()
    report(sum(floors) / len(floors), led, acted)


def report(floor: float, led: Measured, acted: Measured) -> None:
    print("one worker and one executor in one process, server and store each with a file\n")
    print(f"bare activity, one after the other              {floor * 1000:10.1f} ms\n")
    for title, one in (("steps that only lead on", led), ("steps with actions", acted)):
        per_step = one.seconds / one.steps
        print(
            f"{title}: {one.steps_written} written, {one.steps} run, {one.actions} of them actions, {one.seconds:.1f} s"
        )
        print(f"  a step                                        {per_step * 1000:10.1f} ms")
        print(f"  ratio to a bare activity                      {per_step / floor:10.2f}")
        if one.actions:
            per_action = one.seconds / one.actions
            print(f"  an action, with the steps around it           {per_action * 1000:10.1f} ms")
            print(f"  ratio to a bare activity                      {per_action / floor:10.2f}")
        _print_histories("playbook", one.playbook)
        if one.action is not None:
            _print_histories("actions", one.action)
        print()


def _print_histories(name: str, one: Histories) -> None:
    anew = one.runs - one.workflows
    print(f"  {name}: {one.workflows} workflows, {anew} times anew, {one.events:,} events, {one.bytes:,} bytes")
    print(f"    most in one history: {one.most_events:,} events (at most {MAX_EVENTS:,}),", end=" ")
    print(f"{one.most_bytes:,} bytes (at most {MAX_BYTES:,})")
    assert one.most_events < MAX_EVENTS
    assert one.most_bytes < MAX_BYTES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=200, help="of each playbook, at least")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), arguments.steps))


if __name__ == "__main__":
    main()
