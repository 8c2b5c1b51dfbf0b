"""The gates that a closure without a person must pass, each one rule with its outcome and its reason.

Every gate answers by itself what it would allow; the ruling is the strictest answer. Adding a gate, or a risk that one
looks at, can therefore only tighten a ruling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from watchfloor_core.alert import Severity
from watchfloor_core.incident import AutonomyLevel, IncidentKind, Verdict
from watchfloor_guardrails.autonomy import AutonomyMatrix
from watchfloor_guardrails.closing_rule import severity_rank
from watchfloor_guardrails.closure import ClosureProposal, RulingContext, shown
from watchfloor_guardrails.matrix import UNKNOWN_TIER, Envelope


class RulingDecision(StrEnum):
    """In the order from strict to loose."""

    DENY = "deny"
    """Not now, and no person is asked about this proposal."""
    ASK = "ask"
    """A person decides."""
    ALLOW = "allow"

    @property
    def looseness(self) -> int:
        """0 is strictest."""
        return tuple(RulingDecision).index(self)


@dataclass(frozen=True, slots=True)
class RuleHit:
    """One rule that took part in a ruling."""

    rule: str
    """Stable name, e.g. ``crown_jewel``."""
    outcome: RulingDecision
    """What this rule by itself permits."""
    text: str
    """For a person, with the numbers."""


def strictest(hits: tuple[RuleHit, ...]) -> RulingDecision:
    """What all rules together permit; nothing where there is none."""
    return min((hit.outcome for hit in hits), key=lambda outcome: outcome.looseness, default=RulingDecision.DENY)


def _hit(rule: str, passes: bool, otherwise: RulingDecision, good: str, bad: str) -> RuleHit:
    return RuleHit(rule, RulingDecision.ALLOW if passes else otherwise, good if passes else bad)


def stop_gates(proposal: ClosureProposal, context: RulingContext) -> Iterator[RuleHit]:
    """What stops every automatic act. None looks at the engine's answer, so they may be shown at every level."""
    switches = context.engaged_kill_switches
    if switches is None:
        yield RuleHit("kill_switch", RulingDecision.DENY, "the kill switches cannot be read")
    else:
        engaged = ", ".join(repr(scope) for scope in switches)
        yield _hit("kill_switch", not switches, RulingDecision.DENY, "none is engaged", f"engaged for {engaged}")
    current = shown(context.current_revision)
    yield _hit(
        "revision",
        proposal.revision == context.current_revision,
        RulingDecision.DENY,
        f"the proposal is about the current revision {current}",
        f"the proposal is about revision {shown(proposal.revision)}, the incident is at {current}",
    )
    yield _hit(
        "window",
        proposal.is_sealed or proposal.kind is not IncidentKind.ROUTINE,
        RulingDecision.DENY,
        "the incident may be decided now",
        "routine alerts are decided once their window is sealed",
    )


def invariants(proposal: ClosureProposal, context: RulingContext) -> Iterator[RuleHit]:
    """What no level and no closing rule overrides."""
    faults = "; ".join(proposal.faults())
    yield _hit("proposal", not faults, RulingDecision.DENY, "every number is in its range", faults)
    yield _hit(
        "human_lock",
        not context.is_human_locked,
        RulingDecision.ASK,
        "no person has taken or reopened the incident",
        "a person has taken or reopened the incident; only a person closes it",
    )
    tier = UNKNOWN_TIER if proposal.asset_tier is None else proposal.asset_tier
    source = "not in the inventory, counts as tier" if proposal.asset_tier is None else "of tier"
    yield _hit(
        "crown_jewel",
        tier != 0,
        RulingDecision.ASK,
        f"the asset is {source} {shown(tier)}",
        "the asset is a crown jewel (tier 0)",
    )


def closing_rule_gate(proposal: ClosureProposal, context: RulingContext, matrix: AutonomyMatrix) -> RuleHit:
    """Whether the deterministic rule that the proposal names may close. Where it may not, the incident asks."""
    rule_id = proposal.rule_id
    rule = None if rule_id is None else matrix.rule(rule_id)
    if rule is None:
        return RuleHit("closing_rule", RulingDecision.ASK, f"rule {rule_id!r} is not in the policy in force")
    if rule.is_expired(context.now_us):
        return RuleHit("closing_rule", RulingDecision.ASK, f"rule {rule.id!r} expired after {rule.expires}")
    if not rule.covers_tenant(proposal.tenant):
        return RuleHit("closing_rule", RulingDecision.ASK, f"rule {rule.id!r} is not for tenant {proposal.tenant!r}")
    if proposal.verdict is Verdict.TRUE_POSITIVE:
        text = f"rule {rule.id!r} says {rule.verdict}, the engine says TruePositive: a person settles it"
        return RuleHit("closing_rule", RulingDecision.ASK, text)
    return RuleHit("closing_rule", RulingDecision.ALLOW, f"rule {rule.id!r} says {rule.verdict}: {rule.reason}")


def envelope_gates(proposal: ClosureProposal, level: AutonomyLevel, envelope: Envelope) -> Iterator[RuleHit]:
    """What an agent's own closure must keep inside at L3 and L4."""
    yield _hit(
        "verdict",
        proposal.verdict.is_benign,
        RulingDecision.ASK,
        f"{proposal.verdict} may be closed",
        f"an agent never closes on {proposal.verdict}",
    )
    yield _hit(
        "probability",
        proposal.probability <= envelope.close_below,
        RulingDecision.ASK,
        f"probability of TruePositive {proposal.probability:.4f} is at most {envelope.close_below}",
        f"probability of TruePositive {proposal.probability:.4f} is over {envelope.close_below}",
    )
    yield _hit(
        "certainty",
        proposal.certainty >= envelope.min_certainty,
        RulingDecision.ASK,
        f"certainty {proposal.certainty:.4f} is at least {envelope.min_certainty}",
        f"certainty {proposal.certainty:.4f} is under {envelope.min_certainty}",
    )
    if envelope.max_severity is not None:
        yield _severity_gate(proposal.severity, envelope.max_severity)
    if level is AutonomyLevel.L3:
        yield _hit(
            "open_context",
            not proposal.has_open_context,
            RulingDecision.ASK,
            "no incident that waits for a person shares the asset",
            "an incident that waits for a person shares the asset",
        )


def _severity_gate(severity: Severity, most: Severity) -> RuleHit:
    name = severity.name.lower()
    return _hit(
        "severity",
        severity_rank(severity) <= most,
        RulingDecision.ASK,
        f"severity {name} is at most {most.name.lower()}",
        f"severity {name} is over {most.name.lower()}",
    )
