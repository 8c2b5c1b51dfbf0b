"""What one run may ask, whoever asks: each call is checked before it is made, counted, recorded and traced."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from opentelemetry.trace import Span

from watchfloor_agents.generative.desk import Desk, RefusedQuestionError, SourcesFailedError, ToolOutcome, ToolUse
from watchfloor_core.telemetry import Operation, SpanAttribute, SpanName, span

MAX_ARGUMENTS: Final = 2_048
"""Bytes of one call's arguments as JSON. A question is short; what is long is carrying something."""
MAX_REFUSALS: Final = 6
"""So many refusals end the run: who does not listen will not conclude either."""
OTHER: Final = "other"
"""Stands in records and spans for a name that the caller made up."""


class StoppedError(Exception):
    """The run is over: the caller went on with what was refused."""


@contextmanager
def admitted(desk: Desk, tool: str, arguments: bytes) -> Iterator[None]:
    """Around one call. ``tool`` is `OTHER` or the name of one that there is; ``arguments`` are canonical JSON.

    Raises `RefusedQuestionError` where it may not be made, or for a ValueError inside; `StoppedError` where that was
    one refusal too many. A `SourcesFailedError` inside is recorded and raised.
    """
    attributes: dict[str, str] = {
        SpanAttribute.GEN_AI_OPERATION_NAME: Operation.EXECUTE_TOOL,
        SpanAttribute.GEN_AI_TOOL_NAME: tool,
    }
    use = ToolUse(
        tool=tool,
        arguments=hashlib.sha256(arguments).hexdigest(),
        argument_bytes=len(arguments),
        outcome=ToolOutcome.ANSWERED,
    )
    before = len(desk.answers)
    # Raised outside of the span: what is refused is an outcome of the call and no failure of ours.
    problem: Exception | None = None
    with span(SpanName.EXECUTE_TOOL, attributes) as current:
        try:
            _check(use, desk)
            yield
        except (RefusedQuestionError, ValueError) as error:
            code = error.code if isinstance(error, RefusedQuestionError) else "bad_question"
            use, problem = replace(use, outcome=ToolOutcome.REFUSED, code=code), RefusedQuestionError(code, str(error))
        except SourcesFailedError as error:
            use, problem = replace(use, outcome=ToolOutcome.FAILED, code=str(error)), error
        answer = desk.answers[-1] if len(desk.answers) > before else None
        if answer is not None:
            use = replace(use, question=answer.question.digest, found=len(answer.evidence))
        _record(use, desk, current)
        refusals = sum(one.outcome is ToolOutcome.REFUSED for one in desk.uses)
        if use.outcome is ToolOutcome.REFUSED and refusals >= MAX_REFUSALS:
            raise StoppedError(f"{refusals} calls of tools were refused, the last one as {use.code}")
    if problem is not None:
        raise problem


def _check(use: ToolUse, desk: Desk) -> None:
    if use.tool == OTHER:
        raise RefusedQuestionError("unknown_tool", "there is no such tool")
    if use.argument_bytes > MAX_ARGUMENTS:
        raise RefusedQuestionError("arguments_too_large", f"arguments are larger than {MAX_ARGUMENTS:,} bytes")
    if any((one.tool, one.arguments) == (use.tool, use.arguments) for one in desk.uses):
        raise RefusedQuestionError("repeated", "the same was asked before; use that answer, or conclude")
    if len(desk.uses) >= desk.max_calls:
        raise RefusedQuestionError("calls_used_up", "no more questions may be asked; conclude now")
    if desk.events_left <= 0:
        raise RefusedQuestionError("events_used_up", "no more events may be read; conclude now")


def _record(use: ToolUse, desk: Desk, current: Span) -> None:
    desk.uses.append(use)
    attributes: dict[str, str | int] = {SpanAttribute.OUTCOME: use.outcome, SpanAttribute.RECORDS: use.found}
    current.set_attributes(attributes)
    if use.code:
        current.set_attribute(SpanAttribute.REFUSAL_CODE, use.code)
