"""Research on one incident, start to end: one call, one result, and no error but the caller's own cancellation.

Runs anywhere an event loop runs, above all inside an activity: the model, the tools and their budgets are one unit of
work then, whose result is kept or thrown away as a whole.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import anyio
from pydantic_ai import UsageLimits
from pydantic_ai.exceptions import (
    FallbackExceptionGroup,
    ModelRequestTimeout,
    ModelTimeoutError,
    UnexpectedModelBehavior,
    UsageLimitExceeded,
)

from watchfloor_agents.generative.admission import StoppedError
from watchfloor_agents.generative.agent import AGENT_NAME, PROMPT, investigator
from watchfloor_agents.generative.chain import chain_of
from watchfloor_agents.generative.claims import opinion_before, report_of
from watchfloor_agents.generative.desk import Ask, Desk
from watchfloor_agents.generative.guard import ReadOnlyGuard
from watchfloor_agents.generative.metered import Sleep, Terms
from watchfloor_agents.generative.output import Proposal
from watchfloor_agents.generative.providers import ReadyModel
from watchfloor_agents.generative.rendering import case_text
from watchfloor_agents.generative.result import Failure, GenerativeResult, run_attributes, trace_outcome
from watchfloor_agents.generative.settings import ModelSettings
from watchfloor_agents.generative.spending import Allowance, Meter, ModelCall, OverBudgetError
from watchfloor_agents.generative.tools import plugged_tools, tool_schemas
from watchfloor_agents.investigation.view import CaseView
from watchfloor_agents.tooling.tool import ToolForm
from watchfloor_core.canonical import JsonValue, canonical
from watchfloor_core.report import Report
from watchfloor_core.telemetry import SpanAttribute, SpanName, span

_log = logging.getLogger(__name__)
_TASK: Final = "Investigate this incident."


class Research(Protocol):
    """The type of `research`, for those who get it from `watchfloor_agents.generative.extra.load_research`."""

    async def __call__(
        self,
        view: CaseView,
        ask: Ask,
        models: Sequence[ReadyModel],
        settings: ModelSettings,
        allowance: Allowance,
        *,
        specialist: Report | None = None,
        tools: Sequence[ToolForm] = (),
        on_call: Callable[[ModelCall], None] | None = None,
        sleep: Sleep = anyio.sleep,
    ) -> GenerativeResult: ...


async def research(
    view: CaseView,
    ask: Ask,
    models: Sequence[ReadyModel],
    settings: ModelSettings,
    allowance: Allowance,
    *,
    specialist: Report | None = None,
    tools: Sequence[ToolForm] = (),
    on_call: Callable[[ModelCall], None] | None = None,
    sleep: Sleep = anyio.sleep,
) -> GenerativeResult:
    """Let the first model that answers look into the case.

    ``ask`` puts a question to the sources and keeps the answer; ``allowance`` is what the budgets have left;
    ``on_call`` is told what each request cost as soon as that is known. ``specialist`` is the report so far: its
    findings are shown, its verdict is not. ``tools`` of others stand beside ours. Raises nothing but the cancellation
    of the task it runs in.
    """
    meter = Meter(allowance, on_call or (lambda _: None))
    desk = Desk(view, ask, max_calls=settings.max_tool_calls, max_events=settings.max_events)
    terms = Terms(settings=settings, meter=meter, prompt=PROMPT, sleep=sleep)
    version = version_of(models, tools)
    with span(SpanName.INVOKE_AGENT, run_attributes(view, AGENT_NAME, version)) as current:
        proposal: Proposal | None = None
        report: Report | None = None
        failure: Failure | None = None
        detail = ""
        try:
            with anyio.move_on_after(settings.total_timeout_s):
                proposal = await _run(desk, models, terms, specialist, tools)
            if proposal is None:
                failure, detail = Failure.TIMEOUT, f"no report within {settings.total_timeout_s:g} seconds"
            else:
                before = opinion_before(view.case, specialist)
                report = report_of(proposal, desk, before, _engine(meter, models), version)
        except Exception as error:  # noqa: BLE001  # whatever a model or its library does, the incident goes on
            failure, detail = _failure(error)
            _log.warning("research on %s failed: %s (%s)", view.case.incident_id, detail, type(error).__qualname__)
            current.set_attribute(SpanAttribute.ERROR_TYPE, type(error).__qualname__)
        trace_outcome(current, failure)
        return GenerativeResult(
            report=report,
            failure=failure,
            detail=detail,
            stated_confidence=None if proposal is None else proposal.confidence,
            answers=tuple(desk.answers),
            tools=tuple(desk.uses),
            calls=tuple(meter.calls),
            prompt=PROMPT,
            version=version,
        )


def version_of(models: Sequence[ReadyModel], tools: Sequence[ToolForm] = ()) -> str:
    """SHA-256 (64 hex digits) of prompt, tools, form of the answer, and models."""
    names: list[JsonValue] = [[one.choice.base_url, one.choice.name, one.choice.output.value] for one in models]
    form: JsonValue = Proposal.model_json_schema()
    parts: dict[str, JsonValue] = {"prompt": PROMPT.digest, "tools": tool_schemas(), "form": form, "models": names}
    if tools:
        parts["plugged"] = [[one.name, one.version, one.description, one.schema] for one in tools]
    return hashlib.sha256(canonical(parts)).hexdigest()


async def _run(
    desk: Desk,
    models: Sequence[ReadyModel],
    terms: Terms,
    specialist: Report | None,
    tools: Sequence[ToolForm],
) -> Proposal:
    settings = terms.settings
    findings = () if specialist is None else specialist.findings
    # Entered, so that connections end with the run.
    async with chain_of(models, terms) as chain:
        result = await investigator.run(
            f"{_TASK}\n\n{case_text(desk.view, findings, desk.handles)}",
            model=chain,
            deps=desk,
            toolsets=[ReadOnlyGuard(plugged_tools(tools), frozenset(one.name for one in tools))] if tools else (),
            # The tools count and stop their own calls; what is left here are the turns of the conversation.
            usage_limits=UsageLimits(request_limit=settings.max_requests),
            retries={"tools": settings.output_retries, "output": settings.output_retries},
        )
    return result.output


def _failure(error: Exception) -> tuple[Failure, str]:
    """What an error means, in words that repeat nothing of what a model or an endpoint said."""
    for one in _leaves(error):
        if isinstance(one, OverBudgetError):
            return Failure.OVER_BUDGET, str(one)
        if isinstance(one, StoppedError):
            return Failure.TOO_MANY_CALLS, str(one)
    match error:
        case UsageLimitExceeded():
            return Failure.TOO_MANY_CALLS, "no report after as many answers of the model as are allowed"
        case FallbackExceptionGroup():
            leaves = list(_leaves(error))
            is_late = all(isinstance(one, (ModelRequestTimeout, ModelTimeoutError)) for one in leaves)
            names = ", ".join(type(one).__qualname__ for one in leaves)
            return Failure.TIMEOUT if is_late else Failure.UNAVAILABLE, f"no model answered: {names}"
        case UnexpectedModelBehavior():
            return Failure.BAD_OUTPUT, "the model's answer was not in the form asked for"
        case _:
            return Failure.BROKEN, f"it failed with {type(error).__qualname__}"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


def _engine(meter: Meter, models: Sequence[ReadyModel]) -> str:
    """Of the model that answered last."""
    answered = [one.model for one in meter.calls if not one.error]
    return f"generative:{answered[-1] if answered else models[0].choice.name}"
