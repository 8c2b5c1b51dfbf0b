"""From a model of the settings to a client that speaks to it. Addresses and keys come from the settings alone: what the
providers' libraries would look for in the environment is given to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from pydantic import SecretStr
from pydantic_ai.models import Model
from pydantic_ai.profiles import ModelProfile

from watchfloor_agents.generative.extra import missing
from watchfloor_agents.generative.settings import ModelChoice, ModelSettings, OutputMode
from watchfloor_core.errors import ConfigurationError

Resolve: TypeAlias = Callable[[str], str]
"""Reads the secret that a reference names; raises `ConfigurationError` or `UnavailableError`."""

_OPENAI: Final = "https://api.openai.com/v1"
_ANTHROPIC: Final = "https://api.anthropic.com"
_GOOGLE: Final = "https://generativelanguage.googleapis.com"
_NO_KEY: Final = "none"
"""The library wants one; an endpoint without authentication ignores it."""


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """A model of the settings with its client."""

    choice: ModelChoice
    client: Model


def ready_models(settings: ModelSettings, resolve: Resolve) -> tuple[ReadyModel, ...]:
    """The chain of models. Nothing is sent yet.

    Raises `ConfigurationError` where a provider's extra is not installed or a key is not to be had.
    """
    return tuple(ReadyModel(one, _client(one, resolve)) for one in settings.models)


def _client(choice: ModelChoice, resolve: Resolve) -> Model:
    key = SecretStr(_NO_KEY if choice.api_key is None else resolve(choice.api_key))
    if not key.get_secret_value():
        raise ConfigurationError(f"model {choice.name!r}: {choice.api_key!r} is empty; put the provider's key there")
    try:
        return _of_provider(choice, key)
    except ImportError as error:
        raise missing(error) from error


def _of_provider(choice: ModelChoice, key: SecretStr) -> Model:
    if choice.base_url is not None:
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

        own = OpenAICompatibleProvider(choice.provider, base_url=choice.base_url, api_key=key.get_secret_value())
        return OpenAIChatModel(choice.model, provider=own, profile=_profile(choice.output))
    match choice.provider:
        case "openai":
            from pydantic_ai.models.openai import OpenAIChatModel
            from pydantic_ai.providers.openai import OpenAIProvider

            openai = OpenAIProvider(base_url=_OPENAI, api_key=key.get_secret_value())
            return OpenAIChatModel(choice.model, provider=openai, profile=_profile(choice.output))
        case "anthropic":
            from pydantic_ai.models.anthropic import AnthropicModel
            from pydantic_ai.providers.anthropic import AnthropicProvider

            anthropic = AnthropicProvider(base_url=_ANTHROPIC, api_key=key.get_secret_value())
            return AnthropicModel(choice.model, provider=anthropic, profile=_profile(choice.output))
        case "google":
            from pydantic_ai.models.google import GoogleModel
            from pydantic_ai.providers.google import GoogleProvider

            google = GoogleProvider(base_url=_GOOGLE, api_key=key.get_secret_value())
            return GoogleModel(choice.model, provider=google, profile=_profile(choice.output))
        case other:
            raise ConfigurationError(f"model {choice.name!r}: {other!r} is no provider that is known")


def _profile(output: OutputMode) -> ModelProfile:
    match output:
        case OutputMode.TOOL:
            return ModelProfile(default_structured_output_mode="tool")
        case OutputMode.JSON_SCHEMA:
            return ModelProfile(default_structured_output_mode="native", supports_json_schema_output=True)
        case OutputMode.PROMPT:
            return ModelProfile(default_structured_output_mode="prompted")
        case _:
            assert_never(output)
