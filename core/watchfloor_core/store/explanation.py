"""Why records count as one alert."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, case, select

from watchfloor_core.clock import MICROSECONDS
from watchfloor_core.errors import NotFoundError
from watchfloor_core.store.schema import alert, batch, dedup_rule, detector, entity, record, shape, shape_entity


@dataclass(frozen=True, slots=True)
class DedupRecord:
    """One source record of an alert."""

    source_id: str
    batch_id: int
    position: int
    """1-based within the source."""
    received_us: int


@dataclass(frozen=True, slots=True)
class DedupExplanation:
    """What was compared, with which values, and every record that was found equal."""

    fingerprint: bytes
    connector: str
    fields: tuple[str, ...]
    """``native_uid`` where the vendor's id decided alone."""
    window_s: int
    window_from_us: int
    """Start of the window of event time; the exact time for window 0."""
    values: tuple[tuple[str, str], ...]
    """The compared values by name, as stored; the vendor's id is in the original bytes of the records."""
    records: tuple[DedupRecord, ...]
    """In the order of receipt; the first made the alert, the others are duplicates."""


def explain(connection: Connection, tenant: str, fingerprint: bytes) -> DedupExplanation:
    """Why the records of an alert are one alert. Raises `NotFoundError` where there is no such alert."""
    row = connection.execute(
        select(
            alert.c.event_us,
            alert.c.shape_id,
            batch.c.connector,
            dedup_rule.c.fields,
            dedup_rule.c.window_s,
            shape.c.severity,
            shape.c.attributes,
            detector.c.product,
            detector.c.uid,
        )
        .join(batch, batch.c.id == alert.c.batch_id)
        .join(shape, (shape.c.tenant == alert.c.tenant) & (shape.c.id == alert.c.shape_id))
        .join(dedup_rule, (dedup_rule.c.tenant == alert.c.tenant) & (dedup_rule.c.shape_id == alert.c.shape_id))
        .join(detector, (detector.c.tenant == alert.c.tenant) & (detector.c.id == shape.c.detector_id))
        .where(alert.c.tenant == tenant, alert.c.fingerprint == fingerprint)
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"no alert has the fingerprint {fingerprint.hex()!r}")
    window_us = row.window_s * MICROSECONDS
    return DedupExplanation(
        fingerprint=fingerprint,
        connector=row.connector,
        fields=tuple(row.fields),
        window_s=row.window_s,
        window_from_us=row.event_us - row.event_us % window_us if window_us else row.event_us,
        values=tuple(_values(connection, tenant, row)),
        records=records_of(connection, tenant, fingerprint),
    )


def records_of(connection: Connection, tenant: str, fingerprint: bytes) -> tuple[DedupRecord, ...]:
    """All records of an alert; the one that made it comes first."""
    is_maker = case((record.c.batch_id == alert.c.batch_id, 0), else_=1)
    rows = connection.execute(
        select(batch.c.source_id, record.c.batch_id, record.c.position, batch.c.received_us)
        .select_from(record)
        .join(batch, batch.c.id == record.c.batch_id)
        .join(alert, (alert.c.tenant == record.c.tenant) & (alert.c.fingerprint == record.c.fingerprint))
        .where(record.c.tenant == tenant, record.c.fingerprint == fingerprint)
        .order_by(is_maker, batch.c.received_us, record.c.batch_id, record.c.position)
    )
    return tuple(DedupRecord(*found) for found in rows)


def _values(connection: Connection, tenant: str, row: Row[*tuple[Any, ...]]) -> list[tuple[str, str]]:
    if row.fields == ["native_uid"]:
        return []
    values = [("detector.product", row.product), ("detector.uid", row.uid), ("severity", str(row.severity))]
    if "entities" in row.fields:
        entities = connection.execute(
            select(shape_entity.c.role, entity.c.kind, entity.c.value)
            .join(entity, (entity.c.tenant == shape_entity.c.tenant) & (entity.c.id == shape_entity.c.entity_id))
            .where(shape_entity.c.tenant == tenant, shape_entity.c.shape_id == row.shape_id)
            .order_by(entity.c.kind, entity.c.value, shape_entity.c.role)
        )
        values += [(f"entity.{found.role}.{found.kind}", found.value) for found in entities]
    if "attributes" in row.fields:
        values += sorted((f"attribute.{name}", value) for name, value, _integrity in row.attributes)
    return values
