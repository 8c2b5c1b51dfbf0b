"""Every route of the application, tried with another tenant's callers, with each role, and with forged programs.

The routes are read from the application itself: one that is added tomorrow is tried tomorrow. Where it takes an object
that is not known here, or a body, the test says what to add to `OBJECTS` or `BODIES`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx
import orjson
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import delete, insert, select, update
from starlette.routing import BaseRoute

from tests.service.reports import investigated
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.schema import api_token
from watchfloor_core.store.schema_authority import action_proposal, approver_key, freeze
from watchfloor_core.store.schema_playbook import playbook_run
from watchfloor_core.store.tables import metadata
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.roles import SCOPES_OF_ROLE, Role, Scope, holdable
from watchfloor_service.access.testing import Browser, add_person, signed_in
from watchfloor_service.api.app import create_app, dependencies_of, required_scope
from watchfloor_service.api.authentication import Known
from watchfloor_service.testing import Api, DirectDesk, eve_alert, eve_lines, plant_incidents, served
from watchfloor_service.testing_actions import plant_waiting
from watchfloor_service.testing_playbooks import ASKING_ID, asking, keep, plant_run

OURS, THEIRS = "default", "acme"
MARK = "ONLY-ACME-KNOWS"
"""Stands in whatever is planted in the other tenant."""

WITHOUT_CALLER: Final = {
    "GET /healthz",
    "POST /v1/webhooks/{name}",
    "POST /v1/session",
    "GET /v1/first-login",
    "POST /v1/first-login",
    "GET /v1/oidc/login",
    "GET /v1/oidc/callback",
    "POST /v1/channels/slack/{tenant}",
    "POST /v1/channels/teams/{tenant}",
    "POST /v1/channels/webhook/{tenant}",
}
"""Ask for no caller; each such route is here on purpose."""


def plant_incident_of(store: Store, settings: Settings, tenant: str) -> str:
    with store.read() as connection:
        incident = metadata.tables["incident"]
        found = connection.execute(select(incident.c.id).where(incident.c.tenant == tenant)).scalars().first()
    if found is not None:
        return str(found)
    mark = MARK if tenant == THEIRS else "ours"
    unreadable = orjson.dumps({**eve_alert(99), "timestamp": mark})
    return plant_incidents(store, settings, tenant, eve_lines(12, signature=mark) + unreadable + b"\n")[0]


def plant_proposal_of(store: Store, settings: Settings, tenant: str) -> str:
    with store.read() as connection:
        known = select(action_proposal.c.id).where(action_proposal.c.tenant == tenant)
        found = connection.execute(known).scalars().first()
    return str(found) if found else plant_waiting(store, settings, tenant, plant_incident_of(store, settings, tenant))


def plant_freeze_of(store: Store, settings: Settings, tenant: str) -> str:
    proposal_id = plant_proposal_of(store, settings, tenant)
    with store.write() as connection:
        ours = (freeze.c.tenant == tenant) & freeze.c.lifted_us.is_(None)
        if connection.execute(select(freeze.c.tenant).where(ours)).first() is None:
            connection.execute(delete(freeze).where(freeze.c.tenant == tenant))
            connection.execute(
                insert(freeze).values(
                    tenant=tenant,
                    action_class=FROZEN,
                    proposal_id=proposal_id,
                    reason=MARK if tenant == THEIRS else "ours",
                    since_us=1,
                )
            )
    return FROZEN


def plant_key_of(store: Store, _: Settings, tenant: str) -> str:
    # Keys are of people, not of tenants: somebody else's is as far away as another tenant's.
    key_id = ("a" if tenant == THEIRS else "b") * 32
    with store.write() as connection:
        if connection.execute(select(approver_key.c.id).where(approver_key.c.id == key_id)).first() is None:
            connection.execute(
                insert(approver_key).values(
                    id=key_id,
                    principal=f"somebody of {tenant}",
                    kind="ed25519",
                    public_key=bytes(32),
                    sign_count=0,
                    label=MARK if tenant == THEIRS else "ours",
                    created_us=1,
                )
            )
    return key_id


def plant_evidence_of(store: Store, settings: Settings, tenant: str) -> str:
    return investigated(store, settings, tenant, plant_incident_of(store, settings, tenant))


def plant_run_of(store: Store, settings: Settings, tenant: str) -> str:
    keep(settings, asking())
    with store.read() as connection:
        known = select(playbook_run.c.id).where(playbook_run.c.tenant == tenant, playbook_run.c.status == "running")
        found = connection.execute(known).scalars().first()
    if found is not None:
        return str(found)
    text = MARK if tenant == THEIRS else "ours"
    return plant_run(store, settings, tenant, plant_incident_of(store, settings, tenant), asking(text))


def plant_task_of(store: Store, settings: Settings, tenant: str) -> str:
    plant_run_of(store, settings, tenant)
    return "w0"


FROZEN: Final = "deny ip"

OBJECTS: Final[dict[str, Callable[[Store, Settings, str], str]]] = {
    "incident_id": plant_incident_of,
    "proposal_id": plant_proposal_of,
    "action_class": plant_freeze_of,
    "key_id": plant_key_of,
    "evidence_id": plant_evidence_of,
    "run_id": plant_run_of,
    "key": plant_task_of,
}
"""How an object of a tenant comes to be, by the name of the parameter that takes it in an address; gives its id."""

_SIGNATURE: Final = {"signature": "AAAA"}

BODIES: Final[dict[str, object]] = {
    "POST /v1/alerts": eve_lines(1, first=5_000),
    "POST /v1/incidents/{incident_id}/decision": {"verdict": "FalsePositive", "comment": "seen", "revision": 1},
    "POST /v1/incidents/{incident_id}/reopen": {"comment": "again"},
    "POST /v1/incidents/{incident_id}/merge": {"other": "{incident_id}", "reason": "same"},
    "POST /v1/incidents/{incident_id}/split": {"shape_ids": ["0" * 32], "reason": "other"},
    "POST /v1/incidents/{incident_id}/report/corrections": {"finding": "F1", "says": "right", "revision": 5},
    "POST /v1/approvals/{proposal_id}/decision": {"decision": "deny", "digest": "0" * 64, "comment": "no"},
    "POST /v1/actions": {
        "incident_id": "{incident_id}",
        "action_class": FROZEN,
        "target": {"kind": "ip", "value": "198.51.100.2"},
        "purpose": "it scans",
    },
    "POST /v1/actions/{proposal_id}/undo": {"purpose": "mistaken"},
    "POST /v1/actions/{proposal_id}/edit": {"lease_s": 60, "reason": "shorter"},
    "POST /v1/playbook-runs": {"incident_id": "{incident_id}", "playbook_id": ASKING_ID, "reason": "it fits"},
    "POST /v1/playbook-runs/{run_id}/start": {},
    "POST /v1/playbook-runs/{run_id}/stop": {"reason": "mistaken"},
    "POST /v1/playbook-runs/{run_id}/rollback": {"reason": "mistaken"},
    "POST /v1/playbook-tasks/{run_id}/{key}": {"is_done": True, "values": {"__count__": "1"}},
    "POST /v1/freezes/{action_class}/lift": {"reason": "looked", "proposal_ids": ["{proposal_id}"]},
    "POST /v1/approver-keys": {"kind": "ed25519", "public_key": "AAAA", "proof": _SIGNATURE, "label": "x"},
    "POST /v1/approver-keys/passkey-options": None,
    "POST /v1/approver-keys/passkeys": {
        "challenge_id": "0" * 32,
        "credential_id": "AAAA",
        "client_data": "AAAA",
        "attestation": "AAAA",
        "label": "x",
    },
    "POST /v1/approver-keys/{key_id}/revoke": None,
    "POST /v1/kill/engage": {"scope": "tenant:{tenant}", "reason": "try"},
    "POST /v1/kill/release": {"scope": "tenant:{tenant}", "reason": "try"},
    "POST /v1/kill/lift": {"action_class": FROZEN, "proposals": ["{proposal_id}"], "reason": "looked"},
    "POST /v1/session/tenant": {"tenant": OURS},
    "DELETE /v1/session": None,
}
"""A body that each route which changes something accepts; bytes go as NDJSON. In braces: an object of the tenant that
is tried."""

ROLES_BESIDES: Final = {
    "POST /v1/kill/release": {Role.LEAD, Role.ADMIN},
    "POST /v1/kill/lift": {Role.LEAD, Role.ADMIN},
}
"""Routes that ask for a role besides the scope."""


def walk(routes: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, APIRoute]]:
    """(method and address, route) of all, through included routers."""
    for route in routes:
        if isinstance(route, APIRoute):
            for method in sorted(route.methods or ()):
                yield f"{method} {prefix}{route.path}", route
            continue
        included = getattr(route, "original_router", None)
        assert included is not None, f"{route!r} is a kind of route that is not tried here"
        yield from walk(included.routes, prefix + route.include_context.prefix)  # type: ignore[attr-defined]  # FastAPI's own


def routes_of_the_application() -> dict[str, APIRoute]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        store = open_store(settings.store_url)
        try:
            return dict(walk(create_app(settings, store, desk=DirectDesk(store)).routes))
        finally:
            store.close()


ROUTES: Final = routes_of_the_application()
SCOPED: Final = {name: route for name, route in ROUTES.items() if required_scope(route) is not None}
FOR_ONESELF: Final = {
    name: route
    for name, route in ROUTES.items()
    if name not in SCOPED and any(isinstance(call, Known) for call in dependencies_of(route))
}
EACH_SCOPED: Final = pytest.mark.parametrize("name", SCOPED)


def scope_of(name: str) -> Scope:
    needed = required_scope(SCOPED[name])
    assert needed is not None
    return needed.scope


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite_file: Path) -> Iterator[Api]:
    """One for all routes, with something of each kind in both tenants."""
    folder = tmp_path_factory.mktemp("tenancy")
    shutil.copyfile(migrated_sqlite_file, folder / "store.db")
    settings = Settings(data_dir=folder)
    store = open_store(f"sqlite:///{folder / 'store.db'}")
    for plant in OBJECTS.values():
        for tenant in (OURS, THEIRS):
            plant(store, settings, tenant)
    for role in Role:
        add_person(store, role.value, role, tenant=OURS)
    add_person(store, "everything", *Role, tenant=OURS)
    add_person(store, "abroad", *Role, tenant=THEIRS)
    with served(store, settings) as running:
        yield running
    store.close()


@pytest.fixture(scope="module")
def people(api: Api) -> Iterator[dict[str, Browser]]:
    """A browser of each person, by name."""
    names = [*(role.value for role in Role), "everything", "abroad"]
    browsers = [signed_in(api, name) for name in names]
    yield {name: browser.__enter__() for name, browser in zip(names, browsers, strict=True)}
    for browser in browsers:
        browser.__exit__(None, None, None)


def ask(
    client: httpx.Client, name: str, api: Api, *, objects_of: str, headers: dict[str, str] | None = None
) -> httpx.Response:
    """Call a route for an object of that tenant."""
    method, path = name.split(" ", 1)
    for parameter in ROUTES[name].param_convertors:
        if parameter not in OBJECTS:
            pytest.fail(f"{name} takes {parameter!r}: add to OBJECTS how one comes to be in a tenant")
    path = filled(path, api, objects_of, quote)
    if method == "GET":
        return client.get(path, headers=headers)
    if name not in BODIES:
        pytest.fail(f"{name} changes something: add a body that it accepts to BODIES")
    body = BODIES[name]
    if isinstance(body, bytes):
        as_ndjson = {"Content-Type": "application/x-ndjson", **(headers or {})}
        return client.request(method, path, content=body, headers=as_ndjson)
    if body is None:
        return client.request(method, path, headers=headers)
    as_json = {"Content-Type": "application/json", **(headers or {})}
    return client.request(method, path, content=filled(json.dumps(body), api, objects_of), headers=as_json)


def filled(text: str, api: Api, tenant: str, escape: Callable[[str], str] = str) -> str:
    """The text with the tenant's objects in their places."""
    for parameter, plant in OBJECTS.items():
        if f"{{{parameter}}}" in text:
            text = text.replace(f"{{{parameter}}}", escape(plant(api.store, api.settings, tenant)))
    return text.replace("{tenant}", tenant)


def everything_of(store: Store, tenant: str) -> dict[str, list[str]]:
    """All rows of a tenant, but for the sessions of its people, which are seen to be in use."""
    with store.read() as connection:
        return {
            name: sorted(repr(row) for row in connection.execute(table.select().where(table.c.tenant == tenant)))
            for name, table in metadata.tables.items()
            if "tenant" in table.c and name not in {"login_session"}
        }


def test_every_route_asks_who_calls_or_is_known_not_to() -> None:
    assert len(ROUTES) >= 20
    assert {name for name in ROUTES if name not in SCOPED and name not in FOR_ONESELF} <= WITHOUT_CALLER


@pytest.mark.parametrize("name", [*SCOPED, *FOR_ONESELF])
def test_a_stranger_gets_nothing(api: Api, name: str) -> None:
    # From an address of its own for each: the throttle is another test's.
    address = f"2001:db8:{list(ROUTES).index(name):x}::1"
    answer = ask(api.stranger(), name, api, objects_of=THEIRS, headers={"X-Forwarded-For": address})
    assert answer.status_code == 401
    assert MARK not in answer.text


@EACH_SCOPED
@pytest.mark.parametrize("way", ["token", "session"])
def test_another_tenants_caller_gets_nothing_and_changes_nothing(
    api: Api, people: dict[str, Browser], name: str, way: str
) -> None:
    if way == "token":
        client, headers = api.client(*Scope, tenant=OURS, kind=PrincipalKind.PERSON, principal="eve"), {}
    else:
        client, headers = people["everything"].client, people["everything"].headers
    theirs = [plant(api.store, api.settings, THEIRS) for plant in OBJECTS.values()]
    before = everything_of(api.store, THEIRS)
    answer = ask(client, name, api, objects_of=THEIRS, headers=headers)
    if ROUTES[name].param_convertors:
        assert answer.status_code in (403, 404, 409), answer.text
    else:
        assert answer.status_code < 300 or answer.status_code in (403, 404, 409), answer.text
        # What was asked for may be named in the answer, what was not may not.
        assert answer.status_code >= 300 or not [
            one for one in theirs if one not in (FROZEN, "w0") and one in answer.text
        ]
    assert MARK not in answer.text
    assert everything_of(api.store, THEIRS) == before


def test_what_another_tenant_has_is_there_for_its_own_people(api: Api, people: dict[str, Browser]) -> None:
    # Else the test above would pass by asking for nothing.
    names = [name for name in SCOPED if name.startswith("GET") and scope_of(name) in SCOPES_OF_ROLE[Role.LEAD]]
    answers = {name: ask(people["abroad"].client, name, api, objects_of=THEIRS) for name in names}
    assert {answer.status_code for answer in answers.values()} == {200}
    telling = {name for name, answer in answers.items() if MARK in answer.text}
    assert telling >= {
        "GET /v1/incidents",
        "GET /v1/incidents/{incident_id}",
        "GET /v1/deadletters",
        "GET /v1/freezes",
        "GET /v1/playbook-runs/{run_id}",
        "GET /v1/playbook-tasks",
    }


@pytest.mark.parametrize("name", [*SCOPED, *FOR_ONESELF])
@pytest.mark.parametrize("way", ["token", "session"])
def test_a_tenant_that_is_not_the_callers_cannot_be_named(
    api: Api, people: dict[str, Browser], name: str, way: str
) -> None:
    if way == "token":
        client, headers = api.client(*Scope, tenant=OURS, kind=PrincipalKind.PERSON, principal="eve"), {}
    else:
        client, headers = people["everything"].client, people["everything"].headers
    answer = ask(client, name, api, objects_of=THEIRS, headers={**headers, "X-Watchfloor-Tenant": THEIRS})
    assert answer.status_code == 403
    assert MARK not in answer.text


@EACH_SCOPED
@pytest.mark.parametrize("role", Role)
def test_a_role_opens_exactly_the_routes_whose_scope_it_carries(
    api: Api, people: dict[str, Browser], name: str, role: Role
) -> None:
    browser = people[role.value]
    answer = ask(browser.client, name, api, objects_of=OURS, headers=browser.headers)
    if scope_of(name) in SCOPES_OF_ROLE[role] and role in ROLES_BESIDES.get(name, Role):
        assert answer.status_code not in (401, 403), answer.text
    else:
        assert answer.status_code == 403


@EACH_SCOPED
@pytest.mark.parametrize("kind", [PrincipalKind.SERVICE, PrincipalKind.AGENT])
def test_a_program_that_the_store_says_may_do_all_may_do_no_more_than_a_program(
    api: Api, name: str, kind: PrincipalKind
) -> None:
    needed = required_scope(SCOPED[name])
    assert needed is not None
    token = api.token(*Scope, kind=PrincipalKind.PERSON, principal=f"forged-{kind.value}")
    with api.store.write() as connection:
        connection.execute(update(api_token).where(api_token.c.id == token.split("_")[1]).values(kind=kind.value))
    answer = ask(api.bearer(token), name, api, objects_of=OURS)
    may = needed.scope in holdable(kind) and not needed.is_for_people
    assert (answer.status_code != 403) is may, answer.text
