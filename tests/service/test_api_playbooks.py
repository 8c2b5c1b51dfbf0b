"""Playbooks over HTTP: who may start what was picked, and what stands behind a run that is taken back."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from watchfloor_core.ledger.record import record_decisions
from watchfloor_core.store.schema_playbook import playbook_run
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.roles import Role, Scope, scopes_of
from watchfloor_playbooks.running.work import RunStatus
from watchfloor_service.testing import Api, eve_lines, plant_incidents
from watchfloor_service.testing_playbooks import asking, keep, plant_run, turn
from watchfloor_workflows.playbooks.records import StoredRun, list_work, read_run
from watchfloor_workflows.playbooks.starting import Shelved, proposer_of, start_run
from watchfloor_workflows.testing.playbooks import Sketch


@pytest.fixture
def incident_id(api: Api) -> str:
    return plant_incidents(api.store, api.settings, "default", eve_lines(12))[0]


def person(api: Api) -> httpx.Client:
    return api.client(*scopes_of([Role.RESPONDER]), kind=PrincipalKind.PERSON, principal="ben")


def pick(api: Api, incident_id: str) -> str:
    """A run that the response agent has picked."""
    playbook = asking()
    keep(api.settings, playbook)
    with api.store.write() as connection:
        run_id, told = start_run(
            connection,
            "default",
            incident_id,
            Shelved(playbook),
            given={},
            proposer=proposer_of(playbook, PrincipalKind.AGENT, None),
            reason="it fits",
            is_due=False,
        )
        record_decisions(connection, "default", [told])
    return run_id


def stored(api: Api, run_id: str) -> StoredRun:
    with api.store.read() as connection:
        return read_run(connection, "default", run_id)


def later(**more: Any) -> Sketch:
    """The same playbook's id, with other content."""
    sketch = Sketch("Ask somebody").variable("__count__", "integer", "0")
    sketch.more = more
    return sketch


def test_what_was_picked_is_started_in_the_name_of_whoever_starts_it(api: Api, incident_id: str) -> None:
    run_id = pick(api, incident_id)
    client = person(api)
    assert client.post(f"/v1/playbook-runs/{run_id}/start", json={}).status_code == 202
    run = stored(api, run_id)
    assert (run.status, run.proposer.requester) == (RunStatus.RUNNING, "ben")
    assert client.post(f"/v1/playbook-runs/{run_id}/start", json={}).status_code == 409


@pytest.mark.parametrize(
    "more", [{}, {"modified": "2026-11-28T09:00:00.000Z", "revoked": True}], ids=["changed", "revoked later"]
)
def test_what_was_picked_is_not_started_once_the_playbook_is_another_one(
    api: Api, incident_id: str, more: dict[str, Any]
) -> None:
    run_id = pick(api, incident_id)
    sketch = later(**more)
    changed = sketch.playbook(sketch.manual("ask", "Something else?", on_completion=sketch.end("done")))
    if more:
        (api.settings.data_dir / "playbooks" / "later.json").write_bytes(changed.canonical())
    else:
        keep(api.settings, changed)
    answer = person(api).post(f"/v1/playbook-runs/{run_id}/start", json={})
    assert answer.status_code == 409
    assert stored(api, run_id).status is RunStatus.PICKED


def test_what_was_picked_is_not_started_once_the_playbook_is_withdrawn(api: Api, incident_id: str) -> None:
    run_id = pick(api, incident_id)
    (api.settings.data_dir / "playbooks" / f"{asking().id}.json").unlink()
    answer = person(api).post(f"/v1/playbook-runs/{run_id}/start", json={})
    assert answer.status_code == 404


@pytest.mark.parametrize("kind", [PrincipalKind.AGENT, PrincipalKind.SERVICE])
def test_what_an_agent_has_taken_back_is_an_agents_proposal(api: Api, incident_id: str, kind: PrincipalKind) -> None:
    run_id = plant_run(api.store, api.settings, "default", incident_id)
    with api.store.write() as connection:
        ended = update(playbook_run).where(playbook_run.c.id == run_id).values(status=RunStatus.STOPPED.value)
        connection.execute(ended)
    client = api.client(Scope.ACTIONS_PROPOSE, kind=kind, principal="bot")
    answer = client.post(f"/v1/playbook-runs/{run_id}/rollback", json={"reason": "wrong"})
    assert answer.status_code == 202, answer.text
    run = stored(api, answer.json()["run_id"])
    assert run.proposer == replace(stored(api, run_id).proposer, kind=kind, requester="bot")


def test_half_a_surrogate_pair_is_refused_wherever_text_is_taken(api: Api, incident_id: str) -> None:
    run_id = plant_run(api.store, api.settings, "default", incident_id)
    client = person(api)
    headers = {"Content-Type": "application/json"}
    for path, body in (
        (f"/v1/playbook-runs/{run_id}/stop", b'{"reason": "\\ud800"}'),
        (f"/v1/playbook-tasks/{run_id}/w0", b'{"is_done": true, "values": {"__count__": "\\ud800"}}'),
        (f"/v1/playbook-tasks/{run_id}/w0", b'{"is_done": false, "comment": "\\ud800"}'),
    ):
        assert client.post(path, content=body, headers=headers).status_code in (400, 422), path


def test_an_edited_action_is_still_its_playbooks_own(api: Api, incident_id: str) -> None:
    sketch = Sketch("Block one")
    block = sketch.action("block", "deny ip", "203.0.113.7", on_completion=sketch.end("done"))
    run_id = plant_run(api.store, api.settings, "default", incident_id, sketch.playbook(block))
    with api.store.read() as connection:
        (before,) = list_work(connection, "default", run_id)
    body = {"target": "203.0.113.8", "reason": "the other one"}
    edited = person(api).post(f"/v1/actions/{before.proposal_id}/edit", json=body)
    assert edited.status_code == 202, edited.text
    turn(api.store, api.settings, "default", run_id)
    with api.store.read() as connection:
        (after,) = list_work(connection, "default", run_id)
    assert (stored(api, run_id).status, after.status) == (RunStatus.RUNNING, "open")
    assert after.proposal_id != before.proposal_id


def test_a_pipe_among_the_playbooks_is_told_and_not_waited_for(api: Api) -> None:
    keep(api.settings, asking())
    os.mkfifo(api.settings.data_dir / "playbooks" / "pipe.json")
    found = person(api).get("/v1/playbooks").json()["playbooks"]
    assert [one["problem"] for one in found if one["file"] == "pipe.json"] == ["pipe.json is no file"]
