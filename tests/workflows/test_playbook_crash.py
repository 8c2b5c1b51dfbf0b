"""Worker, executor and Temporal are killed without warning in the middle of playbook runs, at every moment of a step
and of taking back: each run ends as if nothing had happened."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.workflows import crash_executor, crash_worker
from tests.workflows.test_action_crash import KILLED, Stage, exists, stage, until
from watchfloor_core.alert import Integrity
from watchfloor_core.errors import UnavailableError
from watchfloor_core.store.schema_authority import approval_vote
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.values import Held
from watchfloor_playbooks.running.work import RunStatus
from watchfloor_service.supervision.environment import settings_environment
from watchfloor_workflows import wire
from watchfloor_workflows.playbooks.tasks import Answer, answer_task
from watchfloor_workflows.playbooks.undoing import start_undoing
from watchfloor_workflows.testing import DevServer
from watchfloor_workflows.testing.playbooks import PlaybookBench, Sketch

pytestmark = pytest.mark.anyio

FORKS = multiprocessing.get_context("forkserver")
"""Forks processes from one that has loaded everything and started nothing: loading takes longer than all the rest."""
FORKS.set_forkserver_preload(["watchfloor_workflows.worker", "watchfloor_workflows.executor"])
ADDRESS = "203.0.113.1"
RITA = Principal("rita", PrincipalKind.PERSON)


def block() -> Playbook:
    sketch = Sketch("Block an address").variable("__address__", "ipv4-addr", external=True)
    return sketch.playbook(sketch.action("block", "deny ip", "__address__:value", on_success=sketch.end("done")))


def block_twice() -> Playbook:
    """Another address first, so that two are taken back."""
    sketch = Sketch("Block two").variable("__address__", "ipv4-addr", external=True)
    done = sketch.end("done")
    second = sketch.action("block", "deny ip", "__address__:value", on_success=done)
    return sketch.playbook(sketch.action("block another", "deny ip", "198.51.100.9", on_success=second))


def ask_and_block() -> Playbook:
    sketch = Sketch("Ask and block").variable("__address__", "ipv4-addr", external=True)
    sketch.variable("__why__", value="")
    blocked = sketch.action("block", "deny ip", "__address__:value", on_success=sketch.end("done"))
    return sketch.playbook(sketch.manual("ask", "Why?", out_args=["__why__"], on_success=blocked))


def started(made: Stage, playbook: Playbook, address: str) -> str:
    return PlaybookBench(made.bench).start(playbook, given={"__address__": Held(address, Integrity.SENSOR)})


@dataclass
class Crew:
    """The processes that play on a stage."""

    stage: Stage
    processes: list[ForkServerProcess] = field(default_factory=list)

    def start(self, main: Callable[[], None], *moments: str) -> ForkServerProcess:
        settings = self.stage.settings
        arguments = (str(self.stage.outside), *moments)
        given = (main, settings_environment(settings), str(settings.data_dir / "output"), arguments)
        process = FORKS.Process(target=crash_worker.be, args=given, daemon=True)
        process.start()
        self.processes.append(process)
        return process

    async def died(self, process: ForkServerProcess) -> None:
        while process.exitcode is None:
            await asyncio.sleep(0.02)
        assert process.exitcode == KILLED, (self.stage.settings.data_dir / "output").read_text()[-2_000:]

    async def kill(self, process: ForkServerProcess) -> None:
        process.kill()
        await self.died(process)

    @asynccontextmanager
    async def dying_worker(self, *moments: str) -> AsyncIterator[None]:
        """A worker that comes back each time that it is killed, as under a supervisor."""

        async def tend() -> None:
            while True:
                await self.died(self.start(crash_worker.main, *moments))

        tending = asyncio.create_task(tend())
        try:
            yield
            assert not tending.done()
        finally:
            tending.cancel()
        for moment in moments:
            address, _, name = moment.partition("=")
            assert (self.stage.outside / f"{name}-{address}").exists(), f"no worker was killed at {moment}"


@asynccontextmanager
async def crewed(server: DevServer, folder: Path, database: Path) -> AsyncIterator[tuple[Stage, Crew]]:
    async with stage(server, folder, database) as made:
        crew = Crew(made)
        try:
            yield made, crew
        finally:
            for process in crew.processes:
                process.kill()
                process.join()
                process.close()


async def proposals(made: Stage, run_id: str, count: int) -> list[str]:
    """The run's proposals, once there are so many and people are asked about the last one."""
    found: list[str] = []

    def is_waiting() -> bool:
        found[:] = [str(one.proposal_id) for one in PlaybookBench(made.bench).work(run_id) if one.proposal_id]
        return len(found) >= count and made.bench.stored(found[-1]).status is ProposalStatus.WAITING

    await until(is_waiting, f"{run_id} waits with {count} proposals")
    return found


async def agree(made: Stage, run_id: str, count: int = 1) -> None:
    """A person approves the latest of so many proposals of the run; whoever hears nothing sends the same again."""
    proposal_id = (await proposals(made, run_id, count))[-1]
    approval = made.bench.client.get_workflow_handle(wire.approval_workflow_id(made.bench.tenant, proposal_id))
    async with asyncio.timeout(60):
        while not await exists(approval):
            await asyncio.sleep(0.02)
    vote = made.bench.signed(made.person, proposal_id)
    while True:
        try:
            await made.bench.desk.vote(made.bench.tenant, proposal_id, vote)
        except UnavailableError:
            continue
        return


async def over(made: Stage, run_id: str) -> None:
    bench = PlaybookBench(made.bench)
    await until(lambda: bench.run(run_id).status.is_over, f"{run_id} is over")
    run = bench.run(run_id)
    assert run.status is RunStatus.SUCCEEDED, run.outcome


def taken_back(made: Stage, run_id: str) -> str:
    run = PlaybookBench(made.bench).run(run_id)
    with made.bench.store.write() as connection:
        return start_undoing(connection, run, run.proposer, "a test wants it")


def nothing_happened(made: Stage, runs: Mapping[str, Sequence[str]], effects: Sequence[str]) -> None:
    """The record is that of undisturbed runs: each step, proposal, approval and effect once.

    ``runs``: by id the steps between start and end; none of one that takes another one back.
    """
    bench = PlaybookBench(made.bench)
    asked: list[str] = []
    for run_id, steps in runs.items():
        work = bench.work(run_id)
        assert [one.number for one in work] == list(range(len(work)))
        assert {one.status for one in work} == {"ended"}
        asked += [str(one.proposal_id) for one in work if one.proposal_id is not None]
        names = ("start", *steps, "done") if steps else ()
        assert bench.steps(run_id) == [(one, "succeeded", "") for one in names]
    assert made.log() == sorted(f"{word} {effect}" for effect in effects for word in ("did", "tried"))
    tenant = made.bench.tenant
    with made.bench.store.read() as connection:
        votes = connection.scalars(select(approval_vote.c.proposal_id).where(approval_vote.c.tenant == tenant))
        assert Counter(votes) == Counter(asked)
    chain = Counter(made.bench.ledger())
    assert (chain["execution"], chain["receipt"]) == (len(effects), len(effects))
    assert made.tenant_is_sound()


async def a_worker_is_killed_in_a_step(moment: str, server: DevServer, folder: Path, database: Path) -> None:
    async with crewed(server, folder, database) as (made, crew):
        executor = crew.start(crash_executor.main)
        async with crew.dying_worker(f"{ADDRESS}={moment}"):
            run_id = started(made, block(), ADDRESS)
            await proposals(made, run_id, 1)
            # Between proposal and approval, both of them.
            await crew.kill(crew.processes[-1])
            await crew.kill(executor)
            crew.start(crash_executor.main)
            await agree(made, run_id)
            await over(made, run_id)
        nothing_happened(made, {run_id: ["block"]}, [f"deny ip {ADDRESS}"])
        assert made.listed() == [ADDRESS]


async def a_worker_is_killed_while_it_takes_back(moment: str, server: DevServer, folder: Path, database: Path) -> None:
    async with crewed(server, folder, database) as (made, crew):
        crew.start(crash_executor.main)
        async with crew.dying_worker(f"{ADDRESS}={moment}"):
            run_id = started(made, block_twice(), ADDRESS)
            await agree(made, run_id, 1)
            await agree(made, run_id, 2)
            await over(made, run_id)
            back = taken_back(made, run_id)
            await agree(made, back, 1)
            await agree(made, back, 2)
            await over(made, back)
        effects = [f"{verb} ip {address}" for verb in ("deny", "allow") for address in (ADDRESS, "198.51.100.9")]
        nothing_happened(made, {run_id: ["block another", "block"], back: ()}, effects)
        assert made.listed() == []


async def an_executor_is_killed_around_an_effect(server: DevServer, folder: Path, database: Path) -> None:
    async with crewed(server, folder, database) as (made, crew):
        looking, acting = "203.0.113.1", "203.0.113.2"
        crew.start(crash_worker.main)
        executor = crew.start(crash_executor.main, f"{looking}=look", f"{acting}=done")
        runs = [started(made, block(), address) for address in (looking, acting)]
        await asyncio.gather(*(agree(made, run_id) for run_id in runs))
        # Between approval and execution; and between effect and receipt.
        await made.reached("look", looking)
        await made.reached("done", acting)
        await crew.kill(executor)
        (made.outside / f"done-{acting}").unlink()
        executor = crew.start(crash_executor.main, f"{acting}=done")
        await asyncio.gather(*(over(made, run_id) for run_id in runs))

        back = taken_back(made, runs[1])
        await agree(made, back)
        await made.reached("done", acting)
        await crew.kill(executor)
        crew.start(crash_executor.main)
        await over(made, back)
        effects = [f"deny ip {looking}", f"deny ip {acting}", f"allow ip {acting}"]
        nothing_happened(made, {runs[0]: ["block"], runs[1]: ["block"], back: ()}, effects)
        assert made.listed() == [looking]


async def temporal_is_killed_while_people_are_asked(folder: Path, database: Path) -> None:
    with DevServer(folder.with_suffix(".temporal.db")) as server:
        async with crewed(server, folder, database) as (made, crew):
            bench = PlaybookBench(made.bench)
            crew.start(crash_worker.main)
            crew.start(crash_executor.main)
            run_id = started(made, ask_and_block(), "203.0.113.1")
            await until(lambda: bench.work(run_id), "the task is there")
            server.kill()
            # What a person says is in the store, whether or not Temporal is there.
            (task,) = bench.work(run_id)
            with made.bench.store.write() as connection:
                said = Answer(is_done=True, values={"__why__": "it scans"}, comment="")
                answer_task(connection, made.bench.tenant, run_id, task.key, said, RITA)
            server.start()
            await agree(made, run_id)
            await over(made, run_id)
            nothing_happened(made, {run_id: ["ask", "block"]}, ["deny ip 203.0.113.1"])
            state = bench.run(run_id).state
            assert state is not None
            assert "it scans" in str(state["values"])


@pytest.mark.timeout(280)
async def test_whatever_is_killed_a_playbook_ends_as_if_nothing_had_happened(
    temporal_server: DevServer, tmp_path: Path, migrated_sqlite_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where the forked find these modules.
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    # Side by side, since each waits for Temporal to notice that somebody is silent.
    async with asyncio.TaskGroup() as stages:
        plays: tuple[Callable[[DevServer, Path, Path], Coroutine[Any, Any, None]], ...] = (
            *(partial(a_worker_is_killed_in_a_step, moment) for moment in ("writing", "begun", "ended")),
            *(partial(a_worker_is_killed_while_it_takes_back, moment) for moment in ("undoing", "between")),
            an_executor_is_killed_around_an_effect,
        )
        for number, play in enumerate(plays):
            stages.create_task(play(temporal_server, tmp_path / f"stage-{number}", migrated_sqlite_file))
        stages.create_task(temporal_is_killed_while_people_are_asked(tmp_path / "server", migrated_sqlite_file))
