"""An engine that answers every case alike, and incidents as correlation would write them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from sqlalchemy import Connection, insert, select, update

from watchfloor_agents.triage.engine import TriageCase
from watchfloor_agents.triage.features import Features
from watchfloor_core.clock import now_us
from watchfloor_core.incident import Assessment, IncidentKind, IncidentStatus, Reason, Verdict
from watchfloor_core.store.schema import incident, outbox


@dataclass
class FixedEngine:
    """Answers every case alike; counts how often it was asked. Set its fields to change its mind."""

    verdict: Verdict = Verdict.FALSE_POSITIVE
    probability: float = 0.01
    certainty: float = 0.95
    name: str = "specialist"
    version: str = "fixed-1"
    asked: list[int] = field(default_factory=list)
    """Revisions, in the order in which it was asked."""
    may_answer: threading.Event = field(default_factory=threading.Event)
    """Cleared by `think`: it then answers only when this is set."""
    is_thinking: threading.Event = field(default_factory=threading.Event)
    """Set once it was asked."""

    def __post_init__(self) -> None:
        self.may_answer.set()

    def think(self) -> None:
        """Be slow from now on: take a question, and answer when `may_answer` is set."""
        self.may_answer.clear()
        self.is_thinking.clear()

    def assess(self, case: TriageCase) -> Assessment:
        self.asked.append(case.revision)
        self.is_thinking.set()
        self.may_answer.wait(timeout=60)
        return Assessment(
            incident_id=case.incident_id,
            revision=case.revision,
            verdict=self.verdict,
            probability=self.probability,
            certainty=self.certainty,
            reasons=(Reason("fixed", "It always says so", -2.0),),
            engine=self.name,
            version=self.version,
        )


def plant_incident(
    connection: Connection,
    tenant: str,
    incident_id: str,
    *,
    kind: IncidentKind = IncidentKind.ACTIVITY,
    severity: int = 2,
    alert_count: int = 3,
    tier: int | None = None,
    announce: bool = True,
) -> None:
    """An incident at revision 1 as correlation would write it, and its outbox row."""
    connection.execute(
        insert(incident).values(
            tenant=tenant,
            id=incident_id,
            kind=kind,
            title="planted",
            opened_us=0,
            first_us=0,
            last_us=0,
            alert_count=alert_count,
            severity=severity,
            status=IncidentStatus.NEW,
            revision=1,
            is_sealed=False,
            features={"triage": Features(kind=kind, exposure_days=10.0, tier=tier).to_json()},
            updated_us=now_us(),
        )
    )
    if announce:
        _announce(connection, tenant, incident_id, 1)


def change_incident(connection: Connection, tenant: str, incident_id: str, *, announce: bool = True) -> int:
    """New material: the next revision, which is returned."""
    connection.execute(
        update(incident)
        .where(incident.c.tenant == tenant, incident.c.id == incident_id)
        .values(revision=incident.c.revision + 1, alert_count=incident.c.alert_count + 1, updated_us=now_us())
    )
    revision: int = connection.execute(
        select(incident.c.revision).where(incident.c.tenant == tenant, incident.c.id == incident_id)
    ).scalar_one()
    if announce:
        _announce(connection, tenant, incident_id, revision)
    return revision


def _announce(connection: Connection, tenant: str, incident_id: str, revision: int) -> None:
    connection.execute(
        insert(outbox).values(tenant=tenant, incident_id=incident_id, revision=revision, created_us=now_us())
    )
