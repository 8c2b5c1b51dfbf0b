"""Nothing that a workflow was told, did or failed with stands in Temporal's database in the clear."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    StartWorkflowInput,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import Worker

from watchfloor_core.keys.payload import PayloadKeyRing
from watchfloor_core.keys.payload_file import change_ring, ensure_ring, read_ring, ring_file
from watchfloor_core.settings import Settings
from watchfloor_workflows.client import connect
from watchfloor_workflows.testing import DevServer

pytestmark = pytest.mark.anyio

QUEUE = "encryption"
PLACES = (
    *(
        "input",
        "memo",
        "header",
        "summary",
        "activity-input",
        "activity-result",
        "heartbeat",
        "activity-failure",
        "detail",
    ),
    *("signal", "update", "update-result", "task-failure", "workflow-failure", "result"),
)
"""Where secrets are put that Temporal keeps; what it only passes on (queries, refused updates) is not among them."""
PASSED_ON = ("query", "query-result", "query-failure", "refused-update", "refusal")


def marker(side: str, place: str) -> str:
    return f"{side}-secret-{place}-x"


@activity.defn
async def carry(side: str, secret: str) -> str:
    """Fails once, and then lives for as long as it takes to look at its heartbeat."""
    assert secret == marker(side, "activity-input")
    if activity.info().attempt == 1:
        raise ApplicationError("not yet " + marker(side, "activity-failure"), marker(side, "detail"))
    activity.heartbeat(marker(side, "heartbeat"))
    await seen.wait()
    return marker(side, "activity-result")


seen = asyncio.Event()
"""The heartbeat, which Temporal forgets when the activity ends."""


async def heartbeat_of(handle: WorkflowHandle[Any, str]) -> None:
    """Return when Temporal holds a heartbeat."""
    async with asyncio.timeout(20):
        while not any(
            each.HasField("heartbeat_details") for each in (await handle.describe()).raw_description.pending_activities
        ):
            await asyncio.sleep(0.02)


@activity.defn
async def fail(side: str) -> None:
    raise ValueError(marker(side, "activity-failure"))


@workflow.defn(sandboxed=False)
class SecretiveWorkflow:
    """Takes, passes on and returns secrets in every way that there is."""

    stumbled: set[str] = set()  # noqa: RUF012  # outlives the attempts of one workflow task

    def __init__(self) -> None:
        self.told: list[str] = []

    @workflow.run
    async def run(self, side: str, secret: str, fails: bool) -> str:
        assert secret == marker(side, "input")
        if side not in self.stumbled:
            self.stumbled.add(side)
            raise RuntimeError(marker(side, "task-failure"))
        retry = RetryPolicy(initial_interval=timedelta(milliseconds=1), maximum_attempts=2)
        await workflow.execute_activity(
            carry,
            args=[side, marker(side, "activity-input")],
            start_to_close_timeout=timedelta(seconds=20),
            retry_policy=retry,
            summary=marker(side, "summary"),
        )
        await workflow.wait_condition(lambda: len(self.told) == 2)
        if fails:
            try:
                await workflow.execute_activity(
                    fail,
                    side,
                    start_to_close_timeout=timedelta(seconds=20),
                    retry_policy=RetryPolicy(maximum_attempts=1),
                )
            except ActivityError as error:
                raise ApplicationError(marker(side, "workflow-failure"), marker(side, "detail")) from error
        return marker(side, "result")

    @workflow.signal
    def tell(self, secret: str) -> None:
        self.told.append(secret)

    @workflow.update
    def ask(self, side: str, secret: str) -> str:
        self.told.append(secret)
        return marker(side, "update-result")

    @ask.validator
    def check(self, side: str, secret: str) -> None:
        if secret == marker(side, "refused-update"):
            raise ApplicationError(marker(side, "refusal"))

    @workflow.query
    def known(self, side: str, secret: str) -> str:
        if secret == marker(side, "query"):
            return marker(side, "query-result")
        raise ApplicationError(marker(side, "query-failure"))


class Heading(Interceptor):
    """Hands a secret on in the header of each start, as interceptors do with what belongs to a trace."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002  # the SDK's name
        secret = self._secret

        class Outbound(OutboundInterceptor):
            async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
                input.headers = {"note": Payload(metadata={"encoding": b"binary/plain"}, data=secret.encode())}
                return await super().start_workflow(input)

        return Outbound(next)


def with_header(client: Client, secret: str) -> Client:
    config = client.config()
    config["interceptors"] = [Heading(secret)]
    return Client(**config)


async def confide(
    client: Client, side: str, folder: Path, *, fails: bool
) -> tuple[BaseException | str | None, set[str]]:
    """One workflow through all of it: what it ends with, and what stood in the database while it was under way."""
    seen.clear()
    handle = await with_header(client, marker(side, "header")).start_workflow(
        SecretiveWorkflow.run,
        args=[side, marker(side, "input"), fails],
        id=f"{side}-{fails}",
        task_queue=QUEUE,
        memo={"note": marker(side, "memo")},
        static_summary=marker(side, "summary"),
    )
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await handle.execute_update(SecretiveWorkflow.ask, args=[side, marker(side, "refused-update")])
    assert str(refused.value.cause) == marker(side, "refusal")
    answer = await handle.execute_update(SecretiveWorkflow.ask, args=[side, marker(side, "update")])
    assert answer == marker(side, "update-result")
    assert await handle.query(SecretiveWorkflow.known, args=[side, marker(side, "query")]) == marker(
        side, "query-result"
    )
    with pytest.raises(WorkflowQueryFailedError):
        await handle.query(SecretiveWorkflow.known, args=[side, "anything else"])
    await handle.signal(SecretiveWorkflow.tell, marker(side, "signal"))
    await heartbeat_of(handle)
    meanwhile = found(folder, side)
    seen.set()
    try:
        return await handle.result(), meanwhile
    except WorkflowFailureError as error:
        return error.cause, meanwhile


def found(folder: Path, side: str) -> set[str]:
    """The places whose secrets stand in any file of the database."""
    data = b"".join(path.read_bytes() for path in sorted(folder.glob("temporal.db*")))
    assert data.startswith(b"SQLite format 3")
    return {place for place in (*PLACES, *PASSED_ON) if marker(side, place).encode() in data}


@pytest.fixture
def server(tmp_path: Path) -> DevServer:
    return DevServer(tmp_path / "temporal.db")


async def test_no_secret_stands_in_temporals_database_and_without_the_codec_all_do(
    server: DevServer, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, temporal_address=server.address)
    ends: dict[str, list[BaseException | str | None]] = {}
    stood: dict[str, set[str]] = {}
    with server:
        for side, client in (("ours", await connect(settings)), ("bare", await Client.connect(server.address))):
            # Without a cache, so that each task replays what it decrypts.
            async with Worker(
                client,
                task_queue=QUEUE,
                workflows=[SecretiveWorkflow],
                activities=[carry, fail],
                max_cached_workflows=0,
            ):
                told = [await confide(client, side, tmp_path, fails=fails) for fails in (False, True)]
            ends[side] = [end for end, _ in told]
            stood[side] = set().union(*(meanwhile for _, meanwhile in told), found(tmp_path, side))
    for side, places in stood.items():
        places |= found(tmp_path, side)

    assert stood == {"ours": set(), "bare": set(PLACES)}
    # And those who may know get all of it.
    result, failure = ends["ours"]
    assert result == marker("ours", "result")
    assert isinstance(failure, ApplicationError)
    assert (failure.message, list(failure.details)) == (marker("ours", "workflow-failure"), [marker("ours", "detail")])
    assert isinstance(failure.__cause__, ActivityError)
    assert isinstance(failure.__cause__.__cause__, ApplicationError)
    assert failure.__cause__.__cause__.message == marker("ours", "activity-failure")


async def test_a_rotation_reaches_a_running_worker_and_old_histories_still_decode(
    server: DevServer, tmp_path: Path
) -> None:
    seen.set()
    settings = Settings(data_dir=tmp_path, temporal_address=server.address)
    SecretiveWorkflow.stumbled.add("turn")
    with server:
        client = await connect(settings)
        first = read_ring(ring_file(tmp_path)).current
        async with Worker(
            client, task_queue=QUEUE, workflows=[SecretiveWorkflow], activities=[carry, fail], max_cached_workflows=0
        ):
            handle = await client.start_workflow(
                SecretiveWorkflow.run, args=["turn", marker("turn", "input"), False], id="turn", task_queue=QUEUE
            )
            await handle.execute_update(SecretiveWorkflow.ask, args=["turn", "once"])
            change_ring(ring_file(tmp_path), PayloadKeyRing.rotated)
            # Another process, which knows the new key from its start; the worker has to find out.
            other: WorkflowHandle[Any, str] = (await connect(settings)).get_workflow_handle("turn", result_type=str)
            await other.signal(SecretiveWorkflow.tell, "twice")
            assert await other.result() == marker("turn", "result")
            started = await handle.fetch_history()

    ids = [
        payload.metadata["encryption-key-id"].decode()
        for event in started.events
        for payload in (
            *event.workflow_execution_started_event_attributes.input.payloads,
            *event.workflow_execution_signaled_event_attributes.input.payloads,
            *event.workflow_execution_completed_event_attributes.result.payloads,
        )
    ]
    second = read_ring(ring_file(tmp_path)).current
    assert ids == [first.id] * 3 + [second.id] * 2


async def test_a_worker_without_the_key_waits_for_it_and_loses_nothing(server: DevServer, tmp_path: Path) -> None:
    seen.set()
    settings = Settings(data_dir=tmp_path / "one", temporal_address=server.address)
    lacking = settings.model_copy(update={"data_dir": tmp_path / "two"})
    SecretiveWorkflow.stumbled.add("lost")
    with server:
        client = await connect(settings)
        handle = await client.start_workflow(
            SecretiveWorkflow.run,
            args=["lost", marker("lost", "input"), False],
            id="lost",
            task_queue=QUEUE,
            task_timeout=timedelta(seconds=1),
        )
        await handle.signal(SecretiveWorkflow.tell, "once")
        await handle.signal(SecretiveWorkflow.tell, "twice")
        async with Worker(
            await connect(lacking), task_queue=QUEUE, workflows=[SecretiveWorkflow], activities=[carry, fail]
        ):
            async with asyncio.timeout(20):
                while EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED not in await event_types(handle):
                    await asyncio.sleep(0.02)
            ring_file(lacking.data_dir).write_bytes(ring_file(settings.data_dir).read_bytes())
            assert await handle.result() == marker("lost", "result")


async def test_a_workflow_that_began_in_the_clear_goes_on_encrypted_where_the_ring_allows_it(
    server: DevServer, tmp_path: Path
) -> None:
    seen.set()
    settings = Settings(data_dir=tmp_path, temporal_address=server.address)
    SecretiveWorkflow.stumbled.add("older")
    ensure_ring(ring_file(tmp_path), accepts_plaintext=True)
    with server:
        older = await Client.connect(server.address)
        started = await older.start_workflow(
            SecretiveWorkflow.run, args=["older", marker("older", "input"), False], id="older", task_queue=QUEUE
        )
        await started.signal(SecretiveWorkflow.tell, "once")
        client = await connect(settings)
        async with Worker(client, task_queue=QUEUE, workflows=[SecretiveWorkflow], activities=[carry, fail]):
            handle: WorkflowHandle[Any, str] = client.get_workflow_handle("older", result_type=str)
            await handle.signal(SecretiveWorkflow.tell, marker("older", "signal"))
            assert await handle.result() == marker("older", "result")

    assert found(tmp_path, "older") == {"input"}


async def event_types(handle: WorkflowHandle[Any, str]) -> list[int]:
    return [event.event_type async for event in handle.fetch_history_events()]
