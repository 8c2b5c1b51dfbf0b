"""An incident's distinct alerts, as closing rules may look at them."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from sqlalchemy import Connection, select

from watchfloor_core.alert import Detector, Entity, EntityKind, EntityRole, Integrity, Severity
from watchfloor_core.store.schema import detector, entity, observation, shape, shape_entity
from watchfloor_guardrails.closing_rule import RuleSubject

MOST_SHAPES: Final = 2_000
"""An incident with more kinds of alerts than this is not what a closing rule was written for."""


def rule_subjects(connection: Connection, tenant: str, incident_id: str) -> tuple[RuleSubject, ...]:
    """One subject for each shape of the incident; none at all, which no rule matches, where it has too many."""
    shapes = (
        select(observation.c.shape_id)
        .where(observation.c.tenant == tenant, observation.c.incident_id == incident_id)
        .distinct()
        .limit(MOST_SHAPES + 1)
        .subquery()
    )
    rows = connection.execute(
        select(shape.c.id, shape.c.severity, shape.c.asset_id, detector.c.product, detector.c.uid, detector.c.title)
        .join(shapes, shapes.c.shape_id == shape.c.id)
        .join(detector, (detector.c.tenant == shape.c.tenant) & (detector.c.id == shape.c.detector_id))
        .where(shape.c.tenant == tenant)
    ).all()
    if len(rows) > MOST_SHAPES:
        return ()
    entities: dict[bytes, list[tuple[bytes, Entity]]] = defaultdict(list)
    for row in connection.execute(
        select(
            shape_entity.c.shape_id,
            shape_entity.c.entity_id,
            shape_entity.c.role,
            shape_entity.c.integrity,
            entity.c.kind,
            entity.c.value,
        )
        .join(shapes, shapes.c.shape_id == shape_entity.c.shape_id)
        .join(entity, (entity.c.tenant == shape_entity.c.tenant) & (entity.c.id == shape_entity.c.entity_id))
        .where(shape_entity.c.tenant == tenant)
    ):
        named = Entity(EntityKind(row.kind), row.value, EntityRole(row.role), Integrity(row.integrity))
        entities[row.shape_id].append((row.entity_id, named))
    return tuple(
        RuleSubject(
            detector=Detector(row.product, row.uid, row.title),
            severity=Severity(row.severity),
            asset=_asset(row.asset_id, entities[row.id]),
            entities=tuple(named for _, named in entities[row.id]),
        )
        for row in rows
    )


def _asset(asset_id: bytes | None, entities: list[tuple[bytes, Entity]]) -> Entity | None:
    """The asset under its least trusted label: the same host may stand in an alert in two roles."""
    named = [candidate for entity_id, candidate in entities if entity_id == asset_id]
    return max(named, key=lambda candidate: candidate.integrity, default=None)
