"""One run of somebody else's engine, start to end: the counterpart of `watchfloor_agents.generative.engine.research`.

Its questions pass the same admission, its claims become a report in the same way, and whatever becomes of it the
investigation goes on.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import anyio
import orjson
from pydantic import ValidationError

from watchfloor_agents.generative.admission import OTHER, StoppedError, admitted
from watchfloor_agents.generative.claims import opinion_before, report_of
from watchfloor_agents.generative.desk import Ask, Desk, RefusedQuestionError, SourcesFailedError
from watchfloor_agents.generative.output import Proposal
from watchfloor_agents.generative.questions import MAX_HOURS, MAX_LIMIT
from watchfloor_agents.generative.result import Failure, GenerativeResult, run_attributes, trace_outcome
from watchfloor_agents.investigation.case import InvestigationCase
from watchfloor_agents.investigation.view import Answer, CaseView, Question
from watchfloor_agents.opinion.budget import OpinionBudget
from watchfloor_agents.plugged.messages import Converse, GiveOpinion, PlugInError, Refused
from watchfloor_agents.tooling.tool import ToolForm
from watchfloor_core.canonical import JsonValue, canonical
from watchfloor_core.context import Asked, LookUp, ToolCall, asked_from_json
from watchfloor_core.errors import RecordError
from watchfloor_core.logs.query import Aggregate, Select
from watchfloor_core.report import Finding, Report
from watchfloor_core.telemetry import SpanAttribute, SpanName, span
from watchfloor_core.untrusted import escape_untrusted

_log = logging.getLogger(__name__)
MAX_PURPOSE: Final = 300
"""Characters."""
_HOUR_S: Final = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class PluggedEngine:
    """An engine that is installed, allowed and has said who it is."""

    name: str
    version: str
    converse: Converse

    @property
    def agent(self) -> str:
        """Its name in reports, kill switches and caps, and beside the evidence that it found."""
        return f"plugin:{self.name}"

    @property
    def digest(self) -> str:
        """SHA-256 (64 hex digits) of what an answer depends on besides the evidence, as far as we know it."""
        form: JsonValue = Proposal.model_json_schema()
        parts: dict[str, JsonValue] = {"engine": self.agent, "version": self.version, "form": form}
        return hashlib.sha256(canonical(parts)).hexdigest()


async def consult(
    engine: PluggedEngine,
    view: CaseView,
    ask: Ask,
    budget: OpinionBudget,
    *,
    specialist: Report | None = None,
    tools: Sequence[ToolForm] = (),
) -> GenerativeResult:
    """Let the engine look into the case. Raises nothing but the cancellation of the task it runs in."""
    desk = Desk(view, ask, max_calls=budget.max_calls, max_events=budget.max_events)
    for evidence in view.evidence.values():
        desk.handles.of(evidence)
    with span(SpanName.INVOKE_AGENT, run_attributes(view, engine.agent, engine.version)) as current:
        proposal: Proposal | None = None
        report: Report | None = None
        failure: Failure | None = None
        detail = ""
        try:
            with anyio.move_on_after(budget.total_timeout_s):
                proposal = await _run(engine, desk, () if specialist is None else specialist.findings, tools)
            if proposal is None:
                failure, detail = Failure.TIMEOUT, f"no opinion within {budget.total_timeout_s:g} seconds"
            else:
                report = report_of(proposal, desk, opinion_before(view.case, specialist), engine.agent, engine.digest)
        except Exception as error:  # noqa: BLE001  # whatever becomes of it, the incident goes on
            failure, detail = _failure(error)
            _log.warning("engine %s on %s failed: %s", engine.agent, view.case.incident_id, detail)
            current.set_attribute(SpanAttribute.ERROR_TYPE, type(error).__qualname__)
        trace_outcome(current, failure)
        return GenerativeResult(
            report=report,
            failure=failure,
            detail=detail,
            stated_confidence=None if proposal is None else proposal.confidence,
            answers=tuple(desk.answers),
            tools=tuple(desk.uses),
            calls=(),
            prompt=None,
            version=engine.digest,
            plug_in=f"{engine.agent} {engine.version}",
        )


async def _run(engine: PluggedEngine, desk: Desk, findings: Sequence[Finding], tools: Sequence[ToolForm]) -> Proposal:
    names = frozenset(one.name for one in tools)

    async def reply(asked: Mapping[str, Any]) -> Answer | Refused:
        try:
            return await _put(desk, asked, names)
        except RefusedQuestionError as error:
            return Refused(error.code, str(error))
        except SourcesFailedError:
            return Refused("sources_failed", "the sources could not be asked just now; that is no answer")

    case = replace(desk.view.case, triage_verdict=None, triage_probability=None, triage_reasons=())
    order = GiveOpinion(CaseView(case, desk.view.answers, desk.view.round), tuple(findings), tuple(tools))
    return Proposal.model_validate(await engine.converse(order, reply))


async def _put(desk: Desk, said: Mapping[str, Any], tools: Collection[str]) -> Answer:
    content = orjson.dumps(said.get("query"), option=orjson.OPT_SORT_KEYS)
    try:
        asked = asked_from_json(said.get("query"))
    except RecordError:
        asked = None
    with admitted(desk, _tool(asked, tools), content):
        if asked is None:
            raise ValueError("that is no question of the algebra")
        purpose = escape_untrusted(str(said.get("purpose", ""))[:MAX_PURPOSE])
        answer, _ = await desk.put(Question(bounded(asked, desk.view.case), _tool(asked, tools), purpose))
    for evidence in answer.evidence:
        desk.handles.of(evidence)
    return answer


def bounded(asked: Asked, case: InvestigationCase) -> Asked:
    """Within what a model may ask. Raises ValueError for a time too far from the incident."""
    select = asked.select if isinstance(asked, Aggregate) else asked
    if isinstance(select, (LookUp, ToolCall)):
        return select
    widest = case.range.widened(MAX_HOURS * _HOUR_S)
    if select.range.start_us < widest.start_us or select.range.end_us > widest.end_us:
        raise ValueError(f"it asks for a time more than {MAX_HOURS} hours from the incident")
    if isinstance(asked, Select) and asked.limit > MAX_LIMIT:
        return replace(asked, limit=MAX_LIMIT)
    return asked


def _tool(asked: Asked | None, tools: Collection[str]) -> str:
    """A name of ours or one that was allowed, never the engine's word: it stands in spans."""
    match asked:
        case Select():
            return "search_events"
        case Aggregate():
            return "count_events"
        case LookUp():
            return "look_up"
        case ToolCall():
            return asked.tool if asked.tool in tools else OTHER
        case None:
            return "no_question"


def _failure(error: Exception) -> tuple[Failure, str]:
    """In words that repeat nothing of what the engine said."""
    match error:
        case StoppedError():
            return Failure.TOO_MANY_CALLS, str(error)
        case PlugInError():
            return Failure.BROKEN, str(error)
        case ValidationError():
            return Failure.BAD_OUTPUT, "its answer was not in the form asked for"
        case _:
            return Failure.BROKEN, f"it failed with {type(error).__qualname__}"
