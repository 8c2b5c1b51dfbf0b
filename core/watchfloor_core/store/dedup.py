"""Taking dedup back: what a person says was not the same alert after all."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select, update

from watchfloor_core.clock import now_us
from watchfloor_core.errors import NotFoundError
from watchfloor_core.identity import digest16
from watchfloor_core.ledger.record import Decision, record_decisions
from watchfloor_core.store.bulk import insert_new
from watchfloor_core.store.explanation import DedupRecord, records_of
from watchfloor_core.store.schema import alert, record
from watchfloor_core.telemetry.names import SpanAttribute, SpanName


def undo(connection: Connection, tenant: str, fingerprint: bytes, principal: str) -> list[bytes]:
    """Make each duplicate record an alert of its own, and write that to the ledger; returns their fingerprints.

    The record that made the alert keeps it. The new alerts have its shape and event time (their own bytes stay with
    their records) and wait for correlation as late ones. Once done there are no duplicates left, so doing it again
    changes nothing and returns nothing. ``principal`` is the authenticated person who says so.

    Raises `NotFoundError` where there is no such alert.
    """
    started_us = now_us()
    statement = select(alert).where(alert.c.tenant == tenant, alert.c.fingerprint == fingerprint).with_for_update()
    original = connection.execute(statement).one_or_none()
    if original is None:
        raise NotFoundError(f"no alert has the fingerprint {fingerprint.hex()!r}")
    duplicates = records_of(connection, tenant, fingerprint)[1:]
    if not duplicates:
        return []
    apart = [(own_fingerprint(fingerprint, duplicate), duplicate) for duplicate in duplicates]
    insert_new(
        connection,
        alert,
        tenant,
        sorted(
            (own, original.shape_id, original.event_us, original.precision, found.received_us, found.batch_id, None)
            for own, found in apart
        ),
    )
    connection.execute(
        update(record)
        .where(record.c.batch_id == bindparam("of_batch"), record.c.position == bindparam("at_position"))
        .values(fingerprint=bindparam("own")),
        [{"own": own, "of_batch": found.batch_id, "at_position": found.position} for own, found in apart],
    )
    record_decisions(connection, tenant, [_decision(fingerprint, principal, [own for own, _ in apart], started_us)])
    return [own for own, _ in apart]


def own_fingerprint(fingerprint: bytes, duplicate: DedupRecord) -> bytes:
    """The fingerprint that a duplicate gets of its own: from what it was a duplicate of and where it stands."""
    return digest16("apart", fingerprint.hex(), duplicate.source_id, str(duplicate.batch_id), str(duplicate.position))


def _decision(fingerprint: bytes, principal: str, apart: list[bytes], started_us: int) -> Decision:
    return Decision(
        chain="ingest",
        kind="dedup_undo",
        body={"fingerprint": fingerprint.hex(), "principal": principal, "alerts": [own.hex() for own in apart]},
        name=SpanName.DEDUP_UNDO,
        start_us=started_us,
        end_us=now_us(),
        attributes={SpanAttribute.PRINCIPAL: principal, SpanAttribute.ALERTS: len(apart)},
    )
