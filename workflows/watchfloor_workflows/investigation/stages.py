"""The stages of an investigation, each safe to repeat: it begins from the store's rows and ends by writing to them.

::

    scope → plan → collect → correlate ─┬→ hypothesise → verify (collect what tests ask) → conclude
                     ▲                  │
                     └── new questions ─┘

What one stage leaves for the next is in the store; `Progress` is all that travels through the workflow.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from watchfloor_agents.generative.desk import RefusedQuestionError
from watchfloor_agents.generative.reconcile import Disagreement, reconcile
from watchfloor_agents.investigation.checking import check
from watchfloor_agents.investigation.engine import InvestigationEngine
from watchfloor_agents.investigation.export.report_json import report_to_json
from watchfloor_agents.investigation.loading import load_investigation_case
from watchfloor_agents.investigation.loop import InvestigationBudget, ask, can_be_asked, new_questions
from watchfloor_agents.investigation.relating import relation
from watchfloor_agents.investigation.view import Answer, CaseView, Question
from watchfloor_agents.tooling.calling import PluggedTool
from watchfloor_core.canonical import JsonValue, canonical
from watchfloor_core.clock import now_us
from watchfloor_core.context import ContextSource, ToolCall
from watchfloor_core.errors import RefusedError
from watchfloor_core.evidence import Evidence
from watchfloor_core.ledger.record import Decision, record_decisions
from watchfloor_core.logs.source import Health, LogSource
from watchfloor_core.report import Report, Unknown
from watchfloor_core.store.engine import Store
from watchfloor_core.telemetry.content import AttributeValue
from watchfloor_core.telemetry.names import Operation, SpanAttribute, SpanName
from watchfloor_core.telemetry.spans import span
from watchfloor_workflows.authority.responding import respond_to_report
from watchfloor_workflows.authority.vouching import Vouchers
from watchfloor_workflows.investigation.records import (
    InvestigationKey,
    InvestigationStatus,
    begin,
    count_questions,
    end,
    keep_answer,
    note_round,
    put_questions,
    read_investigation,
    read_view,
    waiting_questions,
)
from watchfloor_workflows.investigation.researching import AGENT, Opinion, is_open, may_ask
from watchfloor_workflows.investigation.wanted import stopped_by
from watchfloor_workflows.playbooks.picking import pick_playbooks
from watchfloor_workflows.playbooks.shelf import FolderShelf
from watchfloor_workflows.policy import PolicyFile
from watchfloor_workflows.standing import last_entry_id, lock_incident, read_incident

_WORST: Final = (Health.DARK, Health.PARTIAL, Health.WHOLE)


RESEARCH: Final = "research"
"""What stands for the stage beside a second engine's own questions."""


class Stage(StrEnum):
    """Names of the graph's nodes, and so of activities."""

    SCOPE = "scope"
    PLAN = "plan"
    COLLECT = "collect"
    CORRELATE = "correlate"
    HYPOTHESISE = "hypothesise"
    VERIFY = "verify"
    CONCLUDE = "conclude"


@dataclass(frozen=True, slots=True)
class Progress:
    """What the order of the stages depends on."""

    goes_on: bool = True
    """False where the incident has moved on: there is nothing to investigate."""
    waiting: int = 0
    """Questions without an answer."""
    round: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    view: CaseView
    report: Report
    """The specialist's, checked."""
    is_open_to_second: bool
    """It leaves the case open, and the policy lets the second engine look into it."""


@dataclass(frozen=True, slots=True)
class Joint:
    """The report that is kept."""

    report: Report
    disagreements: tuple[Disagreement, ...] = ()


def no_context(tenant: str) -> Sequence[ContextSource]:  # noqa: ARG001  # there is none for any
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Investigator:
    """What the stages work with. Its calls block."""

    store: Store
    engine: InvestigationEngine
    sources: Callable[[str], Sequence[LogSource]]
    """Those that a tenant's agents may ask."""
    policy: PolicyFile
    budget: InvestigationBudget
    context: Callable[[str], Sequence[ContextSource]] = no_context
    """What a tenant's agents may look up beside telemetry."""
    tools: Mapping[str, PluggedTool] = field(default_factory=dict)
    """Reading tools of others, by name, for whoever is asked after the rules."""
    vouchers: Vouchers = field(default_factory=Vouchers)
    shelf: FolderShelf | None = None
    """The playbooks that may be picked for a report; None picks none."""
    """Endorsers of others, for the targets that a report recommends."""

    def run(self, stage: Stage, key: InvestigationKey) -> Progress:
        """One stage, as one span. Raises `RefusedError` where a kill switch forbids it, `NotFoundError`, and
        `RecordError` where a row cannot be read."""
        stages: Mapping[Stage, Callable[[InvestigationKey], Progress]] = {
            Stage.SCOPE: self._scope,
            Stage.PLAN: self._plan,
            Stage.COLLECT: self._collect,
            Stage.CORRELATE: self._correlate,
            Stage.HYPOTHESISE: self._hypothesise,
            Stage.VERIFY: self._verify,
            Stage.CONCLUDE: self._conclude,
        }
        attributes: dict[str, AttributeValue] = {
            SpanAttribute.GEN_AI_OPERATION_NAME: Operation.PLAN,
            SpanAttribute.GEN_AI_AGENT_NAME: self.engine.name,
            SpanAttribute.TENANT: key.tenant,
            SpanAttribute.INCIDENT_ID: key.incident_id,
            SpanAttribute.INCIDENT_REVISION: key.revision,
            SpanAttribute.STAGE: stage.value,
        }
        with span(SpanName.INVESTIGATE, attributes):
            return stages[stage](key)

    def fail(self, key: InvestigationKey, problem: str) -> None:
        """Record that it came to no end, and why."""
        with self.store.write() as connection:
            lock_incident(connection, key.tenant, key.incident_id)
            if end(connection, key, InvestigationStatus.FAILED, problem=problem):
                parent = last_entry_id(connection, key.tenant, key.incident_id, "escalation")
                record_decisions(connection, key.tenant, [_failed(key, self.engine.name, problem, parent)])

    def _scope(self, key: InvestigationKey) -> Progress:
        with self.store.write() as connection:
            held = read_incident(connection, key.tenant, key.incident_id)
            begun = read_investigation(connection, key)
            if begun.started_us is None:
                if held.revision != key.revision or held.merged_into is not None:
                    end(connection, key, InvestigationStatus.SUPERSEDED)
                    return Progress(goes_on=False)
                case = load_investigation_case(connection, key.tenant, key.incident_id)
                begin(connection, key, case, self.engine.name, self.engine.version)
            return Progress(round=begun.round)

    def _plan(self, key: InvestigationKey) -> Progress:
        view = self._view(key)
        return self._put(key, view, self.engine.plan(view), Stage.PLAN)

    def _collect(self, key: InvestigationKey) -> Progress:
        """Ask what waits, one after the other; each answer is kept before the next question."""
        with self.store.read() as connection:
            waiting = waiting_questions(connection, key)
            round_ = read_investigation(connection, key).round
        for question in waiting:
            self.answer(key, question, self.engine.name)
        return Progress(round=round_)

    def _verify(self, key: InvestigationKey) -> Progress:
        """Ask what tests the hypotheses, and once more what the engine asks about what that has brought."""
        self._collect(key)
        view = self._view(key)
        self._put(key, view, self.engine.tests(view), Stage.VERIFY)
        return self._collect(key)

    def answer(self, key: InvestigationKey, question: Question, agent: str) -> Answer:
        """Put one question to the tenant's sources and keep what they say. Raises `RefusedError` where a kill switch
        forbids it."""
        with self.store.read() as connection:
            thrown = stopped_by(connection, key.tenant, agent)
        if thrown:
            raise RefusedError(
                f"the kill switch {thrown[0]} is thrown; release it and have the incident looked at anew"
            )
        attributes: dict[str, AttributeValue] = {
            SpanAttribute.GEN_AI_OPERATION_NAME: Operation.EXECUTE_TOOL,
            SpanAttribute.GEN_AI_TOOL_NAME: question.tool,
            SpanAttribute.TENANT: key.tenant,
            SpanAttribute.INCIDENT_ID: key.incident_id,
            SpanAttribute.QUESTION_DIGEST: question.digest,
        }
        with span(SpanName.QUESTION, attributes) as current:
            answer = self._asked(key, question)
            current.set_attribute(SpanAttribute.EVIDENCE, len(answer.evidence))
            current.set_attribute(SpanAttribute.HEALTH, _worst(answer))
            with self.store.write() as connection:
                keep_answer(connection, key, answer, agent)
        return answer

    def _asked(self, key: InvestigationKey, question: Question) -> Answer:
        if not isinstance(question.query, ToolCall):
            return ask(question, self.sources(key.tenant), self.budget, self.context(key.tenant))
        tool = self.tools.get(question.query.tool)
        if tool is None:
            raise RefusedQuestionError("unknown_tool", "there is no such tool")
        # In a thread, as all of this is: the tool's process is waited for in a loop of its own.
        return asyncio.run(tool.answer(question))

    def _correlate(self, key: InvestigationKey) -> Progress:
        """Look at what was found, and ask what follows from it, as long as the budget of rounds allows."""
        view = self._view(key)
        view = replace(view, round=view.round + 1)
        with self.store.write() as connection:
            note_round(connection, key, view.round)
        asked = self.engine.plan(view) if view.round < self.budget.rounds else ()
        return self._put(key, view, asked, Stage.CORRELATE)

    def _hypothesise(self, key: InvestigationKey) -> Progress:
        view = self._view(key)
        return self._put(key, view, self.engine.tests(view), Stage.HYPOTHESISE)

    def _put(self, key: InvestigationKey, view: CaseView, questions: Sequence[Question], stage: Stage) -> Progress:
        sources, context = self.sources(key.tenant), self.context(key.tenant)
        # Without any the alerts are all there is: the report says so, and nobody is asked.
        questions = [one for one in questions if can_be_asked(one, sources, context)]
        if not questions:
            return Progress(round=view.round)
        with self.store.write() as connection:
            left = self.budget.questions - count_questions(connection, key)
            put_questions(connection, key, new_questions(view, questions, self.budget)[: max(0, left)], stage.value)
            return Progress(waiting=len(waiting_questions(connection, key)), round=view.round)

    def _conclude(self, key: InvestigationKey) -> Progress:
        return self.keep(key, self.draft(key).report, None)

    def draft(self, key: InvestigationKey, second: str = AGENT) -> Draft:
        """What the engine makes of it, checked; nothing is kept yet. ``second``: who would be asked besides."""
        with self.store.read() as connection:
            view = read_view(connection, key)
            held = read_incident(connection, key.tenant, key.incident_id)
        report = check(self.engine.conclude(view), view.evidence)
        is_open_to_second = is_open(report) and may_ask(held, self.policy.current(), second)
        return Draft(view, report, is_open_to_second)

    def put_and_answer(self, key: InvestigationKey, question: Question, agent: str) -> Answer:
        """A second engine's own question. Raises `RefusedError` where a kill switch forbids it."""
        with self.store.write() as connection:
            put_questions(connection, key, [question], RESEARCH)
        return self.answer(key, question, agent)

    def keep(self, key: InvestigationKey, report: Report, opinion: Opinion | None) -> Progress:
        """Conclude: the report, joined with a second engine's where one has an opinion."""
        view = self._view(key)
        joint = _joined(report, opinion, view)
        self._keep(key, view, joint, opinion)
        return Progress(round=view.round)

    def _keep(self, key: InvestigationKey, view: CaseView, joint: Joint, opinion: Opinion | None) -> None:
        """The report, its place in the ledger and the proposals that follow from it, in one transaction."""
        policy = self.policy.current()
        # Before the transaction: an endorser may take its time, and the store waits for nobody's code.
        vouched = {} if joint.disagreements else self.vouchers.of(joint.report, view.evidence)
        shelf = [] if joint.disagreements or self.shelf is None else self.shelf.usable()
        with self.store.write() as connection:
            held = lock_incident(connection, key.tenant, key.incident_id)
            ended_us = now_us()
            started_us = read_investigation(connection, key).started_us or ended_us
            # Engines have no clock.
            report = replace(
                joint.report, started_us=started_us, ended_us=ended_us, relation=relation(view.case, joint.report)
            )
            content = canonical(report_to_json(report))
            digest = hashlib.sha256(content).hexdigest()
            if not end(connection, key, InvestigationStatus.DONE, report=content.decode(), report_sha256=digest):
                return
            parent = last_entry_id(connection, key.tenant, key.incident_id, "escalation")
            concluded = _concluded(key, view, report, digest, parent)
            if opinion is not None:
                concluded = replace(concluded, body={**concluded.body, "model": _of_model(opinion, joint)})
            # Where rules and model disagree a person decides, and nothing is proposed before.
            drafts = (
                []
                if joint.disagreements
                else [
                    *respond_to_report(connection, held, policy, report, view.evidence, vouched),
                    *pick_playbooks(connection, held, policy, report, view.evidence, shelf),
                ]
            )
            record_decisions(connection, key.tenant, [concluded, *drafts])

    def _view(self, key: InvestigationKey) -> CaseView:
        with self.store.read() as connection:
            return read_view(connection, key)


def _joined(report: Report, opinion: Opinion | None, view: CaseView) -> Joint:
    if opinion is None:
        return Joint(report)
    if opinion.result is None or opinion.result.report is None:
        who = "No model could help" if opinion.agent == AGENT else f"The engine {opinion.agent} could not help"
        unknown = Unknown(text=f"{who}: {opinion.problem}", cause="not_collected")
        return Joint(replace(report, unknowns=(*report.unknowns, unknown)))
    reconciled = reconcile(report, check(opinion.result.report, view.evidence))
    return Joint(reconciled.report, reconciled.disagreements)


def _of_model(opinion: Opinion, joint: Joint) -> dict[str, JsonValue]:
    """For the ledger: who was asked with what, what it cost, and whether it agreed; nothing of what it wrote."""
    result = opinion.result
    named: dict[str, JsonValue] = {} if opinion.agent == AGENT else {"agent": opinion.agent}
    if result is None:
        return {"asked": False, "problem": opinion.problem, **named}
    known = result.prompt
    prompt: JsonValue = None
    if known is not None:
        prompt = {"name": known.name, "version": known.version, "sha256": known.digest}
    if result.plug_in is not None:
        named["plug_in"] = result.plug_in
    return {
        **named,
        "asked": True,
        "problem": opinion.problem,
        "failure": result.failure.value if result.failure else None,
        "models": sorted({one.model for one in result.calls}),
        "prompt": prompt,
        "version": result.version,
        "requests": len(result.calls),
        "tokens": result.tokens,
        "micro_usd": result.micro_usd,
        "questions": len(result.answers),
        "stated_confidence": result.stated_confidence,
        "disagreements": [one.about for one in joint.disagreements],
    }


def evidence_root(evidence: Mapping[str, Evidence]) -> str:
    """SHA-256 (64 hex digits) over the ids of all evidence, sorted, each with a line feed after it."""
    return hashlib.sha256("".join(f"{one}\n" for one in sorted(evidence)).encode()).hexdigest()


def _worst(answer: Answer) -> str:
    found = {one.health for one in answer.coverage}
    return next((one.value for one in _WORST if one in found), "none")


def _failed(key: InvestigationKey, engine: str, problem: str, parent: str | None) -> Decision:
    now = now_us()
    return Decision(
        chain=key.incident_id,
        kind="investigation",
        body={"revision": key.revision, "engine": engine, "problem": problem},
        name=SpanName.INVESTIGATION,
        start_us=now,
        end_us=now,
        parent_id=parent,
        attributes={
            SpanAttribute.TENANT: key.tenant,
            SpanAttribute.INCIDENT_REVISION: key.revision,
            SpanAttribute.ENGINE_NAME: engine,
            SpanAttribute.OUTCOME: "failed",
        },
    )


def _concluded(key: InvestigationKey, view: CaseView, report: Report, digest: str, parent: str | None) -> Decision:
    return Decision(
        chain=key.incident_id,
        kind="investigation",
        body={
            "revision": key.revision,
            "verdict": report.verdict.value,
            "probability": report.probability,
            "certainty": report.certainty,
            "report_sha256": digest,
            "evidence_sha256": evidence_root(view.evidence),
            "evidence": len(view.evidence),
            "questions": len(view.answers),
            "findings": len(report.findings),
            "dropped": len(report.dropped),
            "techniques": [one.technique for one in report.techniques],
            "engine": report.engine,
            "version": report.version,
        },
        name=SpanName.INVESTIGATION,
        start_us=report.started_us,
        end_us=report.ended_us,
        parent_id=parent,
        attributes={
            SpanAttribute.TENANT: key.tenant,
            SpanAttribute.INCIDENT_REVISION: key.revision,
            SpanAttribute.VERDICT: report.verdict.value,
            SpanAttribute.PROBABILITY: report.probability,
            SpanAttribute.CERTAINTY: report.certainty,
            SpanAttribute.ENGINE_NAME: report.engine,
            SpanAttribute.ENGINE_VERSION: report.version,
            SpanAttribute.REPORT_DIGEST: digest,
            SpanAttribute.QUESTIONS: len(view.answers),
            SpanAttribute.EVIDENCE: len(view.evidence),
            SpanAttribute.FINDINGS: len(report.findings),
            SpanAttribute.DROPPED: len(report.dropped),
        },
    )
