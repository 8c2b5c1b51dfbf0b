"""One real Temporal server for all tests here; a bench of its own, with its own tenant and task queue, for each."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_workflows.client import connect
from watchfloor_workflows.testing import DevServer, FixedEngine, Workbench


@pytest.fixture
def anyio_backend() -> str:
    """Temporal's client needs asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def temporal_server() -> Iterator[DevServer]:
    with DevServer() as server:
        yield server


@pytest.fixture
def settings(temporal_server: DevServer, tmp_path: Path) -> Settings:
    tenant = f"t-{uuid.uuid4().hex[:12]}"
    return Settings(
        data_dir=tmp_path,
        tenant=tenant,
        task_queue=tenant,
        temporal_address=temporal_server.address,
        debounce_s=0.05,
    )


@pytest.fixture
async def bench(settings: Settings, sqlite_store: Store) -> AsyncIterator[Workbench]:
    """At L4, where the agent closes what it holds for benign."""
    workbench = Workbench(await connect(settings), sqlite_store, settings, FixedEngine())
    workbench.set_level("L4")
    yield workbench
    workbench.engine.may_answer.set()
