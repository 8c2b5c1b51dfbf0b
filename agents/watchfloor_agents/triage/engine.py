"""What a triage engine is, and the case that it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy import Connection, select

from watchfloor_agents.triage.features import Features
from watchfloor_agents.triage.learning import Lesson, lessons_for
from watchfloor_core.errors import NotFoundError
from watchfloor_core.incident import Assessment
from watchfloor_core.store import schema


@dataclass(frozen=True, slots=True)
class TriageCase:
    """One revision of an incident, with all that an assessment may rest on."""

    tenant: str
    incident_id: str
    revision: int
    kind: str
    features: Features
    alert_count: int
    severity: int
    is_sealed: bool
    lessons: Mapping[str, Lesson] = field(default_factory=dict)
    """What people said of earlier incidents, by detector id (hex)."""

    @property
    def tier(self) -> int | None:
        """Most critical tier of its assets; none where the inventory lists none of them."""
        return self.features.tier

    @property
    def family(self) -> str:
        """The alert family for the autonomy matrix: the product of its most surprising detector."""
        held = self.features.detectors.values()
        strongest = max(held, key=lambda evidence: (evidence.total, evidence.detector_id), default=None)
        return strongest.product if strongest else "unknown"


class TriageEngine(Protocol):
    """Assesses a case; without side effects, and the same case gets the same answer."""

    name: str
    version: str

    def assess(self, case: TriageCase) -> Assessment: ...


def load_case(connection: Connection, tenant: str, incident_id: str) -> TriageCase:
    """The case as of the incident's latest revision. Raises NotFoundError."""
    table = schema.incident
    row = connection.execute(
        select(
            table.c.revision,
            table.c.kind,
            table.c.features,
            table.c.alert_count,
            table.c.severity,
            table.c.is_sealed,
        ).where(table.c.tenant == tenant, table.c.id == incident_id)
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"no incident {incident_id!r} in tenant {tenant!r}")
    features = Features.from_json(row.features["triage"])
    return TriageCase(
        tenant=tenant,
        incident_id=incident_id,
        revision=row.revision,
        kind=row.kind,
        features=features,
        alert_count=row.alert_count,
        severity=row.severity,
        is_sealed=row.is_sealed,
        lessons=lessons_for(connection, tenant, features),
    )
