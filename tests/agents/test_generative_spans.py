"""Each request to a model and each call of a tool is a span with the conventions' names; none says what was said."""

from __future__ import annotations

import pytest

pytest.importorskip("pydantic_ai", reason="the extra 'generative' is not installed")

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from pydantic_ai.usage import RequestUsage

from tests.agents.generative_bench import COMMAND, DEAR, Script, call, claim, concludes, run, says
from watchfloor_agents.generative.agent import AGENT_NAME, PROMPT
from watchfloor_core.telemetry.names import SpanAttribute

pytestmark = pytest.mark.anyio

SEARCH = {"types": ["process_start"], "matches": []}


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [one for one in exporter.get_finished_spans() if one.name == name]


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


async def test_a_run_is_one_span_with_its_requests_and_tools_below(spans: InMemorySpanExporter) -> None:
    answer = concludes(claim(), usage=RequestUsage(input_tokens=1_000, output_tokens=100, cache_read_tokens=600))
    await run(Script([call("search_events", **SEARCH), answer]), price=DEAR)
    (agent,) = named(spans, "watchfloor.invoke_agent")
    (tool,) = named(spans, "watchfloor.execute_tool")
    _, chat = named(spans, "watchfloor.chat")
    assert agent.context is not None
    for below in (tool, chat):
        assert below.parent is not None
        assert below.parent.trace_id == agent.context.trace_id
    said = attributes(chat)
    assert said == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "scripted0",
        "gen_ai.response.model": "scripted",
        "gen_ai.usage.input_tokens": 1_000,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 600,
        "watchfloor.cost.micro_usd": 400 * 3 + 180 + 1_500,
        "watchfloor.usage.estimated": False,
        "watchfloor.prompt.name": "investigate",
        "watchfloor.prompt.version": "1",
        "watchfloor.prompt.digest": PROMPT.digest,
        "watchfloor.model.position": 0,
        "watchfloor.model.attempt": 0,
    }
    assert attributes(tool) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "search_events",
        "watchfloor.outcome": "answered",
        "watchfloor.records": 1,
    }
    about = attributes(agent)
    assert about["gen_ai.agent.name"] == AGENT_NAME
    assert about["watchfloor.incident.id"] == "inc-0123456789abcdef"
    assert about["watchfloor.outcome"] == "succeeded"


async def test_a_fallback_is_visible(spans: InMemorySpanExporter) -> None:
    await run(Script([RuntimeError("boom")]), Script([concludes(claim())]))
    first, second = named(spans, "watchfloor.chat")
    assert attributes(first)["error.type"] == "ModelBrokeError"
    assert first.status.status_code is StatusCode.ERROR
    assert attributes(second)["watchfloor.model.position"] == 1
    assert "error.type" not in attributes(second)


async def test_a_refused_tool_is_visible(spans: InMemorySpanExporter) -> None:
    await run(Script([call("search_events", types=[], matches=[]), concludes(claim())]))
    (tool,) = named(spans, "watchfloor.execute_tool")
    assert attributes(tool)["watchfloor.refusal.code"] == "bad_question"


async def test_a_failed_run_says_why(spans: InMemorySpanExporter) -> None:
    await run(Script([says("no")]))
    (agent,) = named(spans, "watchfloor.invoke_agent")
    assert attributes(agent)["watchfloor.refusal.code"] == "bad_output"
    assert agent.status.status_code is StatusCode.ERROR


async def test_no_span_says_what_was_said_or_seen(spans: InMemorySpanExporter) -> None:
    script = Script([call("first_seen", match={"field": "host.name", "value": "a-secret-host"}), concludes(claim())])
    await run(script)
    listed = {one.value for one in SpanAttribute}
    for span in spans.get_finished_spans():
        assert set(attributes(span)) <= listed
        assert span.events == ()
        text = str(attributes(span))
        assert "a-secret-host" not in text
        assert COMMAND not in text
