"""The one decision point: may this be done without a person?

`rule` is pure and total: it reads no clock, no store and no setting, and answers every proposal. What it says of
actions on the outside world stands in `watchfloor_guardrails.action_ruling`; of closing an incident, here:

==  =====================================================================================================
L0  deny; a person does it, the agent's answer (which the ruling does not hold) is sealed; queue
L1  a closing rule closes; else ask, without regard to any engine; queue
L2  a closing rule closes; else ask; escalate what the engine believes to be an attack, queue the rest
L3  as L2, but the agent closes inside the row's envelope; every closure is drawn for review
L4  as L3 with the wider envelope; a sample of closures is drawn for review
==  =====================================================================================================

At every level: deny where the kill switch says so, where it or the policy cannot be read, where the proposal is stale
or makes no sense; from L1, ask for crown jewels and for what a person has taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, assert_never, overload

from watchfloor_core.alert import Severity
from watchfloor_core.errors import RefusedError
from watchfloor_core.incident import AutonomyLevel, ClosedBy, Verdict
from watchfloor_guardrails.action_context import ActionContext
from watchfloor_guardrails.action_ruling import ActionRuling, rule_action
from watchfloor_guardrails.autonomy import AutonomyMatrix, Cap, CapName, EffectiveLevel
from watchfloor_guardrails.caps import level_in_force
from watchfloor_guardrails.closing_rule import severity_rank
from watchfloor_guardrails.closure import ClosureProposal, RulingContext
from watchfloor_guardrails.gates import (
    RuleHit,
    RulingDecision,
    closing_rule_gate,
    envelope_gates,
    invariants,
    stop_gates,
    strictest,
)
from watchfloor_guardrails.matrix import Envelope, envelope_at
from watchfloor_guardrails.permit import _AUTHORITY, ClosurePermit
from watchfloor_guardrails.proposal import ActionProposal

__all__ = [
    "ClosurePermit",
    "ClosureProposal",
    "Requirement",
    "Route",
    "RuleHit",
    "Ruling",
    "RulingContext",
    "RulingDecision",
    "permit_of",
    "rule",
]

_HOUR_S: Final = 3600


class Route(StrEnum):
    """Where the incident goes."""

    CLOSE = "close"
    QUEUE = "queue"
    ESCALATE = "escalate"


@dataclass(frozen=True, slots=True)
class Requirement:
    """Who must decide, and by when. No deadline that passes ever closes anything."""

    roles: tuple[str, ...]
    quorum: int
    """So many distinct people."""
    deadline_s: int
    """Seconds from the ruling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """The answer, with every reason."""

    tenant: str
    incident_id: str
    revision: int
    decision: RulingDecision
    route: Route
    actor: ClosedBy
    """Who closes: the agent, a closing rule, or a person who is still needed."""
    verdict: Verdict | None
    """On which it is closed, or which is proposed to the person; None where no engine may be heard (L0, L1)."""
    effective: EffectiveLevel
    hits: tuple[RuleHit, ...]
    """Every rule that took part, in the order of evaluation; the decision is the strictest of their outcomes."""
    requirement: Requirement | None
    """Present where the decision is to ask."""
    policy_digest: str | None
    """None where the policy cannot be read."""
    rule_id: str | None
    """The closing rule that closes, if one does."""
    review_drawn: bool
    """A person is to look at this closure afterwards."""
    permit: ClosurePermit | None = field(default=None, repr=False, compare=False)
    """Set by `rule` alone, and not kept when a ruling is stored; take it by `permit_of`."""

    @property
    def level(self) -> AutonomyLevel:
        return self.effective.level

    @property
    def is_shadow(self) -> bool:
        """The agent's answer is to be sealed and shown to no one before the person's (L0)."""
        return self.level is AutonomyLevel.L0


@overload
def rule(proposal: ClosureProposal, context: RulingContext) -> Ruling: ...
@overload
def rule(proposal: ActionProposal, context: ActionContext) -> ActionRuling: ...
def rule(proposal: ClosureProposal | ActionProposal, context: RulingContext | ActionContext) -> Ruling | ActionRuling:
    """Rule on a proposal. Never raises; whatever is unreadable, stale or out of range is a deny."""
    if isinstance(proposal, ActionProposal):
        if not isinstance(context, ActionContext):
            raise TypeError(f"an action is ruled on in an ActionContext, not in a {type(context).__name__}")
        return rule_action(proposal, context)
    if not isinstance(context, RulingContext):
        raise TypeError(f"a closure is ruled on in a RulingContext, not in a {type(context).__name__}")
    return _rule_closure(proposal, context)


def _rule_closure(proposal: ClosureProposal, context: RulingContext) -> Ruling:
    matrix = context.matrix
    if matrix is None:
        return _ruling_without_policy(proposal)
    effective = level_in_force(proposal, context, matrix)
    envelope = envelope_at(effective.level, matrix.row_for(proposal.task).limits)
    hits = tuple(_hits(proposal, context, matrix, effective.level, envelope))
    decision = strictest(hits)
    permit = _permit(proposal, matrix) if decision is RulingDecision.ALLOW else None
    heard = proposal.verdict if effective.level >= AutonomyLevel.L2 else None
    route = _route(permit, heard)
    return Ruling(
        tenant=proposal.tenant,
        incident_id=proposal.incident_id,
        revision=proposal.revision,
        decision=decision,
        route=route,
        actor=permit.closed_by if permit else ClosedBy.PERSON,
        verdict=permit.verdict if permit else heard,
        effective=effective,
        hits=hits,
        requirement=_requirement(route, proposal.severity) if decision is RulingDecision.ASK else None,
        policy_digest=matrix.digest,
        rule_id=proposal.rule_id if permit else None,
        review_drawn=permit is not None and _is_drawn(proposal, effective.level, envelope),
        permit=permit,
    )


def permit_of(ruling: Ruling) -> ClosurePermit:
    """The permit of a ruling that allows; raises `RefusedError` for any other and for one read back from storage."""
    if ruling.decision is not RulingDecision.ALLOW:
        why = "; ".join(hit.text for hit in ruling.hits if hit.outcome is ruling.decision)
        raise RefusedError(f"incident {ruling.incident_id!r} may not be closed: {ruling.decision}: {why}")
    if ruling.permit is None:
        raise RefusedError(
            f"the ruling on incident {ruling.incident_id!r} was stored; rule again in the transaction that closes"
        )
    return ruling.permit


def _ruling_without_policy(proposal: ClosureProposal) -> Ruling:
    text = "the autonomy policy cannot be read"
    cap = Cap(CapName.POLICY, AutonomyLevel.L0, text)
    return Ruling(
        tenant=proposal.tenant,
        incident_id=proposal.incident_id,
        revision=proposal.revision,
        decision=RulingDecision.DENY,
        route=Route.QUEUE,
        actor=ClosedBy.PERSON,
        verdict=None,
        effective=EffectiveLevel(AutonomyLevel.L0, AutonomyLevel.L0, "none", (cap,)),
        hits=(RuleHit("policy", RulingDecision.DENY, text),),
        requirement=None,
        policy_digest=None,
        rule_id=None,
        review_drawn=False,
    )


def _hits(
    proposal: ClosureProposal,
    context: RulingContext,
    matrix: AutonomyMatrix,
    level: AutonomyLevel,
    envelope: Envelope,
) -> Iterator[RuleHit]:
    yield from stop_gates(proposal, context)
    if level is not AutonomyLevel.L0:
        yield from invariants(proposal, context)
        if proposal.rule_id is not None:
            by_rule = closing_rule_gate(proposal, context, matrix)
            yield by_rule
            if by_rule.outcome is RulingDecision.ALLOW:
                return
    yield from _agent_gates(proposal, level, envelope)


def _agent_gates(proposal: ClosureProposal, level: AutonomyLevel, envelope: Envelope) -> Iterator[RuleHit]:
    match level:
        case AutonomyLevel.L0:
            yield RuleHit("level", RulingDecision.DENY, "L0: a person does this; the agent's answer is sealed")
        case AutonomyLevel.L1:
            yield RuleHit("level", RulingDecision.ASK, "L1: no closing rule decides it, so a person does")
        case AutonomyLevel.L2:
            yield RuleHit("level", RulingDecision.ASK, "L2: a person decides every time")
        case AutonomyLevel.L3 | AutonomyLevel.L4:
            yield RuleHit("level", RulingDecision.ALLOW, f"L{level}: the agent may close inside its envelope")
            yield from envelope_gates(proposal, level, envelope)
        case _:
            assert_never(level)


def _permit(proposal: ClosureProposal, matrix: AutonomyMatrix) -> ClosurePermit:
    """For a proposal that passed: a closing rule closes before the agent does, on its own verdict."""
    closing_rule = None if proposal.rule_id is None else matrix.rule(proposal.rule_id)
    return ClosurePermit(
        tenant=proposal.tenant,
        incident_id=proposal.incident_id,
        revision=proposal.revision,
        verdict=proposal.verdict if closing_rule is None else closing_rule.verdict,
        closed_by=ClosedBy.AGENT if closing_rule is None else ClosedBy.RULE,
        policy_digest=matrix.digest,
        principal=None,
        authority=_AUTHORITY,
    )


def _route(permit: ClosurePermit | None, heard: Verdict | None) -> Route:
    if permit is not None:
        return Route.CLOSE
    # A denied closure is escalated as well: what stops the agent must not hide an attack from people.
    return Route.ESCALATE if heard is Verdict.TRUE_POSITIVE else Route.QUEUE


def _requirement(route: Route, severity: Severity) -> Requirement:
    if route is Route.ESCALATE:
        hours = 1
    elif severity_rank(severity) >= Severity.HIGH:
        hours = 4
    else:
        hours = 24
    return Requirement(("analyst",), 1, hours * _HOUR_S)


def _is_drawn(proposal: ClosureProposal, level: AutonomyLevel, envelope: Envelope) -> bool:
    match level:
        case AutonomyLevel.L0 | AutonomyLevel.L1 | AutonomyLevel.L2:
            return False  # What closes here is a rule that a person wrote.
        case AutonomyLevel.L3:
            return True
        case AutonomyLevel.L4:
            return proposal.has_open_context or _share(proposal) < envelope.sample_review
        case _:
            assert_never(level)


def _share(proposal: ClosureProposal) -> float:
    """Uniform in 0–1 over incidents and revisions, and the same in every replay."""
    name = f"{len(proposal.incident_id)}:{proposal.incident_id}:{proposal.revision:x}"
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    # 53 bits fit a double exactly, so that the share stays under 1 and a sample of 1.0 draws everything.
    return (int.from_bytes(digest[:8]) >> 11) / (1 << 53)
