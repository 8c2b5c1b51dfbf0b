"""Span and attribute names are wire format: dashboards and queries of others depend on them."""

from __future__ import annotations

import re
import typing
from pathlib import Path

from watchfloor_core.ledger import Kind
from watchfloor_core.telemetry import Operation, SpanAttribute, SpanEvent, SpanName

SPANS = """
watchfloor.advance watchfloor.assess watchfloor.closure watchfloor.correlate watchfloor.dedup_undo
watchfloor.escalation watchfloor.human_verdict watchfloor.ingest_batch watchfloor.merge watchfloor.queue
watchfloor.relay watchfloor.reopen watchfloor.request watchfloor.retention watchfloor.ruling
watchfloor.shadow_reveal watchfloor.shadow_seal watchfloor.split watchfloor.verdict
watchfloor.proposal watchfloor.approval_request watchfloor.approval_vote watchfloor.approval_outcome watchfloor.grant
watchfloor.execution watchfloor.receipt watchfloor.lease watchfloor.kill_switch watchfloor.freeze watchfloor.policy
watchfloor.principal watchfloor.approver_key watchfloor.refusal watchfloor.notify
watchfloor.invoke_agent watchfloor.chat watchfloor.execute_tool
watchfloor.investigation watchfloor.correction watchfloor.investigate watchfloor.question watchfloor.playbook
"""

ATTRIBUTES = """
error.type
gen_ai.agent.name gen_ai.agent.version gen_ai.evaluation.name gen_ai.evaluation.score.label
gen_ai.evaluation.score.value gen_ai.operation.name gen_ai.provider.name gen_ai.request.model
gen_ai.response.model gen_ai.tool.name gen_ai.usage.input_tokens gen_ai.usage.output_tokens
http.request.method http.response.status_code http.route
watchfloor.action.class watchfloor.alerts watchfloor.asset.tier watchfloor.autonomy.configured
watchfloor.autonomy.level watchfloor.batch.id watchfloor.certainty watchfloor.closed_by
watchfloor.connector.name watchfloor.connector.version watchfloor.dead_letters watchfloor.decision.kind
watchfloor.duplicates watchfloor.engine.name watchfloor.engine.version watchfloor.function watchfloor.ignored
watchfloor.incident.family watchfloor.incident.id watchfloor.incident.kind watchfloor.incident.other_id
watchfloor.incident.revision watchfloor.incident.severity watchfloor.incident.status watchfloor.incidents
watchfloor.join.rule
watchfloor.ledger.chain watchfloor.ledger.seq watchfloor.observations watchfloor.policy.digest
watchfloor.principal watchfloor.probability watchfloor.reason.codes watchfloor.records watchfloor.ruling
watchfloor.ruling.codes watchfloor.source.id watchfloor.tenant watchfloor.tick watchfloor.ticks
watchfloor.verdict watchfloor.waiting watchfloor.workflow.id watchfloor.workflow.run_id
watchfloor.proposal.id watchfloor.proposal.digest watchfloor.proposer watchfloor.tool.name
watchfloor.approval.decision watchfloor.approval.channel watchfloor.grant.id watchfloor.outcome
watchfloor.kill.scope watchfloor.kill.epoch watchfloor.refusal.code
watchfloor.playbook.id watchfloor.playbook.run_id watchfloor.playbook.digest watchfloor.playbook.step_id
gen_ai.usage.cache_read.input_tokens watchfloor.cost.micro_usd watchfloor.usage.estimated
watchfloor.prompt.name watchfloor.prompt.version watchfloor.prompt.digest
watchfloor.model.position watchfloor.model.attempt
watchfloor.stage watchfloor.questions watchfloor.question.digest watchfloor.evidence watchfloor.health
watchfloor.findings watchfloor.dropped watchfloor.report.digest watchfloor.correction.says
"""


def test_span_names_are_these() -> None:
    assert sorted(SpanName) == sorted(SPANS.split())


def test_attribute_names_are_these() -> None:
    assert sorted(SpanAttribute) == sorted(ATTRIBUTES.split())


def test_event_and_operation_names_are_those_of_the_generative_ai_conventions() -> None:
    assert list(SpanEvent) == ["gen_ai.evaluation.result"]
    assert sorted(Operation) == ["chat", "execute_tool", "invoke_agent", "plan"]


def test_each_kind_of_decision_has_a_span_of_its_name() -> None:
    assert {f"watchfloor.{kind}" for kind in typing.get_args(Kind)} <= set(SpanName)


def test_the_reference_lists_every_name_and_no_other() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "telemetry.md").read_text()
    named = set(re.findall(r"`((?:watchfloor|gen_ai|http|error)\.[a-z_.]+)`", text))
    assert named == {*SpanName, *SpanAttribute, *SpanEvent}


def test_no_attribute_can_carry_what_was_said_or_seen() -> None:
    """The conventions' names for prompts, completions, tool calls, URLs and messages stay off the list."""
    content = {
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "url.full",
        "url.path",
        "url.query",
        "user_agent.original",
        "exception.message",
        "exception.stacktrace",
        "process.command_line",
    }
    assert content.isdisjoint(SpanAttribute)
