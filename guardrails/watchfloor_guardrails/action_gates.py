"""The gates of an action, each one rule with its outcome and its reason; the ruling is their strictest answer.

Three kinds: what stops every action and no person can wave through (deny); what always goes before a person, whatever
the level (ask); and the level itself. None of them is configurable away. The operator's own policies come on top and
can only be stricter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from watchfloor_core.incident import AutonomyLevel
from watchfloor_guardrails.action_context import ActionContext, PolicyInForce, Spending
from watchfloor_guardrails.autonomy import Cap, CapName
from watchfloor_guardrails.blast import MILLION
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.engine import engine_ceiling
from watchfloor_guardrails.gates import RuleHit, RulingDecision
from watchfloor_guardrails.incident_facts import material_change
from watchfloor_guardrails.limits import ActionLimits
from watchfloor_guardrails.proposal import ActionProposal
from watchfloor_guardrails.sequence import Fact, completes_trifecta

_DENY = RulingDecision.DENY
_ASK = RulingDecision.ASK
_ALLOW = RulingDecision.ALLOW


def _gate(rule: str, against: str | None, otherwise: RulingDecision, good: str) -> RuleHit:
    return RuleHit(rule, _ALLOW, good) if against is None else RuleHit(rule, otherwise, against)


def stops(proposal: ActionProposal, context: ActionContext, policy: PolicyInForce) -> Iterator[RuleHit]:
    """What no person can wave through."""
    yield _gate("proposal", "; ".join(proposal.faults()) or None, _DENY, "every field is in its range")
    yield _gate("kill_switch", _switch(proposal, context), _DENY, f"none is engaged at epoch {proposal.kill_epoch}")
    yield _gate("expiry", _expiry(proposal, context), _DENY, "the proposal is still valid")
    yield _gate("incident", _incident(proposal, context), _DENY, "the incident is as it was in all that matters")
    yield _gate("policy_version", _policy(proposal, policy), _DENY, "the policy is the one it was made under")
    yield _gate("tool_pin", _pin(proposal, context), _DENY, "the tool is the one it was made for")
    yield _gate("target_state", _state(proposal, context), _DENY, "the target is as it was")
    yield _gate("freeze", _freeze(context), _DENY, "no outcome of this class is unknown")
    yield _gate("held", _held(context), _DENY, "the target is not under this containment already")
    # Letting go is never held up by a budget for holding on.
    over = None if context.undoes is not None else _budget(proposal, context.spending, policy.limits)
    yield _gate("budget", over, _DENY, "inside the budgets")
    yield _gate("lease", _lease(proposal, policy.limits), _DENY, "the time limit is inside what is allowed")


def asks(proposal: ActionProposal, context: ActionContext) -> Iterator[RuleHit]:
    """What a person decides at every level."""
    irreversible = None if proposal.is_reversible else "it cannot be taken back"
    undone = "nothing of it remains" if proposal.undo_class is None else f"{proposal.undo_class!r} takes it back"
    yield _gate("irreversible", irreversible, _ASK, undone)
    jewel = "it touches a crown jewel (tier 0)" if proposal.blast.tier == 0 else None
    yield _gate("crown_jewel", jewel, _ASK, f"the most critical that it touches is of tier {proposal.blast.tier}")
    tainted = ", ".join(proposal.tainted)
    taint = f"{tainted}: an attacker could have written that, and nobody has vouched for it" if tainted else None
    yield _gate("untrusted_argument", taint, _ASK, "target and arguments are vouched for")
    yield _gate(
        "sequence", _sequence(context), _ASK, "untrusted input, sensitive data and an outward effect not together"
    )


def level_gate(proposal: ActionProposal, level: AutonomyLevel, limits: ActionLimits) -> RuleHit:
    """What the level in force says of whoever proposes."""
    kind = proposal.proposer.kind
    match level:
        case AutonomyLevel.L0:
            if kind is PrincipalKind.PERSON:
                return RuleHit("level", _ASK, "L0: people do this; another person decides")
            return RuleHit("level", _DENY, "L0: people do this, and no agent proposes it")
        case AutonomyLevel.L1:
            if kind is PrincipalKind.AGENT:
                return RuleHit("level", _DENY, "L1: rules and people propose this, and no agent")
            return RuleHit("level", _ASK, "L1: a person decides")
        case AutonomyLevel.L2:
            return RuleHit("level", _ASK, "L2: a person decides every time")
        case AutonomyLevel.L3:
            return _envelope(proposal, limits)
        case AutonomyLevel.L4:
            return RuleHit("level", _ALLOW, "L4: the agent decides what nothing else forbids")
        case _:
            assert_never(level)


def caps_on(proposal: ActionProposal, context: ActionContext, policy: PolicyInForce) -> Iterator[Cap]:
    """The upper bounds on the level that follow from the proposal and its surroundings."""
    yield from context.caps
    if not policy.is_signed:
        yield Cap(CapName.POLICY, AutonomyLevel.L2, "the policy is not signed, so it gives no action autonomy")
    if proposal.proposer.kind is PrincipalKind.AGENT:
        ceiling = engine_ceiling(proposal.proposer.name, policy.matrix.engine_caps)
        yield Cap(CapName.ENGINE, ceiling, f"the most that {proposal.proposer.name!r} may do")
    if proposal.tainted:
        yield Cap(CapName.LABEL, AutonomyLevel.L2, f"attacker-written: {', '.join(proposal.tainted)}")
    touched = proposal.blast.assets + proposal.blast.users
    if touched > policy.limits.max_blast_assets_l3:
        yield Cap(
            CapName.BLAST,
            AutonomyLevel.L2,
            f"it touches {touched:,} entities; an agent may touch {policy.limits.max_blast_assets_l3:,}",
        )
    if context.dark_sources:
        yield Cap(CapName.DATA_HEALTH, AutonomyLevel.L2, f"no data from {', '.join(map(repr, context.dark_sources))}")
    spending, most = context.spending, policy.limits.autonomous_actions_per_hour
    if spending is None or spending.autonomous_actions >= most:
        yield Cap(CapName.BUDGET, AutonomyLevel.L2, f"{most:,} actions without a person an hour are allowed")


def _envelope(proposal: ActionProposal, limits: ActionLimits) -> RuleHit:
    touched = proposal.blast.assets + proposal.blast.users
    if not proposal.is_reversible or touched > limits.max_blast_assets_l3:
        return RuleHit("level", _ASK, "L3: outside of what an agent may do alone")
    return RuleHit("level", _ALLOW, "L3: reversible, small and vouched for; reviewed afterwards")


def _switch(proposal: ActionProposal, context: ActionContext) -> str | None:
    if context.kill_epoch is None:
        return "the kill switches cannot be read"
    if context.engaged:
        return f"a kill switch is engaged for {', '.join(map(repr, context.engaged))}"
    if context.kill_epoch != proposal.kill_epoch:
        epochs = f"epoch {proposal.kill_epoch}, now {context.kill_epoch}"
        return f"a kill switch was thrown since ({epochs}); propose it anew"
    return None


def _expiry(proposal: ActionProposal, context: ActionContext) -> str | None:
    return None if context.now_us < proposal.expires_us else "the proposal has expired; propose it anew"


def _incident(proposal: ActionProposal, context: ActionContext) -> str | None:
    if context.undoes is not None:
        # What was contained is let go whatever became of the incident.
        return None
    if context.facts_now is None:
        return "the incident cannot be read"
    return material_change(context.facts_at_proposal, context.facts_now, proposal.action_class)


def _policy(proposal: ActionProposal, policy: PolicyInForce) -> str | None:
    return None if proposal.policy_digest == policy.digest else "the policy has changed since; propose it anew"


def _pin(proposal: ActionProposal, context: ActionContext) -> str | None:
    if context.tool_pin is None:
        return f"no tool {proposal.tool!r} is configured"
    return None if proposal.tool_pin == context.tool_pin else f"tool {proposal.tool!r} is another one since"


def _state(proposal: ActionProposal, context: ActionContext) -> str | None:
    if context.state_digest is None:
        return "the target cannot be read"
    return None if proposal.state_digest == context.state_digest else "the target has changed since; propose it anew"


def _freeze(context: ActionContext) -> str | None:
    if context.frozen is None:
        return None
    return f"frozen until a person has looked: {context.frozen}"


def _held(context: ActionContext) -> str | None:
    return "the target is under this containment already" if context.is_held else None


def _budget(proposal: ActionProposal, spending: Spending | None, limits: ActionLimits) -> str | None:
    if spending is None:
        return "the budgets cannot be read"
    if spending.actions >= limits.actions_per_hour:
        return f"{spending.actions:,} actions of this class in the last hour; at most {limits.actions_per_hour:,}"
    known = proposal.known_class
    if known is None or not known.is_containment or not proposal.blast.in_inventory:
        return None
    contained = spending.contained_assets + proposal.blast.assets + proposal.blast.users
    if contained > limits.max_contained_assets:
        return f"{contained:,} of ours would be contained; at most {limits.max_contained_assets:,}"
    # One is always let through: a share of a small inventory would forbid even that.
    if contained > 1 and contained * MILLION > limits.max_contained_share_ppm * max(1, spending.inventory_size):
        share = f"{limits.max_contained_share_ppm / 10_000:g} %"
        return f"{contained:,} of {spending.inventory_size:,} of ours would be contained; at most {share}"
    return None


def _lease(proposal: ActionProposal, limits: ActionLimits) -> str | None:
    known = proposal.known_class
    if proposal.lease_s is None or known is None:
        return None
    most = min(limits.max_lease_s, known.max_lease_s or limits.max_lease_s)
    return None if proposal.lease_s <= most else f"{proposal.lease_s:,} s; at most {most:,} s before it is decided anew"


def _sequence(context: ActionContext) -> str | None:
    if context.facts_touched is None:
        return "what the run has touched cannot be read"
    if completes_trifecta(context.facts_touched, (Fact.OUTWARD_EFFECT,)):
        return "this run has read untrusted input and sensitive data, and this has an effect outside"
    return None
