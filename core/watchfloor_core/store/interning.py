"""Detectors, entities and shapes: stored once, and remembered per process so that repeats cost nothing.

What a process remembers is true because of two things. An id is remembered only after the transaction that wrote it
has committed. And retention, which takes unused shapes and entities away, counts `interning_epoch` up as it does: a
batch reads that count under a lock that keeps retention out until the batch has committed, and forgets everything
where the count has moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, select

from watchfloor_core.alert import Alert, Entity
from watchfloor_core.identity import digest16
from watchfloor_core.store.bulk import Row, insert_new
from watchfloor_core.store.engine import after_commit, dumps
from watchfloor_core.store.fingerprint import comparison
from watchfloor_core.store.schema import dedup_rule, detector, entity, interning_epoch, shape, shape_entity
from watchfloor_core.store.storable import storable

VALUE_BYTES: Final = 2048
"""Longest entity value that is stored whole, in UTF-8; PostgreSQL indexes at most 2,704 bytes. Ids are of the whole."""
_MEMORY_LIMIT: Final = 500_000


def entity_id(kind: str, value: str) -> bytes:
    """The id of an entity, from its normalised value."""
    return digest16("entity", kind, value)


def detector_id(product: str, uid: str) -> bytes:
    """The id of a detector."""
    return digest16("detector", product, uid)


@dataclass(slots=True)
class Memory:
    """Ids of committed rows: of detectors, entities and shapes alike, for digests of different things differ."""

    epoch: int
    ids: set[bytes] = field(default_factory=set)

    def remember(self, ids: set[bytes]) -> None:
        """Take in the ids of what is now committed."""
        if len(self.ids) + len(ids) > _MEMORY_LIMIT:
            self.ids.clear()
        self.ids |= ids


_memories: WeakKeyDictionary[Engine, dict[str, Memory]] = WeakKeyDictionary()


def hold_memory(connection: Connection, tenant: str) -> Memory:
    """What this process remembers of the tenant, and holds true until the transaction ends: retention waits for it."""
    # SQLite's write lock keeps retention out as it is.
    read = select(interning_epoch.c.epoch).where(interning_epoch.c.tenant == tenant).with_for_update(read=True)
    epoch = connection.execute(read).scalar_one_or_none()
    if epoch is None:
        insert_new(connection, interning_epoch, tenant, [(0,)])
        epoch = connection.execute(read).scalar_one()
    tenants = _memories.setdefault(connection.engine, {})
    memory = tenants.get(tenant)
    if memory is None or memory.epoch != epoch:
        memory = tenants[tenant] = Memory(epoch)
    return memory


def intern_shapes(connection: Connection, tenant: str, memory: Memory, examples: Mapping[bytes, Alert]) -> None:
    """Store the shapes, given an alert of each, with their detectors and entities, where they are not stored yet."""
    fresh = {shape_id: alert for shape_id, alert in examples.items() if shape_id not in memory.ids}
    if not fresh:
        return
    detectors: dict[bytes, Row] = {}
    entities: dict[bytes, Row] = {}
    shapes: list[Row] = []
    links: dict[tuple[bytes, bytes, str], int] = {}
    rules: list[Row] = []
    for shape_id, alert in sorted(fresh.items()):
        raised_by = detector_id(alert.detector.product, alert.detector.uid)
        if raised_by not in memory.ids and raised_by not in detectors:
            detectors[raised_by] = _detector_row(raised_by, alert)
        ids: dict[Entity, bytes] = {}
        for named in alert.entities:
            ids[named] = named_id = entity_id(named.kind, named.value)
            if named_id not in memory.ids and named_id not in entities:
                entities[named_id] = (named_id, named.kind.value, storable(named.value, VALUE_BYTES))
            link = (shape_id, named_id, named.role.value)
            # Named twice in one role: it is trusted as little as its least trusted mention.
            links[link] = max(links.get(link, 0), int(named.integrity))
        asset = alert.asset
        attributes = dumps([[storable(a.name), storable(a.value), int(a.integrity)] for a in alert.attributes])
        shapes.append((shape_id, raised_by, None if asset is None else ids[asset], int(alert.severity), attributes))
        rule = comparison(alert)
        rules.append((shape_id, dumps(list(rule.fields)), rule.window_s))
    insert_new(connection, detector, tenant, [row for _, row in sorted(detectors.items())])
    insert_new(connection, entity, tenant, [row for _, row in sorted(entities.items())])
    insert_new(connection, shape, tenant, shapes)
    insert_new(connection, shape_entity, tenant, [(*link, integrity) for link, integrity in sorted(links.items())])
    insert_new(connection, dedup_rule, tenant, rules)
    written = {*fresh, *detectors, *entities}
    after_commit(connection, lambda: memory.remember(written))


def _detector_row(detector_id: bytes, alert: Alert) -> Row:
    raised_by = alert.detector
    return (
        detector_id,
        storable(raised_by.product, 128),
        storable(raised_by.uid),
        storable(raised_by.title),
        None if raised_by.category is None else storable(raised_by.category),
        dumps([storable(tactic) for tactic in raised_by.tactics]),
        dumps([storable(technique) for technique in raised_by.techniques]),
    )
