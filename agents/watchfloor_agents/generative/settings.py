"""Which models may be asked, in what order, and what they may cost. All of it is the operator's; nothing is guessed."""

from __future__ import annotations

import ipaddress
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_core.keys.sources import FORMS, parse_reference
from watchfloor_guardrails.yaml_source import Document, read_yaml

PROVIDERS: Final = ("openai", "anthropic", "google")
"""What may stand before the colon of a model's name where no ``base_url`` is given."""

Usd = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=6)]


class OutputMode(StrEnum):
    """How a model is made to answer in the form that is asked of it."""

    TOOL = "tool"
    """By calling a tool whose arguments are the answer."""
    JSON_SCHEMA = "json_schema"
    """By a JSON schema that the provider enforces."""
    PROMPT = "prompt"
    """By asking for JSON in the prompt: for endpoints that can do neither."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Price(_Frozen):
    """USD for a million tokens. A model on one's own machine costs 0, which has to be said."""

    input: Usd
    output: Usd
    cached_input: Usd | None = None
    """Of input that the provider had in its prompt cache; None: as any input."""
    cache_write: Usd | None = None
    """Of input that the provider puts into its prompt cache; None: as any input."""

    def micro_usd(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0, written_tokens: int = 0) -> int:
        """Millionths of a dollar, rounded up. Cached and written tokens are parts of ``input_tokens``."""
        cached = min(max(cached_tokens, 0), input_tokens)
        written = min(max(written_tokens, 0), input_tokens - cached)
        cost = (input_tokens - cached - written) * self.input + output_tokens * self.output
        cost += cached * (self.input if self.cached_input is None else self.cached_input)
        cost += written * (self.input if self.cache_write is None else self.cache_write)
        return int(cost.to_integral_value(ROUND_CEILING))

    def most_micro_usd(self, input_tokens: int, output_tokens: int) -> int:
        """What a request of this size can cost, however much of it is cached."""
        return max(
            self.micro_usd(input_tokens, output_tokens),
            self.micro_usd(input_tokens, output_tokens, cached_tokens=input_tokens),
            self.micro_usd(input_tokens, output_tokens, written_tokens=input_tokens),
        )


def _reference(text: str) -> str:
    """A reference to a secret. What is none may be the secret itself, and so is not repeated in the message."""
    try:
        parse_reference(text)
    except ConfigurationError:
        raise ValueError(f"is no reference to a secret; expected {FORMS}") from None
    return text


def _endpoint(address: str) -> str:
    """``https://host/v1``; plain HTTP only on this machine, because what is asked tells of the incident."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not host or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("expected https://host/v1, without user, query and fragment")
    if parts.scheme == "http" and not _is_this_machine(host):
        raise ValueError("plain HTTP would carry the incident and the key in clear text; use https, or 127.0.0.1")
    return address.rstrip("/")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ModelChoice(_Frozen):
    """One model of the chain."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$")
    """``openai:<model>``, ``anthropic:<model>`` or ``google:<model>``; with a ``base_url`` the name that the endpoint
    knows the model by."""
    base_url: Annotated[str, AfterValidator(_endpoint)] | None = None
    """An OpenAI-compatible endpoint of one's own, up to and with ``/v1``."""
    api_key: Annotated[str, AfterValidator(_reference)] | None = None
    """Where the key is: ``env:NAME``, ``file:/path`` or ``vault:<mount>/<path>#<field>``; never the key itself."""
    price: Price
    output: OutputMode = OutputMode.TOOL
    max_output_tokens: int = Field(default=4_096, ge=256, le=65_536)
    """Of one answer."""

    @model_validator(mode="after")
    def _names_a_provider(self) -> Self:
        provider, _, model = self.name.partition(":")
        if self.base_url is None and (provider not in PROVIDERS or not model):
            raise ValueError(f"name: expected one of {', '.join(PROVIDERS)}, a colon and a model, or give a base_url")
        if self.base_url is None and self.api_key is None:
            raise ValueError(f"api_key: {provider} wants one; give a reference such as env:{provider.upper()}_KEY")
        return self

    @property
    def provider(self) -> str:
        """For spans: the provider, or ``openai_compatible``."""
        return "openai_compatible" if self.base_url is not None else self.name.partition(":")[0]

    @property
    def model(self) -> str:
        """The name on the wire."""
        return self.name if self.base_url is not None else self.name.partition(":")[2]


class ModelSettings(_Frozen):
    """All about the generative engine."""

    models: tuple[ModelChoice, ...] = Field(min_length=1, max_length=8)
    """The first is asked; where it fails, the next."""
    timeout_s: float = Field(default=60.0, gt=0, le=600)
    """For one answer of one model."""
    total_timeout_s: float = Field(default=600.0, gt=0, le=3_600)
    """For all of the research on one incident."""
    retries: int = Field(default=2, ge=0, le=5)
    """So often a model is asked again after an error that may pass, before the next model is."""
    output_retries: int = Field(default=2, ge=0, le=5)
    """So often a model may mend an answer that is not in the form asked for."""
    prompt_cache: bool = True
    """Let providers keep the fixed part of the prompt, where they can."""
    max_requests: int = Field(default=12, ge=1, le=100)
    """Answers of models for one incident."""
    max_tool_calls: int = Field(default=24, ge=0, le=200)
    max_events: int = Field(default=1_000, ge=0, le=10_000)
    """Events and counts that tools may bring in all."""
    tokens_per_incident: int = Field(default=200_000, ge=0)
    """Input and output together; cached input counts as well."""
    tokens_per_day: int = Field(default=5_000_000, ge=0)
    usd_per_incident: Usd = Decimal(1)
    usd_per_day: Usd = Decimal(20)

    @model_validator(mode="after")
    def _names_each_model_once(self) -> Self:
        names = [(one.base_url, one.name) for one in self.models]
        if len(set(names)) < len(names):
            raise ValueError("models: a model stands there twice; 'retries' says how often one is asked again")
        return self

    @property
    def micro_usd_per_incident(self) -> int:
        return int(self.usd_per_incident * 1_000_000)

    @property
    def micro_usd_per_day(self) -> int:
        return int(self.usd_per_day * 1_000_000)


def load_model_settings(text: str, file: str) -> ModelSettings:
    """The settings in a YAML file's text; ``file`` names it in messages.

    Raises `ConfigurationError` with every mistake found, in the order of lines.
    """
    document = read_yaml(text, file)
    if document.problems:
        raise ConfigurationError(document.problems)
    try:
        return ModelSettings.model_validate(document.content)
    except ValidationError as error:
        problems = [_problem(document, one.get("loc", ()), one["msg"]) for one in _details(error)]
        raise ConfigurationError(sorted(problems, key=lambda one: one.line or 0)) from None


def _details(error: ValidationError) -> list[Any]:
    # Without the input: a key that was written where its reference belongs must not get into a log.
    return list(error.errors(include_url=False, include_context=False, include_input=False))


def _problem(document: Document, path: tuple[int | str, ...], message: str) -> Problem:
    return document.problem(path, message.removeprefix("Value error, "))
