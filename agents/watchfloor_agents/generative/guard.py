"""The outermost wrapper of the tools: what it does not let through does not happen, whatever the model was told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.trace import Span
from pydantic_ai import RunContext, WrapperToolset
from pydantic_ai.toolsets import ToolsetTool
from pydantic_core import to_jsonable_python

from watchfloor_agents.generative.desk import Desk, RefusedQuestionError, SourcesFailedError, ToolOutcome, ToolUse
from watchfloor_agents.generative.tools import READ_ONLY
from watchfloor_core.telemetry import Operation, SpanAttribute, SpanName, span

MAX_ARGUMENTS: Final = 2_048
"""Bytes of one call's arguments as JSON. A question is short; what is long is carrying something."""
MAX_REFUSALS: Final = 6
"""So many refusals end the run: a model that does not listen will not conclude either."""
_OTHER: Final = "other"
"""Stands in records and spans for a name that the model made up."""


class StoppedError(Exception):
    """The run is over: the model went on with what was refused."""


@dataclass
class ReadOnlyGuard(WrapperToolset[Desk]):
    """Refuses any tool that is not on the list of reading ones, arguments over size, repeated calls, and calls beyond
    the run's number; records each call and traces it."""

    async def get_tools(self, ctx: RunContext[Desk]) -> dict[str, ToolsetTool[Desk]]:
        return {name: tool for name, tool in (await super().get_tools(ctx)).items() if name in READ_ONLY}

    async def call_tool(
        self,
        name: str,
        tool_args: dict[str, Any],  # the library's signature
        ctx: RunContext[Desk],
        tool: ToolsetTool[Desk],
    ) -> str:
        desk = ctx.deps
        shown = name if name in READ_ONLY else _OTHER
        arguments = json.dumps(to_jsonable_python(tool_args), sort_keys=True).encode()
        attributes: dict[str, str] = {
            SpanAttribute.GEN_AI_OPERATION_NAME: Operation.EXECUTE_TOOL,
            SpanAttribute.GEN_AI_TOOL_NAME: shown,
        }
        with span(SpanName.EXECUTE_TOOL, attributes) as current:
            use = ToolUse(
                tool=shown,
                arguments=hashlib.sha256(arguments).hexdigest(),
                argument_bytes=len(arguments),
                outcome=ToolOutcome.ANSWERED,
            )
            before = len(desk.answers)
            try:
                _check(use, desk)
                text = str(await super().call_tool(name, tool_args, ctx, tool))
            except (RefusedQuestionError, ValueError) as error:
                code = error.code if isinstance(error, RefusedQuestionError) else "bad_question"
                return self._refused(use, code, str(error), desk, current)
            except SourcesFailedError as error:
                _record(use, desk, current, outcome=ToolOutcome.FAILED, code=str(error))
                return "The sources could not be asked just now. That is no answer; go on without, or conclude."
            answer = desk.answers[-1] if len(desk.answers) > before else None
            question = None if answer is None else answer.question.digest
            found = 0 if answer is None else len(answer.evidence)
            _record(use, desk, current, question=question, found=found)
            return text

    def _refused(self, use: ToolUse, code: str, message: str, desk: Desk, current: Span) -> str:
        _record(use, desk, current, outcome=ToolOutcome.REFUSED, code=code)
        refusals = sum(one.outcome is ToolOutcome.REFUSED for one in desk.uses)
        if refusals >= MAX_REFUSALS:
            raise StoppedError(f"{refusals} calls of tools were refused, the last one as {code}")
        return f"Refused: {message}."


def _check(use: ToolUse, desk: Desk) -> None:
    if use.tool == _OTHER:
        raise RefusedQuestionError("unknown_tool", "there is no such tool")
    if use.argument_bytes > MAX_ARGUMENTS:
        raise RefusedQuestionError("arguments_too_large", f"arguments are larger than {MAX_ARGUMENTS:,} bytes")
    if any((one.tool, one.arguments) == (use.tool, use.arguments) for one in desk.uses):
        raise RefusedQuestionError("repeated", "the same was asked before; use that answer, or conclude")
    if len(desk.uses) >= desk.max_calls:
        raise RefusedQuestionError("calls_used_up", "no more questions may be asked; conclude now")
    if desk.events_left <= 0:
        raise RefusedQuestionError("events_used_up", "no more events may be read; conclude now")


def _record(
    use: ToolUse,
    desk: Desk,
    current: Span,
    *,
    outcome: ToolOutcome = ToolOutcome.ANSWERED,
    code: str = "",
    question: str | None = None,
    found: int = 0,
) -> None:
    desk.uses.append(
        ToolUse(
            tool=use.tool,
            arguments=use.arguments,
            argument_bytes=use.argument_bytes,
            outcome=outcome,
            code=code,
            question=question,
            found=found,
        )
    )
    attributes: Mapping[str, str | int] = {SpanAttribute.OUTCOME: outcome, SpanAttribute.RECORDS: found}
    current.set_attributes(dict(attributes))
    if code:
        current.set_attribute(SpanAttribute.REFUSAL_CODE, code)
