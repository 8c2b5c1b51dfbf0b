"""A person's decision on its whole way: HTTP, Temporal, the incident's workflow, the store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from watchfloor_core.incident import IncidentStatus, Verdict
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_service.access.tokens import Scope
from watchfloor_service.api.incident_desk import temporal_desk
from watchfloor_service.testing import Api, served
from watchfloor_workflows.client import connect
from watchfloor_workflows.testing import DevServer, FixedEngine, Workbench
from watchfloor_workflows.testing.workbench import write_policy

INCIDENT = "inc-0123456789abcdef"


@pytest.fixture(scope="module")
def temporal() -> Iterator[DevServer]:
    with DevServer() as server:
        yield server


@pytest.fixture
def temporal_settings(temporal: DevServer, tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path, temporal_address=temporal.address, task_queue=f"api-{uuid4().hex}", debounce_s=0.0
    )


def decide(client: httpx.Client, revision: int, **more: object) -> httpx.Response:
    body = {"verdict": "BenignPositive", "comment": "a drill", "close": True, "revision": revision, **more}
    return client.post(f"/v1/incidents/{INCIDENT}/decision", json=body)


async def decided_by_http(api: Api, bench: Workbench) -> None:
    async with bench.worker():
        await bench.open(INCIDENT)
        await bench.until(lambda state: state.status is IncidentStatus.QUEUED, INCIDENT)
        client = api.person(principal="ana")
        stale = await asyncio.to_thread(decide, client, 7)
        assert (stale.status_code, stale.json()["type"]) == (409, "urn:watchfloor:problem:refused")
        answer = await asyncio.to_thread(decide, client, 1)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {
            "incident_id": INCIDENT,
            "status": "closed",
            "verdict": "BenignPositive",
            "level": 2,
            "revision": 1,
        }
        # The workflow has ended by now; a closed incident is taken up again all the same.
        reopened = await asyncio.to_thread(
            client.post, f"/v1/incidents/{INCIDENT}/reopen", json={"comment": "it was no drill"}
        )
        assert reopened.status_code == 200, reopened.text
        assert reopened.json()["status"] in ("queued", "escalated")
        probe = api.client(Scope.HEALTH_READ)
        assert (await asyncio.to_thread(probe.get, "/readyz")).json()["temporal"] == "ok"


def test_a_decision_goes_through_the_workflow_and_its_refusal_comes_back(
    sqlite_store: Store, temporal_settings: Settings
) -> None:
    write_policy(temporal_settings.data_dir, "L2")

    async def scenario(api: Api) -> None:
        client = await connect(temporal_settings)
        engine = FixedEngine(verdict=Verdict.BENIGN_POSITIVE)
        await decided_by_http(api, Workbench(client, sqlite_store, temporal_settings, engine))

    with served(sqlite_store, temporal_settings, temporal_desk(temporal_settings)) as api:
        asyncio.run(scenario(api))
