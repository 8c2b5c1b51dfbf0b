"""Who may do what over HTTP. The routes are enumerated: a new one is covered by the day it is written."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from tests.service.reports import investigated
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_service.access.tokens import PrincipalKind, Scope, revoke_token
from watchfloor_service.api.app import OPEN, SELF_PROVING, WITH_TOKEN, create_app, required_scope
from watchfloor_service.api.boundary import SECURITY_HEADERS
from watchfloor_service.api.throttle import FAILURES
from watchfloor_service.testing import Api, DirectDesk, eve_lines, plant_incidents, served
from watchfloor_workflows.messages import DecideIncidentInput, IncidentStanding

NOBODY = "inc-0000000000000000"


def routes_of(routers: tuple[APIRouter, ...]) -> list[APIRoute]:
    return [route for router in routers for route in router.routes if isinstance(route, APIRoute)]


PROTECTED = routes_of(WITH_TOKEN)
BY_INCIDENT = [route for route in PROTECTED if "{incident_id}" in route.path]
BODIES: dict[str, dict[str, object]] = {
    "decision": {"verdict": "FalsePositive", "comment": "seen", "revision": 1},
    "reopen": {"comment": "again"},
    "merge": {"other": NOBODY, "reason": "same"},
    "split": {"shape_ids": ["0" * 32], "reason": "other"},
    # Twelve alerts planted make an incident of this revision.
    "corrections": {"finding": "F1", "says": "right", "revision": 5},
    "undo": {"purpose": "over"},
    "edit": {"lease_s": 60, "reason": "shorter"},
    "lift": {"reason": "looked"},
}
SIGNATURE = "A" * 88
BODIES_BY_PATH: dict[str, dict[str, object]] = {
    "/v1/actions": {
        "incident_id": NOBODY,
        "action_class": "deny ip",
        "target": {"kind": "ip", "value": "192.0.2.1"},
        "purpose": "stop it",
    },
    "/v1/approvals/{proposal_id}/decision": {"decision": "deny", "digest": "0" * 64, "comment": "no"},
    "/v1/approver-keys": {
        "kind": "ed25519",
        "public_key": "A" * 44,
        "proof": {"signature": SIGNATURE},
        "label": "laptop",
    },
    "/v1/approver-keys/passkey-options": {},
    "/v1/approver-keys/passkeys": {
        "challenge_id": "0" * 32,
        "credential_id": "AAAA",
        "client_data": "AAAA",
        "attestation": "AAAA",
        "label": "phone",
    },
    "/v1/approver-keys/{key_id}/revoke": {},
    "/v1/playbook-runs": {"incident_id": NOBODY, "playbook_id": f"playbook--{'0' * 36}", "reason": "it fits"},
    "/v1/playbook-runs/{run_id}/start": {},
    "/v1/playbook-runs/{run_id}/stop": {"reason": "over"},
    "/v1/playbook-runs/{run_id}/rollback": {"reason": "over"},
    "/v1/playbook-tasks/{run_id}/{key}": {"is_done": True},
    "/v1/kill/engage": {"scope": "tenant:default/action:drill", "reason": "test"},
    "/v1/kill/release": {"scope": "tenant:default/action:drill", "reason": "test"},
}
NAMED = {"{proposal_id}": "act-0000000000000000", "{action_class}": "deny%20ip", "{key_id}": "0" * 32,
         "{evidence_id}": "0" * 64, "{run_id}": "pbr-0000000000000000", "{key}": "w0"}  # fmt: skip


def method_of(route: APIRoute) -> str:
    return min(route.methods or ())


def name_of(route: APIRoute) -> str:
    return f"{method_of(route)} {route.path}"


def call(client: httpx.Client, route: APIRoute, incident_id: str = NOBODY) -> httpx.Response:
    path = route.path.replace("{incident_id}", incident_id)
    for name, value in NAMED.items():
        path = path.replace(name, value)
    if method_of(route) == "GET":
        return client.get(path)
    if path == "/v1/alerts":
        return client.post(path, content=eve_lines(1), headers={"Content-Type": "application/x-ndjson"})
    body = BODIES_BY_PATH.get(route.path)
    return client.post(path, json=BODIES[path.rsplit("/", 1)[1]] if body is None else body)


def kind_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("urn:watchfloor:problem:")


def test_every_route_is_known_and_only_healthz_asks_nothing(api: Api) -> None:
    assert {name_of(route) for route in PROTECTED} == {
        "POST /v1/alerts",
        "GET /v1/incidents",
        "GET /v1/incidents/{incident_id}",
        "GET /v1/incidents/{incident_id}/trace",
        "GET /v1/incidents/{incident_id}/report",
        "GET /v1/incidents/{incident_id}/report/corrections",
        "POST /v1/incidents/{incident_id}/report/corrections",
        "GET /v1/evidence/{evidence_id}",
        "POST /v1/incidents/{incident_id}/decision",
        "POST /v1/incidents/{incident_id}/reopen",
        "POST /v1/incidents/{incident_id}/merge",
        "POST /v1/incidents/{incident_id}/split",
        "GET /v1/approvals",
        "GET /v1/approvals/{proposal_id}",
        "GET /v1/approvals/{proposal_id}/record",
        "POST /v1/approvals/{proposal_id}/decision",
        "GET /v1/actions",
        "GET /v1/actions/{proposal_id}",
        "POST /v1/actions",
        "POST /v1/actions/{proposal_id}/undo",
        "POST /v1/actions/{proposal_id}/edit",
        "GET /v1/freezes",
        "GET /v1/playbooks",
        "GET /v1/playbook-runs",
        "GET /v1/playbook-runs/{run_id}",
        "POST /v1/playbook-runs",
        "POST /v1/playbook-runs/{run_id}/start",
        "POST /v1/playbook-runs/{run_id}/stop",
        "POST /v1/playbook-runs/{run_id}/rollback",
        "GET /v1/playbook-tasks",
        "POST /v1/playbook-tasks/{run_id}/{key}",
        "POST /v1/freezes/{action_class}/lift",
        "GET /v1/approver-keys",
        "POST /v1/approver-keys",
        "POST /v1/approver-keys/passkey-options",
        "POST /v1/approver-keys/passkeys",
        "POST /v1/approver-keys/{key_id}/revoke",
        "GET /v1/kill",
        "POST /v1/kill/engage",
        "POST /v1/kill/release",
        "GET /v1/deadletters",
        "GET /readyz",
    }
    assert [name_of(route) for route in routes_of(SELF_PROVING)] == [
        "POST /v1/webhooks/{name}",
        "POST /v1/channels/slack/{tenant}",
        "POST /v1/channels/teams/{tenant}",
        "POST /v1/channels/webhook/{tenant}",
    ]
    assert [name_of(route) for route in routes_of(OPEN)] == ["GET /healthz"]
    stranger = api.stranger()
    for path in ("/docs", "/redoc", "/openapi.json", "/"):
        assert stranger.get(path).status_code == 404


def test_an_application_with_a_route_that_names_no_scope_is_not_built(
    sqlite_store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten = APIRouter()

    @forgotten.get("/v1/everything")
    def everything() -> None: ...

    monkeypatch.setattr("watchfloor_service.api.app.WITH_TOKEN", (*WITH_TOKEN, forgotten))
    with pytest.raises(TypeError, match="names no scope"):
        create_app(settings, sqlite_store)


@pytest.mark.parametrize("route", PROTECTED, ids=name_of)
def test_without_a_token_every_route_is_401(api: Api, route: APIRoute) -> None:
    answer = call(api.stranger(), route)
    assert kind_of(answer) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    # Not even what an address expects is told to strangers.
    if route.path != "/v1/alerts" and method_of(route) == "POST":
        path = route.path.replace("{incident_id}", NOBODY)
        assert api.stranger().post(path, content=b"{", headers={"Content-Type": "application/json"}).status_code == 401


@pytest.mark.parametrize("route", PROTECTED, ids=name_of)
def test_with_every_scope_but_its_own_every_route_is_403(api: Api, route: APIRoute) -> None:
    needed = required_scope(route)
    assert needed is not None
    others = [scope for scope in Scope if scope is not needed.scope]
    answer = call(api.client(*others, kind=PrincipalKind.PERSON), route)
    assert kind_of(answer) == (403, "forbidden")


@pytest.mark.parametrize("route", PROTECTED, ids=name_of)
def test_with_its_own_scope_alone_every_route_answers(api: Api, route: APIRoute) -> None:
    needed = required_scope(route)
    assert needed is not None
    answer = call(api.client(needed.scope, kind=PrincipalKind.PERSON), route)
    # 409: what is refused for another reason than the scope; letting go what was stopped takes a role as well.
    others = (403,) if route.path == "/v1/kill/release" else ()
    assert answer.status_code in (200, 202, 404, 409, *others)


def test_only_a_person_decides_even_if_the_store_says_a_service_may(api: Api) -> None:
    token = api.token(Scope.INCIDENTS_DECIDE, kind=PrincipalKind.PERSON)
    with api.store.write() as connection:
        connection.exec_driver_sql("UPDATE api_token SET kind = 'service'")
    for route in BY_INCIDENT:
        if method_of(route) == "POST":
            assert kind_of(call(api.bearer(token), route)) == (403, "forbidden")


@pytest.mark.parametrize("route", BY_INCIDENT, ids=name_of)
def test_another_tenants_incident_does_not_exist(api: Api, route: APIRoute) -> None:
    ours = plant_incidents(api.store, api.settings, "acme", eve_lines(12))[0]
    if "/report" in route.path:
        investigated(api.store, api.settings, "acme", ours)
    if not route.path.endswith("/merge"):  # its body names another incident that is nowhere
        assert call(api.person(tenant="acme"), route, ours).status_code in (200, 409)
    answer = call(api.person(tenant="default"), route, ours)
    assert kind_of(answer) == (404, "not-found")
    # Word for word as for one that is nowhere.
    nowhere = call(api.person(tenant="default"), route)
    assert answer.json()["detail"].replace(ours, NOBODY) == nowhere.json()["detail"]


def test_lists_show_the_callers_tenant_alone(api: Api) -> None:
    plant_incidents(api.store, api.settings, "acme", eve_lines(12) + b"{broken\n")
    scopes = (Scope.INCIDENTS_READ, Scope.DEADLETTERS_READ)
    for tenant, expected in (("acme", True), ("default", False)):
        client = api.client(*scopes, tenant=tenant)
        assert bool(client.get("/v1/incidents").json()["incidents"]) is expected
        assert bool(client.get("/v1/deadletters").json()["dead_letters"]) is expected


def test_an_incident_of_another_tenant_cannot_be_merged_in(api: Api) -> None:
    theirs = plant_incidents(api.store, api.settings, "acme", eve_lines(12))[0]
    ours = plant_incidents(api.store, api.settings, "default", eve_lines(12, first=100))[0]
    answer = api.person().post(f"/v1/incidents/{ours}/merge", json={"other": theirs, "reason": "try"})
    assert kind_of(answer) == (404, "not-found")


def test_a_revoked_token_is_out_at_once(api: Api) -> None:
    token = api.token(Scope.INCIDENTS_READ)
    client = api.bearer(token)
    assert client.get("/v1/incidents").status_code == 200
    with api.store.write() as connection:
        revoke_token(connection, "default", token.split("_")[1])
    assert client.get("/v1/incidents").status_code == 401


@pytest.mark.parametrize("header", ["", "Basic d2Y6d2Y=", "Bearer", "Bearer \xff\xfe", "Bearer " + "x" * 9000])
def test_malformed_credentials_are_401(api: Api, header: str) -> None:
    answer = api.stranger().get("/v1/incidents", headers={b"Authorization": header.encode("latin-1")})
    assert kind_of(answer) == (401, "unauthenticated")


def test_a_client_that_keeps_failing_is_told_to_wait_and_the_others_are_not(api: Api) -> None:
    known = api.client(Scope.INCIDENTS_READ)
    assert known.get("/v1/incidents").status_code == 200
    stranger = api.stranger()
    guesses = [stranger.get("/v1/incidents", headers={"Authorization": f"Bearer wf_{n}"}) for n in range(FAILURES + 1)]
    assert {guess.status_code for guess in guesses[:-1]} == {401}
    assert kind_of(guesses[-1]) == (429, "too-many-failures")
    assert 1 <= int(guesses[-1].headers["retry-after"]) <= 61
    # Same address, but this token proved right a moment ago.
    assert known.get("/v1/incidents").status_code == 200
    assert stranger.get("/healthz").status_code == 200
    assert stranger.post("/v1/webhooks/any", content=b"x").status_code == 429


@pytest.mark.parametrize(
    "path", ["/healthz", "/nowhere", "/v1/incidents"], ids=["a good answer", "no such address", "a refusal"]
)
def test_every_answer_has_a_request_id_and_security_headers(api: Api, path: str) -> None:
    answer = api.stranger().get(path, headers={"X-Request-Id": "chosen-by-the-client"})
    assert len(answer.headers["x-request-id"]) == 32
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value
    assert "server" not in answer.headers


class BrokenDesk(DirectDesk):
    """Has a defect."""

    async def decide(self, tenant: str, incident_id: str, decision: DecideIncidentInput) -> IncidentStanding:
        raise KeyError(f"secret of {tenant}")


@pytest.fixture
def broken(sqlite_store: Store, settings: Settings) -> Iterator[Api]:
    with served(sqlite_store, settings, BrokenDesk(sqlite_store)) as running:
        yield running


def test_a_defect_is_a_500_that_tells_the_client_nothing_and_the_log_everything(
    broken: Api, caplog: pytest.LogCaptureFixture
) -> None:
    incident_id = plant_incidents(broken.store, broken.settings, "default", eve_lines(12))[0]
    with caplog.at_level(logging.ERROR):
        answer = broken.person().post(f"/v1/incidents/{incident_id}/decision", json=BODIES["decision"])
    assert kind_of(answer) == (500, "internal")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    logged = next(record for record in caplog.records if record.name == "watchfloor_service.api.boundary")
    assert answer.json()["request_id"] in logged.getMessage()
    assert logged.exc_info is not None


def test_a_principal_in_the_body_is_refused(api: Api) -> None:
    incident_id = plant_incidents(api.store, api.settings, "default", eve_lines(12))[0]
    answer = api.person().post(
        f"/v1/incidents/{incident_id}/decision", json={**BODIES["decision"], "principal": "local:root"}
    )
    assert kind_of(answer) == (422, "invalid-request")
    assert answer.json()["errors"] == [{"path": "principal", "message": "Extra inputs are not permitted"}]


def test_errors_do_not_echo_what_was_sent(api: Api) -> None:
    incident_id = plant_incidents(api.store, api.settings, "default", eve_lines(12))[0]
    client = api.person()
    sent = "<script>alert(1)</script>\x1b[2J"
    wrong = {"verdict": sent, "comment": 1, "revision": sent, sent: sent}
    for answer in (
        client.post(f"/v1/incidents/{incident_id}/decision", json=wrong),
        client.get("/v1/incidents", params={"status": sent, "limit": sent, "cursor": sent}),
        client.get("/v1/incidents", params={"cursor": sent}),
        client.get(f"/v1/incidents/{quote(sent, safe='')}"),
    ):
        assert answer.status_code in (404, 422)
        assert "\\u001b" not in answer.text
        for error in answer.json().get("errors", []):
            assert "script" not in error["message"]
    long = client.get(f"/v1/incidents/{'x' * 5_000}")
    assert len(long.text) < 500


def test_a_large_body_for_a_small_address_is_refused(api: Api) -> None:
    incident_id = plant_incidents(api.store, api.settings, "default", eve_lines(12))[0]
    answer = api.person().post(f"/v1/incidents/{incident_id}/decision", json={"comment": "x" * 70_000})
    assert kind_of(answer) == (413, "too-large")
