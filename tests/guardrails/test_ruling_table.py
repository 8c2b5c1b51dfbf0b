"""The decision point as tables that a reviewer can check line by line."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from watchfloor_core.alert import Severity
from watchfloor_core.incident import AutonomyLevel, ClosedBy, IncidentKind, Reason, Verdict
from watchfloor_guardrails.autonomy import AutonomyMatrix, Cap, CapName, Limits, NameMatch
from watchfloor_guardrails.closing_rule import ClosingRule, RuleMatch
from watchfloor_guardrails.ruling import ClosureProposal, Route, RulingContext, RulingDecision, rule

Contexts = dict[AutonomyLevel, RulingContext]

L0, L1, L2, L3, L4 = AutonomyLevel
TP, BP, FP, UN = Verdict
ALLOW, ASK, DENY = RulingDecision.ALLOW, RulingDecision.ASK, RulingDecision.DENY
CLOSE, QUEUE, ESCALATE = Route.CLOSE, Route.QUEUE, Route.ESCALATE
AGENT, RULE, PERSON = ClosedBy.AGENT, ClosedBy.RULE, ClosedBy.PERSON


@pytest.mark.parametrize(
    ("level", "verdict", "decision", "route", "actor"),
    [
        (L0, TP, DENY, QUEUE, PERSON),
        (L0, BP, DENY, QUEUE, PERSON),
        (L0, FP, DENY, QUEUE, PERSON),
        (L0, UN, DENY, QUEUE, PERSON),
        (L1, TP, ASK, QUEUE, PERSON),
        (L1, BP, ASK, QUEUE, PERSON),
        (L1, FP, ASK, QUEUE, PERSON),
        (L1, UN, ASK, QUEUE, PERSON),
        (L2, TP, ASK, ESCALATE, PERSON),
        (L2, BP, ASK, QUEUE, PERSON),
        (L2, FP, ASK, QUEUE, PERSON),
        (L2, UN, ASK, QUEUE, PERSON),
        (L3, TP, ASK, ESCALATE, PERSON),
        (L3, BP, ALLOW, CLOSE, AGENT),
        (L3, FP, ALLOW, CLOSE, AGENT),
        (L3, UN, ASK, QUEUE, PERSON),
        (L4, TP, ASK, ESCALATE, PERSON),
        (L4, BP, ALLOW, CLOSE, AGENT),
        (L4, FP, ALLOW, CLOSE, AGENT),
        (L4, UN, ASK, QUEUE, PERSON),
    ],
)
def test_a_quiet_incident_is_decided_by_level_and_verdict(
    level: AutonomyLevel,
    verdict: Verdict,
    decision: RulingDecision,
    route: Route,
    actor: ClosedBy,
    quiet_proposal: ClosureProposal,
    calm_contexts: Contexts,
) -> None:
    ruling = rule(replace(quiet_proposal, verdict=verdict), calm_contexts[level])
    assert (ruling.decision, ruling.route, ruling.actor) == (decision, route, actor)


@pytest.mark.parametrize(
    ("level", "engine_says", "decision", "route", "actor", "verdict"),
    [
        (L0, UN, DENY, QUEUE, PERSON, None),
        (L1, UN, ALLOW, CLOSE, RULE, BP),
        (L1, TP, ASK, QUEUE, PERSON, None),
        (L2, UN, ALLOW, CLOSE, RULE, BP),
        (L2, FP, ALLOW, CLOSE, RULE, BP),
        (L2, TP, ASK, ESCALATE, PERSON, TP),
        (L3, UN, ALLOW, CLOSE, RULE, BP),
        (L3, TP, ASK, ESCALATE, PERSON, TP),
        (L4, UN, ALLOW, CLOSE, RULE, BP),
        (L4, FP, ALLOW, CLOSE, RULE, BP),
        (L4, TP, ASK, ESCALATE, PERSON, TP),
    ],
)
def test_a_closing_rule_closes_from_l1_unless_the_engine_says_true_positive(
    level: AutonomyLevel,
    engine_says: Verdict,
    decision: RulingDecision,
    route: Route,
    actor: ClosedBy,
    verdict: Verdict | None,
    quiet_proposal: ClosureProposal,
    calm_contexts: Contexts,
) -> None:
    ruling = rule(replace(quiet_proposal, verdict=engine_says, rule_id="scanner"), calm_contexts[level])
    assert (ruling.decision, ruling.route, ruling.actor, ruling.verdict) == (decision, route, actor, verdict)
    assert ruling.rule_id == ("scanner" if actor is RULE else None)


@pytest.mark.parametrize(
    # What the proposal has, and what is decided at L2, L3 and L4.
    ("changes", "at_l2", "at_l3", "at_l4"),
    [
        ({}, ASK, ALLOW, ALLOW),
        ({"probability": 0.0}, ASK, ALLOW, ALLOW),
        ({"probability": 0.05}, ASK, ALLOW, ALLOW),
        ({"probability": 0.0501}, ASK, ASK, ALLOW),
        ({"probability": 0.5}, ASK, ASK, ALLOW),
        ({"probability": 0.5001}, ASK, ASK, ASK),
        ({"certainty": 0.8}, ASK, ALLOW, ALLOW),
        ({"certainty": 0.79}, ASK, ASK, ALLOW),
        ({"certainty": 0.0}, ASK, ASK, ALLOW),
        ({"severity": Severity.UNKNOWN}, ASK, ALLOW, ALLOW),
        ({"severity": Severity.MEDIUM}, ASK, ALLOW, ALLOW),
        ({"severity": Severity.HIGH}, ASK, ASK, ALLOW),
        ({"severity": Severity.OTHER}, ASK, ASK, ALLOW),
        ({"alert_count": 1_000}, ASK, ALLOW, ALLOW),
        ({"alert_count": 1_001}, ASK, ASK, ALLOW),
        ({"alert_count": 400_000}, ASK, ASK, ALLOW),
        ({"asset_tier": None}, ASK, ALLOW, ALLOW),
        ({"asset_tier": 3}, ASK, ALLOW, ALLOW),
        ({"asset_tier": 1}, ASK, ALLOW, ALLOW),
        ({"asset_tier": 0}, ASK, ASK, ASK),
        ({"has_open_context": True}, ASK, ASK, ALLOW),
        ({"engine": "generative:qwen"}, ASK, ASK, ASK),
        ({"engine": "somebody-elses"}, ASK, ASK, ASK),
        ({"reasons": (Reason("known_agent", "…", -0.1, rests_on_external=True),)}, ASK, ASK, ASK),
        ({"reasons": (Reason("odd_agent", "…", 0.1, rests_on_external=True),)}, ASK, ALLOW, ALLOW),
        ({"reasons": (Reason("usual_here", "…", -4.0),)}, ASK, ALLOW, ALLOW),
        ({"kind": IncidentKind.ROUTINE}, ASK, ALLOW, ALLOW),
        ({"kind": IncidentKind.ROUTINE, "is_sealed": False}, DENY, DENY, DENY),
        ({"is_sealed": False}, ASK, ALLOW, ALLOW),
        ({"probability": float("nan")}, DENY, DENY, DENY),
        ({"probability": -0.01}, DENY, DENY, DENY),
        ({"probability": 1.01}, DENY, DENY, DENY),
        ({"certainty": float("nan")}, DENY, DENY, DENY),
        ({"certainty": float("inf")}, DENY, DENY, DENY),
        ({"alert_count": 0}, DENY, DENY, DENY),
        ({"asset_tier": 4}, DENY, DENY, DENY),
        ({"asset_tier": -1}, DENY, DENY, DENY),
        ({"reasons": (Reason("broken", "…", float("nan")),)}, DENY, DENY, DENY),
        ({"reasons": (Reason("broken", "…", float("-inf"), rests_on_external=True),)}, DENY, DENY, DENY),
        ({"revision": 2}, DENY, DENY, DENY),
        ({"revision": 4}, DENY, DENY, DENY),
        ({"rule_id": "old"}, ASK, ASK, ASK),
        ({"rule_id": "no-such-rule"}, ASK, ASK, ASK),
    ],
)
def test_one_changed_property_of_a_quiet_incident_decides(
    changes: dict[str, object],
    at_l2: RulingDecision,
    at_l3: RulingDecision,
    at_l4: RulingDecision,
    quiet_proposal: ClosureProposal,
    calm_contexts: Contexts,
) -> None:
    proposal = replace(quiet_proposal, **changes)  # type: ignore[arg-type]  # a table of single fields
    assert [rule(proposal, calm_contexts[level]).decision for level in (L2, L3, L4)] == [at_l2, at_l3, at_l4]


@pytest.mark.parametrize(
    # What the context has, and what is decided at L4 for the agent and for a closing rule.
    ("changes", "agent", "closing_rule"),
    [
        ({}, ALLOW, ALLOW),
        ({"matrix": None}, DENY, DENY),
        ({"engaged_kill_switches": ("all",)}, DENY, DENY),
        ({"engaged_kill_switches": None}, DENY, DENY),
        ({"current_revision": 4}, DENY, DENY),
        ({"is_human_locked": True}, ASK, ASK),
        ({"dark_sources": ("suricata",)}, ASK, ALLOW),
        ({"caps": (Cap(CapName.CERTIFIED, L3, "299 clean cases"),)}, ALLOW, ALLOW),
        ({"caps": (Cap(CapName.CERTIFIED, L2, "12 clean cases"),)}, ASK, ALLOW),
        ({"caps": (Cap(CapName.BUDGET, L1, "spent"),)}, ASK, ALLOW),
        ({"caps": (Cap(CapName.BREAKER, L0, "a closed true positive"),)}, DENY, DENY),
    ],
)
def test_one_changed_circumstance_decides_at_l4(
    changes: dict[str, object],
    agent: RulingDecision,
    closing_rule: RulingDecision,
    quiet_proposal: ClosureProposal,
    calm_contexts: Contexts,
) -> None:
    context = replace(calm_contexts[L4], **changes)  # type: ignore[arg-type]  # a table of single fields
    assert rule(quiet_proposal, context).decision is agent
    assert rule(replace(quiet_proposal, rule_id="scanner"), context).decision is closing_rule


@pytest.mark.parametrize(
    ("limits", "changes", "decision"),
    [
        (Limits(close_below=0.02), {"probability": 0.02}, ALLOW),
        (Limits(close_below=0.02), {"probability": 0.03}, ASK),
        (Limits(min_certainty=0.5), {"certainty": 0.49}, ASK),
        (Limits(max_alerts=11), {}, ASK),
        (Limits(max_alerts=12), {}, ALLOW),
        (Limits(max_severity=Severity.INFORMATIONAL), {}, ASK),
        (Limits(max_severity=Severity.LOW), {}, ALLOW),
        (Limits(max_severity=Severity.LOW), {"severity": Severity.UNKNOWN}, ASK),
    ],
)
def test_limits_that_a_row_writes_hold_at_l4_as_well(
    limits: Limits,
    changes: dict[str, object],
    decision: RulingDecision,
    quiet_proposal: ClosureProposal,
    calm_contexts: Contexts,
) -> None:
    context = _with_limits(calm_contexts[L4], limits)
    proposal = replace(quiet_proposal, **changes)  # type: ignore[arg-type]  # a table of single fields
    assert rule(proposal, context).decision is decision


@pytest.mark.parametrize("engine_caps", [(("specialist", L2),), (("generative", L4), ("specialist", L2))])
def test_an_operator_caps_an_engine(
    engine_caps: tuple[tuple[str, AutonomyLevel], ...], quiet_proposal: ClosureProposal, calm_contexts: Contexts
) -> None:
    ruling = rule(quiet_proposal, _with_engine_caps(calm_contexts[L4], engine_caps))
    assert (ruling.decision, ruling.level) == (ASK, L2)
    assert [cap.name for cap in ruling.effective.binding] == [CapName.ENGINE]


def test_no_operator_setting_lifts_a_generative_engine_over_l2(
    quiet_proposal: ClosureProposal, calm_contexts: Contexts
) -> None:
    context = _with_engine_caps(calm_contexts[L4], (("generative", L4), ("generative:qwen", L4)))
    assert rule(replace(quiet_proposal, engine="generative:qwen"), context).level is L2


def test_a_rule_for_another_tenant_asks(quiet_proposal: ClosureProposal, calm_contexts: Contexts) -> None:
    matrix = _matrix(calm_contexts[L1])
    foreign = ClosingRule("x", BP, "…", date(2027, 1, 1), RuleMatch(tenant=NameMatch("globex"), uid="1"))
    context = replace(calm_contexts[L1], matrix=replace(matrix, rules=(foreign,)))
    assert rule(replace(quiet_proposal, rule_id="x"), context).decision is ASK


@pytest.mark.parametrize(
    ("route", "changes", "hours"),
    [
        (QUEUE, {}, 24),
        (QUEUE, {"severity": Severity.HIGH}, 4),
        (ESCALATE, {"verdict": TP}, 1),
    ],
)
def test_asking_names_who_decides_and_by_when(
    route: Route,
    changes: dict[str, object],
    hours: int,
    quiet_proposal: ClosureProposal,
    calm_contexts: Contexts,
) -> None:
    proposal = replace(quiet_proposal, **changes)  # type: ignore[arg-type]  # a table of single fields
    ruling = rule(proposal, calm_contexts[L2])
    assert ruling.route is route
    assert ruling.requirement is not None
    assert (ruling.requirement.roles, ruling.requirement.quorum) == (("analyst",), 1)
    assert ruling.requirement.deadline_s == hours * 3600


@pytest.mark.parametrize("level", [L0, L4])
def test_nobody_is_asked_where_the_answer_is_not_to_ask(
    level: AutonomyLevel, quiet_proposal: ClosureProposal, calm_contexts: Contexts
) -> None:
    assert rule(quiet_proposal, calm_contexts[level]).requirement is None


def test_a_denied_true_positive_is_escalated_all_the_same(
    quiet_proposal: ClosureProposal, calm_contexts: Contexts
) -> None:
    context = replace(calm_contexts[L4], engaged_kill_switches=("tenant acme",))
    ruling = rule(replace(quiet_proposal, verdict=TP), context)
    assert (ruling.decision, ruling.route) == (DENY, ESCALATE)


def test_every_closure_at_l3_is_drawn_for_review(quiet_proposal: ClosureProposal, calm_contexts: Contexts) -> None:
    context = _with_limits(calm_contexts[L3], Limits(sample_review=0.0))
    assert all(
        rule(replace(quiet_proposal, incident_id=f"inc-{number}", rule_id=rule_id), context).review_drawn
        for number in range(20)
        for rule_id in (None, "scanner")
    )


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.1, 60, 140), (0.5, 430, 570), (1.0, 1000, 1000)])
def test_a_share_of_closures_at_l4_is_drawn_for_review(
    share: float, low: int, high: int, quiet_proposal: ClosureProposal, calm_contexts: Contexts
) -> None:
    context = _with_limits(calm_contexts[L4], Limits(sample_review=share))
    proposals = [replace(quiet_proposal, incident_id=f"inc-{number}") for number in range(1000)]
    drawn = [rule(proposal, context).review_drawn for proposal in proposals]
    assert low <= sum(drawn) <= high
    assert drawn == [rule(proposal, context).review_drawn for proposal in proposals]


def test_closing_beside_an_incident_that_people_work_on_is_always_reviewed_at_l4(
    quiet_proposal: ClosureProposal, calm_contexts: Contexts
) -> None:
    context = _with_limits(calm_contexts[L4], Limits(sample_review=0.0))
    assert rule(replace(quiet_proposal, has_open_context=True), context).review_drawn


def test_what_is_not_closed_is_not_drawn_for_review(quiet_proposal: ClosureProposal, calm_contexts: Contexts) -> None:
    context = _with_limits(calm_contexts[L4], Limits(sample_review=1.0))
    assert not rule(replace(quiet_proposal, verdict=UN), context).review_drawn


def test_the_ruling_names_every_rule_that_took_part(quiet_proposal: ClosureProposal, calm_contexts: Contexts) -> None:
    ruling = rule(replace(quiet_proposal, asset_tier=0, verdict=UN), calm_contexts[L3])
    assert {hit.rule: hit.outcome for hit in ruling.hits} == {
        "kill_switch": ALLOW,
        "revision": ALLOW,
        "window": ALLOW,
        "proposal": ALLOW,
        "human_lock": ALLOW,
        "crown_jewel": ASK,
        "level": ALLOW,
        "verdict": ASK,
        "probability": ALLOW,
        "certainty": ALLOW,
        "severity": ALLOW,
        "open_context": ALLOW,
    }


def test_an_unreadable_policy_is_no_policy(quiet_proposal: ClosureProposal, calm_contexts: Contexts) -> None:
    ruling = rule(replace(quiet_proposal, verdict=TP), replace(calm_contexts[L4], matrix=None))
    assert (ruling.decision, ruling.route, ruling.level, ruling.verdict) == (DENY, QUEUE, L0, None)
    assert ruling.policy_digest is None
    assert ruling.is_shadow


def test_the_digest_of_the_policy_stands_in_the_ruling(
    quiet_proposal: ClosureProposal, calm_contexts: Contexts
) -> None:
    assert rule(quiet_proposal, calm_contexts[L4]).policy_digest == _matrix(calm_contexts[L4]).digest


def _matrix(context: RulingContext) -> AutonomyMatrix:
    assert context.matrix is not None
    return context.matrix


def _with_limits(context: RulingContext, limits: Limits) -> RulingContext:
    matrix = _matrix(context)
    return replace(context, matrix=replace(matrix, rows=tuple(replace(row, limits=limits) for row in matrix.rows)))


def _with_engine_caps(context: RulingContext, caps: tuple[tuple[str, AutonomyLevel], ...]) -> RulingContext:
    return replace(context, matrix=replace(_matrix(context), engine_caps=caps))
