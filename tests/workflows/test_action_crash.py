"""Killed without warning between approval and execution, or between effect and receipt: one effect or none, never two;
no approval is lost; and what cannot be known is called unknown."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from temporalio.client import WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from watchfloor_core.clock import now_us
from watchfloor_core.errors import UnavailableError
from watchfloor_core.keys.signing import GRANT_KEY, signing_key
from watchfloor_core.ledger import verify_store
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.schema_authority import action_grant, approval_vote, execution, lease
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_service.supervision.environment import settings_environment
from watchfloor_workflows import wire
from watchfloor_workflows.authority.budgets import spent
from watchfloor_workflows.authority.freezes import list_freezes
from watchfloor_workflows.client import connect
from watchfloor_workflows.testing import DevServer
from watchfloor_workflows.testing.actions import ActionBench, Person, make_attack, register

pytestmark = pytest.mark.anyio

EXECUTOR = (str(Path(__file__).with_name("crash_executor.py")),)
WORKER = ("-m", "watchfloor_service.process", "worker")
FORGETFUL_WORKER = """
import asyncio, os, signal
from watchfloor_core.settings import Settings
from watchfloor_workflows import action_activities
from watchfloor_workflows.worker import run_worker

record = action_activities.record_vote

def record_and_die(*arguments):
    record(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

action_activities.record_vote = record_and_die
asyncio.run(run_worker(Settings()))
"""
"""Killed after a vote is in the store, and before anyone has heard of it."""
PATIENCE_S = 110.0
"""Temporal may hand a task to a process that stands still several times before another gets it."""
KILLED = -signal.SIGKILL
WAITING, SUCCEEDED, FAILED = ProposalStatus.WAITING, ProposalStatus.SUCCEEDED, ProposalStatus.FAILED
UNKNOWN, DENIED = ProposalStatus.UNKNOWN, ProposalStatus.DENIED


@dataclass
class Stage:
    """A store with an attack in one tenant, a person who approves, and the processes that play on it."""

    settings: Settings
    bench: ActionBench
    person: Person
    outside: Path
    """What was tried and done, and where the executor has come."""
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def start(self, *command: str) -> asyncio.subprocess.Process:
        with (self.settings.data_dir / "output").open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *command, env=settings_environment(self.settings), stdout=output, stderr=output
            )
        self.processes.append(process)
        return process

    async def executor(self, *moments: str) -> asyncio.subprocess.Process:
        return await self.start(*EXECUTOR, str(self.outside), *moments)

    async def approved(self, value: str, bench: ActionBench | None = None) -> str:
        """A proposal that a person has approved; its id."""
        bench = bench or self.bench
        proposal_id = await waiting(bench, value)
        await bench.vote(self.person, proposal_id)
        return proposal_id

    async def reached(self, moment: str, value: str) -> None:
        await until((self.outside / f"{moment}-{value}").exists, f"{moment} of {value}")

    def log(self) -> list[str]:
        """All that was tried and done outside, sorted."""
        file = self.outside / "log"
        return sorted(file.read_text().splitlines()) if file.exists() else []

    def listed(self, bench: ActionBench | None = None) -> list[str]:
        """The addresses on the tenant's list outside."""
        file = self.settings.data_dir / "blocklist" / f"{(bench or self.bench).tenant}.txt"
        return sorted(line.split()[0] for line in file.read_text().splitlines()) if file.exists() else []

    def tenant_is_sound(self, bench: ActionBench | None = None) -> bool:
        """The ledger verifies, every grant was used once at most, and every approval is still there."""
        tenant = (bench or self.bench).tenant
        with self.bench.store.read() as connection:
            verify_store(connection, tenant).raise_for_fault()
            used = connection.scalars(select(execution.c.digest).where(execution.c.tenant == tenant)).all()
            votes = connection.scalars(select(approval_vote.c.proposal_id).where(approval_vote.c.tenant == tenant))
            granted = connection.scalars(select(action_grant.c.proposal_id).where(action_grant.c.tenant == tenant))
            return len(used) == len(set(used)) and set(votes) <= set(granted)

    def spent(self, bench: ActionBench | None = None) -> int:
        """Actions that the budget of the hour has counted."""
        with self.bench.store.read() as connection:
            return spent(connection, (bench or self.bench).tenant, "actions", "deny ip", 3_600, now_us())


async def until(holds: Callable[[], object], what: str) -> None:
    """Wait for a condition in another process, which has no event to wait for."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {PATIENCE_S:.0f} s: {what}") from None


async def waiting(bench: ActionBench, value: str = "203.0.113.7", lease_s: int | None = None) -> str:
    """A proposal whose approval is under way; its id."""
    proposal_id = bench.draft(value, lease_s=lease_s)
    await until(lambda: bench.stored(proposal_id).status is WAITING, f"{proposal_id} waits")
    approval = bench.client.get_workflow_handle(wire.approval_workflow_id(bench.tenant, proposal_id))
    async with asyncio.timeout(PATIENCE_S):
        while not await exists(approval):
            await asyncio.sleep(0.02)
    return proposal_id


async def exists(handle: WorkflowHandle[Any, Any]) -> bool:
    try:
        await handle.describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


async def ended(bench: ActionBench, proposal_id: str) -> tuple[ProposalStatus, str]:
    """How a proposal ended, and why."""
    await until(lambda: not bench.stored(proposal_id).status.is_open, f"{proposal_id} ends")
    stored = bench.stored(proposal_id)
    return stored.status, stored.reason or ""


async def kill(process: asyncio.subprocess.Process) -> int | None:
    process.kill()
    return await process.wait()


@asynccontextmanager
async def stage(server: DevServer, folder: Path, database: Path) -> AsyncIterator[Stage]:
    folder.mkdir()
    shutil.copyfile(database, folder / "watchfloor.db")
    name = f"t-{uuid.uuid4().hex[:12]}"
    settings = Settings(
        data_dir=folder,
        tenant=name,
        task_queue=name,
        executor_queue=f"{name}-executor",
        temporal_address=server.address,
        debounce_s=0,
    )
    signing_key(folder / "keys", GRANT_KEY)
    (folder / "outside").mkdir()
    store = open_store(settings.store_url)
    person = Person("ana")
    register(store, person)
    make_attack(store, name)
    made = Stage(settings, ActionBench(await connect(settings), store, settings), person, folder / "outside")
    try:
        yield made
    finally:
        for process in made.processes:
            with suppress(ProcessLookupError):
                await kill(process)
        store.close()


def other_tenant(made: Stage) -> ActionBench:
    """A bench beside the stage's own, with the same processes."""
    settings = made.settings.model_copy(update={"tenant": f"{made.settings.tenant}-b"})
    make_attack(made.bench.store, settings.tenant)
    return ActionBench(made.bench.client, made.bench.store, settings)


async def an_executor_is_killed_and_started_again(server: DevServer, folder: Path, database: Path) -> None:
    async with stage(server, folder, database) as made:
        bench, blind = made.bench, other_tenant(made)
        await made.start(*WORKER)
        first = await made.executor("203.0.113.1=look", "203.0.113.2=act", "203.0.113.3=done", "203.0.113.4=done")
        granted, consumed, acted = [await made.approved(f"203.0.113.{number}") for number in (1, 2, 3)]
        unseen = await made.approved("203.0.113.4", blind)
        for moment, number in (("look", 1), ("act", 2), ("done", 3), ("done", 4)):
            await made.reached(moment, f"203.0.113.{number}")
        assert await kill(first) == KILLED
        await made.executor("203.0.113.4=blind")

        assert await ended(bench, granted) == (SUCCEEDED, "")
        assert await ended(bench, consumed) == (FAILED, "the executor ended before the effect; nothing was changed")
        assert await ended(bench, acted) == (SUCCEEDED, "the effect was found by whoever took over")
        assert await ended(blind, unseen) == (UNKNOWN, "the executor ended in the middle, and the target cannot tell")
        # Each was tried once; the second never came to its effect, and nobody tried again.
        assert made.log() == [
            *("did deny ip 203.0.113.1", "did deny ip 203.0.113.3", "did deny ip 203.0.113.4"),
            *(f"tried deny ip 203.0.113.{number}" for number in (1, 2, 3, 4)),
        ]
        assert (made.listed(), made.listed(blind)) == (["203.0.113.1", "203.0.113.3"], ["203.0.113.4"])
        # What was not done is not paid for; what may have been done is.
        assert (made.spent(), made.spent(blind)) == (2, 1)
        await the_class_is_frozen(blind, unseen)
        assert made.tenant_is_sound()
        assert made.tenant_is_sound(blind)


async def the_class_is_frozen(bench: ActionBench, by: str) -> None:
    with bench.store.read() as connection:
        assert [one.proposal_id for one in list_freezes(connection, bench.tenant)] == [by]
    further = bench.draft("203.0.113.99")
    status, reason = await ended(bench, further)
    assert status is DENIED
    assert "frozen until a person has looked" in reason


async def one_of_two_executors_is_killed(server: DevServer, folder: Path, database: Path) -> None:
    async with stage(server, folder, database) as made:
        await made.start(*WORKER)
        doomed = await made.executor("203.0.113.1=act", "203.0.113.2=done")
        before = await made.approved("203.0.113.1")
        after = await made.approved("203.0.113.2")
        await made.reached("act", "203.0.113.1")
        await made.reached("done", "203.0.113.2")
        await made.executor()
        # While the one is in the middle of it, the other takes on what is new.
        assert await kill(doomed) == KILLED
        fresh = await made.approved("203.0.113.3")

        assert (await ended(made.bench, fresh))[0] is SUCCEEDED
        assert (await ended(made.bench, before))[0] is FAILED
        assert (await ended(made.bench, after))[0] is SUCCEEDED
        assert made.log() == [
            *("did deny ip 203.0.113.2", "did deny ip 203.0.113.3"),
            *(f"tried deny ip 203.0.113.{number}" for number in (1, 2, 3)),
        ]
        assert made.listed() == ["203.0.113.2", "203.0.113.3"]
        assert made.spent() == 2
        assert made.tenant_is_sound()


async def an_executor_stands_still_and_wakes(server: DevServer, folder: Path, database: Path) -> None:
    async with stage(server, folder, database) as made:
        await made.start(*WORKER)
        sleeper = await made.executor("203.0.113.1=pause")
        proposal_id = await made.approved("203.0.113.1")
        await made.reached("pause", "203.0.113.1")
        await made.executor()
        assert (await ended(made.bench, proposal_id))[0] is FAILED
        sleeper.send_signal(signal.SIGCONT)
        await until(lambda: made.bench.stored(proposal_id).status is not FAILED, "the failure is taken back")

        # It had begun before it stood still: what is there now is said, and held, and nothing more is done.
        assert made.listed() == ["203.0.113.1"]
        assert (await ended(made.bench, proposal_id))[0] is UNKNOWN
        await the_class_is_frozen(made.bench, proposal_id)
        assert made.tenant_is_sound()


@pytest.mark.timeout(280)
async def test_an_executor_may_be_killed_at_any_moment_and_nothing_happens_twice(
    temporal_server: DevServer, tmp_path: Path, migrated_sqlite_file: Path
) -> None:
    # Side by side, since each waits for Temporal to notice that an executor is silent.
    async with asyncio.TaskGroup() as stages:
        plays = (
            an_executor_is_killed_and_started_again,
            one_of_two_executors_is_killed,
            an_executor_stands_still_and_wakes,
        )
        for number, play in enumerate(plays):
            stages.create_task(play(temporal_server, tmp_path / f"stage-{number}", migrated_sqlite_file))


async def worker_server_and_worker_again_are_killed(folder: Path, database: Path) -> None:
    with DevServer(folder.with_suffix(".temporal.db")) as server:
        async with stage(server, folder, database) as made:
            bench = made.bench
            worker, executor = await made.start(*WORKER), await made.executor()
            proposal_id = await waiting(bench, lease_s=1)
            assert (await kill(worker), await kill(executor)) == (KILLED, KILLED)

            worker = await made.start(*WORKER)
            assert (await bench.vote(made.person, proposal_id)).approvals == 1
            await until(lambda: grants(bench.store), "the grant is there")
            server.kill()
            assert made.log() == []

            server.start()
            await made.executor()
            assert await ended(bench, proposal_id) == (SUCCEEDED, "")
            assert await kill(worker) == KILLED

            await made.start(*WORKER)
            await until(lambda: lease_states(bench.store) == ["ended"], "the lease ends")
            done = ("did allow ip 203.0.113.7", "did deny ip 203.0.113.7")
            assert made.log() == [*done, *(line.replace("did", "tried") for line in done)]
            assert made.listed() == []
            assert made.tenant_is_sound()


def grants(store: Store) -> int:
    with store.read() as connection:
        return len(connection.execute(select(action_grant.c.id)).all())


def lease_states(store: Store) -> list[str]:
    with store.read() as connection:
        return list(connection.scalars(select(lease.c.state)))


async def a_worker_is_killed_with_a_vote_in_its_hand(server: DevServer, folder: Path, database: Path) -> None:
    async with stage(server, folder, database) as made:
        bench = made.bench
        forgetful = await made.start("-c", FORGETFUL_WORKER)
        await made.executor()
        proposal_id = await waiting(bench)
        vote = bench.signed(made.person, proposal_id)
        sent = asyncio.create_task(bench.desk.vote(bench.tenant, proposal_id, vote))
        assert await forgetful.wait() == KILLED
        await made.start(*WORKER)
        # Whoever hears nothing sends the same again.
        with suppress(UnavailableError):
            await sent
        assert (await bench.desk.vote(bench.tenant, proposal_id, vote)).approvals == 1

        assert await ended(bench, proposal_id) == (SUCCEEDED, "")
        assert bench.ledger().count("approval_vote") == 1
        assert made.log() == ["did deny ip 203.0.113.7", "tried deny ip 203.0.113.7"]
        assert made.tenant_is_sound()


async def test_worker_and_server_may_be_killed_from_approval_to_the_end_of_the_lease(
    temporal_server: DevServer, tmp_path: Path, migrated_sqlite_file: Path
) -> None:
    async with asyncio.TaskGroup() as stages:
        stages.create_task(worker_server_and_worker_again_are_killed(tmp_path / "all", migrated_sqlite_file))
        stages.create_task(
            a_worker_is_killed_with_a_vote_in_its_hand(temporal_server, tmp_path / "vote", migrated_sqlite_file)
        )
