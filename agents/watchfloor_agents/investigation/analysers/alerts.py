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

_LOG_ODDS: Final = {
    Severity.MEDIUM: 0.3,
    Severity.HIGH: 0.7,
    Severity.CRITICAL: 1.0,
    Severity.FATAL: 1.2,
}
"""A rule's severity is what an attack of that kind would mean to its author; how often it is one is triage's part."""


class AlertAnalyser:
    """A finding for each kind of alert."""

    name = "alerts"
    version = "1"

    def questions(self, view: CaseView) -> Sequence[Question]:  # noqa: ARG002  # the alerts are there already
        return ()

    def analyse(self, view: CaseView) -> Analysis:
        chosen = sorted(view.case.alerts, key=lambda one: (-one.severity, one.first_us, one.evidence.id))[:MAX_ALERTS]
        claims = tuple(_claim(one, has_telemetry=bool(view.all_events)) for one in chosen)
        return Analysis(tuple(sorted(claims, key=lambda one: one.time_us)))


def _claim(alert: CaseAlert, *, has_telemetry: bool) -> Claim:
    hosts = [
        value for kind, value, role in alert.entities if kind is EntityKind.HOST and role is not EntityRole.OBSERVER
    ]
    where = f" on {', '.join(quote_untrusted(one, 80) for one in hosts[:3])}" if hosts else ""
    times = f", {alert.count} times" if alert.count > 1 else ""
    return Claim(
        code="sensor_alert",
        text=f"{alert.product} reported {quote_untrusted(alert.detector, 160)}{where}{times}",
        citations=tuple(_citations(alert, bool(hosts))),
        time_us=alert.first_us,
        log_odds=_LOG_ODDS.get(Severity(alert.severity), 0.1) if alert.severity in set(Severity) else 0.1,
        # Where telemetry was found it bears out techniques or does not; without any the sensor's word is all there is.
        techniques=() if has_telemetry else alert.techniques,
        entities=tuple(
            (kind.value, value, Scope.TARGETED if role is EntityRole.TARGET else Scope.INVOLVED)
            for kind, value, role in alert.entities
            if role is not EntityRole.OBSERVER and kind in (EntityKind.HOST, EntityKind.USER, EntityKind.IP)
        ),
    )


def _citations(alert: CaseAlert, has_hosts: bool) -> list[Citation]:
    evidence = alert.evidence
    names = ("rule.name", "related.hosts") if has_hosts else ("rule.name",)
    return [Citation(evidence.id, name, value) for name in names if (value := evidence.value(name)) is not None]
