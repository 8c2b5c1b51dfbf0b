"""Incidents as the store holds them, for those who read: the rows, their alerts and their observations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, and_, or_, select

from watchfloor_core.alert import Attribute, Entity, EntityKind, EntityRole, Integrity, Severity, TimePrecision
from watchfloor_core.errors import NotFoundError
from watchfloor_core.incident import ClosedBy, IncidentKind, IncidentStatus, Verdict
from watchfloor_core.ports import Json
from watchfloor_core.store.export import ExportedRecord, export_alerts
from watchfloor_core.store.schema import alert, detector, entity, incident, observation, shape, shape_entity

__all__ = [
    "AlertRow",
    "ExportedRecord",
    "IncidentRow",
    "ObservationRow",
    "export_alerts",
    "get_incident",
    "incident_alerts",
    "incident_observations",
    "list_incidents",
]

PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class IncidentRow:
    """One incident."""

    id: str
    kind: IncidentKind
    title: str
    opened_us: int
    """Event time of the tick in which it began."""
    first_us: int
    last_us: int
    alert_count: int
    severity: Severity
    status: IncidentStatus
    verdict: Verdict | None
    probability: float | None
    """Of TruePositive."""
    closed_by: ClosedBy | None
    closed_us: int | None
    level: int | None
    """The effective autonomy level of its last ruling."""
    revision: int
    """Counts changes of content."""
    triaged_revision: int
    """The revision that verdict and status speak of."""
    is_sealed: bool
    """It takes no more alerts."""
    features: Json
    assessment: Json
    ruling: Json
    merged_into: str | None
    updated_us: int


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One alert of an incident."""

    fingerprint: bytes
    event_us: int
    precision: TimePrecision
    received_us: int
    batch_id: int
    shape_id: bytes
    severity: Severity
    product: str
    detector_uid: str
    title: str
    entities: tuple[Entity, ...]
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class ObservationRow:
    """Equal alerts of one tick of event time, and why they are in this incident."""

    tick: int
    shape_id: bytes
    revision: int
    """The incident's revision that first held it."""
    alerts: int
    first_us: int
    last_us: int
    is_late: bool
    surprise: float
    reason: Json
    severity: Severity
    product: str
    detector_uid: str
    title: str
    entities: tuple[Entity, ...]


def get_incident(connection: Connection, tenant: str, incident_id: str) -> IncidentRow:
    """One incident; a merged one says which holds its alerts now. Raises `NotFoundError`."""
    row = connection.execute(
        select(*_COLUMNS).where(incident.c.tenant == tenant, incident.c.id == incident_id)
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no incident {incident_id!r}")
    return _incident(row)


def list_incidents(
    connection: Connection,
    tenant: str,
    status: IncidentStatus | Iterable[IncidentStatus] | None = None,
    limit: int = PAGE,
    before: tuple[int, str] | None = None,
) -> list[IncidentRow]:
    """A page of incidents, the latest activity first.

    ``before`` is (`last_us`, `id`) of the last one of the page before; none: the first page.
    """
    statement = (
        select(*_COLUMNS)
        .where(incident.c.tenant == tenant)
        .order_by(incident.c.last_us.desc(), incident.c.id.desc())
        .limit(limit)
    )
    if status is not None:
        wanted = [status] if isinstance(status, IncidentStatus) else list(status)
        statement = statement.where(incident.c.status.in_([one.value for one in wanted]))
    if before is not None:
        last_us, incident_id = before
        statement = statement.where(
            or_(incident.c.last_us < last_us, and_(incident.c.last_us == last_us, incident.c.id < incident_id))
        )
    return [_incident(row) for row in connection.execute(statement)]


def incident_alerts(
    connection: Connection, tenant: str, incident_id: str, limit: int = PAGE, offset: int = 0
) -> list[AlertRow]:
    """A page of an incident's alerts by event time. An unknown incident has none."""
    statement = _with_detector(
        select(
            alert.c.fingerprint,
            alert.c.event_us,
            alert.c.precision,
            alert.c.received_us,
            alert.c.batch_id,
            alert.c.shape_id,
            shape.c.severity,
            shape.c.attributes,
            detector.c.product,
            detector.c.uid,
            detector.c.title,
        )
        .select_from(observation)
        .join(
            alert,
            and_(
                alert.c.tenant == observation.c.tenant,
                alert.c.tick == observation.c.tick,
                alert.c.shape_id == observation.c.shape_id,
            ),
        )
    )
    rows = connection.execute(
        statement.where(observation.c.tenant == tenant, observation.c.incident_id == incident_id)
        .order_by(alert.c.event_us, alert.c.fingerprint)
        .limit(limit)
        .offset(offset)
    ).all()
    entities = _entities(connection, tenant, {bytes(row.shape_id) for row in rows})
    return [
        AlertRow(
            fingerprint=bytes(row.fingerprint),
            event_us=row.event_us,
            precision=TimePrecision(row.precision),
            received_us=row.received_us,
            batch_id=row.batch_id,
            shape_id=bytes(row.shape_id),
            severity=Severity(row.severity),
            product=row.product,
            detector_uid=row.uid,
            title=row.title,
            entities=entities.get(bytes(row.shape_id), ()),
            attributes=tuple(Attribute(name, value, Integrity(label)) for name, value, label in row.attributes),
        )
        for row in rows
    ]


def incident_observations(
    connection: Connection, tenant: str, incident_id: str, limit: int = PAGE, offset: int = 0
) -> list[ObservationRow]:
    """A page of an incident's observations in the order of event time. An unknown incident has none."""
    statement = _with_detector(
        select(
            *(column for column in observation.columns if column.name not in ("tenant", "incident_id")),
            shape.c.severity,
            detector.c.product,
            detector.c.uid.label("detector_uid"),
            detector.c.title,
        ).select_from(observation)
    )
    rows = connection.execute(
        statement.where(observation.c.tenant == tenant, observation.c.incident_id == incident_id)
        .order_by(observation.c.tick, observation.c.first_us, observation.c.shape_id)
        .limit(limit)
        .offset(offset)
    ).all()
    entities = _entities(connection, tenant, {bytes(row.shape_id) for row in rows})
    return [
        ObservationRow(
            tick=row.tick,
            shape_id=bytes(row.shape_id),
            revision=row.revision,
            alerts=row.alerts,
            first_us=row.first_us,
            last_us=row.last_us,
            is_late=row.is_late,
            surprise=row.surprise,
            reason=row.reason,
            severity=Severity(row.severity),
            product=row.product,
            detector_uid=row.detector_uid,
            title=row.title,
            entities=entities.get(bytes(row.shape_id), ()),
        )
        for row in rows
    ]


_COLUMNS: Final = [incident.c[field.name] for field in fields(IncidentRow)]


def _incident(row: Row[*tuple[Any, ...]]) -> IncidentRow:
    return IncidentRow(
        **{
            **row._asdict(),
            "kind": IncidentKind(row.kind),
            "severity": Severity(row.severity),
            "status": IncidentStatus(row.status),
            "verdict": None if row.verdict is None else Verdict(row.verdict),
            "closed_by": None if row.closed_by is None else ClosedBy(row.closed_by),
        }
    )


def _with_detector(statement: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    return statement.join(
        shape, and_(shape.c.tenant == observation.c.tenant, shape.c.id == observation.c.shape_id)
    ).join(detector, and_(detector.c.tenant == shape.c.tenant, detector.c.id == shape.c.detector_id))


def _entities(connection: Connection, tenant: str, shapes: set[bytes]) -> dict[bytes, tuple[Entity, ...]]:
    found: dict[bytes, list[Entity]] = {}
    wanted: Sequence[bytes] = sorted(shapes)
    for start in range(0, len(wanted), 500):
        rows = connection.execute(
            select(
                shape_entity.c.shape_id,
                entity.c.kind,
                entity.c.value,
                shape_entity.c.role,
                shape_entity.c.integrity,
            )
            .join(entity, and_(entity.c.tenant == shape_entity.c.tenant, entity.c.id == shape_entity.c.entity_id))
            .where(shape_entity.c.tenant == tenant, shape_entity.c.shape_id.in_(wanted[start : start + 500]))
            .order_by(shape_entity.c.role, entity.c.kind, entity.c.value)
        )
        for row in rows:
            named = Entity(EntityKind(row.kind), row.value, EntityRole(row.role), Integrity(row.integrity))
            found.setdefault(bytes(row.shape_id), []).append(named)
    return {shape_id: tuple(entities) for shape_id, entities in found.items()}
