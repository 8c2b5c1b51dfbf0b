"""In which precision the times were given that an incident keeps of its alerts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import Connection, and_, select, tuple_

from watchfloor_core.alert import TimePrecision
from watchfloor_core.moment import least_precision
from watchfloor_core.store.schema import alert, observation

CHUNK: Final = 200
"""Pairs per statement: SQLite bounds the number of parameters."""
_FINEST: Final = tuple(TimePrecision)
"""The finest last."""

Moment = tuple[bytes, int]
"""A shape, and the time of the first alert of an observation of it."""


def precisions(
    connection: Connection, tenant: str, incident_id: str, moments: Collection[Moment]
) -> Mapping[Moment, TimePrecision]:
    """For each of these moments. Where retention has taken the alert, the coarsest that the time itself allows."""
    found = {one: least_precision(one[1]) for one in moments}
    ordered = sorted(found)
    for start in range(0, len(ordered), CHUNK):
        rows = connection.execute(
            select(alert.c.shape_id, alert.c.event_us, alert.c.precision)
            .distinct()
            .select_from(observation)
            .join(
                alert,
                and_(
                    alert.c.tenant == observation.c.tenant,
                    alert.c.tick == observation.c.tick,
                    alert.c.shape_id == observation.c.shape_id,
                    alert.c.event_us == observation.c.first_us,
                ),
            )
            .where(
                observation.c.tenant == tenant,
                observation.c.incident_id == incident_id,
                tuple_(observation.c.shape_id, observation.c.first_us).in_(ordered[start : start + CHUNK]),
            )
        )
        for row in rows:
            moment = (bytes(row.shape_id), row.event_us)
            found[moment] = max(found[moment], TimePrecision(row.precision), key=_FINEST.index)
    return found
