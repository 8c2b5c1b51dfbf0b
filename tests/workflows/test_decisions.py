"""People's decisions: recorded once, refused before they leave a trace, and never overruled by an agent."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from watchfloor_core.errors import NotFoundError, RefusedError
from watchfloor_core.incident import IncidentStatus, Verdict
from watchfloor_core.store.schema import human_verdict
from watchfloor_workflows.messages import (
    DecideIncidentInput,
    IncidentStanding,
    ReopenIncidentInput,
    WaitingFor,
    WorkflowState,
)
from watchfloor_workflows.testing import Workbench, change_incident

pytestmark = pytest.mark.anyio


def waits(state: WorkflowState) -> bool:
    return state.waiting_for is WaitingFor.PERSON


def decision(
    update_id: str = "u-1",
    *,
    principal: str = "ana",
    principal_kind: str = "person",
    verdict: Verdict = Verdict.BENIGN_POSITIVE,
    close: bool = True,
    revision: int = 1,
    acknowledges_newer: bool = False,
) -> DecideIncidentInput:
    return DecideIncidentInput(
        principal=principal,
        principal_kind=principal_kind,
        verdict=verdict,
        close=close,
        comment="seen before",
        revision=revision,
        update_id=update_id,
        acknowledges_newer=acknowledges_newer,
    )


def reopening(update_id: str = "r-1", *, comment: str = "the ticket says otherwise") -> ReopenIncidentInput:
    return ReopenIncidentInput(principal="ben", principal_kind="person", comment=comment, update_id=update_id)


async def decide(bench: Workbench, what: DecideIncidentInput) -> IncidentStanding:
    return await bench.desk.decide(bench.tenant, "inc-1", what)


def said(bench: Workbench) -> list[tuple[str, str, bool]]:
    table = human_verdict
    with bench.store.read() as connection:
        rows = connection.execute(select(table.c.principal, table.c.verdict, table.c.saw_agent_answer))
        return [(row.principal, row.verdict, row.saw_agent_answer) for row in rows.all()]


async def test_a_person_closes_a_queued_incident_and_its_workflow_ends(bench: Workbench) -> None:
    bench.set_level("L2")
    async with bench.worker():
        handle = await bench.open()
        await bench.until(waits)
        standing = await decide(bench, decision())
        result = await handle.result()

    assert result.standing == standing
    assert (standing.status, standing.verdict) == (IncidentStatus.CLOSED, Verdict.BENIGN_POSITIVE)
    assert bench.stored().closed_by == "person"
    assert bench.ledger()[-2:] == ["human_verdict", "closure"]
    assert said(bench) == [("ana", "BenignPositive", True)]


async def test_a_true_positive_that_is_not_closed_stays_open_as_escalated(bench: Workbench) -> None:
    bench.set_level("L2")
    async with bench.worker():
        await bench.open()
        await bench.until(waits)
        standing = await decide(bench, decision(verdict=Verdict.TRUE_POSITIVE, close=False))
        state = await bench.until(lambda state: state.status is IncidentStatus.ESCALATED)
        closed = await decide(bench, decision("u-2", verdict=Verdict.TRUE_POSITIVE))

    assert standing.status is IncidentStatus.ESCALATED
    assert waits(state)
    assert (closed.status, closed.verdict) == (IncidentStatus.CLOSED, Verdict.TRUE_POSITIVE)
    assert bench.ledger()[-4:] == ["human_verdict", "escalation", "human_verdict", "closure"]


async def test_a_refused_decision_leaves_nothing_in_history_store_or_ledger(bench: Workbench) -> None:
    bench.set_level("L2")
    async with bench.worker():
        await bench.open()
        await bench.until(waits)
        before = await bench.events()
        with pytest.raises(RefusedError, match="only a person decides"):
            await decide(bench, decision(principal="soar", principal_kind="service"))
        after = await bench.events()

    assert after == before
    assert said(bench) == []
    assert "human_verdict" not in bench.ledger()


async def test_a_decision_on_a_revision_that_is_no_more_is_refused_until_it_is_acknowledged(bench: Workbench) -> None:
    bench.set_level("L2")
    async with bench.worker():
        await bench.open()
        await bench.until(waits)
        with bench.store.write() as connection:
            # The store has moved on, and no signal has told the workflow.
            change_incident(connection, bench.tenant, "inc-1", announce=False)
        with pytest.raises(RefusedError, match="the incident is at 2"):
            await decide(bench, decision())
        standing = await decide(bench, decision("u-2", acknowledges_newer=True))

    assert (standing.status, standing.settled_revision) == (IncidentStatus.CLOSED, 2)


async def test_a_decision_on_a_revision_of_which_the_workflow_has_not_heard_is_taken(bench: Workbench) -> None:
    bench.set_level("L2")
    async with bench.worker():
        await bench.open()
        await bench.until(waits)
        with bench.store.write() as connection:
            change_incident(connection, bench.tenant, "inc-1", announce=False)
        standing = await decide(bench, decision(revision=2))

    assert standing.status is IncidentStatus.CLOSED


async def test_the_same_update_id_again_is_the_same_decision(bench: Workbench) -> None:
    bench.set_level("L2")
    async with bench.worker():
        await bench.open()
        await bench.until(waits)
        first = await decide(bench, decision(verdict=Verdict.TRUE_POSITIVE, close=False))
        # Another run of the workflow, so that Temporal's own memory of update ids is no help.
        await bench.handle().terminate()
        again = await decide(bench, decision(verdict=Verdict.TRUE_POSITIVE, close=False))

    assert again == first
    assert said(bench) == [("ana", "TruePositive", True)]


async def test_of_two_decisions_at_once_one_is_recorded_and_the_other_refused(bench: Workbench) -> None:
    bench.set_level("L2")
    async with bench.worker():
        await bench.open()
        await bench.until(waits)
        outcomes = await asyncio.gather(
            decide(bench, decision("u-1", principal="ana", verdict=Verdict.BENIGN_POSITIVE)),
            decide(bench, decision("u-2", principal="ben", verdict=Verdict.TRUE_POSITIVE, close=False)),
            return_exceptions=True,
        )

    refused = [outcome for outcome in outcomes if isinstance(outcome, RefusedError)]
    recorded = [outcome for outcome in outcomes if isinstance(outcome, IncidentStanding)]
    assert (len(recorded), len(refused)) == (1, 1)
    assert len(said(bench)) == 1


async def test_a_second_person_must_know_what_the_first_has_said(bench: Workbench) -> None:
    bench.set_level("L2")
    async with bench.worker():
        await bench.open()
        await bench.until(waits)
        await decide(bench, decision(verdict=Verdict.TRUE_POSITIVE, close=False))
        with pytest.raises(RefusedError, match="'ana' has said TruePositive"):
            await decide(bench, decision("u-2", principal="ben"))
        standing = await decide(bench, decision("u-3", principal="ben", acknowledges_newer=True))

    assert standing.verdict is Verdict.BENIGN_POSITIVE


async def test_what_a_person_closed_comes_back_to_people_and_no_agent_closes_it(bench: Workbench) -> None:
    bench.set_level("L2")
    async with bench.worker():
        handle = await bench.open()
        await bench.until(waits)
        await decide(bench, decision())
        await handle.result()
        bench.set_level("L4")
        await bench.change()
        state = await bench.until(waits)

    assert state.status is IncidentStatus.QUEUED
    assert bench.ledger()[-4:] == ["reopen", "verdict", "ruling", "queue"]


async def test_a_person_reopens_what_the_agent_closed_and_it_stays_with_people(bench: Workbench) -> None:
    async with bench.worker():
        await (await bench.open()).result()
        standing = await bench.desk.reopen(bench.tenant, "inc-1", reopening())
        state = await bench.until(waits)
        await bench.change()
        later = await bench.until(lambda state: state.revision == 2 and waits(state))

    assert standing.status is IncidentStatus.QUEUED
    assert state.status is IncidentStatus.QUEUED
    assert later.status is IncidentStatus.QUEUED
    assert bench.ledger()[3:6] == ["human_verdict", "reopen", "queue"]


@pytest.mark.parametrize(
    ("level", "comment", "reason"),
    [("L2", "a comment", "the incident is queued, not closed"), ("L4", "  ", "only with a comment")],
)
async def test_reopening_needs_a_closed_incident_and_a_comment(
    bench: Workbench, level: str, comment: str, reason: str
) -> None:
    bench.set_level(level)
    async with bench.worker():
        handle = await bench.open()
        if level == "L2":
            await bench.until(waits)
        else:
            await handle.result()
        with pytest.raises(RefusedError, match=reason):
            await bench.desk.reopen(bench.tenant, "inc-1", reopening(comment=comment))


async def test_a_closed_incident_is_reopened_before_it_is_decided_on_again(bench: Workbench) -> None:
    async with bench.worker():
        await (await bench.open()).result()
        with pytest.raises(RefusedError, match="reopen it to decide again"):
            await decide(bench, decision())
        await bench.desk.reopen(bench.tenant, "inc-1", reopening())
        standing = await decide(bench, decision("u-2"))

    assert standing.status is IncidentStatus.CLOSED
    assert bench.stored().closed_by == "person"


async def test_a_person_who_decides_while_the_agent_thinks_is_not_overruled(bench: Workbench) -> None:
    # A model has an activity of its own, beside which the workflow goes on taking decisions.
    bench.engine.name = "generative:slow"
    bench.engine.think()
    async with bench.worker():
        handle = await bench.open()
        await asyncio.to_thread(bench.engine.is_thinking.wait, 20)
        standing = await decide(bench, decision(verdict=Verdict.TRUE_POSITIVE, close=False))
        bench.engine.may_answer.set()
        state = await bench.until(waits)
        await handle.terminate()

    assert standing.status is IncidentStatus.ESCALATED
    assert (state.status, state.verdict) == (IncidentStatus.ESCALATED, Verdict.TRUE_POSITIVE)
    # The agent's answer came too late to be an answer; the person had not seen it.
    assert bench.ledger() == ["human_verdict", "escalation"]
    assert said(bench) == [("ana", "TruePositive", False)]


async def test_a_decision_on_an_incident_that_does_not_exist_is_not_found(bench: Workbench) -> None:
    async with bench.worker():
        with pytest.raises(NotFoundError, match="inc-1"):
            await decide(bench, decision())
