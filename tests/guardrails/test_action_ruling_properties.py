"""More risk is never less strict: over arbitrary proposals and surroundings, not over those we thought of."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.guardrails.actions import CONTEXT, FACTS, PROPOSAL, policy
from watchfloor_core.alert import Integrity, Severity
from watchfloor_core.incident import AutonomyLevel, Verdict
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.action_context import ActionContext, Spending
from watchfloor_guardrails.action_ruling import ActionRuling
from watchfloor_guardrails.approval import ApprovalRequirement
from watchfloor_guardrails.autonomy import Cap, CapName
from watchfloor_guardrails.blast import Blast
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.cedar import CedarPolicies
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.gates import RulingDecision
from watchfloor_guardrails.proposal import ActionProposal, Proposer
from watchfloor_guardrails.ruling import rule
from watchfloor_guardrails.sequence import Fact

LEVELS = st.sampled_from(AutonomyLevel)
LABELS = st.builds(
    Labelled,
    st.sampled_from(["203.0.113.7", "x", "", "a" * 5_000]),
    st.sampled_from(Integrity),
    st.sampled_from([None, "corroboration"]),
)
BLASTS = st.builds(
    Blast,
    assets=st.integers(-1, 60),
    users=st.integers(0, 9),
    fleet_ppm=st.integers(0, 1_000_000),
    tier=st.integers(-1, 4),
    in_inventory=st.booleans(),
)
PROPOSERS = st.builds(
    Proposer, st.sampled_from(["specialist:response", "generative:x", "ana"]), st.sampled_from(PrincipalKind)
)
POLICIES = st.builds(
    lambda level, veto, signed: replace(policy(level, veto_window_s=veto), is_signed=signed),
    LEVELS,
    st.sampled_from([None, 300]),
    st.booleans(),
)


@st.composite
def proposals(draw: st.DrawFn) -> ActionProposal:
    known = CATALOGUE[draw(st.sampled_from(sorted(CATALOGUE)))]
    lease = 600 if known.is_containment else None
    return replace(
        PROPOSAL,
        action_class=draw(st.sampled_from([known.name, known.name, "wipe disk"])),
        target_kind=known.target.value,
        target=draw(LABELS),
        arguments=draw(st.dictionaries(st.sampled_from(["note"]), LABELS, max_size=1)),
        blast=draw(BLASTS),
        undo_class=known.undo,
        lease_s=draw(st.sampled_from([lease, lease, 10**9])),
        proposer=draw(PROPOSERS),
        kill_epoch=draw(st.sampled_from([4, 4, 3])),
        expires_us=draw(st.sampled_from([PROPOSAL.expires_us, 1])),
    )


CONTEXTS = st.builds(
    replace,
    st.just(CONTEXT),
    policy=st.one_of(POLICIES, st.none()),
    caps=st.lists(st.builds(Cap, st.sampled_from(CapName), LEVELS, st.just("r")), max_size=2).map(tuple),
    facts_now=st.one_of(
        st.none(),
        st.builds(replace, st.just(FACTS), is_open=st.booleans(), verdict=st.sampled_from([None, *Verdict])),
        st.just(FACTS),
    ),
    kill_epoch=st.sampled_from([4, 4, None]),
    engaged=st.sampled_from([(), (), ("all",)]),
    frozen=st.sampled_from([None, None, "r"]),
    state_digest=st.sampled_from([CONTEXT.state_digest, None]),
    tool_pin=st.sampled_from([CONTEXT.tool_pin, None]),
    spending=st.one_of(
        st.none(), st.builds(Spending, st.integers(0, 30), st.integers(0, 9), st.integers(0, 40), st.integers(0, 2_000))
    ),
    is_held=st.booleans(),
    facts_touched=st.one_of(st.none(), st.frozensets(st.sampled_from(Fact))),
    dark_sources=st.sampled_from([(), ("wazuh",)]),
    undoes=st.sampled_from([None, None, "aa" * 32]),
)


def asks_no_more(one: ApprovalRequirement, other: ApprovalRequirement) -> bool:
    """Whoever satisfies ``other`` satisfies ``one``."""
    return (
        one.quorum <= other.quorum and set(other.roles) <= set(one.roles) and set(one.excluded) <= set(other.excluded)
    )


def not_looser(worse: ActionRuling, better: ActionRuling) -> bool:
    if worse.decision is not better.decision:
        return worse.decision.looseness < better.decision.looseness
    if worse.decision is RulingDecision.ASK and worse.requirement and better.requirement:
        return asks_no_more(better.requirement, worse.requirement)
    return True


@given(proposals(), CONTEXTS)
def test_every_proposal_gets_an_answer_with_its_reasons(proposal: ActionProposal, context: ActionContext) -> None:
    ruling = rule(proposal, context)

    assert ruling.hits
    assert (ruling.decision is RulingDecision.ALLOW) == all(hit.outcome is RulingDecision.ALLOW for hit in ruling.hits)
    if ruling.decision is RulingDecision.ASK:
        assert ruling.requirement is not None
        assert ruling.requirement.quorum >= 1
        assert ruling.requirement.roles
        assert ruling.requirement.deadline_s > 0


@given(proposals(), CONTEXTS)
def test_the_same_question_has_the_same_answer(proposal: ActionProposal, context: ActionContext) -> None:
    assert rule(proposal, context) == rule(proposal, context)


@given(proposals(), CONTEXTS, LEVELS, LEVELS)
def test_a_lower_level_never_loosens(
    proposal: ActionProposal, context: ActionContext, one: AutonomyLevel, other: AutonomyLevel
) -> None:
    low, high = sorted((one, other))
    lower, higher = (rule(proposal, replace(context, policy=policy(level))) for level in (low, high))

    assert not_looser(lower, higher)


@given(proposals(), CONTEXTS, LEVELS)
def test_another_cap_never_loosens(proposal: ActionProposal, context: ActionContext, level: AutonomyLevel) -> None:
    capped = replace(context, caps=(*context.caps, Cap(CapName.CERTIFIED, level, "r")))

    assert not_looser(rule(proposal, capped), rule(proposal, context))


@given(proposals(), CONTEXTS)
def test_taint_never_loosens(proposal: ActionProposal, context: ActionContext) -> None:
    tainted = replace(proposal, target=replace(proposal.target, integrity=Integrity.EXTERNAL, endorsed_by=None))

    assert not_looser(rule(tainted, context), rule(proposal, context))


@given(proposals(), CONTEXTS, st.integers(1, 50), st.integers(1, 3))
def test_more_blast_or_criticality_never_loosens(
    proposal: ActionProposal, context: ActionContext, more: int, steps: int
) -> None:
    blast = proposal.blast
    wider = replace(proposal, blast=replace(blast, assets=blast.assets + more)) if blast.assets >= 0 else proposal
    nearer = replace(proposal, blast=replace(blast, tier=max(0, blast.tier - steps))) if blast.tier >= 0 else proposal

    assert not_looser(rule(wider, context), rule(proposal, context))
    assert not_looser(rule(nearer, context), rule(proposal, context))


STALE = st.sampled_from(
    [
        {"now_us": PROPOSAL.expires_us},
        {"kill_epoch": 5},
        {"kill_epoch": None},
        {"engaged": ("all",)},
        {"facts_now": None},
        {"facts_now": replace(FACTS, severity=Severity.LOW)},
        {"state_digest": "00" * 32},
        {"state_digest": None},
        {"tool_pin": "00" * 32},
        {"frozen": "unknown"},
        {"spending": None},
        {"is_held": True},
        {"facts_touched": None},
        {"dark_sources": ("a",)},
        {"policy": None},
        {"evidence_editors": ("ana", "ben")},
    ]
)


@given(proposals(), CONTEXTS, STALE)
def test_staleness_and_what_cannot_be_read_never_loosen(
    proposal: ActionProposal, context: ActionContext, worse: dict[str, object]
) -> None:
    fresh = replace(context, evidence_editors=())
    stale = replace(fresh, **worse)  # type: ignore[arg-type]  # by name, from the list

    assert not_looser(rule(proposal, stale), rule(proposal, fresh))


CONDITIONS = [
    "",
    "when { context.level >= 3 }",
    "unless { context.is_reversible }",
    "when { context.blast_assets > 2 }",
    'when { principal.kind == "agent" }',
    "when { context has lease_s && context.lease_s > 60 }",
    "when { context.hour_utc < 12 }",
]
EXTRA = st.sampled_from(["", '@effect("deny") ', '@effect("ask") @quorum("2") ', '@effect("ask") @roles("lead") '])


@st.composite
def policy_texts(draw: st.DrawFn) -> list[str]:
    parts = draw(st.lists(st.tuples(EXTRA, st.sampled_from(CONDITIONS)), min_size=1, max_size=3))
    return [f'@id("p{n}") {extra}forbid(principal, action, resource) {when};' for n, (extra, when) in enumerate(parts)]


@settings(deadline=None)
@given(proposals(), CONTEXTS, policy_texts())
def test_adding_any_operator_policy_never_loosens(
    proposal: ActionProposal, context: ActionContext, texts: list[str]
) -> None:
    held = context.policy or policy()
    before = rule(proposal, replace(context, policy=held))
    for count in range(1, len(texts) + 1):
        cedar = CedarPolicies.load({"a.cedar": "\n".join(texts[:count])})
        after = rule(proposal, replace(context, policy=replace(held, cedar=cedar)))
        assert not_looser(after, before)
        before = after


@given(proposals(), CONTEXTS)
def test_no_agent_acts_alone_without_certified_level_or_a_stated_undo(
    proposal: ActionProposal, context: ActionContext
) -> None:
    ruling = rule(proposal, context)
    if ruling.decision is RulingDecision.ALLOW and not ruling.is_stated_undo:
        assert ruling.level >= AutonomyLevel.L3
        assert not proposal.tainted
        assert proposal.undo_class is not None
        assert proposal.blast.tier != 0
        assert context.policy is not None
        assert context.policy.is_signed
