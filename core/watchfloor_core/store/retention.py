"""What the store forgets, and when: in small transactions, so that nobody waits long for it.

Age is counted from receipt, by this machine's clock: event time is what a sensor or an attacker says, and one record
dated far ahead must not age all others. The ledger is never touched, nor is anything that an open incident rests on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, exists, select, tuple_

from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.incident import IncidentStatus
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import alert, batch, batch_raw, dead_letter, incident, observation, record, span
from watchfloor_core.store.unused import remove_unused

_DAY_US: Final = 86_400 * MICROSECONDS
_CHUNK: Final = 2_000
"""Rows that one transaction deletes of one table."""

_OPEN: Final = tuple(status.value for status in IncidentStatus if status.is_open)


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """Days since receipt after which things go; 0 keeps them for ever."""

    raw_days: int
    """Original bytes of batches, and dead letters that are resolved."""
    alert_days: int
    """Alerts with their records and observations, and dead letters that nobody resolved."""
    span_days: int


@dataclass(frozen=True, slots=True)
class RetentionCounts:
    """How many rows went."""

    originals: int = 0
    """Batches whose original bytes went."""
    dead_letters: int = 0
    alerts: int = 0
    records: int = 0
    observations: int = 0
    batches: int = 0
    spans: int = 0
    shapes: int = 0
    entities: int = 0

    def __add__(self, other: RetentionCounts) -> RetentionCounts:
        return RetentionCounts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def apply_retention(
    store: Store, tenant: str, policy: RetentionPolicy, *, at_us: int | None = None, chunk: int = _CHUNK
) -> RetentionCounts:
    """Delete what is older than the policy says. ``at_us`` is the time to count from; none: now.

    Safe beside writers and beside another retention run; what is left by a run that dies goes with the next.
    """
    at_us = now_us() if at_us is None else at_us
    done = RetentionCounts()
    if policy.raw_days:
        done += _forget_originals(store, tenant, at_us - policy.raw_days * _DAY_US)
        done += _forget_letters(store, tenant, at_us - policy.raw_days * _DAY_US, chunk, only_resolved=True)
    if policy.alert_days:
        done += _forget_letters(store, tenant, at_us - policy.alert_days * _DAY_US, chunk, only_resolved=False)
        done += _forget_alerts(store, tenant, at_us - policy.alert_days * _DAY_US, chunk)
    if policy.span_days:
        done += _forget_spans(store, tenant, at_us - policy.span_days * _DAY_US, chunk)
    if policy.alert_days:
        shapes, entities = remove_unused(store, tenant, chunk)
        done += RetentionCounts(shapes=shapes, entities=entities)
    return done


_HAS_RECORDS: Final = exists(select(1).where(record.c.batch_id == batch.c.id))
_HAS_ORIGINALS: Final = exists(select(1).where(batch_raw.c.batch_id == batch.c.id))
_HAS_LETTERS: Final = exists(select(1).where(dead_letter.c.batch_id == batch.c.id))


def _expired_batches(store: Store, tenant: str, before_us: int, wanted: ColumnElement[bool]) -> Iterator[int]:
    """Ids of batches that were received before a time and have something left to delete, oldest first."""
    after = 0
    while True:
        with store.read() as connection:
            page = connection.execute(
                select(batch.c.id, batch.c.received_us)
                .where(batch.c.tenant == tenant, batch.c.id > after, wanted)
                .order_by(batch.c.id)
                .limit(_CHUNK)
            ).all()
        expired = [row.id for row in page if row.received_us < before_us]
        if not expired:
            return  # ids grow with time: all that follow are younger
        yield from expired
        after = page[-1].id


def _rests_open() -> ColumnElement[bool]:
    """True of an alert that waits for correlation or belongs to an open incident."""
    return alert.c.tick.is_(None) | exists(
        select(1)
        .select_from(observation)
        .join(incident, (incident.c.tenant == observation.c.tenant) & (incident.c.id == observation.c.incident_id))
        .where(
            observation.c.tenant == alert.c.tenant,
            observation.c.tick == alert.c.tick,
            observation.c.shape_id == alert.c.shape_id,
            incident.c.status.in_(_OPEN),
        )
    )


def _forget_originals(store: Store, tenant: str, before_us: int) -> RetentionCounts:
    is_needed = exists(
        select(1)
        .select_from(record)
        .join(alert, (alert.c.tenant == record.c.tenant) & (alert.c.fingerprint == record.c.fingerprint))
        .where(record.c.batch_id == batch_raw.c.batch_id, _rests_open())
    )
    done = 0
    for batch_id in _expired_batches(store, tenant, before_us, _HAS_ORIGINALS):
        with store.write() as connection:
            found = connection.execute(delete(batch_raw).where(batch_raw.c.batch_id == batch_id, ~is_needed))
            done += found.rowcount
    return RetentionCounts(originals=done)


def _forget_letters(store: Store, tenant: str, before_us: int, chunk: int, *, only_resolved: bool) -> RetentionCounts:
    old = select(dead_letter.c.id).where(dead_letter.c.tenant == tenant, dead_letter.c.created_us < before_us)
    if only_resolved:
        old = old.where(dead_letter.c.resolved_us.is_not(None))
    done = 0
    while True:
        with store.write() as connection:
            found = connection.execute(delete(dead_letter).where(dead_letter.c.id.in_(old.limit(chunk))))
        done += found.rowcount
        if found.rowcount < chunk:
            return RetentionCounts(dead_letters=done)


def _forget_alerts(store: Store, tenant: str, before_us: int, chunk: int) -> RetentionCounts:
    done = RetentionCounts()
    for batch_id in _expired_batches(store, tenant, before_us, _HAS_RECORDS | ~_HAS_ORIGINALS):
        position = 0
        while True:
            with store.write() as connection:
                rows = _expired_alerts(connection, batch_id, before_us, position, chunk)
                done += _delete_alerts(connection, tenant, rows)
                if len(rows) < chunk:
                    done += RetentionCounts(batches=_delete_batch(connection, batch_id))
                    break
            position = rows[-1].position
    return done


def _expired_alerts(
    connection: Connection, batch_id: int, before_us: int, after: int, chunk: int
) -> Sequence[Row[*tuple[Any, ...]]]:
    return connection.execute(
        select(record.c.position, alert.c.fingerprint, alert.c.tick, alert.c.shape_id)
        .select_from(record)
        .join(alert, (alert.c.tenant == record.c.tenant) & (alert.c.fingerprint == record.c.fingerprint))
        .where(
            record.c.batch_id == batch_id,
            record.c.position > after,
            # A duplicate may have come in long after the alert, but never before it.
            alert.c.received_us < before_us,
            ~_rests_open(),
        )
        .order_by(record.c.position)
        .limit(chunk)
    ).all()


def _delete_alerts(connection: Connection, tenant: str, rows: Sequence[Row[*tuple[Any, ...]]]) -> RetentionCounts:
    """The alerts with all their records, and the observations that stand for no alert any more."""
    if not rows:
        return RetentionCounts()
    alerts = [{"gone": key} for key in sorted({bytes(row.fingerprint) for row in rows})]
    slices = [
        {"at_tick": tick, "of_shape": shape} for tick, shape in sorted({(r.tick, bytes(r.shape_id)) for r in rows})
    ]
    records = connection.execute(
        delete(record).where(record.c.tenant == tenant, record.c.fingerprint == bindparam("gone")), alerts
    ).rowcount
    deleted = connection.execute(
        delete(alert).where(alert.c.tenant == tenant, alert.c.fingerprint == bindparam("gone")), alerts
    ).rowcount
    has_alerts = exists(
        select(1).where(
            alert.c.tenant == observation.c.tenant,
            alert.c.tick == observation.c.tick,
            alert.c.shape_id == observation.c.shape_id,
        )
    )
    observations = connection.execute(
        delete(observation).where(
            observation.c.tenant == tenant,
            observation.c.tick == bindparam("at_tick"),
            observation.c.shape_id == bindparam("of_shape"),
            ~has_alerts,
        ),
        slices,
    ).rowcount
    return RetentionCounts(alerts=deleted, records=records, observations=observations)


def _delete_batch(connection: Connection, batch_id: int) -> int:
    """The batch itself, once nothing points at it; its key may then come again."""
    is_needed = _HAS_RECORDS | _HAS_ORIGINALS | _HAS_LETTERS
    return connection.execute(delete(batch).where(batch.c.id == batch_id, ~is_needed)).rowcount


def _forget_spans(store: Store, tenant: str, before_us: int, chunk: int) -> RetentionCounts:
    """One pass over the key, for no index leads to old spans."""
    is_open = exists(
        select(1).where(
            incident.c.tenant == span.c.tenant, incident.c.id == span.c.incident_id, incident.c.status.in_(_OPEN)
        )
    )
    done = 0
    after = ("", "")
    while True:
        with store.read() as connection:
            page = connection.execute(
                select(span.c.trace_id, span.c.span_id, (span.c.end_us < before_us).label("is_old"))
                .where(tuple_(span.c.trace_id, span.c.span_id) > after)
                .order_by(span.c.trace_id, span.c.span_id)
                .limit(chunk)
            ).all()
        if not page:
            return RetentionCounts(spans=done)
        after = (page[-1].trace_id, page[-1].span_id)
        old = [{"of_trace": row.trace_id, "of_span": row.span_id} for row in page if row.is_old]
        if old:
            with store.write() as connection:
                done += connection.execute(
                    delete(span).where(
                        span.c.tenant == tenant,
                        span.c.trace_id == bindparam("of_trace"),
                        span.c.span_id == bindparam("of_span"),
                        ~is_open,
                    ),
                    old,
                ).rowcount
