"""Each provider by name: its own wire format, its key in its own header, and prompt caching where there is any."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("pydantic_ai", reason="the extra 'generative' is not installed")
pytest.importorskip("anthropic", reason="the extra 'anthropic' is not installed")
pytest.importorskip("google.genai", reason="the extra 'google' is not installed")

from pydantic_ai import models

from tests.agents.generative_bench import PLENTY, Sources, case_view, claim, no_wait
from tests.agents.generative_endpoint import Endpoint, Reply, completion, serving
from watchfloor_agents.generative import providers
from watchfloor_agents.generative.engine import research
from watchfloor_agents.generative.providers import ready_models
from watchfloor_agents.generative.result import GenerativeResult
from watchfloor_agents.generative.settings import ModelSettings
from watchfloor_core.errors import ConfigurationError

pytestmark = pytest.mark.anyio

KEY = "sk-very-secret-0123456789"
ANSWER = {"verdict": "TruePositive", "confidence": 0.8, "summary": "An attack.", "claims": [claim("E1")]}
ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-1",
    "content": [{"type": "tool_use", "id": "toolu_1", "name": "final_result", "input": ANSWER}],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 500,
        "cache_read_input_tokens": 400,
        "cache_creation_input_tokens": 100,
        "output_tokens": 200,
    },
}
GOOGLE = {
    "candidates": [
        {
            "content": {"role": "model", "parts": [{"functionCall": {"name": "final_result", "args": ANSWER}}]},
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 1_000,
        "candidatesTokenCount": 200,
        "totalTokenCount": 1_200,
        "cachedContentTokenCount": 400,
    },
    "modelVersion": "gemini-1",
}
WIRES = {
    "openai": ("_OPENAI", "/v1/chat/completions", "authorization", completion(tool="final_result", arguments=ANSWER)),
    "anthropic": ("_ANTHROPIC", "/v1/messages", "authorization", Reply(200, json.dumps(ANTHROPIC))),
    "google": (
        "_GOOGLE",
        "/v1beta/models/some-model:generateContent",
        "x-goog-api-key",
        Reply(200, json.dumps(GOOGLE)),
    ),
}


@pytest.fixture(autouse=True)
def requests_to_this_machine(no_model_requests: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, "sk-of-the-environment")
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/elsewhere")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with models.override_allow_model_requests(True):
        yield


def chosen(provider: str, **changes: Any) -> ModelSettings:
    one = {"name": f"{provider}:some-model", "api_key": "env:THE_KEY", "price": {"input": 1, "output": 2}}
    return ModelSettings.model_validate({"models": [one], "retries": 0} | changes)


async def ask(provider: str, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> tuple[GenerativeResult, Endpoint]:
    constant, _, _, reply = WIRES[provider]
    settings = chosen(provider, **changes)
    with serving(reply) as endpoint:
        base = endpoint.base_url if provider == "openai" else endpoint.base_url.removesuffix("/v1")
        monkeypatch.setattr(providers, constant, base)
        ready = ready_models(settings, lambda _: KEY)
        return await research(case_view(), Sources(), ready, settings, PLENTY, sleep=no_wait), endpoint


@pytest.mark.parametrize("provider", sorted(WIRES))
async def test_a_provider_is_asked_in_its_own_format_with_its_key_in_one_header(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, endpoint = await ask(provider, monkeypatch)
    assert result.failure is None, result.detail
    _, path, header, _ = WIRES[provider]
    (heard,) = endpoint.heard
    assert heard.path.partition("?")[0] == path
    assert [name for name, value in heard.headers.items() if KEY in value] == [header]
    assert KEY not in heard.raw + heard.path
    assert "sk-of-the-environment" not in str(heard)
    (call,) = result.calls
    assert (call.used.input, call.used.output, call.used.cached) == (1_000, 200, 400)
    assert call.used.written == (100 if provider == "anthropic" else 0)


async def test_prompt_caching_is_on_where_the_provider_wants_to_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    _, cached = await ask("anthropic", monkeypatch)
    assert "cache_control" in cached.heard[0].raw
    _, plain = await ask("anthropic", monkeypatch, prompt_cache=False)
    assert "cache_control" not in plain.heard[0].raw


def test_the_addresses_of_providers_are_fixed() -> None:
    assert (providers._OPENAI, providers._ANTHROPIC, providers._GOOGLE) == (
        "https://api.openai.com/v1",
        "https://api.anthropic.com",
        "https://generativelanguage.googleapis.com",
    )


def test_an_empty_key_is_a_mistake_of_the_configuration() -> None:
    with pytest.raises(ConfigurationError, match="'env:THE_KEY' is empty"):
        ready_models(chosen("openai"), lambda _: "")
