"""The case of an incident as the store holds it: its alerts, equal ones together, and what they name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, and_, case, func, select

from watchfloor_agents.investigation.case import CaseAlert, CaseEntity, InvestigationCase
from watchfloor_core.alert import EntityKind, EntityRole, Integrity, TimePrecision
from watchfloor_core.canonical import JsonValue
from watchfloor_core.errors import NotFoundError
from watchfloor_core.evidence import Evidence, EvidenceKind
from watchfloor_core.incident import Verdict
from watchfloor_core.logs.query import TimeRange
from watchfloor_core.store import schema
from watchfloor_core.store.precision import precisions

MAX_ALERTS: Final = 300
"""Kinds of alert in a case: the most severe, and of those the most frequent."""
MAX_OF_A_RULE: Final = 12
"""Of these by one rule, the first to fire and so on: a flood of one kind must not leave the others out."""
MAX_ENTITIES: Final = 200
MAX_TEXT: Final = 4_000
"""Characters of one attribute."""

_RELATED: Final[Mapping[EntityKind, str]] = {
    EntityKind.HOST: "related.hosts",
    EntityKind.USER: "related.user",
    EntityKind.IP: "related.ip",
    EntityKind.FILE_HASH: "related.hash",
}
"""As the Elastic Common Schema calls them; other kinds are ``related.<kind>``."""
_ROLES: Final = (EntityRole.TARGET, EntityRole.ACTOR, EntityRole.RELATED, EntityRole.OBSERVER)
"""The strongest first."""
_RANK: Final = {role.value: rank for rank, role in enumerate(_ROLES)}


def load_investigation_case(connection: Connection, tenant: str, incident_id: str) -> InvestigationCase:
    """The case as of the incident's latest revision. Raises `NotFoundError`."""
    table = schema.incident
    row = connection.execute(
        select(
            table.c.revision,
            table.c.title,
            table.c.first_us,
            table.c.last_us,
            table.c.probability,
            table.c.assessment,
        ).where(table.c.tenant == tenant, table.c.id == incident_id)
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"no incident {incident_id!r} in tenant {tenant!r}")
    alerts = _alerts(connection, tenant, incident_id)
    first = min((one.first_us for one in alerts), default=row.first_us)
    last = max((one.last_us for one in alerts), default=row.last_us)
    return InvestigationCase(
        tenant=tenant,
        incident_id=incident_id,
        revision=row.revision,
        title=row.title,
        range=TimeRange(first, max(last, first) + 1),
        alerts=alerts,
        entities=_entities(connection, tenant, incident_id),
        triage_verdict=_triage_verdict(row.assessment),
        triage_probability=row.probability,
        triage_reasons=_triage_reasons(row.assessment),
    )


def _triage_verdict(assessment: Any) -> Verdict | None:  # Any: a column of JSON
    """The engine's own: the incident's may be a person's."""
    return Verdict(assessment["verdict"]) if isinstance(assessment, dict) and "verdict" in assessment else None


def _triage_reasons(assessment: Any) -> tuple[str, ...]:  # Any: a column of JSON
    """Codes of the reasons for an attack, or against where there are none for it; the weightiest first."""
    reasons = assessment.get("reasons", ()) if isinstance(assessment, dict) else ()
    weights = [(float(one.get("log_odds", 0.0)), str(one.get("code", ""))) for one in reasons]
    for_it = [one for one in weights if one[0] > 0] or weights
    return tuple(dict.fromkeys(code for _, code in sorted(for_it, key=lambda one: (-abs(one[0]), one[1]))))


def alert_evidence(
    *,
    product: str,
    rule_id: str,
    rule_name: str,
    severity: int,
    entities: Sequence[tuple[EntityKind, str, EntityRole]],
    attributes: Mapping[str, str],
    shape: str,
) -> Evidence:
    """The evidence that one kind of alert is.

    ``fields`` holds ``rule.id``, ``rule.name``, ``event.severity``, what it names as ``related.hosts`` and the like
    (several joined by a comma), and the alert's attributes under the names that its connector gave them.
    """
    named: defaultdict[str, list[str]] = defaultdict(list)
    for kind, value, _ in entities:
        named[_RELATED.get(kind, f"related.{kind.value}")].append(value)
    fields: dict[str, JsonValue] = {name: value[:MAX_TEXT] for name, value in attributes.items()}
    fields |= {name: ", ".join(dict.fromkeys(values)) for name, values in named.items()}
    fields |= {"rule.id": rule_id, "rule.name": rule_name, "event.severity": severity}
    return Evidence(EvidenceKind.ALERT, product, {"shape": shape, "fields": fields})


def _alerts(connection: Connection, tenant: str, incident_id: str) -> tuple[CaseAlert, ...]:
    seen, shape, detector = schema.observation, schema.shape, schema.detector
    count = func.sum(seen.c.alerts)
    kinds = (
        select(
            shape.c.tenant,
            shape.c.id,
            shape.c.detector_id,
            shape.c.severity,
            count.label("alerts"),
            func.min(seen.c.first_us).label("first_us"),
            func.max(seen.c.last_us).label("last_us"),
        )
        .join(shape, and_(shape.c.tenant == seen.c.tenant, shape.c.id == seen.c.shape_id))
        .where(seen.c.tenant == tenant, seen.c.incident_id == incident_id)
        .group_by(shape.c.tenant, shape.c.id, shape.c.detector_id, shape.c.severity)
        .subquery()
    )
    place = func.row_number().over(partition_by=kinds.c.detector_id, order_by=(kinds.c.first_us, kinds.c.id))
    of_rule = func.sum(kinds.c.alerts).over(partition_by=kinds.c.detector_id)
    ranked = select(kinds, place.label("place"), of_rule.label("of_rule")).subquery()
    # JSON columns cannot be grouped by on PostgreSQL, so they are joined when it is known of which rows.
    rows = connection.execute(
        select(
            ranked.c.id, ranked.c.severity, shape.c.attributes,
            detector.c.product, detector.c.uid, detector.c.title, detector.c.tactics, detector.c.techniques,
            ranked.c.alerts, ranked.c.first_us, ranked.c.last_us, ranked.c.of_rule,
        )
        .join(shape, and_(shape.c.tenant == ranked.c.tenant, shape.c.id == ranked.c.id))
        .join(detector, and_(detector.c.tenant == ranked.c.tenant, detector.c.id == ranked.c.detector_id))
        .where(ranked.c.place <= MAX_OF_A_RULE)
        .order_by(ranked.c.severity.desc(), ranked.c.alerts.desc(), ranked.c.id)
        .limit(MAX_ALERTS)
    ).all()  # fmt: skip
    named = _named(connection, tenant, [row.id for row in rows])
    given = precisions(connection, tenant, incident_id, {(bytes(row.id), row.first_us) for row in rows})
    found = [_alert(row, named[bytes(row.id)], given[bytes(row.id), row.first_us]) for row in rows]
    return tuple(sorted(found, key=lambda one: (one.first_us, one.evidence.id)))


def _alert(
    row: Any,  # Any: rows are untyped
    entities: Sequence[tuple[EntityKind, str, EntityRole]],
    precision: TimePrecision,
) -> CaseAlert:
    evidence = alert_evidence(
        product=row.product,
        rule_id=row.uid,
        rule_name=row.title,
        severity=row.severity,
        entities=entities,
        attributes={str(name): str(value) for name, value, _ in row.attributes},
        shape=bytes(row.id).hex(),
    )
    return CaseAlert(
        evidence=evidence,
        product=row.product,
        detector=row.title,
        severity=row.severity,
        tactics=tuple(row.tactics),
        techniques=tuple(row.techniques),
        entities=tuple(entities),
        count=int(row.alerts),
        first_us=row.first_us,
        last_us=row.last_us,
        of_rule=int(row.of_rule),
        precision=precision,
    )


def _named(
    connection: Connection, tenant: str, shapes: Sequence[bytes]
) -> defaultdict[bytes, list[tuple[EntityKind, str, EntityRole]]]:
    part, entity = schema.shape_entity, schema.entity
    rows = connection.execute(
        select(part.c.shape_id, part.c.role, entity.c.kind, entity.c.value)
        .join(entity, and_(entity.c.tenant == part.c.tenant, entity.c.id == part.c.entity_id))
        .where(part.c.tenant == tenant, part.c.shape_id.in_(shapes))
        .order_by(part.c.shape_id, entity.c.kind, entity.c.value, part.c.role)
    )
    named: defaultdict[bytes, list[tuple[EntityKind, str, EntityRole]]] = defaultdict(list)
    for row in rows:
        named[bytes(row.shape_id)].append((EntityKind(row.kind), row.value, EntityRole(row.role)))
    return named


def _entities(connection: Connection, tenant: str, incident_id: str) -> tuple[CaseEntity, ...]:
    """Those named most first. Role and integrity are the strongest that any alert gives."""
    part, entity, asset = schema.incident_entity, schema.entity, schema.asset
    seen, named = schema.observation, schema.shape_entity
    how = (
        select(
            named.c.entity_id,
            func.min(named.c.integrity).label("integrity"),
            func.min(case(_RANK, value=named.c.role, else_=len(_ROLES) - 1)).label("role"),
        )
        .join(seen, and_(seen.c.tenant == named.c.tenant, seen.c.shape_id == named.c.shape_id))
        .where(named.c.tenant == tenant, seen.c.incident_id == incident_id)
        .group_by(named.c.entity_id)
        .subquery()
    )
    rows = connection.execute(
        select(entity.c.kind, entity.c.value, part.c.alerts, asset.c.tier, how.c.integrity, how.c.role)
        .join(entity, and_(entity.c.tenant == part.c.tenant, entity.c.id == part.c.entity_id))
        .join(how, how.c.entity_id == part.c.entity_id)
        .outerjoin(asset, and_(asset.c.tenant == part.c.tenant, asset.c.entity_id == part.c.entity_id))
        .where(part.c.tenant == tenant, part.c.incident_id == incident_id)
        .order_by(part.c.alerts.desc(), entity.c.kind, entity.c.value)
        .limit(MAX_ENTITIES)
    )
    return tuple(
        CaseEntity(
            kind=EntityKind(row.kind),
            value=row.value,
            role=_ROLES[row.role],
            integrity=Integrity(row.integrity),
            alerts=row.alerts,
            tier=row.tier,
        )
        for row in rows
    )
