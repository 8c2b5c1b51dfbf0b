"""One model of the chain under its budget: each request admitted before it is made, bounded in time, repeated where the
error may pass, charged and traced. Errors come out as the library's, so that the chain goes on with the next model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import anyio
from opentelemetry.trace import Span
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelConnectionError,
    ModelRateLimitError,
    ModelRequestTimeout,
    ModelServerError,
    ModelTimeoutError,
    ModelUnavailableError,
)
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings as RequestSettings
from pydantic_core import to_json

from watchfloor_agents.generative.prompt import Prompt
from watchfloor_agents.generative.settings import ModelChoice, ModelSettings
from watchfloor_agents.generative.spending import Meter, ModelCall, Tokens, estimated_tokens
from watchfloor_core.telemetry import Operation, SpanAttribute, SpanName, span

MAX_WAIT_S: Final = 20.0
"""Before a repetition, whatever the provider asks for: the run has a limit of its own."""
_FIRST_WAIT_S: Final = 0.5
_MAY_PASS: Final = (ModelRateLimitError, ModelUnavailableError, ModelServerError, ModelConnectionError)

Sleep = Callable[[float], Awaitable[None]]


class ModelBrokeError(ModelAPIError):
    """The model, or the library that speaks to it, failed in a way that has no name; the cause has the details."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What all models of one run have in common."""

    settings: ModelSettings
    meter: Meter
    prompt: Prompt
    sleep: Sleep


class MeteredModel(WrapperModel):
    def __init__(self, wrapped: Model, choice: ModelChoice, position: int, terms: Terms) -> None:
        super().__init__(wrapped)
        self._choice: Final = choice
        self._position: Final = position
        self._terms: Final = terms

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: RequestSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        size = len(ModelMessagesTypeAdapter.dump_json(messages)) + len(to_json(model_request_parameters, fallback=str))
        settings = self._request_settings(model_settings)
        for attempt in range(self._terms.settings.retries + 1):
            self._terms.meter.admit(self._choice.price, size, self._choice.max_output_tokens)
            try:
                return await self._once(messages, settings, model_request_parameters, size, attempt)
            except _MAY_PASS as error:
                if attempt == self._terms.settings.retries or isinstance(error, ModelTimeoutError):
                    raise
                asked = _FIRST_WAIT_S * 2**attempt if error.retry_after is None else error.retry_after
                await self._terms.sleep(min(asked, MAX_WAIT_S))
        raise AssertionError("the last attempt returns or raises")

    async def _once(
        self,
        messages: list[ModelMessage],
        settings: RequestSettings,
        parameters: ModelRequestParameters,
        size: int,
        attempt: int,
    ) -> ModelResponse:
        most = Tokens(input=estimated_tokens(size), output=self._choice.max_output_tokens, is_estimate=True)
        with span(SpanName.CHAT, self._attributes(attempt)) as current:
            response: ModelResponse | None = None
            try:
                with anyio.move_on_after(self._terms.settings.timeout_s):
                    response = await super().request(messages, settings, parameters)
                if response is None:
                    raise ModelRequestTimeout(self.model_name, self._terms.settings.timeout_s)
            except (ModelRequestTimeout, ModelTimeoutError) as error:
                # The model may still be at work, and the provider then bills it.
                self._charge(current, attempt, most, error)
                raise
            except ModelAPIError as error:
                self._charge(current, attempt, Tokens(), error)
                raise
            except Exception as error:
                self._charge(current, attempt, Tokens(), error)
                raise ModelBrokeError(self.model_name, f"the model failed with {type(error).__qualname__}") from error
            current.set_attribute(SpanAttribute.GEN_AI_RESPONSE_MODEL, response.model_name or "")
            self._charge(current, attempt, _used(response, size))
            return response

    def _charge(self, current: Span, attempt: int, used: Tokens, error: Exception | None = None) -> None:
        call = ModelCall(
            model=self._choice.name,
            position=self._position,
            attempt=attempt,
            used=used,
            micro_usd=self._choice.price.micro_usd(used.input, used.output, used.cached, used.written),
            error="" if error is None else type(error).__qualname__,
        )
        current.set_attributes(
            {
                SpanAttribute.GEN_AI_USAGE_INPUT_TOKENS: used.input,
                SpanAttribute.GEN_AI_USAGE_OUTPUT_TOKENS: used.output,
                SpanAttribute.GEN_AI_USAGE_CACHE_READ_TOKENS: used.cached,
                SpanAttribute.COST_MICRO_USD: call.micro_usd,
                SpanAttribute.USAGE_ESTIMATED: used.is_estimate,
            }
        )
        self._terms.meter.charge(call)

    def _attributes(self, attempt: int) -> dict[str, str | int]:
        prompt = self._terms.prompt
        return {
            SpanAttribute.GEN_AI_OPERATION_NAME: Operation.CHAT,
            SpanAttribute.GEN_AI_PROVIDER_NAME: self._choice.provider,
            SpanAttribute.GEN_AI_REQUEST_MODEL: self._choice.model,
            SpanAttribute.PROMPT_NAME: prompt.name,
            SpanAttribute.PROMPT_VERSION: prompt.version,
            SpanAttribute.PROMPT_DIGEST: prompt.digest,
            SpanAttribute.MODEL_POSITION: self._position,
            SpanAttribute.MODEL_ATTEMPT: attempt,
        }

    def _request_settings(self, given: RequestSettings | None) -> RequestSettings:
        settings = RequestSettings(**(given or {}))
        settings["max_tokens"] = self._choice.max_output_tokens
        settings["timeout"] = self._terms.settings.timeout_s
        # Repetitions are ours: each is admitted, charged and traced.
        settings["max_retries"] = 0
        if self._terms.settings.prompt_cache:
            settings["cache"] = True
        return settings


def _used(response: ModelResponse, size: int) -> Tokens:
    """By the provider's figures; where it gave none, by the size of what went there and back."""
    usage = response.usage
    taken, given = max(usage.input_tokens, 0), max(usage.output_tokens, 0)
    if not taken and not given:
        back = len(ModelMessagesTypeAdapter.dump_json([response]))
        return Tokens(input=estimated_tokens(size), output=estimated_tokens(back), is_estimate=True)
    cached = min(max(usage.cache_read_tokens, 0), taken)
    return Tokens(
        input=taken, output=given, cached=cached, written=min(max(usage.cache_write_tokens, 0), taken - cached)
    )
