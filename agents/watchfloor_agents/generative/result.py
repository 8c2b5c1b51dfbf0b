"""What comes of the research on one incident. Where it fails, it costs the incident nothing but the time it took."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from opentelemetry.trace import Span, Status, StatusCode

from watchfloor_agents.generative.desk import ToolUse
from watchfloor_agents.generative.prompt import Prompt
from watchfloor_agents.generative.spending import ModelCall
from watchfloor_agents.investigation.view import Answer, CaseView
from watchfloor_core.report import Report
from watchfloor_core.telemetry import Operation, SpanAttribute


class Failure(StrEnum):
    """Why there is no report."""

    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    """No model of the chain answered."""
    OVER_BUDGET = "over_budget"
    TOO_MANY_CALLS = "too_many_calls"
    """It never came to an end."""
    BAD_OUTPUT = "bad_output"
    """The answer was not in the form asked for, however often it was sent back."""
    BROKEN = "broken"
    """Anything else; the log has the details."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerativeResult:
    report: Report | None
    """None where it failed. Every citation in it holds; all the same it goes through the checker like any report."""
    failure: Failure | None
    detail: str
    """In words, for a person, where it failed; never what a model wrote."""
    stated_confidence: float | None
    """How sure the model says it is: material for calibration, and nothing else."""
    answers: tuple[Answer, ...]
    """What its questions brought, in the order asked; also where it failed, because it was paid for."""
    tools: tuple[ToolUse, ...]
    calls: tuple[ModelCall, ...]
    prompt: Prompt | None
    """None where the engine is somebody else's."""
    version: str
    """SHA-256 (64 hex digits) of what an answer depends on besides the evidence: prompt, tools, form, models."""
    plug_in: str | None = None
    """Name and version of somebody else's engine; None where it is ours."""

    @property
    def is_complete(self) -> bool:
        return self.report is not None

    @property
    def tokens(self) -> int:
        return sum(one.tokens for one in self.calls)

    @property
    def micro_usd(self) -> int:
        return sum(one.micro_usd for one in self.calls)


def trace_outcome(current: Span, failure: Failure | None) -> None:
    """Say on the span of a second engine's run how it ended."""
    current.set_attribute(SpanAttribute.OUTCOME, "succeeded" if failure is None else "failed")
    if failure is not None:
        current.set_attribute(SpanAttribute.REFUSAL_CODE, failure.value)
        current.set_status(Status(StatusCode.ERROR))


def run_attributes(view: CaseView, agent: str, version: str) -> dict[str, str | int]:
    """Of the span of a second engine's run."""
    return {
        SpanAttribute.GEN_AI_OPERATION_NAME: Operation.INVOKE_AGENT,
        SpanAttribute.GEN_AI_AGENT_NAME: agent,
        SpanAttribute.GEN_AI_AGENT_VERSION: version,
        SpanAttribute.TENANT: view.case.tenant,
        SpanAttribute.INCIDENT_ID: view.case.incident_id,
        SpanAttribute.INCIDENT_REVISION: view.case.revision,
    }
