"""``/v1/kill``: who may stop what, and that the answer comes when nothing acts any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import insert, select, update

from watchfloor_core.clock import now_us
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import ledger_entry
from watchfloor_core.store.schema_authority import execution
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.roles import SCOPES_OF_ROLE, Role, Scope
from watchfloor_guardrails.switches import covering_scopes
from watchfloor_service.api.app import WITH_TOKEN
from watchfloor_service.api.routes import kill
from watchfloor_service.testing import Api, served
from watchfloor_workflows.authority.kill_switch import read_switches

ACT = covering_scopes("default", "incident_response", "deny ip", "edge", "specialist")
WHY = "looks wrong"


@pytest.fixture(autouse=True)
def routes(monkeypatch: pytest.MonkeyPatch) -> None:
    if kill.router not in WITH_TOKEN:
        monkeypatch.setattr("watchfloor_service.api.app.WITH_TOKEN", (*WITH_TOKEN, kill.router))


@pytest.fixture
def api(routes: None, sqlite_store: Store, settings: Settings) -> Iterator[Api]:
    with served(sqlite_store, settings) as running:
        yield running


@pytest.fixture
def api_on_each(routes: None, store: Store, settings: Settings) -> Iterator[Api]:
    with served(store, settings) as running:
        yield running


def holder(api: Api, role: Role, tenant: str = "default") -> httpx.Client:
    return api.client(*SCOPES_OF_ROLE[role], tenant=tenant, kind=PrincipalKind.PERSON, principal=f"a-{role.value}")


def post(client: httpx.Client, verb: str, scope: str) -> httpx.Response:
    return client.post(f"/v1/kill/{verb}", json={"scope": scope, "reason": WHY})


def engaged(api: Api, scopes: tuple[str, ...] = ACT) -> tuple[str, ...]:
    with api.store.read() as connection:
        return read_switches(connection, scopes).engaged


def begin(store: Store, beat_us: int) -> None:
    with store.write() as connection:
        connection.execute(
            insert(execution).values(
                tenant="default",
                grant_id="1" * 32,
                proposal_id="act-1",
                digest="1" * 64,
                action_class="deny ip",
                tool="edge",
                executor="executor-1",
                authority="level",
                kill_scopes=list(ACT),
                state_before={},
                phase="acting",
                consumed_us=beat_us,
                beat_us=beat_us,
            )
        )


def test_a_responder_stops_their_tenant_and_a_lead_lets_go(api_on_each: Api) -> None:
    api = api_on_each
    responder, lead = holder(api, Role.RESPONDER), holder(api, Role.LEAD)
    answer = post(responder, "engage", "tenant:default/action:deny ip")
    assert answer.status_code == 200
    assert (answer.json()["epoch"], answer.json()["is_still"]) == (1, True)
    assert engaged(api) == ("tenant:default/action:deny ip",)
    assert post(responder, "release", "tenant:default/action:deny ip").status_code == 403
    assert post(lead, "release", "tenant:default/action:deny ip").json() == {
        "scope": "tenant:default/action:deny ip",
        "epoch": 2,
    }
    assert engaged(api) == ()
    assert post(lead, "release", "tenant:default/action:deny ip").status_code == 409


def test_what_reaches_over_tenants_is_stopped_from_home_by_a_lead_or_admin_alone(api: Api) -> None:
    scopes = ("all", "function:incident_response", "action:deny ip", "tool:edge", "agent:specialist")
    others = (holder(api, Role.RESPONDER), holder(api, Role.LEAD, "acme"), holder(api, Role.ADMIN, "acme"))
    answers = [post(client, "engage", scope).status_code for client in others for scope in scopes]
    assert (set(answers), engaged(api)) == ({403}, ())
    assert [post(holder(api, Role.ADMIN), "engage", scope).status_code for scope in scopes] == [200] * 5
    assert engaged(api) == scopes


def test_nobody_touches_another_tenants_switch_not_even_from_home(api: Api) -> None:
    for role in (Role.LEAD, Role.ADMIN):
        for verb in ("engage", "release"):
            assert post(holder(api, role), verb, "tenant:acme").status_code == 403
    assert engaged(api, ("tenant:acme",)) == ()
    with api.store.read() as connection:
        kinds = connection.scalars(select(ledger_entry.c.kind)).all()
    assert set(kinds) == {"refusal"}


def test_a_program_and_a_person_without_the_scope_stop_nothing(api: Api) -> None:
    for client in (holder(api, Role.ANALYST), holder(api, Role.AUDITOR), api.client(Scope.ACTIONS_READ)):
        assert post(client, "engage", "tenant:default").status_code == 403
    assert engaged(api) == ()


def test_what_is_no_scope_is_422_with_the_forms_there_are(api: Api) -> None:
    answer = post(holder(api, Role.LEAD), "engage", "action:block ip")
    assert answer.status_code == 422
    assert "'deny ip'" in answer.json()["detail"]


def test_the_answer_waits_for_what_is_under_way_and_others_are_answered_meanwhile(api_on_each: Api) -> None:
    api = api_on_each
    begin(api.store, now_us())
    lead, reader = holder(api, Role.LEAD), holder(api, Role.VIEWER)
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(post(lead, "engage", "all")))
    thread.start()
    while not [one for one in reader.get("/v1/kill").json()["switches"] if one["is_engaged"]]:
        pass  # each look is a request, answered while the other one waits
    assert answers == []
    with api.store.write() as connection:
        connection.execute(update(execution).values(phase="done", outcome="succeeded"))
    thread.join(20)
    assert [one.status_code for one in answers] == [200]


def test_a_silent_executor_makes_it_503_and_the_scope_is_stopped_all_the_same(api: Api) -> None:
    begin(api.store, now_us() - 60_000_000)
    answer = post(holder(api, Role.LEAD), "engage", "tenant:default")
    assert answer.status_code == 503
    told = answer.json()
    assert (told["epoch"], told["is_still"], told["unknown"], told["acting"]) == (1, False, ["act-1"], [])
    assert "retry-after" in answer.headers
    assert engaged(api) == ("tenant:default",)


def test_a_tenant_sees_its_own_switches_and_that_it_is_stopped_from_home_but_not_why(api: Api) -> None:
    post(holder(api, Role.LEAD), "engage", "tool:edge")
    post(holder(api, Role.LEAD, "acme"), "engage", "tenant:acme")
    post(holder(api, Role.LEAD), "engage", "tenant:default")
    shown = holder(api, Role.VIEWER, "acme").get("/v1/kill").json()["switches"]
    assert [(one["scope"], one["is_engaged"], one["reason"]) for one in shown] == [
        ("all", False, None),
        ("tenant:acme", True, WHY),
        ("tool:edge", True, None),
    ]
    at_home = holder(api, Role.VIEWER).get("/v1/kill").json()["switches"]
    assert [(one["scope"], one["changed_by"]) for one in at_home if one["is_engaged"]] == [
        ("tenant:default", "a-lead"),
        ("tool:edge", "a-lead"),
    ]
