"""Approvals over hours and days, on Temporal's test server, which skips the waiting."""

from __future__ import annotations

import asyncio
import shutil
import sysconfig
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from watchfloor_core.errors import NotFoundError, RefusedError
from watchfloor_core.notice import ApprovalNotice
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import lease
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_workflows import search_attributes
from watchfloor_workflows.payload_keys import payload_keys
from watchfloor_workflows.plugin import watchfloor_plugin
from watchfloor_workflows.testing.actions import ActionBench, Person, make_attack, register

pytestmark = pytest.mark.anyio

ANA = Person("ana")


class Kept:
    """Remembers what people were told."""

    def __init__(self) -> None:
        self.sent: list[ApprovalNotice] = []

    def send(self, notice: ApprovalNotice) -> None:
        self.sent.append(notice)


@pytest.fixture
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    server = shutil.which("temporal-test-server", path=sysconfig.get_path("scripts"))
    async with await WorkflowEnvironment.start_time_skipping(test_server_existing_path=server) as started:
        yield started


@pytest.fixture
async def bench(environment: WorkflowEnvironment, tmp_path: Path, sqlite_store: Store) -> ActionBench:
    address = environment.client.service_client.config.target_host
    settings = Settings(data_dir=tmp_path, tenant="acme", task_queue="acme", temporal_address=address)
    register(sqlite_store, ANA)
    make_attack(sqlite_store, "acme")
    # The test server can add search attributes, and cannot list them.
    await environment.client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace="default", search_attributes=search_attributes.TYPES)
    )
    client = await Client.connect(address, plugins=[watchfloor_plugin(payload_keys(settings))])
    return ActionBench(client, sqlite_store, settings, notices=Kept())


async def test_nobody_decides_so_people_are_reminded_the_next_are_told_and_then_it_is_a_no(
    environment: WorkflowEnvironment, bench: ActionBench
) -> None:
    async with bench.workers():
        proposal_id = bench.draft()
        await bench.until(proposal_id, ProposalStatus.WAITING)
        await environment.sleep(timedelta(hours=5))
        await bench.until(proposal_id, ProposalStatus.EXPIRED)
        result = await bench.handle(proposal_id).result()
        with pytest.raises((NotFoundError, RefusedError)):
            await bench.vote(ANA, proposal_id)

    assert result.status is ProposalStatus.EXPIRED
    assert bench.tool.effects == []
    assert isinstance(bench.notices, Kept)
    told = [(notice.kind.value, notice.roles) for notice in bench.notices.sent]
    assert told == [
        ("request", ("responder",)),
        ("remind", ("responder",)),
        ("escalate", ("lead",)),
        ("ended", ("responder", "lead")),
    ]
    assert all('"203.0.113.7"' in notice.text for notice in bench.notices.sent)


async def test_a_lease_of_days_is_there_until_its_end(environment: WorkflowEnvironment, bench: ActionBench) -> None:
    async with bench.workers():
        proposal_id = bench.draft(lease_s=3 * 86_400)
        await bench.until(proposal_id, ProposalStatus.WAITING)
        await bench.vote(ANA, proposal_id)
        await bench.until(proposal_id, ProposalStatus.SUCCEEDED)
        await environment.sleep(timedelta(days=2))
        assert len(bench.tool.effects) == 1
        await environment.sleep(timedelta(days=1, hours=1))
        # By the store's clock its time is not over: the undo is not the stated one yet, and waits for a person.
        async with asyncio.timeout(20):
            while state(bench) != "ending":
                await asyncio.sleep(0.02)

    assert len(bench.tool.effects) == 1


def state(bench: ActionBench) -> str:
    with bench.store.read() as connection:
        found: str = connection.execute(select(lease.c.state)).scalar_one()
    return found
