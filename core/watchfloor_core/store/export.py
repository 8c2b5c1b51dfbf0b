"""What became of every record of a source, in the order of the source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, and_, func, select

from watchfloor_core.incident import ClosedBy, IncidentStatus, Verdict
from watchfloor_core.store.schema import alert, batch, incident, observation, record

_WINDOW: Final = 10_000
"""Positions that are read at once: bounds memory, and keeps every sort small."""


@dataclass(frozen=True, slots=True)
class ExportedRecord:
    """One source record. All but the position are empty where it is no alert: ignored, or a dead letter."""

    position: int
    fingerprint: str | None = None
    """Hex."""
    incident_id: str | None = None
    """None while the alert waits for correlation."""
    verdict: Verdict | None = None
    probability: float | None = None
    closed_by: ClosedBy | None = None
    """None where the incident is open, or closed before it held this alert."""


def export_alerts(connection: Connection, tenant: str, source_id: str) -> Iterator[ExportedRecord]:
    """Every position of a source from 1 to its last, once, in order; memory does not grow with the source.

    A position comes several times only where the source itself repeats positions (each HTTP body begins at 1), and
    an alert of a merged incident names the one that it was merged into.
    """
    last = connection.execute(
        select(func.max(batch.c.first_position + batch.c.records - 1)).where(
            batch.c.tenant == tenant, batch.c.source_id == source_id
        )
    ).scalar_one()
    if last is None:
        return
    targets = _merge_targets(connection, tenant)
    for start in range(1, last + 1, _WINDOW):
        end = min(start + _WINDOW - 1, last)
        position = start
        for found in _window(connection, tenant, source_id, start, end, targets):
            while position < found.position:
                yield ExportedRecord(position)
                position += 1
            yield found
            position = found.position + 1
        for empty in range(position, end + 1):
            yield ExportedRecord(empty)


@dataclass(frozen=True, slots=True)
class _Standing:
    """Where an incident stands."""

    incident_id: str
    status: str
    is_triaged: bool
    """The verdict speaks of all that is asked about."""
    verdict: str | None
    probability: float | None
    closed_by: str | None

    def of(self, position: int, fingerprint: str) -> ExportedRecord:
        is_closed = self.status == IncidentStatus.CLOSED and self.is_triaged
        return ExportedRecord(
            position=position,
            fingerprint=fingerprint,
            incident_id=self.incident_id,
            verdict=None if self.verdict is None else Verdict(self.verdict),
            probability=self.probability,
            closed_by=ClosedBy(self.closed_by) if is_closed and self.closed_by is not None else None,
        )


def _window(
    connection: Connection, tenant: str, source_id: str, start: int, end: int, targets: dict[str, _Standing]
) -> Iterator[ExportedRecord]:
    rows = connection.execute(
        select(
            record.c.position,
            record.c.fingerprint,
            observation.c.incident_id,
            incident.c.status,
            (incident.c.triaged_revision >= observation.c.revision).label("is_triaged"),
            incident.c.verdict,
            incident.c.probability,
            incident.c.closed_by,
        )
        .select_from(batch)
        .join(record, and_(record.c.batch_id == batch.c.id, record.c.position.between(start, end)))
        .join(alert, and_(alert.c.tenant == record.c.tenant, alert.c.fingerprint == record.c.fingerprint))
        .outerjoin(
            observation,
            and_(
                observation.c.tenant == alert.c.tenant,
                observation.c.tick == alert.c.tick,
                observation.c.shape_id == alert.c.shape_id,
            ),
        )
        .outerjoin(
            incident, and_(incident.c.tenant == observation.c.tenant, incident.c.id == observation.c.incident_id)
        )
        .where(
            batch.c.tenant == tenant,
            batch.c.source_id == source_id,
            batch.c.first_position <= end,
            batch.c.first_position + batch.c.records > start,
        )
        .order_by(record.c.position, record.c.batch_id)
    )
    for position, fingerprint, incident_id, *standing in rows:
        if incident_id is None:
            yield ExportedRecord(position, bytes(fingerprint).hex())
        else:
            target = targets.get(incident_id) or _Standing(incident_id, *standing)
            yield target.of(position, bytes(fingerprint).hex())


def _merge_targets(connection: Connection, tenant: str) -> dict[str, _Standing]:
    """For each merged incident, where the one stands that holds its alerts in the end."""
    merged = {
        row.id: row.merged_into
        for row in connection.execute(
            select(incident.c.id, incident.c.merged_into).where(
                incident.c.tenant == tenant, incident.c.merged_into.is_not(None)
            )
        )
    }
    targets: dict[str, _Standing] = {}
    for incident_id in merged:
        seen = {incident_id}
        final = merged[incident_id]
        while final in merged and final not in seen:
            seen.add(final)
            final = merged[final]
        row = connection.execute(
            select(
                incident.c.id,
                incident.c.status,
                # Revisions of one incident say nothing of another's: all of the target's content must be triaged.
                (incident.c.triaged_revision >= incident.c.revision).label("is_triaged"),
                incident.c.verdict,
                incident.c.probability,
                incident.c.closed_by,
            ).where(incident.c.tenant == tenant, incident.c.id == final)
        ).one_or_none()
        if row is not None:
            targets[incident_id] = _Standing(*row)
    return targets
