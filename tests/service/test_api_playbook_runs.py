"""Playbooks over HTTP: what is started, answered, stopped and taken back, and who may."""

from __future__ import annotations

import pytest

from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.roles import Scope
from watchfloor_service.testing import Api, eve_lines, plant_incidents
from watchfloor_service.testing_playbooks import ASKING_ID, asking, keep, plant_run, turn
from watchfloor_workflows.testing.playbooks import Sketch

TENANT = "default"


@pytest.fixture
def incident_id(sqlite_store: Store, settings: Settings) -> str:
    return plant_incidents(sqlite_store, settings, TENANT, eve_lines(12))[0]


def started(api: Api, incident: str, **body: object) -> dict[str, object]:
    client = api.client(Scope.ACTIONS_PROPOSE, kind=PrincipalKind.PERSON, principal="rita")
    answer = client.post(
        "/v1/playbook-runs",
        json={"incident_id": incident, "playbook_id": ASKING_ID, "reason": "it fits", **body},
    )
    return {"status": answer.status_code, **answer.json()}


def test_a_run_is_started_by_its_caller_shown_answered_and_over(
    api: Api, sqlite_store: Store, settings: Settings, incident_id: str
) -> None:
    keep(settings, asking())
    begun = started(api, incident_id)
    assert begun["status"] == 202
    run_id = str(begun["run_id"])
    turn(sqlite_store, settings, TENANT, run_id)
    reader = api.client(Scope.ACTIONS_READ)
    (task,) = reader.get("/v1/playbook-tasks").json()["tasks"]
    assert (task["run_id"], task["work"]["key"], task["work"]["task"]) == (run_id, "w0", '"How many are there?"')
    person = api.client(Scope.ACTIONS_PROPOSE, kind=PrincipalKind.PERSON, principal="ben")
    path = f"/v1/playbook-tasks/{run_id}/w0"
    wrong = person.post(path, json={"is_done": True, "values": {"__count__": "many"}})
    assert (wrong.status_code, wrong.json()["type"]) == (422, "urn:watchfloor:problem:invalid-request")
    assert person.post(path, json={"is_done": True, "values": {"__count__": "7"}}).status_code == 202
    assert person.post(path, json={"is_done": True, "values": {"__count__": "8"}}).status_code == 409
    turn(sqlite_store, settings, TENANT, run_id)
    found = reader.get(f"/v1/playbook-runs/{run_id}").json()

    assert (found["run"]["status"], found["run"]["requester"]) == ("succeeded", "rita")
    assert found["values"]["__count__"] == {"value": "7", "integrity": "human", "endorsed_by": "person:ben"}
    assert [one["name"] for one in found["steps"]] == ["start", "ask", "done"]
    assert reader.get("/v1/playbook-tasks").json() == {"tasks": []}


@pytest.mark.parametrize("kind", [PrincipalKind.SERVICE, PrincipalKind.AGENT])
def test_a_program_starts_one_and_answers_nothing(
    api: Api, sqlite_store: Store, settings: Settings, incident_id: str, kind: PrincipalKind
) -> None:
    keep(settings, asking())
    client = api.client(Scope.ACTIONS_PROPOSE, Scope.ACTIONS_READ, kind=kind, principal="soar")
    body = {"incident_id": incident_id, "playbook_id": ASKING_ID, "reason": "it fits"}
    run_id = client.post("/v1/playbook-runs", json=body).json()["run_id"]
    turn(sqlite_store, settings, TENANT, run_id)

    for path, said in (
        (f"/v1/playbook-tasks/{run_id}/w0", {"is_done": True, "values": {"__count__": "1"}}),
        (f"/v1/playbook-runs/{run_id}/stop", {"reason": "no"}),
        (f"/v1/playbook-runs/{run_id}/start", {}),
    ):
        assert client.post(path, json=said).status_code == 403, path


def test_what_a_program_gives_could_be_an_attackers(
    api: Api, sqlite_store: Store, settings: Settings, incident_id: str
) -> None:
    sketch = Sketch("Ask about").variable("__who__", external=True)
    playbook = sketch.playbook(sketch.manual("ask", "Who is __who__:value?", on_completion=sketch.end("done")))
    keep(settings, playbook)
    body = {"incident_id": incident_id, "playbook_id": playbook.id, "values": {"__who__": "eve"}, "reason": "it fits"}
    labels = {}
    for kind in (PrincipalKind.SERVICE, PrincipalKind.PERSON):
        client = api.client(Scope.ACTIONS_PROPOSE, Scope.ACTIONS_READ, kind=kind, principal=f"a-{kind}")
        run_id = client.post("/v1/playbook-runs", json=body).json()["run_id"]
        labels[kind] = client.get(f"/v1/playbook-runs/{run_id}").json()["values"]["__who__"]

    assert labels[PrincipalKind.SERVICE] == {"value": "eve", "integrity": "external", "endorsed_by": None}
    assert labels[PrincipalKind.PERSON] == {"value": "eve", "integrity": "human", "endorsed_by": "person:a-person"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"playbook_id": f"playbook--{'0' * 8}-0000-4000-8000-{'0' * 12}"}, 404),
        ({"incident_id": "inc-0000000000000000"}, 404),
        ({"values": {"__nobody__": "1"}}, 422),
        ({"values": {"__count__": "a\x00b"}}, 422),
        ({"values": {"count": "1"}}, 422),
        ({"reason": ""}, 422),
        ({"version": "2020-01-01T00:00:00.000Z"}, 404),
        ({"more": 1}, 422),
    ],
)
def test_what_cannot_be_started_is_refused_in_words(
    api: Api, settings: Settings, incident_id: str, body: dict[str, object], status: int
) -> None:
    keep(settings, asking())
    told = started(api, incident_id, **body)

    assert told["status"] == status
    assert told["detail"]


def test_a_run_that_goes_on_is_stopped_before_it_is_taken_back(
    api: Api, sqlite_store: Store, settings: Settings, incident_id: str
) -> None:
    run_id = plant_run(sqlite_store, settings, TENANT, incident_id)
    client = api.client(Scope.ACTIONS_PROPOSE, Scope.ACTIONS_READ, kind=PrincipalKind.PERSON, principal="rita")
    back = f"/v1/playbook-runs/{run_id}/rollback"

    assert client.post(back, json={"reason": "wrong"}).status_code == 409
    assert client.post(f"/v1/playbook-runs/{run_id}/stop", json={"reason": "wrong"}).status_code == 202
    turn(sqlite_store, settings, TENANT, run_id)
    undoing = client.post(back, json={"reason": "wrong"}).json()["run_id"]
    turn(sqlite_store, settings, TENANT, undoing)
    runs = {one["run_id"]: one for one in client.get("/v1/playbook-runs").json()["runs"]}
    assert (runs[run_id]["status"], runs[run_id]["outcome"]) == ("stopped", "rita: wrong")
    assert (runs[undoing]["status"], runs[undoing]["undoes_run"]) == ("succeeded", run_id)
    assert client.get("/v1/playbook-runs", params={"status": "stopped"}).json()["runs"] == [runs[run_id]]


def test_the_shelf_tells_what_may_be_run_and_why_not(api: Api, settings: Settings) -> None:
    keep(settings, asking())
    (settings.data_dir / "playbooks" / "bad.json").write_text("{")
    found = api.client(Scope.ACTIONS_READ).get("/v1/playbooks").json()["playbooks"]
    told = {one["file"]: one for one in found}

    assert told[f"{ASKING_ID}.json"]["name"] == "Ask somebody"
    assert told["bad.json"]["playbook_id"] is None
    assert "bad.json" in told["bad.json"]["problem"]
    assert told["library:phishing"]["attack"]
