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


async def test_a_history_that_our_workflow_would_not_have_made_is_noticed() -> None:
    history = json.loads((Path(__file__).parent / "histories" / "closed_by_agent.json").read_text())
    events = history["events"]
    upsert = next(index for index, event in enumerate(events) if "UPSERT" in event["eventType"])
    del events[upsert]
    for number, event in enumerate(events, start=1):
        event["eventId"] = str(number)

    with pytest.raises(NondeterminismError):
        await replayer().replay_workflow(WorkflowHistory.from_json("spoilt", json.dumps(history)))


def test_histories_are_recorded_for_every_way_through_the_workflow() -> None:
    assert {path.stem for path in HISTORIES} >= {
        "answered_by_slow_engine",
        "closed_by_agent",
        "continued_as_new",
        "decided_by_person",
        "reopened_by_person",
        "triaged_again",
    }
