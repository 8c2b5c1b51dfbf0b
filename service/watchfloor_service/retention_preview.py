"""What retention could delete, counted without deleting: upper bounds, for open incidents keep what they rest on."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, Connection, func, or_, select
from sqlalchemy.sql.selectable import FromClause

from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.store.engine import Store
from watchfloor_core.store.retention import RetentionCounts, RetentionPolicy
from watchfloor_core.store.schema import alert, batch, batch_raw, dead_letter, record, span

_DAY_US: Final = 86_400 * MICROSECONDS


def preview_retention(
    store: Store, tenant: str, policy: RetentionPolicy, *, at_us: int | None = None
) -> RetentionCounts:
    """At most so many rows would go now. Shapes, entities, observations and batches go with their alerts."""
    now = now_us() if at_us is None else at_us
    raw_before = _cutoff(now, policy.raw_days)
    alerts_before = _cutoff(now, policy.alert_days)
    with store.read() as connection:
        return RetentionCounts(
            originals=_count(
                connection,
                batch_raw.join(batch, batch.c.id == batch_raw.c.batch_id),
                batch.c.tenant == tenant,
                batch.c.received_us < raw_before,
            ),
            dead_letters=_count(
                connection,
                dead_letter,
                dead_letter.c.tenant == tenant,
                or_(
                    (dead_letter.c.created_us < raw_before) & dead_letter.c.resolved_us.is_not(None),
                    dead_letter.c.created_us < alerts_before,
                ),
            ),
            alerts=_count(connection, alert, alert.c.tenant == tenant, alert.c.received_us < alerts_before),
            records=_count(
                connection,
                record.join(batch, batch.c.id == record.c.batch_id),
                batch.c.tenant == tenant,
                batch.c.received_us < alerts_before,
            ),
            spans=_count(connection, span, span.c.tenant == tenant, span.c.end_us < _cutoff(now, policy.span_days)),
        )


def _cutoff(now: int, days: int) -> int:
    """The time before which things go; no time is before the answer where they are kept for ever."""
    return now - days * _DAY_US if days else -(2**62)


def _count(connection: Connection, table: FromClause, *conditions: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one()
