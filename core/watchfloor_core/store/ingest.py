"""One batch of records into the store, in the caller's transaction: nothing lost, nothing twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, RowMapping, func, insert, select, text, update

from watchfloor_core.alert import Alert
from watchfloor_core.clock import now_us
from watchfloor_core.errors import RecordError
from watchfloor_core.store.bulk import Row, insert_new, insert_new_columns
from watchfloor_core.store.fingerprint import Identity
from watchfloor_core.store.interning import hold_memory, intern_shapes
from watchfloor_core.store.originals import Originals, compress, pack
from watchfloor_core.store.schema import alert as alert_table
from watchfloor_core.store.schema import batch as batch_table
from watchfloor_core.store.schema import batch_raw, dead_letter, record
from watchfloor_core.store.sources import close_source, note_batch, register_source
from watchfloor_core.store.storable import storable

__all__ = [
    "BatchResult",
    "ParsedBatch",
    "ParsedRecord",
    "PreparedBatch",
    "close_source",
    "pending_alerts",
    "prepare",
    "register_source",
    "write_batch",
]

FIRST_US: Final = -62_135_596_800_000_000
"""Year 1."""
LAST_US: Final = 253_402_300_799_999_999
"""End of year 9999."""
EXAMPLES: Final = 5
"""So many duplicates are named in a result."""


@dataclass(frozen=True, slots=True)
class ParsedRecord:
    """One record of a source and what its connector made of it."""

    position: int
    """1-based within the source."""
    raw: bytes
    outcome: Alert | RecordError | None
    """None: well-formed, but no alert."""


@dataclass(frozen=True, slots=True)
class ParsedBatch:
    """Consecutive records of one source."""

    source_id: str
    key: str
    """Names the batch within its source, at most 128 characters; the same key again changes nothing."""
    connector: str
    connector_version: str
    records: Sequence[ParsedRecord]
    """By position, without gaps."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of a batch. ``records`` is the sum of the four counts behind it."""

    batch_id: int
    records: int
    alerts: int
    """Alerts that were new."""
    duplicates: int
    """Records of alerts that were known, or came earlier in the batch."""
    ignored: int
    dead: int
    was_known: bool
    """The batch had been written before; the counts are those of that time."""
    duplicate_examples: tuple[str, ...] = ()
    """Fingerprints (hex) of up to five of the duplicates."""


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """A batch with all that needs no database done, so that the write lock is held for less long."""

    batch: ParsedBatch
    originals: Originals
    shapes: dict[bytes, Alert]
    """An alert of each shape."""
    alerts: dict[bytes, tuple[bytes, int, str]]
    """By fingerprint: shape, event time, precision; the first record of each decides."""
    positions: list[int]
    """Of the records that are alerts."""
    fingerprints: list[bytes]
    """Of the same records."""
    repeated: list[bytes]
    """Fingerprints of a few alerts that have several records in the batch."""
    dead: list[tuple[ParsedRecord, RecordError]]
    max_event_us: int | None


def prepare(batch: ParsedBatch) -> PreparedBatch:
    """Fingerprint the records and pack their bytes.

    Raises ValueError where the positions have gaps: the original bytes are found by position.
    """
    shapes: dict[bytes, Alert] = {}
    alerts: dict[bytes, tuple[bytes, int, str]] = {}
    positions: list[int] = []
    fingerprints: list[bytes] = []
    repeated: list[bytes] = []
    dead: list[tuple[ParsedRecord, RecordError]] = []
    max_event_us: int | None = None
    if not batch.records:
        raise ValueError(f"batch {batch.key!r} of source {batch.source_id!r} holds no records")
    for position, parsed in enumerate(batch.records, batch.records[0].position):
        if parsed.position != position:
            raise ValueError(f"batch {batch.key!r}: position {parsed.position} where {position} was expected")
        outcome = parsed.outcome
        if isinstance(outcome, Alert):
            if not FIRST_US <= outcome.event_us <= LAST_US and (error := refusal(outcome)) is not None:
                dead.append((parsed, error))
                continue
            if max_event_us is None or outcome.event_us > max_event_us:
                max_event_us = outcome.event_us
            identity = Identity.of(outcome)
            fingerprint = identity.fingerprint(outcome)
            positions.append(position)
            fingerprints.append(fingerprint)
            if fingerprint in alerts:
                if len(repeated) < EXAMPLES and fingerprint not in repeated:
                    repeated.append(fingerprint)
                continue
            alerts[fingerprint] = (identity.shape_id, outcome.event_us, outcome.precision.value)
            if identity.shape_id not in shapes:
                shapes[identity.shape_id] = outcome
        elif outcome is not None:
            dead.append((parsed, outcome))
    originals = pack([parsed.raw for parsed in batch.records])
    return PreparedBatch(batch, originals, shapes, alerts, positions, fingerprints, repeated, dead, max_event_us)


def refusal(alert: Alert | None) -> RecordError | None:
    """Why the store cannot hold an alert, where it cannot."""
    if alert is None or FIRST_US <= alert.event_us <= LAST_US:
        return None
    return RecordError(f"the event time {alert.event_us} us is outside the years 1 to 9999; mend the record's time")


def write_batch(connection: Connection, tenant: str, batch: ParsedBatch | PreparedBatch) -> BatchResult:
    """Write a batch once; the caller commits.

    The same (tenant, source, key) again changes nothing and returns the earlier counts. Counts are exact under
    concurrent writers: an alert that several bring at once is new to one of them and a duplicate to the others.
    On PostgreSQL, several batches in one transaction may deadlock with other writers (`ConflictError`): write one.

    Raises `NotFoundError` where the source is not registered.
    """
    ready = batch if isinstance(batch, PreparedBatch) else prepare(batch)
    received_us = now_us()
    # Before the batch gets its id: so retention, which shuts this out for a moment, can tell by the id which batches
    # came after it.
    memory = hold_memory(connection, tenant)
    batch_id = _claim(connection, tenant, ready, received_us)
    if batch_id is None:
        return _known_result(connection, tenant, ready.batch)
    connection.execute(
        insert(batch_raw).values(
            batch_id=batch_id, tenant=tenant, data=ready.originals.data, lengths=ready.originals.lengths
        )
    )
    intern_shapes(connection, tenant, memory, ready.shapes)
    new = _insert_alerts(connection, tenant, ready, batch_id, received_us)
    batch_ids = [batch_id] * len(ready.positions)
    insert_new_columns(connection, record, tenant, [batch_ids, ready.positions, ready.fingerprints])
    _bury(connection, tenant, ready, batch_id, received_us)
    duplicates = len(ready.positions) - new
    connection.execute(
        update(batch_table).where(batch_table.c.id == batch_id).values(alerts=new, duplicates=duplicates)
    )
    # Last, for it locks a row that all batches of the source need.
    note_batch(connection, tenant, ready.batch.source_id, received_us, ready.max_event_us)
    return BatchResult(
        batch_id=batch_id,
        records=len(ready.batch.records),
        alerts=new,
        duplicates=duplicates,
        ignored=len(ready.batch.records) - len(ready.positions) - len(ready.dead),
        dead=len(ready.dead),
        was_known=False,
        duplicate_examples=_examples(connection, ready, batch_id, known=len(ready.alerts) - new),
    )


def pending_alerts(connection: Connection, tenant: str) -> int:
    """How many alerts wait for correlation."""
    statement = select(func.count()).where(alert_table.c.tenant == tenant, alert_table.c.tick.is_(None))
    return connection.execute(statement).scalar_one()


def _insert_alerts(connection: Connection, tenant: str, ready: PreparedBatch, batch_id: int, received_us: int) -> int:
    """Returns how many were new."""
    if not ready.alerts:
        return 0
    # By key: so that concurrent writers on PostgreSQL meet the same alerts in the same order.
    fingerprints = sorted(ready.alerts)
    shapes, times, precisions = zip(*map(ready.alerts.__getitem__, fingerprints), strict=True)
    count = len(fingerprints)
    received, batches, ticks = [received_us] * count, [batch_id] * count, [None] * count
    columns = [fingerprints, shapes, times, precisions, received, batches, ticks]
    return insert_new_columns(connection, alert_table, tenant, columns)


_CLAIM: Final = text(
    "INSERT INTO batch (tenant, source_id, key, connector, connector_version, received_us, first_position, records,"
    " alerts, duplicates, ignored, dead, raw_sha256) VALUES (:tenant, :source_id, :key, :connector,"
    " :connector_version, :received_us, :first_position, :records, 0, 0, :ignored, :dead, :raw_sha256)"
    " ON CONFLICT (tenant, source_id, key) DO NOTHING RETURNING id"
)


def _claim(connection: Connection, tenant: str, ready: PreparedBatch, received_us: int) -> int | None:
    """The id of the new batch, or None where its key is taken."""
    given = ready.batch
    row = connection.execute(
        _CLAIM,
        {
            "tenant": tenant,
            "source_id": given.source_id,
            "key": given.key,
            "connector": given.connector,
            "connector_version": given.connector_version,
            "received_us": received_us,
            "first_position": given.records[0].position,
            "records": len(given.records),
            "ignored": len(given.records) - len(ready.positions) - len(ready.dead),
            "dead": len(ready.dead),
            "raw_sha256": ready.originals.sha256,
        },
    ).one_or_none()
    return None if row is None else int(row.id)


def _known_result(connection: Connection, tenant: str, given: ParsedBatch) -> BatchResult:
    row: RowMapping = (
        connection.execute(
            select(batch_table).where(
                batch_table.c.tenant == tenant,
                batch_table.c.source_id == given.source_id,
                batch_table.c.key == given.key,
            )
        )
        .mappings()
        .one()
    )
    return BatchResult(
        batch_id=row["id"],
        records=row["records"],
        alerts=row["alerts"],
        duplicates=row["duplicates"],
        ignored=row["ignored"],
        dead=row["dead"],
        was_known=True,
    )


def _bury(connection: Connection, tenant: str, ready: PreparedBatch, batch_id: int, received_us: int) -> None:
    rows: list[Row] = [
        (
            batch_id,
            ready.batch.source_id,
            ready.batch.connector,
            parsed.position,
            None if error.path is None else storable(error.path),
            storable(error.reason),
            compress(parsed.raw),
            received_us,
            None,
            0,
            None,
        )
        for parsed, error in ready.dead
    ]
    insert_new(connection, dead_letter, tenant, rows)


_KNOWN_BEFORE: Final = text(
    "SELECT alert.fingerprint FROM record JOIN alert"
    " ON alert.tenant = record.tenant AND alert.fingerprint = record.fingerprint"
    " WHERE record.batch_id = :batch_id AND alert.batch_id <> :batch_id LIMIT :limit"
)


def _examples(connection: Connection, ready: PreparedBatch, batch_id: int, *, known: int) -> tuple[str, ...]:
    """Fingerprints of a few duplicates: of those repeated within the batch, else of those that the store had."""
    if ready.repeated or not known:
        return tuple(fingerprint.hex() for fingerprint in ready.repeated)
    rows = connection.execute(_KNOWN_BEFORE, {"batch_id": batch_id, "limit": EXAMPLES})
    return tuple(bytes(row.fingerprint).hex() for row in rows)
