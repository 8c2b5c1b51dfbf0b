"""What the sensors themselves claim: the case's own alerts, as findings that are weaker than telemetry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from watchfloor_agents.investigation.case import CaseAlert
from watchfloor_agents.investigation.engine import Analysis, Claim
from watchfloor_agents.investigation.view import CaseView, Question
from watchfloor_core.alert import EntityKind, EntityRole, Severity
from watchfloor_core.report import Citation, Scope
from watchfloor_core.untrusted import quote_untrusted

MAX_ALERTS: Final = 40
"""Kinds of alert that become findings: the most severe, and of those the first."""

MAX_CITED: Final = 3
"""Alerts that one finding cites; the others say the same."""

_LOG_ODDS: Final = {
    Severity.MEDIUM: 0.3,
    Severity.HIGH: 0.7,
    Severity.CRITICAL: 1.0,
    Severity.FATAL: 1.2,
}
"""A rule's severity is what an attack of that kind would mean to its author; how often it is one is triage's part."""


class AlertAnalyser:
    """A finding for each rule and where it fired."""

    name = "alerts"
    version = "1"

    def questions(self, view: CaseView) -> Sequence[Question]:  # noqa: ARG002  # the alerts are there already
        return ()

    def analyse(self, view: CaseView) -> Analysis:
        groups: dict[tuple[str, str, tuple[str, ...]], list[CaseAlert]] = {}
        for one in view.case.alerts:
            groups.setdefault((one.product, one.detector, _hosts(one)), []).append(one)
        ranked = sorted(groups.values(), key=lambda same: (-max(one.severity for one in same), same[0].first_us))
        claims = [_claim(same, has_telemetry=bool(view.all_events)) for same in ranked[:MAX_ALERTS]]
        return Analysis(tuple(sorted(claims, key=lambda one: (one.time_us, one.text))))


def _claim(same: Sequence[CaseAlert], *, has_telemetry: bool) -> Claim:
    """Of all alerts by which one rule says the same of the same hosts."""
    first = same[0]
    hosts = _hosts(first)
    where = f" on {', '.join(quote_untrusted(one, 80) for one in hosts[:3])}" if hosts else ""
    count = sum(one.count for one in same)
    times = f", {count} times" if count > 1 else ""
    severity = max(one.severity for one in same)
    return Claim(
        code="sensor_alert",
        text=f"{first.product} reported {quote_untrusted(first.detector, 160)}{where}{times}",
        citations=tuple(citation for one in same[:MAX_CITED] for citation in _citations(one, bool(hosts))),
        time_us=min(one.first_us for one in same),
        log_odds=_LOG_ODDS.get(Severity(severity), 0.1) if severity in set(Severity) else 0.1,
        # Where telemetry was found it bears out techniques or does not; without any the sensor's word is all there is.
        techniques=() if has_telemetry else tuple(dict.fromkeys(each for one in same for each in one.techniques)),
        entities=tuple(
            dict.fromkeys(
                (kind.value, _name(kind, value), Scope.TARGETED if role is EntityRole.TARGET else Scope.INVOLVED)
                for one in same[:MAX_CITED]
                for kind, value, role in one.entities
                if role is not EntityRole.OBSERVER and kind in (EntityKind.HOST, EntityKind.USER, EntityKind.IP)
            )
        ),
    )


def _name(kind: EntityKind, value: str) -> str:
    """As telemetry names it: a user without the domain."""
    return value.rpartition("\\")[2] or value if kind is EntityKind.USER else value


def _hosts(alert: CaseAlert) -> tuple[str, ...]:
    return tuple(
        value for kind, value, role in alert.entities if kind is EntityKind.HOST and role is not EntityRole.OBSERVER
    )


def _citations(alert: CaseAlert, has_hosts: bool) -> list[Citation]:
    evidence = alert.evidence
    names = ("rule.name", "related.hosts") if has_hosts else ("rule.name",)
    return [Citation(evidence.id, name, value) for name in names if (value := evidence.value(name)) is not None]
