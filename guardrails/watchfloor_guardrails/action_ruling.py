"""The ruling on an action: the part of the one decision point (`watchfloor_guardrails.ruling.rule`) that is about acts.

Pure and total. The answer is the strictest of all gates and operator policies; where it is to ask, the requirement says
who must agree. An undo that was stated in an executed proposal was decided on with it: the stops hold for it as for
everything, but nobody is asked again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from watchfloor_core.incident import AutonomyLevel
from watchfloor_guardrails.action_context import ActionContext, PolicyInForce
from watchfloor_guardrails.action_gates import asks, caps_on, level_gate, stops
from watchfloor_guardrails.approval import ApprovalRequirement, excluded_people
from watchfloor_guardrails.autonomy import Cap, CapName, EffectiveLevel, effective_level
from watchfloor_guardrails.catalogue import function_of
from watchfloor_guardrails.cedar import CedarEffect, CedarHit, CedarRequest
from watchfloor_guardrails.gates import RuleHit, RulingDecision, strictest
from watchfloor_guardrails.limits import APPROVER_ROLES
from watchfloor_guardrails.matrix import Task
from watchfloor_guardrails.proposal import ActionProposal


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRuling:
    """The answer, with every reason."""

    digest: str
    """Of the proposal."""
    decision: RulingDecision
    effective: EffectiveLevel
    hits: tuple[RuleHit, ...]
    """Every rule that took part, in the order of evaluation; the decision is the strictest of their outcomes."""
    requirement: ApprovalRequirement | None
    """Who must agree where the decision is to ask; who may object where a veto window is open; else None."""
    veto_s: int | None
    """Where it is allowed: so long a person may still say no before it happens; None where it happens at once."""
    policy_digest: str | None
    """None where the policy cannot be read."""
    is_stated_undo: bool

    @property
    def level(self) -> AutonomyLevel:
        return self.effective.level

    @property
    def against(self) -> tuple[str, ...]:
        """What stands against doing it at once, in words."""
        return tuple(hit.text for hit in self.hits if hit.outcome is self.decision is not RulingDecision.ALLOW)


def rule_action(proposal: ActionProposal, context: ActionContext) -> ActionRuling:
    """Rule on an action. Never raises for values of the declared types."""
    policy = context.policy
    if policy is None:
        return _without_policy(proposal)
    row = policy.matrix.row_for(task_of(proposal, context))
    effective = effective_level(row, caps_on(proposal, context, policy))
    is_stated_undo = context.undoes is not None
    operators = policy.cedar.evaluate(_request(proposal, context, effective.level))
    hits = (*_hits(proposal, context, policy, effective.level), *(_hit(one) for one in operators))
    roles = _roles(operators)
    if not roles:
        hits = (
            *hits,
            RuleHit("roles", RulingDecision.DENY, "the operator's policies ask for roles that exclude each other"),
        )
    decision = strictest(hits)
    veto_s = _veto(policy, effective.level, decision, is_stated_undo=is_stated_undo)
    takes_people = decision is RulingDecision.ASK or veto_s is not None
    return ActionRuling(
        digest=_digest(proposal),
        decision=decision,
        effective=effective,
        hits=hits,
        requirement=_requirement(proposal, context, policy, operators, roles) if takes_people else None,
        veto_s=veto_s,
        policy_digest=policy.digest,
        is_stated_undo=is_stated_undo,
    )


def task_of(proposal: ActionProposal, context: ActionContext) -> Task:
    """What the matrix is asked about."""
    return Task(
        function_of(proposal.action_class),
        proposal.action_class,
        context.facts_at_proposal.alert_family,
        proposal.blast.tier,
        proposal.tenant,
    )


def _hits(
    proposal: ActionProposal, context: ActionContext, policy: PolicyInForce, level: AutonomyLevel
) -> Iterator[RuleHit]:
    yield from stops(proposal, context, policy)
    if context.undoes is not None:
        yield RuleHit("stated_undo", RulingDecision.ALLOW, f"it was stated in what was decided on as {context.undoes}")
        return
    yield from asks(proposal, context)
    yield level_gate(proposal, level, policy.limits)


def _hit(one: CedarHit) -> RuleHit:
    outcome = RulingDecision.ASK if one.effect is CedarEffect.ASK else RulingDecision.DENY
    return RuleHit(f"policy:{one.rule}", outcome, one.reason)


def _roles(operators: tuple[CedarHit, ...]) -> tuple[str, ...]:
    """The roles that every policy which names some would take."""
    allowed = set(APPROVER_ROLES)
    for one in operators:
        if one.roles:
            allowed &= set(one.roles)
    return tuple(role for role in APPROVER_ROLES if role in allowed)


def _requirement(
    proposal: ActionProposal,
    context: ActionContext,
    policy: PolicyInForce,
    operators: tuple[CedarHit, ...],
    roles: tuple[str, ...],
) -> ApprovalRequirement:
    limits = policy.limits
    touched = proposal.blast.assets + proposal.blast.users
    quorum = max([limits.quorum_for(touched), *(one.quorum or 1 for one in operators)])
    if not proposal.is_reversible or proposal.blast.tier == 0:
        # What cannot be taken back, and what the organisation lives by, takes four eyes.
        quorum = max(2, quorum)
    return ApprovalRequirement(
        quorum=quorum,
        roles=roles,
        excluded=excluded_people(
            proposer=proposal.proposer.name,
            requester=proposal.proposer.requester,
            evidence_editors=context.evidence_editors,
            policy_author=policy.author,
            named_by=context.named_by,
        ),
        deadline_s=limits.approval_deadline_s,
        remind_after_s=limits.remind_after_s,
        escalate_after_s=limits.escalate_after_s,
        chain=limits.chain,
    )


def _veto(policy: PolicyInForce, level: AutonomyLevel, decision: RulingDecision, *, is_stated_undo: bool) -> int | None:
    if decision is not RulingDecision.ALLOW or is_stated_undo or level < AutonomyLevel.L4:
        return None
    return policy.limits.veto_window_s


def _request(proposal: ActionProposal, context: ActionContext, level: AutonomyLevel) -> CedarRequest:
    facts = context.facts_at_proposal
    return CedarRequest(
        proposer=proposal.proposer.name,
        proposer_kind=proposal.proposer.kind.value,
        action_class=proposal.action_class,
        target_kind=proposal.target_kind,
        target_value=str(proposal.target.value),
        groups=context.groups,
        tenant=proposal.tenant,
        function=function_of(proposal.action_class).value,
        tool=proposal.tool,
        level=int(level),
        asset_tier=proposal.blast.tier,
        in_inventory=proposal.blast.in_inventory,
        blast_assets=proposal.blast.assets,
        blast_users=proposal.blast.users,
        is_reversible=proposal.is_reversible,
        is_tainted=bool(proposal.tainted),
        is_undo=context.undoes is not None,
        lease_s=proposal.lease_s,
        alert_family=facts.alert_family,
        severity=int(facts.severity),
        now_us=context.now_us,
    )


def _digest(proposal: ActionProposal) -> str:
    try:
        return proposal.digest
    except ValueError:
        # It has no canonical form, which `faults` denies; no digest ever equals this.
        return ""


def _without_policy(proposal: ActionProposal) -> ActionRuling:
    text = "the autonomy policy cannot be read"
    cap = Cap(CapName.POLICY, AutonomyLevel.L0, text)
    return ActionRuling(
        digest=_digest(proposal),
        decision=RulingDecision.DENY,
        effective=EffectiveLevel(AutonomyLevel.L0, AutonomyLevel.L0, "none", (cap,)),
        hits=(RuleHit("policy", RulingDecision.DENY, text),),
        requirement=None,
        veto_s=None,
        policy_digest=None,
        is_stated_undo=False,
    )
