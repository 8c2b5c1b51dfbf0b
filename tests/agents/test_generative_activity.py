"""The engine inside a Temporal activity: a whole run is one unit of work there, and ends when the activity does."""

from __future__ import annotations

import anyio
import pytest

pytest.importorskip("pydantic_ai", reason="the extra 'generative' is not installed")

from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel
from temporalio import activity
from temporalio.testing import ActivityEnvironment

from tests.agents.generative_bench import (
    PLENTY,
    Script,
    Sources,
    call,
    case_view,
    claim,
    concludes,
    ready,
    settings,
    start,
)
from watchfloor_agents.generative.extra import load_research
from watchfloor_agents.generative.result import GenerativeResult
from watchfloor_agents.generative.spending import ModelCall

pytestmark = pytest.mark.anyio


async def test_a_run_in_an_activity_gives_its_report_and_can_send_heartbeats() -> None:
    script = Script([call("search_events", types=["process_start"], matches=[]), concludes(claim("E2"))])

    def beat(spent: ModelCall) -> None:
        activity.heartbeat(spent.tokens)

    @activity.defn
    async def investigate() -> GenerativeResult:
        chain = [ready(script)]
        return await load_research()(case_view(), Sources([start()]), chain, settings(), PLENTY, on_call=beat)

    beats: list[object] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: beats.append(details)
    result = await environment.run(investigate)
    assert result.report is not None, result.detail
    assert len(beats) == len(result.calls) == 2


async def test_an_activity_that_is_cancelled_ends_the_run() -> None:
    environment = ActivityEnvironment()

    async def hang(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        environment.cancel()
        await anyio.sleep_forever()
        raise AssertionError

    @activity.defn
    async def investigate() -> str:
        try:
            await load_research()(case_view(), Sources(), [ready(FunctionModel(hang))], settings(), PLENTY)
        except anyio.get_cancelled_exc_class():
            return "cancelled"
        return "went on"

    assert await environment.run(investigate) == "cancelled"
