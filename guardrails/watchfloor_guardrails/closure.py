"""What is put before the decision point: the proposal to close an incident, and what is known beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from watchfloor_core.alert import Severity
from watchfloor_core.incident import Function, IncidentKind, Reason, Verdict
from watchfloor_guardrails.autonomy import CLOSE_INCIDENT, AutonomyMatrix, Cap, Task

_LARGEST_LOG_ODDS: Final = 1e6
"""Far beyond what any evidence gives; a larger number is an error upstream, not certainty."""


def shown(number: int) -> str:
    """A number of any size as text: Python refuses to print integers of thousands of digits."""
    return f"{number:,}" if abs(number) < 10**18 else "(beyond 10^18)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosureProposal:
    """The act of closing one revision of one incident, as data. No field of it is trusted to be in range."""

    tenant: str
    incident_id: str
    revision: int
    kind: IncidentKind
    is_sealed: bool
    """Event time has passed the incident's session: it takes no more alerts."""
    verdict: Verdict
    """The engine's; Undetermined where none was asked."""
    probability: float
    """Of TruePositive, 0–1, calibrated; 0.5 where no engine was asked."""
    certainty: float
    """0–1."""
    reasons: tuple[Reason, ...]
    engine: str
    alert_count: int
    severity: Severity
    """The highest among its alerts."""
    asset_tier: int | None
    """The most critical (smallest) among its assets: 0 crown jewel to 3; None where no asset is in the inventory."""
    alert_family: str
    """What the matrix rows name under ``alert_family``; in lower case."""
    rule_id: str | None
    """The closing rule that matches the whole incident (`watchfloor_guardrails.closing_rule.matching_rule`)."""
    has_open_context: bool
    """Another incident that waits for a person shares its asset: closing this one takes context from that person."""

    @property
    def task(self) -> Task:
        return Task(Function.ALERT_TRIAGE, CLOSE_INCIDENT, self.alert_family, self.asset_tier, self.tenant)

    def faults(self) -> Iterator[str]:
        """Why the proposal makes no sense, if so; written so that NaN counts as out of range."""
        if not 0.0 <= self.probability <= 1.0:
            yield f"probability {self.probability!r} is not in 0–1"
        if not 0.0 <= self.certainty <= 1.0:
            yield f"certainty {self.certainty!r} is not in 0–1"
        for reason in self.reasons:
            if not -_LARGEST_LOG_ODDS <= reason.log_odds <= _LARGEST_LOG_ODDS:
                yield f"reason {reason.code!r} has log-odds of {reason.log_odds!r}"
        if self.asset_tier is not None and not 0 <= self.asset_tier <= 3:
            yield f"asset tier {shown(self.asset_tier)} is not in 0–3"
        if self.alert_count < 1:
            yield f"alert count {shown(self.alert_count)} is under 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class RulingContext:
    """What the decision needs to know beside the proposal. Nothing has a default: what is not known must be said."""

    matrix: AutonomyMatrix | None
    """None where the operator's policy cannot be read."""
    caps: tuple[Cap, ...]
    """Bounds that others keep: certified, budget, breaker. Those that follow from the proposal are added here."""
    now_us: int
    """Microseconds since the Unix epoch, UTC."""
    current_revision: int
    """The incident's revision in the transaction that would close it."""
    engaged_kill_switches: tuple[str, ...] | None
    """Scopes that are stopped and cover this act; None where the switches cannot be read."""
    dark_sources: tuple[str, ...]
    """Sources on which the answer depends and that have gone silent."""
    is_human_locked: bool
    """A person reopened or took the incident: only a person closes it."""
