"""What holds for every proposal and context, whatever their values."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from watchfloor_core.alert import Severity
from watchfloor_core.incident import AutonomyLevel, ClosedBy, Function, IncidentKind, Reason, Verdict
from watchfloor_guardrails.autonomy import AutonomyMatrix, Cap, CapName, Limits, NameMatch, Row, Selector
from watchfloor_guardrails.closing_rule import ClosingRule, RuleMatch
from watchfloor_guardrails.gates import strictest
from watchfloor_guardrails.ruling import (
    ClosureProposal,
    Route,
    Ruling,
    RulingContext,
    RulingDecision,
    permit_of,
    rule,
)

EVERYTHING = st.text(st.characters(exclude_categories=()), max_size=8)
"""Including what UTF-8 cannot encode."""
TENANTS = st.sampled_from(["acme", "run-1", "demo"])
LEVELS = st.sampled_from(AutonomyLevel)
SHARES = st.floats(0, 1)

reasons = st.tuples(
    st.builds(Reason, EVERYTHING, EVERYTHING, st.floats(-8, 8), st.booleans()),
    st.builds(Reason, EVERYTHING, EVERYTHING, st.floats(-8, 8), st.booleans()),
)
caps = st.builds(Cap, st.sampled_from(CapName), LEVELS, st.just("…"))
limits = st.builds(
    Limits,
    close_below=st.none() | st.floats(0, 0.5),
    min_certainty=st.none() | SHARES,
    max_alerts=st.none() | st.integers(1, 2_000),
    max_severity=st.none() | st.sampled_from([Severity.LOW, Severity.MEDIUM, Severity.FATAL]),
    sample_review=st.none() | SHARES,
)
RULES = (
    ClosingRule("scanner", Verdict.BENIGN_POSITIVE, "…", date(2026, 6, 30), RuleMatch(uid="1")),
    ClosingRule("acme", Verdict.FALSE_POSITIVE, "…", date(2026, 6, 30), RuleMatch(tenant=NameMatch("acme"), uid="1")),
)
triage_rows = st.lists(
    st.builds(
        Row,
        st.just(Function.ALERT_TRIAGE),
        st.builds(
            Selector,
            alert_family=st.none() | st.just(NameMatch("web")),
            tenant=st.none() | st.sampled_from([NameMatch("acme"), NameMatch("run-", is_prefix=True)]),
        ),
        LEVELS,
        limits=limits,
    ),
    max_size=3,
    unique_by=lambda row: row.selector,
)


@st.composite
def matrices(draw: st.DrawFn) -> AutonomyMatrix:
    """No row names a tier: how levels differ between tiers is the operator's to set."""
    default = Row(Function.ALERT_TRIAGE, Selector(), draw(LEVELS), limits=draw(limits))
    others = [Row(function, Selector(), AutonomyLevel.L0) for function in Function if function != "alert_triage"]
    rows = [row for row in draw(triage_rows) if not row.selector.is_default]
    engine_caps = tuple(draw(st.dictionaries(st.sampled_from(["specialist", "generative"]), LEVELS)).items())
    return AutonomyMatrix((default, *others, *rows), engine_caps, RULES)


plausible_proposals = st.builds(
    ClosureProposal,
    tenant=TENANTS,
    incident_id=st.sampled_from(["inc-1", "inc-2"]),
    revision=st.integers(1, 2),
    kind=st.sampled_from(IncidentKind),
    is_sealed=st.booleans(),
    verdict=st.sampled_from(Verdict),
    probability=SHARES,
    certainty=SHARES,
    reasons=reasons,
    engine=st.sampled_from(["specialist", "generative:m", "other"]),
    alert_count=st.integers(1, 3_000),
    severity=st.sampled_from(Severity),
    asset_tier=st.none() | st.integers(0, 3),
    alert_family=st.sampled_from(["web", "auth"]),
    rule_id=st.none() | st.sampled_from(["scanner", "acme", "gone"]),
    has_open_context=st.booleans(),
)
wild_proposals = st.builds(
    ClosureProposal,
    tenant=EVERYTHING,
    incident_id=EVERYTHING,
    revision=st.integers(),
    kind=st.sampled_from(IncidentKind),
    is_sealed=st.booleans(),
    verdict=st.sampled_from(Verdict),
    probability=st.floats(),
    certainty=st.floats(),
    reasons=st.lists(st.builds(Reason, EVERYTHING, EVERYTHING, st.floats(), st.booleans()), max_size=4).map(tuple),
    engine=EVERYTHING,
    alert_count=st.integers(),
    severity=st.sampled_from(Severity),
    asset_tier=st.none() | st.integers(),
    alert_family=EVERYTHING,
    rule_id=st.none() | EVERYTHING | st.just("scanner"),
    has_open_context=st.booleans(),
)


def contexts(matrix: st.SearchStrategy[AutonomyMatrix | None]) -> st.SearchStrategy[RulingContext]:
    return st.builds(
        RulingContext,
        matrix=matrix,
        caps=st.lists(caps, max_size=2).map(tuple),
        now_us=st.sampled_from([1_767_225_600_000_000, 1_790_000_000_000_000]),
        current_revision=st.integers(1, 2),
        engaged_kill_switches=st.none() | st.sampled_from([(), (), (), ("all",)]),
        dark_sources=st.sampled_from([(), (), ("suricata",)]),
        is_human_locked=st.booleans(),
    )


def may_close(ruling: Ruling) -> bool:
    return ruling.decision is RulingDecision.ALLOW


def assert_no_looser(after: Ruling, before: Ruling) -> None:
    assert after.decision.looseness <= before.decision.looseness


@given(wild_proposals, contexts(st.none() | matrices()), st.integers())
def test_every_proposal_gets_a_ruling(proposal: ClosureProposal, context: RulingContext, now_us: int) -> None:
    ruling = rule(proposal, replace(context, now_us=now_us, current_revision=proposal.revision))
    assert ruling.decision is strictest(ruling.hits)


def test_numbers_too_long_to_print_get_a_ruling() -> None:
    number = 10**5_000
    matrix = AutonomyMatrix(tuple(Row(function, Selector(), AutonomyLevel.L4) for function in Function))
    context = RulingContext(
        matrix=matrix,
        caps=(),
        now_us=number,
        current_revision=number + 1,
        engaged_kill_switches=(),
        dark_sources=(),
        is_human_locked=False,
    )
    proposal = ClosureProposal(
        tenant="acme",
        incident_id="inc-1",
        revision=number,
        kind=IncidentKind.ACTIVITY,
        is_sealed=True,
        verdict=Verdict.FALSE_POSITIVE,
        probability=0.0,
        certainty=1.0,
        reasons=(),
        engine="specialist",
        alert_count=-number,
        severity=Severity.LOW,
        asset_tier=number,
        alert_family="web",
        rule_id=None,
        has_open_context=False,
    )
    assert rule(proposal, context).decision is RulingDecision.DENY


@given(plausible_proposals, contexts(matrices()))
def test_closing_without_a_person_keeps_every_invariant(proposal: ClosureProposal, context: RulingContext) -> None:
    ruling = rule(proposal, context)
    if may_close(ruling):
        assert context.engaged_kill_switches == ()
        assert proposal.revision == context.current_revision
        assert proposal.asset_tier != 0
        assert proposal.verdict is not Verdict.TRUE_POSITIVE
        assert not context.is_human_locked
        assert ruling.level >= AutonomyLevel.L1
        assert ruling.verdict is not None
        assert ruling.verdict.is_benign
        permit = permit_of(ruling)
        assert (permit.incident_id, permit.revision, permit.verdict, permit.closed_by, permit.policy_digest) == (
            ruling.incident_id,
            ruling.revision,
            ruling.verdict,
            ruling.actor,
            ruling.policy_digest,
        )
        if ruling.actor is ClosedBy.AGENT:
            assert ruling.level >= AutonomyLevel.L3
            assert proposal.verdict.is_benign
            assert proposal.probability <= 0.5
            assert proposal.engine == "specialist"
            assert not context.dark_sources
            assert not any(reason.rests_on_external and reason.log_odds < 0 for reason in proposal.reasons)


@given(plausible_proposals, contexts(matrices()))
def test_route_actor_and_requirement_follow_from_the_decision(
    proposal: ClosureProposal, context: RulingContext
) -> None:
    ruling = rule(proposal, context)
    assert (ruling.route is Route.CLOSE) == may_close(ruling)
    assert (ruling.actor is ClosedBy.PERSON) == (not may_close(ruling))
    assert (ruling.requirement is not None) == (ruling.decision is RulingDecision.ASK)


@given(plausible_proposals, contexts(matrices()), LEVELS)
def test_lowering_the_configured_level_never_loosens(
    proposal: ClosureProposal, context: RulingContext, level: AutonomyLevel
) -> None:
    assert context.matrix is not None
    rows = tuple(replace(row, level=min(row.level, level)) for row in context.matrix.rows)
    lowered = replace(context, matrix=replace(context.matrix, rows=rows))
    assert_no_looser(rule(proposal, lowered), rule(proposal, context))


@given(plausible_proposals, contexts(matrices()), caps)
def test_adding_a_cap_never_loosens(proposal: ClosureProposal, context: RulingContext, cap: Cap) -> None:
    before = rule(proposal, context)
    after = rule(proposal, replace(context, caps=(*context.caps, cap)))
    assert_no_looser(after, before)
    assert after.level <= min(before.level, cap.level)


@given(plausible_proposals, contexts(matrices()))
def test_finding_a_reason_to_rest_on_attacker_text_never_loosens(
    proposal: ClosureProposal, context: RulingContext
) -> None:
    first, *others = proposal.reasons
    tainted = replace(proposal, reasons=(replace(first, rests_on_external=True), *others))
    untainted = replace(proposal, reasons=(replace(first, rests_on_external=False), *others))
    assert_no_looser(rule(tainted, context), rule(untainted, context))


@given(plausible_proposals, contexts(matrices()), st.floats(-8, 8))
def test_adding_a_reason_that_rests_on_attacker_text_never_loosens(
    proposal: ClosureProposal, context: RulingContext, log_odds: float
) -> None:
    external = Reason("text", "…", log_odds, rests_on_external=True)
    more = replace(proposal, reasons=(*proposal.reasons, external))
    assert_no_looser(rule(more, context), rule(proposal, context))


@given(plausible_proposals, contexts(matrices()), SHARES)
def test_less_certainty_never_loosens(proposal: ClosureProposal, context: RulingContext, certainty: float) -> None:
    less = replace(proposal, certainty=min(certainty, proposal.certainty))
    assert_no_looser(rule(less, context), rule(proposal, context))


@given(plausible_proposals, contexts(matrices()), SHARES)
def test_more_probability_never_loosens(proposal: ClosureProposal, context: RulingContext, probability: float) -> None:
    more = replace(proposal, probability=max(probability, proposal.probability))
    assert_no_looser(rule(more, context), rule(proposal, context))


@given(plausible_proposals, contexts(matrices()), st.integers(0, 3))
def test_a_more_critical_asset_never_loosens(proposal: ClosureProposal, context: RulingContext, tier: int) -> None:
    counted = 2 if proposal.asset_tier is None else proposal.asset_tier
    critical = replace(proposal, asset_tier=min(tier, counted))
    assert_no_looser(rule(critical, context), rule(proposal, context))


@given(plausible_proposals, contexts(matrices()), st.integers(0, 10_000))
def test_more_alerts_at_once_never_loosen(proposal: ClosureProposal, context: RulingContext, alerts: int) -> None:
    more = replace(proposal, alert_count=proposal.alert_count + alerts)
    assert_no_looser(rule(more, context), rule(proposal, context))


@given(plausible_proposals, contexts(matrices()))
def test_stopping_switches_never_loosen(proposal: ClosureProposal, context: RulingContext) -> None:
    before = rule(proposal, context)
    stopped = (
        replace(context, engaged_kill_switches=("tenant",)),
        replace(context, engaged_kill_switches=None),
        replace(context, matrix=None),
    )
    for after in stopped:
        assert rule(proposal, after).decision is RulingDecision.DENY
    for after in (replace(context, is_human_locked=True), replace(context, dark_sources=("edr",))):
        assert_no_looser(rule(proposal, after), before)


@given(
    plausible_proposals,
    contexts(matrices()),
    st.sampled_from(Verdict),
    st.floats(),
    st.floats(),
    reasons,
)
def test_nothing_of_the_agents_answer_shows_at_l0(
    proposal: ClosureProposal,
    context: RulingContext,
    verdict: Verdict,
    probability: float,
    certainty: float,
    other_reasons: tuple[Reason, ...],
) -> None:
    ruling = rule(proposal, context)
    if ruling.level is AutonomyLevel.L0:
        other = replace(proposal, verdict=verdict, probability=probability, certainty=certainty, reasons=other_reasons)
        assert rule(other, context) == ruling
        assert (ruling.is_shadow, ruling.decision, ruling.route) == (True, RulingDecision.DENY, Route.QUEUE)


@given(
    plausible_proposals,
    contexts(matrices()),
    st.sampled_from([verdict for verdict in Verdict if verdict is not Verdict.TRUE_POSITIVE]),
    SHARES,
    SHARES,
    reasons,
)
def test_l1_does_not_listen_to_an_engine(
    proposal: ClosureProposal,
    context: RulingContext,
    verdict: Verdict,
    probability: float,
    certainty: float,
    other_reasons: tuple[Reason, ...],
) -> None:
    quiet = replace(proposal, verdict=Verdict.UNDETERMINED)
    ruling = rule(quiet, context)
    if ruling.level is AutonomyLevel.L1:
        other = replace(quiet, verdict=verdict, probability=probability, certainty=certainty, reasons=other_reasons)
        assert rule(other, context) == ruling
