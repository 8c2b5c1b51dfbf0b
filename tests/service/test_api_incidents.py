"""Incidents over HTTP: reading them, and what people decide."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import select

from watchfloor_core.errors import UnavailableError
from watchfloor_core.incident import IncidentStatus, Verdict
from watchfloor_core.ledger import verify_store
from watchfloor_core.settings import Settings
from watchfloor_core.store import schema
from watchfloor_core.store.engine import Store
from watchfloor_service.access.tokens import Scope
from watchfloor_service.api.incident_desk import LazyDesk
from watchfloor_service.incidents.status_filter import StatusFilter, expand
from watchfloor_service.testing import Api, eve_lines, plant_incidents, served
from watchfloor_workflows.testing import plant_incident
from watchfloor_workflows.testing.workbench import write_policy


@pytest.fixture
def incident_id(api: Api) -> str:
    """One of two, of alerts that a sensor saw within twenty minutes."""
    return plant_incidents(api.store, api.settings, "default", eve_lines(60))[0]


def plant_many(store: Store, count: int) -> list[str]:
    """Incidents that end one after another, two of them at the same time."""
    ids = [f"inc-{number:016x}" for number in range(count)]
    with store.write() as connection:
        for number, identifier in enumerate(ids):
            plant_incident(connection, "default", identifier)
            connection.execute(
                schema.incident.update()
                .where(schema.incident.c.id == identifier)
                .values(last_us=(number // 2) * 1_000_000, status=list(IncidentStatus)[number % 5].value)
            )
    return ids


def pages(client: httpx.Client, **params: str | int | list[str]) -> Iterator[list[str]]:
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/v1/incidents", params={**params, **cursor}).json()
        yield [incident["incident_id"] for incident in page["incidents"]]
        if page["next"] is None:
            return
        cursor = {"cursor": page["next"]}


def test_pages_give_every_incident_once_the_latest_first(api_on_each: Api) -> None:
    ids = plant_many(api_on_each.store, 11)
    found = list(pages(api_on_each.client(Scope.INCIDENTS_READ), limit=3))
    assert [len(page) for page in found] == [3, 3, 3, 2]
    assert sorted(identifier for page in found for identifier in page) == ids
    assert found[0][0] == ids[10]


def test_filters_narrow_by_status_and_verdict(api: Api) -> None:
    plant_many(api.store, 10)
    client = api.client(Scope.INCIDENTS_READ)
    assert len(client.get("/v1/incidents", params={"status": "open"}).json()["incidents"]) == 6
    assert len(client.get("/v1/incidents", params={"status": ["closed", "queued"]}).json()["incidents"]) == 4
    assert client.get("/v1/incidents", params={"verdict": "TruePositive"}).json() == {"incidents": [], "next": None}


def test_open_stands_for_every_open_status() -> None:
    assert set(expand([StatusFilter.OPEN])) == {status for status in IncidentStatus if status.is_open}
    assert {status.value for status in StatusFilter} == {"open", *(status.value for status in IncidentStatus)}


@pytest.mark.parametrize(
    "params", [{"status": "sleeping"}, {"limit": "0"}, {"limit": "501"}, {"cursor": "nonsense"}, {"cursor": "AAAA"}]
)
def test_wrong_parameters_are_422(api: Api, params: dict[str, str]) -> None:
    assert api.client(Scope.INCIDENTS_READ).get("/v1/incidents", params=params).status_code == 422


def test_an_incident_shows_what_happened_why_and_who_decides(api: Api, incident_id: str) -> None:
    found = api.client(Scope.INCIDENTS_READ).get(f"/v1/incidents/{incident_id}").json()
    summary = found["incident"]
    assert summary["incident_id"] == incident_id
    assert summary["alert_count"] == 30
    assert summary["status"] in ("queued", "escalated")
    assert found["reasons"]
    assert {"code", "text", "log_odds", "rests_on_external"} == set(found["reasons"][0])
    assert found["ruling"]["decision"] == "ask"
    assert found["entities"][0]["is_asset"] is True
    assert found["observations_total"] == sum(1 for _ in found["observations"])
    assert sum(observation["alerts"] for observation in found["observations"]) == 30
    assert [o["first_at"] for o in found["observations"]] == sorted(o["first_at"] for o in found["observations"])
    assert found["observations"][1]["reason"]["text"]


def test_observations_come_in_pages(api: Api, incident_id: str) -> None:
    client = api.client(Scope.INCIDENTS_READ)
    whole = client.get(f"/v1/incidents/{incident_id}").json()["observations"]
    part = client.get(f"/v1/incidents/{incident_id}", params={"limit": 5, "offset": 10}).json()["observations"]
    assert part == whole[10:15]


def test_the_trace_gives_every_decision_after_the_one_that_led_to_it(api: Api, incident_id: str) -> None:
    trace = api.client(Scope.INCIDENTS_READ).get(f"/v1/incidents/{incident_id}/trace").json()
    kinds = [decision["kind"] for decision in trace["decisions"]]
    assert {"correlate", "verdict", "ruling"} <= set(kinds)
    assert trace["total"] == len(kinds)
    seen: set[str] = set()
    for decision in trace["decisions"]:
        assert decision["parent_id"] is None or decision["parent_id"] in seen
        seen.add(decision["id"])


def decide(client: httpx.Client, incident_id: str, revision: int, **more: object) -> httpx.Response:
    body = {"verdict": "FalsePositive", "comment": "our own scanner", "close": True, "revision": revision, **more}
    return client.post(f"/v1/incidents/{incident_id}/decision", json=body)


def revision_of(client: httpx.Client, incident_id: str) -> int:
    return int(client.get(f"/v1/incidents/{incident_id}").json()["incident"]["revision"])


def test_a_person_closes_an_incident_under_their_own_name(api: Api, incident_id: str) -> None:
    client = api.person(principal="ana@example.org")
    answer = decide(client, incident_id, revision_of(client, incident_id))
    assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], answer.json()["verdict"]) == ("closed", "FalsePositive")
    found = client.get(f"/v1/incidents/{incident_id}").json()
    assert found["incident"]["closed_by"] == "person"
    assert found["human_verdicts"][0]["principal"] == "ana@example.org"
    assert found["human_verdicts"][0]["comment"] == "our own scanner"
    with api.store.read() as connection:
        assert verify_store(connection, "default").ok


def test_a_decision_on_what_has_changed_is_refused_with_the_reason(api: Api, incident_id: str) -> None:
    client = api.person()
    answer = decide(client, incident_id, revision_of(client, incident_id) - 1)
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:watchfloor:problem:refused"
    assert "revision" in answer.json()["detail"]


def test_the_same_key_records_a_decision_once_and_each_person_has_their_own_keys(api: Api, incident_id: str) -> None:
    ana, ben = api.person(principal="ana"), api.person(principal="ben")
    revision = revision_of(ana, incident_id)
    for client in (ana, ana, ben):
        client.headers["Idempotency-Key"] = "decision-1"
    first = decide(ana, incident_id, revision, close=False, verdict="TruePositive")
    again = decide(ana, incident_id, revision, close=False, verdict="TruePositive")
    assert (first.status_code, again.status_code) == (200, 200), again.text
    decide(ben, incident_id, revision, close=False, acknowledges_newer=True)
    with api.store.read() as connection:
        said = connection.execute(select(schema.human_verdict.c.principal, schema.human_verdict.c.verdict)).all()
    assert [tuple(row) for row in said] == [("ana", "TruePositive"), ("ben", "FalsePositive")]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"verdict": "Maybe", "comment": "x", "revision": 1},
        {"verdict": "FalsePositive", "comment": "", "revision": 1},
        {"verdict": "FalsePositive", "comment": "x", "revision": "1"},
        {"verdict": "FalsePositive", "comment": "x", "revision": 1, "close": "yes"},
        {"verdict": "FalsePositive", "comment": "x" * 4001, "revision": 1},
        [],
    ],
)
def test_malformed_decisions_are_422_with_every_mistake(api: Api, incident_id: str, body: object) -> None:
    answer = api.person().post(f"/v1/incidents/{incident_id}/decision", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_a_decision_that_is_no_json_is_refused(api: Api, incident_id: str) -> None:
    client = api.person()
    assert client.post(f"/v1/incidents/{incident_id}/decision", content=b"{").status_code == 415
    broken = client.post(
        f"/v1/incidents/{incident_id}/decision", content=b"{", headers={"Content-Type": "application/json"}
    )
    assert broken.status_code == 422


def test_a_closed_incident_is_reopened_for_a_person(api: Api, incident_id: str) -> None:
    client = api.person()
    decide(client, incident_id, revision_of(client, incident_id))
    answer = client.post(f"/v1/incidents/{incident_id}/reopen", json={"comment": "it goes on"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] in ("queued", "escalated")
    again = client.post(f"/v1/incidents/{incident_id}/reopen", json={"comment": "it goes on"})
    assert again.status_code == 409


def test_incidents_are_merged_and_split_and_the_ledger_says_by_whom(api: Api) -> None:
    into, other = plant_incidents(api.store, api.settings, "default", eve_lines(60))[:2]
    client = api.person(principal="ana")
    merged = client.post(f"/v1/incidents/{into}/merge", json={"other": other, "reason": "one campaign"})
    assert merged.status_code == 200, merged.text
    assert client.get(f"/v1/incidents/{other}").json()["incident"]["merged_into"] == into
    assert client.get(f"/v1/incidents/{into}").json()["incident"]["alert_count"] == 60
    assert client.post(f"/v1/incidents/{into}/merge", json={"other": other, "reason": "again"}).status_code == 409

    shape = client.get(f"/v1/incidents/{into}").json()["observations"][0]["shape_id"]
    split = client.post(f"/v1/incidents/{into}/split", json={"shape_ids": [shape], "reason": "not this one"})
    assert split.status_code == 200, split.text
    fresh = split.json()["incident_id"]
    assert fresh not in (into, other)
    assert client.get(f"/v1/incidents/{fresh}").json()["incident"]["alert_count"] >= 1
    none = client.post(f"/v1/incidents/{into}/split", json={"shape_ids": ["0" * 32], "reason": "nothing"})
    assert none.status_code == 409
    with api.store.read() as connection:
        assert verify_store(connection, "default").ok
        bodies = connection.execute(
            select(schema.ledger_entry.c.body).where(schema.ledger_entry.c.kind.in_(["merge", "split"]))
        ).scalars()
        assert all('"by":"ana"' in body for body in bodies)


def test_dead_letters_are_listed_in_pages(api: Api) -> None:
    body = eve_lines(1) + b"".join(b"{broken %d\n" % number for number in range(5))
    sender = api.client()
    sender.post("/v1/alerts", content=body, headers={"Content-Type": "application/x-ndjson"})
    client = api.client(Scope.DEADLETTERS_READ)
    first = client.get("/v1/deadletters", params={"limit": 3}).json()
    rest = client.get("/v1/deadletters", params={"limit": 3, "after": first["next"]}).json()
    assert (first["total"], len(first["dead_letters"]), len(rest["dead_letters"]), rest["next"]) == (5, 3, 2, None)
    assert first["dead_letters"][0]["position"] == 2
    assert client.get("/v1/deadletters", params={"state": "resolved"}).json()["total"] == 0


async def no_temporal() -> LazyDesk:
    raise UnavailableError("Temporal at 'secret-host:7233' does not answer")


def test_without_temporal_alerts_are_taken_and_decisions_wait(sqlite_store: Store, settings: Settings) -> None:
    with served(sqlite_store, settings, LazyDesk(no_temporal)) as api:
        incident_id = plant_incidents(api.store, api.settings, "default", eve_lines(12))[0]
        answer = decide(api.person(), incident_id, 1)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert "secret-host" not in answer.text
        assert api.client(Scope.HEALTH_READ).get("/readyz").json() == {"store": "ok", "temporal": "unreachable"}
        sent = api.client().post(
            "/v1/alerts", content=eve_lines(3, first=500), headers={"Content-Type": "application/x-ndjson"}
        )
        assert sent.status_code == 202


def test_a_sealed_answer_is_shown_nowhere_before_the_persons(api: Api) -> None:
    write_policy(api.settings.data_dir, "L0")
    incident_id = plant_incidents(api.store, api.settings, "default", eve_lines(60))[0]
    with api.store.read() as connection:
        sealed = connection.execute(select(schema.shadow_answer.c.answer)).scalars().all()
    assert sealed, "the agent answered in secret"
    client = api.person()
    for path in ("", "/trace"):
        shown = client.get(f"/v1/incidents/{incident_id}{path}").text
        assert all(reason["text"] not in shown for answer in sealed for reason in answer["reasons"])
    summary = client.get(f"/v1/incidents/{incident_id}").json()
    assert (summary["incident"]["verdict"], summary["incident"]["probability"], summary["reasons"]) == (None, None, [])
    answer = decide(client, incident_id, summary["incident"]["revision"], verdict=Verdict.TRUE_POSITIVE.value)
    assert answer.status_code == 200, answer.text
