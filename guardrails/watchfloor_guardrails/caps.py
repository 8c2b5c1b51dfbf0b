"""The level in force for closing an incident: what is configured, under every cap that its proposal gives rise to."""

from __future__ import annotations

from collections.abc import Iterator

from watchfloor_core.incident import AutonomyLevel
from watchfloor_guardrails.autonomy import AutonomyMatrix, Cap, CapName, EffectiveLevel, Row, effective_level
from watchfloor_guardrails.closure import ClosureProposal, RulingContext, shown
from watchfloor_guardrails.engine import engine_ceiling
from watchfloor_guardrails.labels import lowering_external, monotone_log_odds, rests_on_external
from watchfloor_guardrails.matrix import envelope_at


def level_in_force(proposal: ClosureProposal, context: RulingContext, matrix: AutonomyMatrix) -> EffectiveLevel:
    """The effective level. What the engine answered is looked at only from L2: below, it is not asked, or is sealed."""
    row = matrix.row_for(proposal.task)
    caps = (*context.caps, *_standing_caps(proposal, context, matrix))
    standing = effective_level(row, caps)
    if standing.level < AutonomyLevel.L2 or any(proposal.faults()):
        return standing
    return effective_level(row, (*caps, *_caps_of_answer(proposal, row, standing.level)))


def _standing_caps(proposal: ClosureProposal, context: RulingContext, matrix: AutonomyMatrix) -> Iterator[Cap]:
    ceiling = engine_ceiling(proposal.engine, matrix.engine_caps)
    yield Cap(CapName.ENGINE, ceiling, f"the most that engine {proposal.engine!r} may do")
    if context.dark_sources:
        sources = ", ".join(repr(source) for source in context.dark_sources)
        yield Cap(CapName.DATA_HEALTH, AutonomyLevel.L2, f"no data from {sources}")


def _caps_of_answer(proposal: ClosureProposal, row: Row, level: AutonomyLevel) -> Iterator[Cap]:
    if rests_on_external(proposal.reasons):
        yield Cap(CapName.LABEL, AutonomyLevel.L2, _taint(proposal))
    max_alerts = envelope_at(level, row.limits).max_alerts
    if max_alerts is not None and proposal.alert_count > max_alerts:
        reason = f"{shown(proposal.alert_count)} alerts at once; at most {shown(max_alerts)} are allowed"
        yield Cap(CapName.BLAST, AutonomyLevel.L2, reason)


def _taint(proposal: ClosureProposal) -> str:
    codes = ", ".join(repr(reason.code) for reason in lowering_external(proposal.reasons))
    total = sum(reason.log_odds for reason in proposal.reasons)
    without = monotone_log_odds(proposal.reasons)
    return (
        f"{codes} lowers suspicion on the strength of attacker-written text: "
        f"log-odds {total:+.2f}, {without:+.2f} without"
    )
