"""Records that could not become alerts: kept with the reason, and driven through again after a fix."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from sqlalchemy import ColumnElement, Connection, func, select, update

from watchfloor_core.alert import Alert
from watchfloor_core.clock import now_us
from watchfloor_core.errors import NotFoundError, RecordError
from watchfloor_core.store.ingest import BatchResult, ParsedBatch, ParsedRecord, refusal, write_batch
from watchfloor_core.store.originals import expand
from watchfloor_core.store.schema import batch, dead_letter
from watchfloor_core.store.storable import storable

PAGE: Final = 100
RETRY_KEY: Final = "retry:"
"""Begins the key of a retry's batch, whose one record was counted when it first came in."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that its connector could not read."""

    id: int
    batch_id: int
    source_id: str
    connector: str
    position: int
    """1-based within the source."""
    path: str | None
    """Field path inside the record."""
    reason: str
    """May quote the record: attacker-authored text."""
    created_us: int
    retried_us: int | None
    attempts: int
    """How often it was driven through again."""
    resolved_us: int | None
    """When it became an alert, was found to be none, or was given up by a person."""

    @property
    def is_open(self) -> bool:
        return self.resolved_us is None


def list_dead_letters(
    connection: Connection,
    tenant: str,
    *,
    connector: str | None = None,
    source_id: str | None = None,
    is_open: bool | None = True,
    after: int = 0,
    limit: int = PAGE,
) -> list[DeadLetter]:
    """A page of dead letters, oldest first: those with an id above ``after``. ``is_open=None`` lists all."""
    statement = (
        select(*_COLUMNS)
        .where(dead_letter.c.id > after, *_wanted(tenant, connector, source_id, is_open))
        .order_by(dead_letter.c.id)
        .limit(limit)
    )
    return [DeadLetter(*row) for row in connection.execute(statement)]


def count_dead_letters(
    connection: Connection,
    tenant: str,
    *,
    connector: str | None = None,
    source_id: str | None = None,
    is_open: bool | None = True,
) -> int:
    """How many there are."""
    conditions = _wanted(tenant, connector, source_id, is_open)
    return connection.execute(select(func.count()).select_from(dead_letter).where(*conditions)).scalar_one()


def load_dead_letter(connection: Connection, tenant: str, letter_id: int) -> DeadLetter:
    """One dead letter. Raises `NotFoundError`."""
    statement = select(*_COLUMNS).where(dead_letter.c.tenant == tenant, dead_letter.c.id == letter_id)
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise _unknown(letter_id)
    return DeadLetter(*row)


def dead_letter_bytes(connection: Connection, tenant: str, letter_id: int) -> bytes:
    """The record as it came in. Raises `NotFoundError`."""
    statement = select(dead_letter.c.raw).where(dead_letter.c.tenant == tenant, dead_letter.c.id == letter_id)
    raw = connection.execute(statement).scalar_one_or_none()
    if raw is None:
        raise _unknown(letter_id)
    return expand(raw)


def resolve_dead_letter(connection: Connection, tenant: str, letter_id: int) -> None:
    """Nothing is left to do for it. Doing it again changes nothing. Raises `NotFoundError`."""
    changed = connection.execute(
        update(dead_letter)
        .where(dead_letter.c.tenant == tenant, dead_letter.c.id == letter_id)
        .values(resolved_us=func.coalesce(dead_letter.c.resolved_us, now_us()))
    )
    if changed.rowcount == 0:
        raise _unknown(letter_id)


def mark_attempt(connection: Connection, tenant: str, letter_id: int, error: RecordError) -> None:
    """It was driven through again and failed again; the new reason replaces the old one."""
    connection.execute(
        update(dead_letter)
        .where(dead_letter.c.tenant == tenant, dead_letter.c.id == letter_id, dead_letter.c.resolved_us.is_(None))
        .values(
            attempts=dead_letter.c.attempts + 1,
            retried_us=now_us(),
            reason=storable(error.reason),
            path=None if error.path is None else storable(error.path),
        )
    )


def write_retry(
    connection: Connection,
    tenant: str,
    letter: DeadLetter,
    outcome: Alert | RecordError | None,
    *,
    connector: str | None = None,
    connector_version: str | None = None,
) -> BatchResult | None:
    """What a connector made of a dead letter's bytes this time, in the caller's transaction.

    An alert (or None, a record that is none) becomes a batch of its own at the record's own position in its source,
    and the letter is resolved: once, however often and from wherever this is called. A `RecordError` is noted, and the
    answer is None. ``connector`` and its version are those of the first attempt unless they are given.
    """
    error = outcome if isinstance(outcome, RecordError) else refusal(outcome)
    if error is not None:
        mark_attempt(connection, tenant, letter.id, error)
        return None
    version = (
        connector_version
        or connection.execute(
            select(batch.c.connector_version).where(batch.c.tenant == tenant, batch.c.id == letter.batch_id)
        ).scalar_one_or_none()
    )
    raw = dead_letter_bytes(connection, tenant, letter.id)
    result = write_batch(
        connection,
        tenant,
        ParsedBatch(
            source_id=letter.source_id,
            # The batch key is what makes it happen once.
            key=f"{RETRY_KEY}{letter.id}",
            connector=connector or letter.connector,
            connector_version=version or "",
            records=[ParsedRecord(letter.position, raw, outcome)],
        ),
    )
    if not result.was_known:
        connection.execute(
            update(dead_letter)
            .where(dead_letter.c.tenant == tenant, dead_letter.c.id == letter.id)
            .values(attempts=dead_letter.c.attempts + 1, retried_us=now_us())
        )
        resolve_dead_letter(connection, tenant, letter.id)
    return result


_COLUMNS: Final = [dead_letter.c[field.name] for field in fields(DeadLetter)]


def _wanted(
    tenant: str, connector: str | None, source_id: str | None, is_open: bool | None
) -> list[ColumnElement[bool]]:
    conditions = [dead_letter.c.tenant == tenant]
    if connector is not None:
        conditions.append(dead_letter.c.connector == connector)
    if source_id is not None:
        conditions.append(dead_letter.c.source_id == source_id)
    if is_open is not None:
        resolved_us = dead_letter.c.resolved_us
        conditions.append(resolved_us.is_(None) if is_open else resolved_us.is_not(None))
    return conditions


def _unknown(letter_id: int) -> NotFoundError:
    return NotFoundError(f"there is no dead letter {letter_id}; list them to see the ids")
