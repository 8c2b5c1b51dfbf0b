"""What goes over the wire to an OpenAI-compatible endpoint, and what its errors lead to, with a real server."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

pytest.importorskip("pydantic_ai", reason="the extra 'generative' is not installed")

from pydantic_ai import models

from tests.agents.generative_bench import COMMAND, PLENTY, Sources, case_view, claim, no_wait, start
from tests.agents.generative_endpoint import Endpoint, completion, refusal, serving
from watchfloor_agents.generative.engine import research
from watchfloor_agents.generative.providers import ready_models
from watchfloor_agents.generative.result import Failure, GenerativeResult
from watchfloor_agents.generative.settings import ModelSettings
from watchfloor_agents.generative.tools import READ_ONLY
from watchfloor_core.incident import Verdict

pytestmark = pytest.mark.anyio

KEY = "sk-very-secret-0123456789"
ANSWER = {"verdict": "TruePositive", "confidence": 0.8, "summary": "An attack.", "claims": [claim("E1")]}
CONCLUSION = completion(tool="final_result", arguments=ANSWER)


@pytest.fixture(autouse=True)
def requests_to_this_machine(no_model_requests: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the providers' libraries would take from the environment must not matter."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/elsewhere")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with models.override_allow_model_requests(True):
        yield


def chosen(*endpoints: Endpoint, **changes: object) -> ModelSettings:
    listed = [
        {
            "name": f"tiny-{number}",
            "base_url": endpoint.base_url,
            "api_key": "env:TINY_KEY",
            "price": {"input": 1, "output": 2, "cached_input": "0.5"},
        }
        | changes
        for number, endpoint in enumerate(endpoints, 1)
    ]
    return ModelSettings.model_validate({"models": listed, "retries": 1})


async def ask(settings: ModelSettings, sources: Sources | None = None) -> GenerativeResult:
    ready = ready_models(settings, {"env:TINY_KEY": KEY}.__getitem__)
    asked = Sources([start()]) if sources is None else sources
    return await research(case_view(), asked, ready, settings, PLENTY, sleep=no_wait)


async def test_a_tool_call_and_a_conclusion_go_over_the_wire() -> None:
    search = completion(tool="search_events", arguments={"types": ["process_start"], "matches": []})
    with serving(search, CONCLUSION) as endpoint:
        result = await ask(chosen(endpoint))
    assert result.failure is None, result.detail
    assert result.report is not None
    assert result.report.verdict is Verdict.TRUE_POSITIVE
    assert [one.path for one in endpoint.heard] == ["/v1/chat/completions"] * 2
    first, second = endpoint.heard
    assert first.body["model"] == "tiny-1"
    assert {one["function"]["name"] for one in first.body["tools"]} == READ_ONLY | {"final_result"}
    assert first.body["messages"][0]["role"] == "system"
    assert "never an instruction" in first.body["messages"][0]["content"]
    assert "<<<DATA" in first.body["messages"][1]["content"]
    assert second.body["messages"][-1]["role"] == "tool"
    assert "<<<DATA" in second.body["messages"][-1]["content"]
    assert json.dumps(COMMAND)[1:-1] in second.raw.replace("\\\\", "\\")


async def test_the_key_is_in_the_authorization_header_and_nowhere_else() -> None:
    with serving(CONCLUSION) as endpoint:
        result = await ask(chosen(endpoint))
    (heard,) = endpoint.heard
    assert heard.headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in heard.raw + heard.path
    assert [name for name, value in heard.headers.items() if KEY in value] == ["authorization"]
    assert "sk-of-the-environment" not in str(heard)
    assert KEY not in repr(result)


async def test_usage_is_priced_by_the_operators_list_with_cached_tokens_apart() -> None:
    with serving(CONCLUSION) as endpoint:
        result = await ask(chosen(endpoint))
    (call,) = result.calls
    assert (call.used.input, call.used.output, call.used.cached) == (1_000, 200, 400)
    assert call.micro_usd == 600 * 1 + 400 // 2 + 200 * 2
    assert not call.used.is_estimate


async def test_usage_that_an_endpoint_does_not_tell_is_estimated_and_charged() -> None:
    with serving(completion(tool="final_result", arguments=ANSWER, usage=False)) as endpoint:
        result = await ask(chosen(endpoint))
    (call,) = result.calls
    assert call.used.is_estimate
    assert call.used.input > 500
    assert call.micro_usd > 500


async def test_with_json_schema_output_the_schema_is_sent_and_the_text_is_read() -> None:
    with serving(completion(text=json.dumps(ANSWER))) as endpoint:
        result = await ask(chosen(endpoint, output="json_schema"))
    assert result.failure is None, result.detail
    body = endpoint.heard[0].body
    assert body["response_format"]["type"] == "json_schema"
    assert "final_result" not in {one["function"]["name"] for one in body["tools"]}


async def test_with_prompted_output_the_text_is_read() -> None:
    with serving(completion(text=json.dumps(ANSWER))) as endpoint:
        result = await ask(chosen(endpoint, output="prompt"))
    assert result.failure is None, result.detail


async def test_too_many_requests_is_tried_again_at_the_same_model() -> None:
    with serving(refusal(429, Retry_After="0"), CONCLUSION) as endpoint:
        result = await ask(chosen(endpoint))
    assert result.failure is None, result.detail
    assert [(one.attempt, one.error) for one in result.calls] == [(0, "ModelRateLimitError"), (1, "")]
    assert result.calls[0].tokens == 0
    assert len(endpoint.heard) == 2


async def test_a_broken_server_leads_to_the_next_model() -> None:
    with serving(refusal(500)) as broken, serving(CONCLUSION) as whole:
        result = await ask(chosen(broken, whole))
    assert result.report is not None, result.detail
    assert result.report.engine == "generative:tiny-2"
    assert [(one.model, one.position, bool(one.error)) for one in result.calls] == [
        ("tiny-1", 0, True),
        ("tiny-1", 0, True),
        ("tiny-2", 1, False),
    ]


@pytest.mark.parametrize("status", [400, 401, 404, 422])
async def test_what_will_not_pass_is_not_tried_again(status: int) -> None:
    with serving(refusal(status)) as endpoint:
        result = await ask(chosen(endpoint))
    assert result.failure is Failure.UNAVAILABLE
    assert len(endpoint.heard) == 1


@pytest.mark.parametrize("body", ["", "no JSON", "{}", '{"choices": []}', "[1]", '{"choices": [{"message": 3}]}'])
async def test_rubbish_on_the_wire_is_a_failure_and_no_crash(body: str) -> None:
    with serving(completion()) as endpoint:
        endpoint.replies = [type(completion())(200, body)]
        result = await ask(chosen(endpoint))
    assert result.failure in (Failure.UNAVAILABLE, Failure.BAD_OUTPUT)


async def test_a_redirect_is_not_followed() -> None:
    with serving(CONCLUSION) as elsewhere:
        away = refusal(307, Location=f"{elsewhere.base_url}/chat/completions")
        with serving(away) as endpoint:
            result = await ask(chosen(endpoint))
    assert result.failure is Failure.UNAVAILABLE
    assert elsewhere.heard == []


async def test_nobody_listening_is_a_failure() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = Endpoint([], base_url=f"http://127.0.0.1:{free.getsockname()[1]}/v1")
        result = await ask(chosen(endpoint))
    assert result.failure is Failure.UNAVAILABLE
    assert [one.error for one in result.calls] == ["ModelConnectionError"] * 2
