"""Shapes and entities that no alert has any more: found without a lock, deleted under one.

A writer trusts what its process remembers of stored shapes (`watchfloor_core.store.interning`), so a shape may go only
while no batch is under way, and all processes must then forget. Finding the unused ones takes a pass over the alerts,
too long to hold writers up. Therefore: shut batches out for a moment and note the last batch's id; find candidates at
leisure; shut batches out again, spare what batches after that id have used, delete the rest and count the epoch up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, delete, exists, func, select, update

from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import (
    alert,
    asset,
    batch,
    dedup_rule,
    entity,
    incident_entity,
    interning_epoch,
    observation,
    record,
    shape,
    shape_entity,
)

_AT_ONCE: Final = 100_000
"""Candidates that are held in memory; more go with the next run."""


def remove_unused(store: Store, tenant: str, chunk: int) -> tuple[int, int]:
    """Delete unused shapes, ``chunk`` in a transaction, and the entities that only they named; returns how many."""
    with store.write() as connection:
        _shut_batches_out(connection, tenant)
        last_batch = connection.execute(
            select(func.coalesce(func.max(batch.c.id), 0)).where(batch.c.tenant == tenant)
        ).scalar_one()
    with store.read() as connection:
        candidates = _candidates(connection, tenant)
    shapes = entities = 0
    for start in range(0, len(candidates), chunk):
        with store.write() as connection:
            _shut_batches_out(connection, tenant)
            gone = sorted(set(candidates[start : start + chunk]) - _used_since(connection, tenant, last_batch))
            entities += _delete_shapes(connection, tenant, gone)
            shapes += len(gone)
    return shapes, entities


def _shut_batches_out(connection: Connection, tenant: str) -> None:
    """Wait for the tenant's batches under way, and hold new ones until the transaction ends."""
    connection.execute(
        update(interning_epoch).where(interning_epoch.c.tenant == tenant).values(epoch=interning_epoch.c.epoch + 1)
    )


def _candidates(connection: Connection, tenant: str) -> list[bytes]:
    stored = select(shape.c.id).where(shape.c.tenant == tenant)
    of_alerts = select(alert.c.shape_id).where(alert.c.tenant == tenant)
    of_observations = select(observation.c.shape_id).where(observation.c.tenant == tenant)
    unused = stored.except_(of_alerts, of_observations).limit(_AT_ONCE)
    return [bytes(shape_id) for shape_id in connection.execute(unused).scalars()]


def _used_since(connection: Connection, tenant: str, last_batch: int) -> set[bytes]:
    rows = connection.execute(
        select(alert.c.shape_id)
        .select_from(record)
        .join(alert, (alert.c.tenant == record.c.tenant) & (alert.c.fingerprint == record.c.fingerprint))
        .where(record.c.tenant == tenant, record.c.batch_id > last_batch)
        .distinct()
    )
    return {bytes(shape_id) for shape_id in rows.scalars()}


def _delete_shapes(connection: Connection, tenant: str, gone: Sequence[bytes]) -> int:
    """Returns how many entities went with them."""
    if not gone:
        return 0
    keys = [{"gone": shape_id} for shape_id in gone]
    named: set[bytes] = set()
    for start in range(0, len(gone), 500):
        found = select(shape_entity.c.entity_id).where(
            shape_entity.c.tenant == tenant, shape_entity.c.shape_id.in_(gone[start : start + 500])
        )
        named |= {bytes(entity_id) for entity_id in connection.execute(found).scalars()}
    for table, column in ((shape_entity, "shape_id"), (dedup_rule, "shape_id"), (shape, "id")):
        connection.execute(delete(table).where(table.c.tenant == tenant, table.c[column] == bindparam("gone")), keys)
    if not named:
        return 0
    is_named = [
        exists(select(1).where(table.c.tenant == entity.c.tenant, table.c.entity_id == entity.c.id))
        for table in (shape_entity, incident_entity, asset)
    ]
    return connection.execute(
        delete(entity).where(
            entity.c.tenant == tenant, entity.c.id == bindparam("gone"), *(~named_there for named_there in is_named)
        ),
        [{"gone": entity_id} for entity_id in sorted(named)],
    ).rowcount
