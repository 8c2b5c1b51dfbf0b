"""A worker that is killed in the middle of an investigation: the next one goes on, and asks nothing twice."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from tests.workflows.investigations import InvestigationBench, write_attack
from watchfloor_core.incident import Verdict
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_workflows.client import connect
from watchfloor_workflows.investigation.records import InvestigationStatus

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

WORKER = """
import asyncio, os, signal, sys
from watchfloor_agents.triage.specialist import SpecialistTriage
from watchfloor_core.settings import Settings
from watchfloor_workflows.investigation import stages
from watchfloor_workflows.worker import run_worker

asked, log, dies_at = stages.ask, sys.argv[1], int(sys.argv[2])

def ask(question, *others):
    answer = asked(question, *others)
    with open(log, "a") as file:
        file.write(question.digest + "\\n")
    with open(log) as file:
        if len(file.readlines()) == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
    return answer

stages.ask = ask
asyncio.run(run_worker(Settings()))
"""
PATIENCE_S = 200
"""Temporal finds out after a heartbeat's time limit, and starting takes long beside other tests."""
DIES_AT = 20
"""After it was answered, and before the answer is kept."""


async def start(settings: Settings, log: Path, dies_at: int) -> asyncio.subprocess.Process:
    environment = {
        **os.environ,
        "WATCHFLOOR_DATA_DIR": str(settings.data_dir),
        "WATCHFLOOR_DATABASE_URL": settings.store_url,
        "WATCHFLOOR_TENANT": settings.tenant,
        "WATCHFLOOR_TASK_QUEUE": settings.task_queue,
        "WATCHFLOOR_TEMPORAL_ADDRESS": str(settings.temporal_address),
    }
    return await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, str(log), str(dies_at), env=environment)


async def test_a_killed_worker_s_questions_are_not_asked_again(
    settings: Settings, sqlite_store: Store, sqlite_url: str, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"database_url": SecretStr(sqlite_url)})
    source = {"name": "lab", "kind": "files", "tenants": [settings.tenant], "paths": [str(write_attack(tmp_path))]}
    (settings.data_dir / "logs.yaml").write_text(yaml.safe_dump({"sources": [source]}))
    lab = InvestigationBench.over(await connect(settings), sqlite_store, settings)
    lab.set_level("L2")
    log = tmp_path / "asked"
    killed = await start(settings, log, DIES_AT)
    lab.make_due()
    assert await asyncio.wait_for(killed.wait(), PATIENCE_S) == -signal.SIGKILL
    assert sum(lab.questions()) == DIES_AT - 1
    assert lab.status() is InvestigationStatus.RUNNING

    worker = await start(settings, log, 0)
    async with asyncio.timeout(PATIENCE_S):
        while lab.status() is InvestigationStatus.RUNNING:
            await asyncio.sleep(0.1)
    worker.send_signal(signal.SIGTERM)
    assert await worker.wait() == 0

    asked = Counter(log.read_text().splitlines())
    lost = {digest: times for digest, times in asked.items() if times > 1}
    # The one whose answer was lost with the worker, and no other.
    assert lost == {log.read_text().splitlines()[DIES_AT - 1]: 2}
    assert lab.status() is InvestigationStatus.DONE
    assert all(lab.questions())
    assert lab.ledger()[0]["verdict"] == Verdict.TRUE_POSITIVE.value
