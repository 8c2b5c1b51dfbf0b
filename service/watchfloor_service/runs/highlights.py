"""What a person wants to know first about a tenant's incidents: why agents closed some, and what waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, case, select

from watchfloor_core.clock import to_iso
from watchfloor_core.incident import ClosedBy, IncidentStatus
from watchfloor_core.store.schema import incident

SHOWN: Final = 8
"""Incidents or reasons in one list."""
BASE_RATE: Final = "prior"
"""The code of the reason that every assessment begins with."""


@dataclass(frozen=True, slots=True)
class ClosingReason:
    """The strongest reason against an attack, and in how many closed incidents it was that."""

    incidents: int
    alerts: int
    code: str
    example: str


@dataclass(frozen=True, slots=True)
class WaitingIncident:
    """An open incident in one line."""

    incident_id: str
    status: str
    title: str
    probability: float | None
    alerts: int
    first_at: str
    reason: str
    """The strongest one for an attack; empty where the agent's answer is sealed or there is none."""


def closing_reasons(connection: Connection, tenant: str) -> list[ClosingReason]:
    """Why agents closed incidents, commonest reason first."""
    rows = connection.execute(
        select(incident.c.assessment, incident.c.alert_count)
        .where(incident.c.tenant == tenant, incident.c.closed_by == ClosedBy.AGENT)
        .order_by(incident.c.alert_count.desc(), incident.c.id)
    )
    incidents: Counter[str] = Counter()
    alerts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for row in rows:
        reason = _strongest(row.assessment, sign=-1)
        code = str(reason.get("code", "none given"))
        incidents[code] += 1
        alerts[code] += row.alert_count
        examples.setdefault(code, str(reason.get("text", "")))
    return [ClosingReason(count, alerts[code], code, examples[code]) for code, count in incidents.most_common(SHOWN)]


def waiting_incidents(connection: Connection, tenant: str) -> list[WaitingIncident]:
    """Escalated incidents first, then by probability."""
    rows = connection.execute(
        select(incident)
        .where(
            incident.c.tenant == tenant,
            incident.c.status.in_([IncidentStatus.ESCALATED, IncidentStatus.QUEUED]),
        )
        .order_by(
            case((incident.c.status == IncidentStatus.ESCALATED, 0), else_=1),
            incident.c.probability.desc(),
            incident.c.first_us,
        )
        .limit(SHOWN)
    )
    return [
        WaitingIncident(
            incident_id=row.id,
            status=row.status,
            title=row.title,
            probability=row.probability,
            alerts=row.alert_count,
            first_at=to_iso(row.first_us // 1_000_000 * 1_000_000),
            reason=str(_strongest(row.assessment, sign=1).get("text", "")),
        )
        for row in rows
    ]


def _strongest(assessment: Mapping[str, Any] | None, *, sign: int) -> Mapping[str, Any]:  # Any: the store's JSON
    """The reason that says most in one direction.

    Against an attack that is the base rate where nothing particular spoke against it: too little spoke for one.
    """
    reasons = (assessment or {}).get("reasons", [])
    particular = [reason for reason in reasons if reason["code"] != BASE_RATE and sign * reason["log_odds"] > 0]
    general = [reason for reason in reasons if reason["code"] == BASE_RATE and sign < 0]
    return max(particular or general, key=lambda reason: sign * reason["log_odds"], default={})
