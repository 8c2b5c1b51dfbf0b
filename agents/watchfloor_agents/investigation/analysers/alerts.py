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

MAX_RULES: Final = 45
"""Rules that become findings: the most severe, and of those the ones that fired least. What fires all the time tells
least of what happened."""
MAX_HOSTS: Final = 4
"""Named in one finding, each with an alert of it; the others are counted."""

_LOG_ODDS: Final = {
    Severity.MEDIUM: 0.3,
    Severity.HIGH: 0.7,
    Severity.CRITICAL: 1.0,
    Severity.FATAL: 1.2,
}
"""A rule's severity is what an attack of that kind would mean to its author; how often it is one is triage's part."""


class AlertAnalyser:
    """A finding for each rule, from when it first fired, with the hosts on which it did."""

    name = "alerts"
    version = "2"

    def questions(self, view: CaseView) -> Sequence[Question]:  # noqa: ARG002  # the alerts are there already
        return ()

    def analyse(self, view: CaseView) -> Analysis:
        rules: dict[tuple[str, str], list[CaseAlert]] = {}
        for one in sorted(view.case.alerts, key=lambda one: (one.first_us, one.evidence.id)):
            rules.setdefault((one.product, one.detector), []).append(one)
        ranked = sorted(rules.values(), key=_telling_first)
        claims = [_claim(same, has_telemetry=bool(view.all_events)) for same in ranked[:MAX_RULES]]
        return Analysis(tuple(sorted(claims, key=lambda one: (one.time_us, one.text))))


def _telling_first(same: Sequence[CaseAlert]) -> tuple[int, int, int, str]:
    severity = max(one.severity for one in same)
    return -severity, _count(same), same[0].first_us, same[0].evidence.id


def _count(same: Sequence[CaseAlert]) -> int:
    return max(sum(one.count for one in same), *(one.of_rule for one in same))


def _claim(same: Sequence[CaseAlert], *, has_telemetry: bool) -> Claim:
    """Of all alerts by which one rule says the same, the first one first."""
    first = same[0]
    by_host: dict[str, CaseAlert] = {}
    for one in same:
        for host in _hosts(one):
            by_host.setdefault(host, one)
    named = dict(list(by_host.items())[:MAX_HOSTS])
    more = f" and {len(by_host) - MAX_HOSTS} more" if len(by_host) > MAX_HOSTS else ""
    where = f" on {', '.join(quote_untrusted(one, 80) for one in named)}{more}" if named else ""
    count = _count(same)
    times = f", {count} times" if count > 1 else ""
    severity = max(one.severity for one in same)
    cited = list({one.evidence.id: one for one in (first, *named.values())}.values())
    return Claim(
        code="sensor_alert",
        text=f"{first.product} reported {quote_untrusted(first.detector, 160)}{where}{times}",
        citations=tuple(citation for one in cited for citation in _citations(one, bool(_hosts(one)))),
        time_us=first.first_us,
        log_odds=_LOG_ODDS.get(Severity(severity), 0.1) if severity in set(Severity) else 0.1,
        # Where telemetry was found it bears out techniques or does not; without any the sensor's word is all there is.
        techniques=() if has_telemetry else tuple(dict.fromkeys(each for one in same for each in one.techniques)),
        entities=tuple(
            dict.fromkeys(
                (kind.value, _name(kind, value), Scope.TARGETED if role is EntityRole.TARGET else Scope.INVOLVED)
                for one in cited
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
