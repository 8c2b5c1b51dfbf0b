"""Runs of playbooks on a real Temporal server and a real store, every effect of them through the gate."""

from __future__ import annotations

import pytest

from watchfloor_core.alert import Integrity
from watchfloor_core.errors import RefusedError
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.values import Held
from watchfloor_playbooks.running.work import RunStatus
from watchfloor_workflows.client import connect
from watchfloor_workflows.playbooks.starting import proposer_of
from watchfloor_workflows.playbooks.tasks import Answer, answer_task
from watchfloor_workflows.testing.actions import ActionBench, Person, make_attack, register
from watchfloor_workflows.testing.playbooks import PlaybookBench, Sketch

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


async def answer(bench: PlaybookBench, run_id: str, key: str, *, is_done: bool = True, **values: str) -> None:
    given = Answer(is_done, {f"__{name}__": value for name, value in values.items()}, "")
    with bench.actions.store.write() as connection:
        person = Principal("rita", PrincipalKind.PERSON)
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
    assert sealed.proposer.name.startswith("playbook:")
    assert [name for name, *_ in bench.steps(run_id)] == ["start", "block", "done"]
    assert bench.actions.ledger().count("playbook") == 3


async def test_whoever_starts_a_playbook_does_not_approve_what_it_proposes(bench: PlaybookBench) -> None:
    async with bench.actions.workers():
        run_id = bench.start(block(), given={"__address__": ADDRESS}, requester="ana")
        (work,) = await bench.until_work(run_id, 1, WAITING)
        with pytest.raises(RefusedError, match="ana"):
            await bench.actions.vote(ANA, str(work.proposal_id))
