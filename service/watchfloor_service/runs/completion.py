"""Whether the work on a tenant is done: read from the store, so it does not matter which process does the work."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, and_, case, func, or_, select

from watchfloor_agents.correlation.sequencer import FINISHED_US
from watchfloor_core.incident import IncidentStatus
from watchfloor_core.store.schema import alert, batch, cursor, incident, outbox, source
from watchfloor_core.store.schema_investigation import investigation
from watchfloor_workflows.investigation.records import InvestigationStatus


@dataclass(frozen=True, slots=True)
class Completion:
    """One look at a tenant and at some of its sources, all from one snapshot."""

    records: int
    """Of these sources, as are the next three."""
    alerts: int
    pending: int
    """Alerts that wait for correlation."""
    open_sources: int
    other_open_sources: int
    incidents: int
    is_finished: bool
    """Event time has gone to the end of all sources: every incident is complete."""
    never_triaged: int
    untriaged: int
    """Incidents whose verdict does not speak of their latest revision."""
    undelivered: int
    """Changes that Temporal has not heard of."""
    uninvestigated: int
    """Investigations that are due or under way."""

    @property
    def is_done(self) -> bool:
        """What came from these sources is correlated and decided on.

        Where other sources go on, incidents go on changing: then every incident must have been triaged once, and
        what comes later is theirs.
        """
        if self.open_sources or self.pending or self.never_triaged:
            return False
        waits = self.untriaged or self.undelivered or self.uninvestigated
        return self.other_open_sources > 0 or (self.is_finished and not waits)


def look(connection: Connection, tenant: str, sources: Collection[str]) -> Completion:
    """Counts batches, sources, incidents and what waits: alerts are counted only while they wait."""
    ours = and_(batch.c.tenant == tenant, batch.c.source_id.in_(sources))
    records, alerts = connection.execute(
        select(func.coalesce(func.sum(batch.c.records), 0), func.coalesce(func.sum(batch.c.alerts), 0)).where(ours)
    ).one()
    pending = connection.execute(
        select(func.count())
        .select_from(alert.join(batch, batch.c.id == alert.c.batch_id))
        .where(alert.c.tenant == tenant, alert.c.tick.is_(None), batch.c.source_id.in_(sources))
    ).scalar_one()
    open_sources, all_open = connection.execute(
        select(func.coalesce(func.sum(case((source.c.id.in_(sources), 1), else_=0)), 0), func.count()).where(
            source.c.tenant == tenant, source.c.closed_us.is_(None)
        )
    ).one()
    is_new = incident.c.status == IncidentStatus.NEW
    is_behind = and_(incident.c.status != IncidentStatus.MERGED, incident.c.triaged_revision < incident.c.revision)
    incidents, never_triaged, untriaged = connection.execute(
        select(
            func.count(),
            func.coalesce(func.sum(case((is_new, 1), else_=0)), 0),
            func.coalesce(func.sum(case((or_(is_new, is_behind), 1), else_=0)), 0),
        ).where(incident.c.tenant == tenant)
    ).one()
    reached_us = connection.execute(select(cursor.c.watermark_us).where(cursor.c.tenant == tenant)).scalar_one_or_none()
    undelivered = connection.execute(
        select(func.count()).where(outbox.c.delivered_us.is_(None), outbox.c.tenant == tenant)
    ).scalar_one()
    uninvestigated = connection.execute(
        select(func.count()).where(
            investigation.c.tenant == tenant,
            investigation.c.status.in_((InvestigationStatus.DUE, InvestigationStatus.RUNNING)),
        )
    ).scalar_one()
    return Completion(
        records=int(records),
        alerts=int(alerts),
        pending=int(pending),
        open_sources=int(open_sources),
        other_open_sources=int(all_open) - int(open_sources),
        incidents=int(incidents),
        is_finished=reached_us == FINISHED_US or (reached_us is None and not alerts),
        never_triaged=int(never_triaged),
        untriaged=int(untriaged),
        undelivered=int(undelivered),
        uninvestigated=int(uninvestigated),
    )
