"""Workflows under way survive a new version of the code: recorded histories replay without a difference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from watchfloor_core.keys.payload_in_use import PayloadKeys
from watchfloor_core.keys.sources import FixedSecret
from watchfloor_workflows import wire
from watchfloor_workflows.plugin import watchfloor_plugin

pytestmark = pytest.mark.anyio

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))
KEYS = Path(__file__).parent / "histories" / "keys" / "payload.json"
"""Encrypt what is recorded; they take plaintext too, in which version 0.1 recorded."""


def replayer() -> Replayer:
    keys = PayloadKeys(FixedSecret("recorded", KEYS.read_bytes()))
    return Replayer(workflows=[], plugins=[watchfloor_plugin(keys)])


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path: Path) -> None:
    await replayer().replay_workflow(WorkflowHistory.from_json(path.stem, path.read_text()))


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("closed_by_agent", "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES"),
        ("approval_given", "TIMER_CANCELED"),
        ("action_denied", "START_CHILD_WORKFLOW_EXECUTION_INITIATED"),
    ],
)
async def test_a_history_that_our_workflow_would_not_have_made_is_noticed(name: str, left_out: str) -> None:
    history = json.loads((Path(__file__).parent / "histories" / f"{name}.json").read_text())
    events = history["events"]
    gone = next(index for index, event in enumerate(events) if event["eventType"] == f"EVENT_TYPE_{left_out}")
    del events[gone]
    for number, event in enumerate(events, start=1):
        event["eventId"] = str(number)

    with pytest.raises(NondeterminismError):
        await replayer().replay_workflow(WorkflowHistory.from_json("spoilt", json.dumps(history)))


def test_every_workflow_that_a_worker_runs_has_histories() -> None:
    recorded = {
        json.loads(path.read_text())["events"][0]["workflowExecutionStartedEventAttributes"]["workflowType"]["name"]
        for path in HISTORIES
    }

    assert recorded == {wire.INCIDENT_WORKFLOW, wire.ACTION_WORKFLOW, wire.APPROVAL_WORKFLOW}


def test_histories_are_recorded_for_every_way_through_the_workflows() -> None:
    assert {path.stem for path in HISTORIES} >= {
        "action_denied",
        "action_undoes_at_the_end_of_a_lease",
        "action_voided",
        "action_with_lease_and_undo",
        "answered_by_slow_engine",
        "approval_denied",
        "approval_expired",
        "approval_given",
        "approval_voided",
        "closed_by_agent",
        "continued_as_new",
        "decided_by_person",
        "reopened_by_person",
        "triaged_again",
    }
