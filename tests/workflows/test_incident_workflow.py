"""The way of one incident on a real Temporal server and a real store: closed, queued, escalated, taken up again."""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import CancelledError

from watchfloor_agents.triage.engine import TriageCase
from watchfloor_core.errors import UnavailableError
from watchfloor_core.incident import Assessment, IncidentStatus, Verdict
from watchfloor_core.store.schema import incident
from watchfloor_workflows import search_attributes
from watchfloor_workflows.messages import WaitingFor
from watchfloor_workflows.testing import FixedEngine, Workbench, change_incident

pytestmark = pytest.mark.anyio


def is_waiting_for_person(state: object) -> bool:
    return getattr(state, "waiting_for", None) is WaitingFor.PERSON


async def test_at_l4_a_benign_incident_is_closed_by_the_agent_and_its_workflow_ends(bench: Workbench) -> None:
    async with bench.worker():
        handle = await bench.open()
        result = await handle.result()

    assert result.standing is not None
    assert result.standing.status is IncidentStatus.CLOSED
    assert result.standing.verdict is Verdict.FALSE_POSITIVE
    stored = bench.stored()
    assert (stored.status, stored.closed_by, stored.level) == (IncidentStatus.CLOSED, "agent", 4)
    assert bench.ledger() == ["verdict", "ruling", "closure"]


async def test_closing_an_incident_takes_one_workflow_task_and_nine_events(bench: Workbench) -> None:
    async with bench.worker():
        await (await bench.open()).result()

    assert await bench.events() == [
        "WORKFLOW_EXECUTION_STARTED",
        "WORKFLOW_EXECUTION_SIGNALED",
        "WORKFLOW_TASK_SCHEDULED",
        "WORKFLOW_TASK_STARTED",
        "WORKFLOW_TASK_COMPLETED",
        "MARKER_RECORDED",
        "MARKER_RECORDED",
        "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
        "WORKFLOW_EXECUTION_COMPLETED",
    ]


async def test_at_l2_a_person_is_waited_for_whatever_the_agent_holds(bench: Workbench) -> None:
    bench.set_level("L2")
    async with bench.worker():
        await bench.open()
        state = await bench.until(is_waiting_for_person)

    assert (state.status, state.verdict, state.level) == (IncidentStatus.QUEUED, Verdict.FALSE_POSITIVE, 2)
    assert bench.ledger() == ["verdict", "ruling", "queue"]


async def test_at_l1_no_engine_is_asked(bench: Workbench) -> None:
    bench.set_level("L1")
    async with bench.worker():
        await bench.open()
        state = await bench.until(is_waiting_for_person)

    assert (state.status, state.verdict, state.level) == (IncidentStatus.QUEUED, None, 1)
    assert bench.engine.asked == []
    assert bench.ledger() == ["ruling", "queue"]


async def test_what_looks_like_an_attack_is_escalated(bench: Workbench) -> None:
    bench.engine.verdict, bench.engine.probability = Verdict.TRUE_POSITIVE, 0.97
    async with bench.worker():
        await bench.open()
        state = await bench.until(is_waiting_for_person)

    assert (state.status, state.verdict) == (IncidentStatus.ESCALATED, Verdict.TRUE_POSITIVE)
    assert bench.ledger() == ["verdict", "ruling", "escalation"]


async def test_search_attributes_tell_tenant_status_severity_verdict_and_level(bench: Workbench) -> None:
    bench.set_level("L2")
    async with bench.worker():
        handle = await bench.open(severity=4)
        await bench.until(is_waiting_for_person)
        attributes = (await handle.describe()).typed_search_attributes

    assert attributes[search_attributes.TENANT] == bench.tenant
    assert attributes[search_attributes.STATUS] == "queued"
    assert attributes[search_attributes.SEVERITY] == 4
    assert attributes[search_attributes.VERDICT] == "FalsePositive"
    assert attributes[search_attributes.LEVEL] == 2


async def test_new_material_is_triaged_again(bench: Workbench) -> None:
    bench.set_level("L2")
    async with bench.worker():
        await bench.open()
        await bench.until(is_waiting_for_person)
        bench.engine.verdict, bench.engine.probability = Verdict.TRUE_POSITIVE, 0.9
        await bench.change()
        state = await bench.until(lambda state: state.passes == 2 and is_waiting_for_person(state))

    assert (state.status, state.revision) == (IncidentStatus.ESCALATED, 2)
    assert bench.ledger() == ["verdict", "ruling", "queue", "verdict", "ruling", "escalation"]


async def test_material_that_comes_to_a_closed_incident_opens_it_again_in_a_new_run(bench: Workbench) -> None:
    async with bench.worker():
        first = await bench.open()
        await first.result()
        first_run = (await first.describe()).run_id
        bench.engine.verdict, bench.engine.probability = Verdict.TRUE_POSITIVE, 0.9
        await bench.change()
        state = await bench.until(is_waiting_for_person)
        second_run = (await bench.handle().describe()).run_id

    assert second_run != first_run
    assert state.status is IncidentStatus.ESCALATED
    assert bench.stored().closed_by is None
    assert bench.ledger()[3:] == ["reopen", "verdict", "ruling", "escalation"]


async def test_the_same_change_delivered_twice_is_settled_once(bench: Workbench) -> None:
    async with bench.worker():
        await (await bench.open()).result()
        with bench.store.write() as connection:
            change_incident(connection, bench.tenant, "inc-1")
        await bench.relay.drain()
        await bench.handle().result()
        settled = bench.ledger()
        # As after a relay that died between signal and mark.
        await bench.client.start_workflow(
            "watchfloor.incident",
            {"tenant": bench.tenant, "incident_id": "inc-1", "debounce_s": 0.0},
            id=f"incident:{bench.tenant}:inc-1",
            task_queue=bench.settings.task_queue,
            start_signal="incident_changed",
            start_signal_args=[{"revision": 2}],
        )
        await bench.handle().result()

    assert bench.ledger() == settled
    assert bench.engine.asked == [1, 2]


async def test_an_incident_that_the_store_does_not_know_ends_its_workflow_with_no_standing(bench: Workbench) -> None:
    async with bench.worker():
        await bench.client.start_workflow(
            "watchfloor.incident",
            {"tenant": bench.tenant, "incident_id": "inc-none", "debounce_s": 0.0},
            id=f"incident:{bench.tenant}:inc-none",
            task_queue=bench.settings.task_queue,
        )
        result = await bench.handle("inc-none").result()

    assert result.standing is None


async def test_a_merged_incident_is_left_to_the_one_that_holds_it(bench: Workbench) -> None:
    bench.set_level("L2")
    async with bench.worker():
        handle = await bench.open()
        await bench.until(is_waiting_for_person)
        with bench.store.write() as connection:
            connection.execute(incident.update().values(merged_into="inc-2"))
        await bench.change()
        result = await handle.result()

    assert result.standing is not None
    assert result.standing.status is IncidentStatus.MERGED


class FlakyEngine(FixedEngine):
    """Down for the first questions."""

    def assess(self, case: TriageCase) -> Assessment:
        assessment = super().assess(case)
        if len(self.asked) <= 2:
            raise UnavailableError("the model does not answer")
        return assessment


async def test_a_part_that_is_down_is_waited_for_and_its_retries_write_no_history(bench: Workbench) -> None:
    bench.engine = FlakyEngine()
    async with bench.worker():
        result = await (await bench.open()).result()

    assert result.standing is not None
    assert result.standing.status is IncidentStatus.CLOSED
    assert bench.engine.asked == [1, 1, 1]
    events = await bench.events()
    assert [event for event in events if "ACTIVITY" in event] == [
        "ACTIVITY_TASK_SCHEDULED",
        "ACTIVITY_TASK_STARTED",
        "ACTIVITY_TASK_COMPLETED",
    ]
    assert bench.ledger() == ["verdict", "ruling", "closure"]


async def test_a_workflow_that_an_administrator_cancels_ends_as_cancelled(bench: Workbench) -> None:
    bench.set_level("L2")
    async with bench.worker():
        handle = await bench.open()
        await bench.until(is_waiting_for_person)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()

    assert isinstance(caught.value.cause, CancelledError)
    assert bench.stored().status is IncidentStatus.QUEUED
