"""Runs of playbooks on a real Temporal server and a real store, every effect of them through the gate."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.workflows.autonomy import allow_everything, certify
from watchfloor_core.alert import Integrity
from watchfloor_core.errors import ConfigurationError, ConflictError, NotFoundError, RefusedError
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_guardrails.approval import VoteDecision
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.effect import EffectPermit
from watchfloor_guardrails.proposal import ProposalStatus, Proposer
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.values import Held
from watchfloor_playbooks.running.work import RunStatus
from watchfloor_playbooks.variables import LOOP_BOUND
from watchfloor_workflows import wire
from watchfloor_workflows.authority.drafting import draft_action
from watchfloor_workflows.authority.kill_switch import engage, release
from watchfloor_workflows.authority.leases import undo_draft
from watchfloor_workflows.authority.records import read_proposal
from watchfloor_workflows.client import connect
from watchfloor_workflows.playbook_messages import RunRef
from watchfloor_workflows.playbooks.records import request_stop, wake
from watchfloor_workflows.playbooks.starting import Shelved, begin_picked, proposer_of, start_run
from watchfloor_workflows.playbooks.tasks import Answer, answer_task, open_tasks
from watchfloor_workflows.playbooks.turning import MOST_BEGUN, take_turn
from watchfloor_workflows.playbooks.undoing import start_undoing, undoing_of
from watchfloor_workflows.testing.actions import ActionBench, Person, make_attack, register
from watchfloor_workflows.testing.playbooks import PlaybookBench, Sketch, uuid_of

pytestmark = pytest.mark.anyio

WAITING, SUCCEEDED = ProposalStatus.WAITING, ProposalStatus.SUCCEEDED
ANA, BEN = Person("ana"), Person("ben", ("lead",))
ADDRESS = Held("203.0.113.7", Integrity.SENSOR)


@pytest.fixture
async def bench(settings: Settings, sqlite_store: Store) -> PlaybookBench:
    register(sqlite_store, ANA, BEN)
    make_attack(sqlite_store, settings.tenant)
    return PlaybookBench(ActionBench(await connect(settings), sqlite_store, settings))


def block(**extension: object) -> Playbook:
    sketch = Sketch("Block an address").variable("__address__", "ipv4-addr", external=True)
    sketch.extension = dict(extension)
    done = sketch.end("done")
    return sketch.playbook(sketch.action("block", "deny ip", "__address__:value", on_completion=done))


async def answer(
    bench: PlaybookBench, run_id: str, key: str, *, is_done: bool = True, by: str = "rita", **values: str
) -> None:
    given = Answer(is_done, {f"__{name}__": value for name, value in values.items()}, "")
    with bench.actions.store.write() as connection:
        person = Principal(by, PrincipalKind.PERSON)
        answer_task(connection, bench.actions.tenant, run_id, key, given, person)


async def test_an_action_of_a_playbook_waits_for_a_person_and_is_carried_out_once(bench: PlaybookBench) -> None:
    playbook = block()
    async with bench.actions.workers():
        run_id = bench.start(playbook, given={"__address__": ADDRESS})
        (work,) = await bench.until_work(run_id, 1, WAITING)
        assert bench.actions.tool.effects == []
        await bench.actions.vote(ANA, str(work.proposal_id))
        run = await bench.until_over(run_id)

    assert (run.status, run.outcome) == (RunStatus.SUCCEEDED, "")
    assert [verb for verb, *_ in bench.actions.tool.effects] == ["deny ip"]
    (proposal,) = bench.proposals(run_id)
    sealed = proposal.sealed()
    assert sealed.proposer == proposer_of(playbook, PrincipalKind.SERVICE, "rita")
    assert sealed.proposer.name == f"playbook:{playbook.id[10:]}@{run.digest[:32]}"
    assert [name for name, *_ in bench.steps(run_id)] == ["start", "block", "done"]
    assert bench.actions.ledger().count("playbook") == 3


async def test_whoever_starts_a_playbook_does_not_approve_what_it_proposes(bench: PlaybookBench) -> None:
    async with bench.actions.workers():
        run_id = bench.start(block(), given={"__address__": ADDRESS}, requester="ana")
        (work,) = await bench.until_work(run_id, 1, WAITING)
        with pytest.raises(RefusedError, match="ana"):
            await bench.actions.vote(ANA, str(work.proposal_id))


async def test_whoever_names_what_is_acted_on_does_not_approve_it(bench: PlaybookBench) -> None:
    sketch = Sketch("Block what somebody says").variable("__address__", "ipv4-addr").variable("__word__")
    done = sketch.end("done")
    tell = sketch.action(
        "tell", "notify channel", "soc", arguments={"text": "It is __word__:value."}, on_completion=done
    )
    block_ = sketch.action("block", "deny ip", "__address__:value", on_completion=tell)
    ask = sketch.manual("ask", "Which, and why?", out_args=["__address__", "__word__"], on_completion=block_)
    async with bench.actions.workers():
        run_id = bench.start(sketch.playbook(ask))
        (asked,) = await bench.until_work(run_id, 1)
        await answer(bench, run_id, asked.key, by="ana", address="203.0.113.7", word="bad")
        for count in (2, 3):
            work = (await bench.until_work(run_id, count))[-1]
            await bench.actions.until(str(work.proposal_id), WAITING)
            with pytest.raises(RefusedError, match="'ana' proposed it, asked for it, named what it acts on"):
                await bench.actions.vote(ANA, str(work.proposal_id))
            await bench.actions.vote(BEN, str(work.proposal_id))
        run = await bench.until_over(run_id)

    assert run.status is RunStatus.SUCCEEDED


async def test_whoever_names_it_in_a_playbook_inside_does_not_approve_it(bench: PlaybookBench) -> None:
    inner = Sketch("Ask inside").variable("__address__", "ipv4-addr")
    asking = inner.playbook(inner.manual("ask", "Which?", out_args=["__address__"], on_completion=inner.end("done")))
    bench.keep(asking)
    sketch = Sketch("Block what the inner one says").variable("__address__", "ipv4-addr")
    block_ = sketch.action("block", "deny ip", "__address__:value", on_completion=sketch.end("done"))
    first = sketch.step(
        "playbook-action", "inner", playbook_id=asking.id, out_args=["__address__"], on_completion=block_
    )
    async with bench.actions.workers():
        run_id = bench.start(sketch.playbook(first))
        (inside,) = await bench.until_work(run_id, 1)
        await bench.until_work(str(inside.child_run), 1)
        await answer(bench, str(inside.child_run), "w0", by="ana", address="203.0.113.7")
        work = (await bench.until_work(run_id, 2))[-1]
        await bench.actions.until(str(work.proposal_id), WAITING)
        with pytest.raises(RefusedError, match="ana"):
            await bench.actions.vote(ANA, str(work.proposal_id))


async def test_a_denied_action_fails_its_step_and_the_playbook_goes_on_as_it_says(bench: PlaybookBench) -> None:
    sketch = Sketch("Block or tell").variable("__address__", "ipv4-addr", external=True)
    done, told = sketch.end("done"), sketch.end("told")
    tell = sketch.action("tell", "notify channel", "soc", arguments={"text": "not blocked"}, on_completion=told)
    first = sketch.action("block", "deny ip", "__address__:value", on_success=done, on_failure=tell)
    async with bench.actions.workers():
        run_id = bench.start(sketch.playbook(first), given={"__address__": ADDRESS})
        (work,) = await bench.until_work(run_id, 1, WAITING)
        await bench.actions.vote(ANA, str(work.proposal_id), VoteDecision.DENY)
        _, notice = await bench.until_work(run_id, 2)
        await bench.actions.until(str(notice.proposal_id), WAITING)
        await bench.actions.vote(ANA, str(notice.proposal_id))
        run = await bench.until_over(run_id)

    assert run.status is RunStatus.SUCCEEDED
    (blocked, outcome, reason), *_ = bench.steps(run_id)[1:]
    assert (blocked, outcome) == ("block", "failed")
    assert f"({work.proposal_id}) denied" in reason
    assert [verb for verb, *_ in bench.actions.tool.effects] == ["notify channel"]


async def test_what_an_attacker_could_have_written_asks_however_far_it_has_come(bench: PlaybookBench) -> None:
    sketch = Sketch("Block what was found").variable("__address__", "ipv4-addr", external=True)
    sketch.variable("__copy__", "ipv4-addr")
    done = sketch.end("done")
    block_ = sketch.action("block", "deny ip", "__copy__:value", on_completion=done)
    inner = inner_echo()
    first = sketch.step(
        "playbook-action", "copy", playbook_id=inner.id, in_args=["__copy__"], out_args=["__copy__"],
        on_completion=block_,
    )  # fmt: skip
    bench.keep(inner)
    async with bench.actions.workers():
        sketch.variables["__copy__"]["external"] = True
        given = {"__address__": ADDRESS, "__copy__": Held("198.51.100.4", Integrity.EXTERNAL)}
        run_id = bench.start(sketch.playbook(first), given=given)
        (inside,) = await bench.until_work(run_id, 1)
        await bench.until_work(str(inside.child_run), 1)
        await answer(bench, str(inside.child_run), "w0")
        _, work = await bench.until_work(run_id, 2)
        stored = await bench.actions.until(str(work.proposal_id), WAITING)

    assert stored.sealed().tainted == ("target",)


def inner_echo() -> Playbook:
    """Gives back what it was given."""
    sketch = Sketch("Echo").variable("__copy__", "ipv4-addr", external=True)
    return sketch.playbook(sketch.manual("look", "Look at it.", on_completion=sketch.end("done")))


async def test_a_task_waits_for_a_person_whose_answer_is_checked_and_kept(bench: PlaybookBench) -> None:
    sketch = Sketch("Ask").variable("__count__", "integer", "0")
    done = sketch.end("done")
    ask = sketch.manual("count", "How many?", out_args=["__count__"], on_completion=done)
    async with bench.actions.workers():
        run_id = bench.start(sketch.playbook(ask))
        (work,) = await bench.until_work(run_id, 1)
        with bench.actions.store.read() as connection:
            assert [one.key for one in open_tasks(connection, bench.actions.tenant)] == [work.key]
        with pytest.raises(ConfigurationError, match="__count__"):
            await answer(bench, run_id, work.key)
        with pytest.raises(ConfigurationError, match='no "integer"'):
            await answer(bench, run_id, work.key, count="many")
        with pytest.raises(ConfigurationError, match="not asked for"):
            await answer(bench, run_id, work.key, count="7", other="8")
        await answer(bench, run_id, work.key, count="7")
        with pytest.raises(ConflictError, match="rita answered it"):
            await answer(bench, run_id, work.key, count="8")
        run = await bench.until_over(run_id)

    assert run.state is not None
    values = run.state["values"]
    assert isinstance(values, dict)
    assert values["__count__"] == {"value": "7", "integrity": Integrity.HUMAN, "endorsed_by": "person:rita"}
    with pytest.raises(NotFoundError):
        await answer(bench, "pbr-0000000000000000", work.key)


async def test_a_task_that_cannot_be_done_fails_its_step_in_the_persons_words(bench: PlaybookBench) -> None:
    sketch = Sketch("Ask in vain")
    done = sketch.end("done")
    async with bench.actions.workers():
        run_id = bench.start(sketch.playbook(sketch.manual("call", "Call them.", on_success=done, on_failure=done)))
        (work,) = await bench.until_work(run_id, 1)
        await answer(bench, run_id, work.key, is_done=False)
        await bench.until_over(run_id)

    assert bench.steps(run_id)[1] == ("call", "failed", "rita: it could not be done")


async def test_parallel_branches_are_under_way_at_once(bench: PlaybookBench) -> None:
    sketch = Sketch("Both")
    done = sketch.end("done")
    both = [
        sketch.action(f"block {one}", "deny ip", one, on_completion=sketch.end(f"end of {one}"))
        for one in ("203.0.113.7", "203.0.113.8")
    ]
    first = sketch.step("parallel", "both", next_steps=both, on_completion=done)
    async with bench.actions.workers():
        run_id = bench.start(sketch.playbook(first))
        works = await bench.until_work(run_id, 2, WAITING)
        for work in reversed(works):
            await bench.actions.vote(ANA, str(work.proposal_id))
        run = await bench.until_over(run_id)

    assert run.status is RunStatus.SUCCEEDED
    assert {value for _, value, _ in bench.actions.tool.effects} == {"203.0.113.7", "203.0.113.8"}


async def test_a_time_limit_ends_what_is_waited_for_and_voids_the_approval(bench: PlaybookBench) -> None:
    sketch = Sketch("Not for ever").variable("__address__", "ipv4-addr", external=True)
    done = sketch.end("done")
    first = sketch.action("block", "deny ip", "__address__:value", timeout=1_500, on_success=done, on_failure=done)
    async with bench.actions.workers():
        run_id = bench.start(sketch.playbook(first), given={"__address__": ADDRESS})
        (work,) = await bench.until_work(run_id, 1, WAITING)
        await bench.until_over(run_id)
        stored = await bench.actions.until(str(work.proposal_id), ProposalStatus.VOIDED)

    assert bench.steps(run_id)[1] == ("block", "failed", "its time limit is over")
    assert stored.reason == "its playbook: its time limit is over"
    assert bench.actions.tool.effects == []


async def test_a_delay_is_waited_for_by_a_timer(bench: PlaybookBench) -> None:
    sketch = Sketch("Later")
    done = sketch.end("done")
    first = sketch.manual("look", "Look.", delay=700, timeout=60_000, on_completion=done)
    async with bench.actions.workers():
        run_id = bench.start(sketch.playbook(first))
        (work,) = await bench.until_work(run_id, 1)
        assert work.created_us - bench.run(run_id).created_us >= 700_000


async def test_a_stopped_run_asks_for_nothing_any_more(bench: PlaybookBench) -> None:
    async with bench.actions.workers():
        run_id = bench.start(block(), given={"__address__": ADDRESS})
        (work,) = await bench.until_work(run_id, 1, WAITING)
        with bench.actions.store.write() as connection:
            request_stop(connection, bench.actions.tenant, run_id, "ana says so")
        run = await bench.until_over(run_id)
        stored = await bench.actions.until(str(work.proposal_id), ProposalStatus.VOIDED)

    assert (run.status, run.outcome) == (RunStatus.STOPPED, "ana says so")
    assert stored.reason == "its playbook: ana says so"


async def test_a_picked_run_that_is_stopped_is_over_and_is_started_by_nobody(bench: PlaybookBench) -> None:
    run_id = bench.start(block(), given={"__address__": ADDRESS}, is_due=False)
    tenant = bench.actions.tenant
    with bench.actions.store.write() as connection:
        request_stop(connection, tenant, run_id, "ana says so")

    run = bench.run(run_id)
    assert (run.status, run.outcome) == (RunStatus.STOPPED, "ana says so")
    with bench.actions.store.write() as connection, pytest.raises(ConflictError, match="is stopped already"):
        begin_picked(connection, run, {}, proposer_of(block(), PrincipalKind.SERVICE, "rita"))
    assert bench.actions.ledger().count("playbook") == 2


async def test_it_goes_on_where_it_was_when_worker_and_executor_come_back(bench: PlaybookBench) -> None:
    async with bench.actions.workers():
        run_id = bench.start(block(), given={"__address__": ADDRESS})
        (work,) = await bench.until_work(run_id, 1, WAITING)
    async with bench.actions.workers():
        await bench.until_asked(str(work.proposal_id))
        await bench.actions.vote(ANA, str(work.proposal_id))
        run = await bench.until_over(run_id)

    assert run.status is RunStatus.SUCCEEDED
    assert len(bench.actions.tool.effects) == 1


async def test_a_run_whose_history_is_lost_goes_on_from_the_store(bench: PlaybookBench) -> None:
    async with bench.actions.workers():
        run_id = bench.start(block(), given={"__address__": ADDRESS})
        (work,) = await bench.until_work(run_id, 1, WAITING)
        workflow_id = wire.playbook_workflow_id(bench.actions.tenant, run_id)
        await bench.actions.client.get_workflow_handle(workflow_id).terminate("a test wants it")
        await bench.actions.vote(ANA, str(work.proposal_id))
        await bench.actions.until(str(work.proposal_id), SUCCEEDED)
        with bench.actions.store.write() as connection:
            wake(connection, bench.actions.tenant, run_id)
        run = await bench.until_over(run_id)

    assert run.status is RunStatus.SUCCEEDED
    assert len(bench.proposals(run_id)) == 1


async def test_what_a_run_did_is_taken_back_in_reverse_order_through_the_gate(bench: PlaybookBench) -> None:
    sketch = Sketch("Three things")
    done = sketch.end("done")
    tell = sketch.action("tell", "notify channel", "soc", on_completion=done)
    lock = sketch.action("lock", "disable user", "eve", on_completion=tell)
    first = sketch.action("block", "deny ip", "203.0.113.7", on_completion=lock)
    async with bench.actions.workers():
        run_id = bench.start(sketch.playbook(first))
        for count in (1, 2, 3):
            works = await bench.until_work(run_id, count)
            await bench.actions.until(str(works[-1].proposal_id), WAITING)
            await bench.actions.vote(ANA, str(works[-1].proposal_id))
        run = await bench.until_over(run_id)
        with bench.actions.store.write() as connection:
            undoing = start_undoing(connection, run, run.proposer, "it was the wrong address")
            assert start_undoing(connection, run, run.proposer, "again") == undoing
        for count in (1, 2):
            works = await bench.until_work(undoing, count)
            await bench.actions.until(str(works[-1].proposal_id), WAITING)
            await bench.actions.vote(ANA, str(works[-1].proposal_id))
        ended = await bench.until_over(undoing)

    assert ended.status is RunStatus.SUCCEEDED
    assert [verb for verb, *_ in bench.actions.tool.effects] == [
        "deny ip", "disable user", "notify channel", "enable user", "allow ip",
    ]  # fmt: skip
    assert "notify channel" in ended.outcome
    assert "nothing of it remains" in ended.outcome
    with bench.actions.store.write() as connection, pytest.raises(ConflictError):
        start_undoing(connection, ended, ended.proposer, "and back")


async def test_what_is_being_carried_out_as_a_run_is_stopped_is_taken_back_as_well(
    bench: PlaybookBench,
) -> None:
    tool, is_acting, may_act = bench.actions.tool, threading.Event(), threading.Event()

    def hold(_: EffectPermit) -> None:
        is_acting.set()
        may_act.wait(30)

    tool.on_act = hold
    try:
        async with bench.actions.workers():
            run_id = bench.start(block(), given={"__address__": ADDRESS})
            (work,) = await bench.until_work(run_id, 1, WAITING)
            await bench.actions.vote(ANA, str(work.proposal_id))
            await asyncio.to_thread(is_acting.wait, 30)
            with bench.actions.store.write() as connection:
                request_stop(connection, bench.actions.tenant, run_id, "the wrong address")
            run = await bench.until_over(run_id)
            with bench.actions.store.write() as connection:
                undoing = start_undoing(connection, run, run.proposer, "the wrong address")
            turned = take_turn(bench.actions.store, bench.shelf, RunRef(bench.actions.tenant, undoing), -1)
            assert (turned.status, turned.wakes_us is None) == (RunStatus.RUNNING, False)
            may_act.set()
            (undo,) = await bench.until_work(undoing, 1)
            await bench.actions.until(str(undo.proposal_id), WAITING)
            await bench.actions.vote(ANA, str(undo.proposal_id))
            ended = await bench.until_over(undoing)
    finally:
        may_act.set()

    assert ended.status is RunStatus.SUCCEEDED
    assert [verb for verb, *_ in tool.effects] == ["deny ip", "allow ip"]


async def test_a_stop_while_it_is_taken_back_voids_the_undo_that_waits(bench: PlaybookBench) -> None:
    async with bench.actions.workers():
        run_id = bench.start(block(), given={"__address__": ADDRESS})
        (work,) = await bench.until_work(run_id, 1, WAITING)
        await bench.actions.vote(ANA, str(work.proposal_id))
        run = await bench.until_over(run_id)
        with bench.actions.store.write() as connection:
            undoing = start_undoing(connection, run, run.proposer, "the wrong address")
        (undo,) = await bench.until_work(undoing, 1, WAITING)
        with bench.actions.store.write() as connection:
            request_stop(connection, bench.actions.tenant, undoing, "it was right after all")
        ended = await bench.until_over(undoing)

    assert ended.status is RunStatus.STOPPED
    assert bench.actions.stored(str(undo.proposal_id)).status is ProposalStatus.VOIDED
    assert [verb for verb, *_ in bench.actions.tool.effects] == ["deny ip"]


async def test_an_undo_that_is_under_way_is_waited_for_and_not_done_twice(bench: PlaybookBench) -> None:
    async with bench.actions.workers():
        run_id = bench.start(block(), given={"__address__": ADDRESS})
        (work,) = await bench.until_work(run_id, 1, WAITING)
        await bench.actions.vote(ANA, str(work.proposal_id))
        run = await bench.until_over(run_id)
        with bench.actions.store.write() as connection:
            stored = read_proposal(connection, bench.actions.tenant, str(work.proposal_id))
            by = Proposer("rita", PrincipalKind.PERSON)
            own = draft_action(connection, bench.actions.tenant, undo_draft(connection, stored, by, "too long"))
            undoing = start_undoing(connection, run, run.proposer, "the wrong address")
        (undo,) = await bench.until_work(undoing, 1, WAITING)
        assert undo.proposal_id == own


async def test_an_action_that_asks_nobody_does_not_outlive_the_stop_of_its_run(bench: PlaybookBench) -> None:
    allow_everything(bench.actions, ANA)
    playbook = block()
    certify(bench.actions, playbook, bench.actions.tool, "deny ip")
    async with bench.actions.workers(executes=False):
        run_id = bench.start(playbook, given={"__address__": ADDRESS})
        (work,) = await bench.until_work(run_id, 1)
        with bench.actions.store.write() as connection:
            request_stop(connection, bench.actions.tenant, run_id, "ana says so")
        await bench.until_over(run_id)
        async with bench.actions.executor():
            await bench.actions.handle(str(work.proposal_id)).result()

    assert bench.actions.stored(str(work.proposal_id)).status is ProposalStatus.VOIDED
    assert bench.actions.tool.effects == []


async def test_a_picked_run_that_is_stopped_is_over_and_is_not_started(bench: PlaybookBench) -> None:
    playbook = block()
    with bench.actions.store.write() as connection:
        run_id, _ = start_run(
            connection,
            bench.actions.tenant,
            "inc-1",
            Shelved(playbook),
            given={"__address__": ADDRESS},
            proposer=proposer_of(playbook, PrincipalKind.AGENT, None),
            reason="it fits",
            is_due=False,
        )
        request_stop(connection, bench.actions.tenant, run_id, "not this one")
    run = bench.run(run_id)
    assert (run.status, run.outcome) == (RunStatus.STOPPED, "not this one")
    with bench.actions.store.write() as connection, pytest.raises(ConflictError, match="is stopped already"):
        begin_picked(connection, run, {}, run.proposer)


async def test_a_failed_run_is_taken_back_where_the_playbook_wants_it_and_says_what_is_left(
    bench: PlaybookBench,
) -> None:
    sketch = Sketch("All or nothing")
    sketch.extension = {"rollback_on_failure": True}
    done = sketch.end("done")
    kill = sketch.action("kill", "stop process", "7@1", on_success=done)
    first = sketch.action("block", "deny ip", "203.0.113.7", on_success=kill)
    async with bench.actions.workers():
        run_id = bench.start(sketch.playbook(first))
        for count, decision in ((1, VoteDecision.APPROVE), (2, VoteDecision.DENY)):
            works = await bench.until_work(run_id, count)
            await bench.actions.until(str(works[-1].proposal_id), WAITING)
            await bench.actions.vote(ANA, str(works[-1].proposal_id), decision)
        run = await bench.until_over(run_id)
        with bench.actions.store.read() as connection:
            undoing = undoing_of(connection, bench.actions.tenant, run_id)
        assert undoing is not None
        (work,) = await bench.until_work(undoing, 1)
        await bench.actions.until(str(work.proposal_id), WAITING)
        await bench.actions.vote(ANA, str(work.proposal_id), VoteDecision.DENY)
        ended = await bench.until_over(undoing)

    assert run.status is RunStatus.FAILED
    assert "stop process" in run.outcome
    assert ended.status is RunStatus.FAILED
    assert f"deny ip ({bench.work(run_id)[0].proposal_id}): denied" in ended.outcome


async def test_no_more_playbooks_stand_inside_one_another_than_may(bench: PlaybookBench) -> None:
    sketch = Sketch("Itself")
    done = sketch.end("done")
    own = f"playbook--{uuid_of('Itself')}"
    playbook = sketch.playbook(sketch.step("playbook-action", "again", playbook_id=own, on_success=done))
    bench.keep(playbook)
    async with bench.actions.workers():
        run = await bench.until_over(bench.start(playbook))

    assert run.status is RunStatus.FAILED
    assert "more than 5 playbooks stand inside one another" in run.outcome


async def test_a_playbook_that_is_not_there_fails_the_step_that_wants_it(bench: PlaybookBench) -> None:
    sketch = Sketch("Elsewhere")
    done = sketch.end("done")
    wanted = f"playbook--{uuid_of('nowhere')}"
    async with bench.actions.workers():
        first = sketch.step("playbook-action", "other", playbook_id=wanted, on_success=done)
        run = await bench.until_over(bench.start(sketch.playbook(first)))

    assert run.status is RunStatus.FAILED
    assert wanted in run.outcome


async def test_what_fails_at_once_in_a_loop_does_not_hold_the_store_for_as_long_as_the_loop_lasts(
    bench: PlaybookBench,
) -> None:
    sketch = Sketch("In vain").variable("__n__", "integer", "0")
    end, done = sketch.end("end"), sketch.end("done")
    wanted = f"playbook--{uuid_of('nowhere')}"
    call = sketch.step(
        "playbook-action", "call", playbook_id=wanted, out_args=["__n__"], on_success=end, on_failure=end
    )
    loop = sketch.step(
        "while-condition", "loop", condition="__n__:value = 0", on_true=call, on_success=done, on_failure=done
    )
    run_id = bench.start(sketch.playbook(loop))
    ref = RunRef(bench.actions.tenant, run_id)
    turns = [take_turn(bench.actions.store, bench.shelf, ref, -1)]
    assert len(bench.steps(run_id)) < 3 * MOST_BEGUN
    while turns[-1].is_ready:
        turns.append(take_turn(bench.actions.store, bench.shelf, ref, -1))

    assert turns[-1].status is RunStatus.SUCCEEDED
    assert len(turns) > 3
    assert [name for name, *_ in bench.steps(run_id)].count("call") == LOOP_BOUND


async def test_a_playbook_can_lower_the_level_and_raise_none(bench: PlaybookBench) -> None:
    allow_everything(bench.actions, ANA)
    free, held = block(), block(max_level="L2")
    certify(bench.actions, free, bench.actions.tool, "deny ip")
    certify(bench.actions, held, bench.actions.tool, "deny ip")
    async with bench.actions.workers():
        free_run = bench.start(free, given={"__address__": ADDRESS})
        run = await bench.until_over(free_run)
        held_run = bench.start(held, given={"__address__": Held("203.0.113.8", Integrity.SENSOR)})
        (work,) = await bench.until_work(held_run, 1, WAITING)

    assert run.status is RunStatus.SUCCEEDED
    assert [value for _, value, _ in bench.actions.tool.effects] == ["203.0.113.7"]
    caps = bench.actions.stored(str(work.proposal_id)).ruling
    assert caps is not None
    assert "the playbook wants no more autonomy for this step" in str(caps)


async def test_a_value_that_does_not_fit_is_refused_before_anything_begins(bench: PlaybookBench) -> None:
    with pytest.raises(ConfigurationError, match='no "ipv4-addr"'):
        bench.start(block(), given={"__address__": Held("$(reboot)", Integrity.EXTERNAL)})
    with pytest.raises(ConfigurationError, match="comes from outside and has no value"):
        bench.start(block())
    with pytest.raises(ConfigurationError, match="__other__"):
        bench.start(block(), given={"__address__": ADDRESS, "__other__": ADDRESS})
    with pytest.raises(NotFoundError):
        bench.start(block(), given={"__address__": ADDRESS}, incident_id="inc-2")


async def test_a_playbook_out_of_its_time_or_with_unknown_commands_does_not_begin(bench: PlaybookBench) -> None:
    sketch = Sketch("Old")
    sketch.more = {"valid_until": "2026-11-28T09:00:00.000Z", "valid_from": "2026-11-28T08:00:00.000Z"}
    with pytest.raises(RefusedError, match="was valid until"):
        bench.start(sketch.playbook(sketch.manual("look", "Look.", on_completion=sketch.end("done"))))
    strange = Sketch("Strange")
    done = strange.end("done")
    commands = [{"type": "kestrel", "command_b64": "eA=="}]
    first = strange.step(
        "action", "hunt", commands=commands, agent=f"individual--{uuid_of('agent')}", on_completion=done
    )
    with pytest.raises(ConfigurationError, match='"kestrel", which is not supported'):
        bench.start(strange.playbook(first))


async def test_what_a_switch_has_outdated_is_proposed_anew_and_the_run_waits_for_that(bench: PlaybookBench) -> None:
    async with bench.actions.workers():
        run_id = bench.start(block(), given={"__address__": ADDRESS})
        (work,) = await bench.until_work(run_id, 1, WAITING)
        lea = Principal("lea", PrincipalKind.PERSON)
        for change in (engage, release):
            change(bench.actions.store, bench.actions.tenant, f"tenant:{bench.actions.tenant}", lea, "a drill")
        await bench.actions.relay.sweep()
        (anew,) = bench.work(run_id)
        assert anew.proposal_id != work.proposal_id
        await bench.actions.until(str(anew.proposal_id), WAITING)
        await bench.actions.vote(ANA, str(anew.proposal_id))
        run = await bench.until_over(run_id)

    assert run.status is RunStatus.SUCCEEDED
    assert bench.actions.stored(str(work.proposal_id)).status is ProposalStatus.VOIDED
    assert len(bench.actions.tool.effects) == 1


async def test_a_run_waits_for_so_much_at_one_time_and_no_more(
    bench: PlaybookBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchfloor_workflows.playbooks.turning.MOST_OPEN", 2)
    sketch = Sketch("Very many")
    done = sketch.end("done")
    many = [sketch.manual(f"ask {one}", "Well?", on_success=sketch.end(f"end of {one}")) for one in range(3)]
    first = sketch.step("parallel", "all", next_steps=many, on_completion=done)
    async with bench.actions.workers():
        run_id = bench.start(sketch.playbook(first))
        asked = await bench.until_work(run_id, 2)
        for work in asked:
            await answer(bench, run_id, work.key)
        await bench.until_over(run_id)

    assert len(asked) == 2
    assert ("ask 2", "failed", "the run waits for 2 tasks and actions already, and for no more at one time") in (
        bench.steps(run_id)
    )
