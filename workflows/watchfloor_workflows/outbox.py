"""The outbox as the relay reads it: which incidents Temporal has to hear of, and which rows that answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, exists, select, update

from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import outbox

ROWS_AT_ONCE: Final = 5_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """One signal, whatever number of rows it answers."""

    tenant: str
    incident_id: str
    revision: int
    """The latest of the rows."""
    row_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the outbox holds now."""

    due: tuple[Delivery, ...]
    """Oldest first."""
    is_holding_back: bool
    """True where further changes wait for their incident to be quiet."""


def read_waiting(connection: Connection, *, settled_before_us: int) -> Waiting:
    """What waits for delivery, at most `ROWS_AT_ONCE` rows of it.

    An incident of which Temporal has not heard yet is due at once. Another is due when its oldest row was made before
    ``settled_before_us``, so that an incident which changes all the time costs one signal an interval and not one a
    change. On PostgreSQL the rows are locked for the transaction, and other relays pass over them.
    """
    earlier = outbox.alias("earlier")
    was_heard_of = exists().where(
        earlier.c.tenant == outbox.c.tenant,
        earlier.c.incident_id == outbox.c.incident_id,
        earlier.c.delivered_us.is_not(None),
    )
    rows = connection.execute(
        select(
            outbox.c.id,
            outbox.c.tenant,
            outbox.c.incident_id,
            outbox.c.revision,
            outbox.c.created_us,
            was_heard_of.label("was_heard_of"),
        )
        .where(outbox.c.delivered_us.is_(None))
        .order_by(outbox.c.id)
        .limit(ROWS_AT_ONCE)
        .with_for_update(skip_locked=True, of=outbox)
    ).all()
    row_ids: dict[tuple[str, str], list[int]] = {}
    revisions: dict[tuple[str, str], int] = {}
    due: set[tuple[str, str]] = set()
    for row in rows:
        incident = (row.tenant, row.incident_id)
        row_ids.setdefault(incident, []).append(row.id)
        revisions[incident] = max(row.revision, revisions.get(incident, 0))
        if not row.was_heard_of or row.created_us <= settled_before_us:
            due.add(incident)
    deliveries = (
        Delivery(*incident, revisions[incident], tuple(ids)) for incident, ids in row_ids.items() if incident in due
    )
    return Waiting(tuple(deliveries), is_holding_back=len(due) < len(row_ids))


def mark_delivered(connection: Connection, deliveries: Sequence[Delivery], now_us: int) -> None:
    """Nobody has to deliver these again."""
    row_ids = [row_id for delivery in deliveries for row_id in delivery.row_ids]
    if row_ids:
        connection.execute(update(outbox).where(outbox.c.id.in_(row_ids)).values(delivered_us=now_us))


def forget_delivered(store: Store, *, before_us: int) -> int:
    """Delete rows that were delivered before then, in small transactions; returns how many went."""
    forgotten = 0
    while True:
        with store.write() as connection:
            old = select(outbox.c.id).where(outbox.c.delivered_us < before_us).limit(ROWS_AT_ONCE)
            deleted = connection.execute(delete(outbox).where(outbox.c.id.in_(old))).rowcount
        forgotten += deleted
        if deleted < ROWS_AT_ONCE:
            return forgotten
