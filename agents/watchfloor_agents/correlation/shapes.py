"""Shapes as correlation needs them, read once and kept."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from watchfloor_agents.correlation.observation import Link, Shape
from watchfloor_core.alert import EntityKind, EntityRole, Integrity
from watchfloor_core.store import schema

_EntityRow = Row[Any, Any, Any, Any, Any, Any]
"""Shape id, entity id, kind, value, role, integrity."""

MAX_KEPT: Final = 50_000
CHUNK: Final = 500
"""Keys per statement: SQLite bounds the number of parameters."""

_KIND_WEIGHT: Final[dict[str, float]] = {
    EntityKind.HOST: 1.0,
    EntityKind.USER: 1.0,
    EntityKind.MAILBOX: 0.9,
    EntityKind.FILE_HASH: 1.0,
    EntityKind.IP: 0.9,
    EntityKind.DOMAIN: 0.8,
    EntityKind.URL: 0.9,
    EntityKind.RESOURCE: 0.9,
    EntityKind.FILE: 0.4,
    EntityKind.PROCESS: 0.3,
}
"""How well a value of the kind identifies one actor or victim: many machines run a `powershell.exe`."""
EXTERNAL_DISCOUNT: Final = 0.5
"""What an attacker can write, an attacker can use to glue or to split; by itself it joins only where fresh."""


class ShapeBook:
    """The shapes of one tenant, least recently used ones forgotten."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._kept: OrderedDict[bytes, Shape] = OrderedDict()

    def forget(self) -> None:
        """Read everything anew: the inventory has changed."""
        self._kept.clear()

    def get(self, connection: Connection, shape_ids: Collection[bytes]) -> dict[bytes, Shape]:
        """The wanted shapes; all of them are in the store, since alerts refer to them."""
        missing = sorted({shape_id for shape_id in shape_ids if shape_id not in self._kept})
        for start in range(0, len(missing), CHUNK):
            self._read(connection, missing[start : start + CHUNK])
        found = {}
        for shape_id in shape_ids:
            self._kept.move_to_end(shape_id)
            found[shape_id] = self._kept[shape_id]
        while len(self._kept) > max(MAX_KEPT, len(found)):
            self._kept.popitem(last=False)
        return found

    def _read(self, connection: Connection, shape_ids: list[bytes]) -> None:
        shape, detector, asset, entity = schema.shape, schema.detector, schema.asset, schema.entity
        tenant = self._tenant
        links = self._read_entities(connection, shape_ids)
        rows = connection.execute(
            select(
                shape.c.id,
                shape.c.severity,
                shape.c.asset_id,
                detector.c.id.label("detector_id"),
                detector.c.product,
                detector.c.title,
                detector.c.tactics,
                entity.c.value.label("asset"),
                asset.c.tier,
            )
            .join(detector, (detector.c.tenant == shape.c.tenant) & (detector.c.id == shape.c.detector_id))
            .outerjoin(entity, (entity.c.tenant == shape.c.tenant) & (entity.c.id == shape.c.asset_id))
            .outerjoin(asset, (asset.c.tenant == shape.c.tenant) & (asset.c.entity_id == shape.c.asset_id))
            .where(shape.c.tenant == tenant, shape.c.id.in_(shape_ids))
        )
        for row in rows:
            entities = links[bytes(row.id)]
            self._kept[bytes(row.id)] = Shape(
                id=bytes(row.id),
                detector_id=bytes(row.detector_id),
                product=row.product,
                title=row.title,
                severity=row.severity,
                tactics=tuple(row.tactics),
                asset_id=bytes(row.asset_id) if row.asset_id is not None else b"",
                asset=row.asset if row.asset is not None else "(no asset)",
                tier=row.tier,
                users=_users(entities),
                links=_links(entities),
            )

    def _read_entities(self, connection: Connection, shape_ids: list[bytes]) -> dict[bytes, list[_EntityRow]]:
        part, entity = schema.shape_entity, schema.entity
        found: dict[bytes, list[_EntityRow]] = defaultdict(list)
        rows = connection.execute(
            select(part.c.shape_id, entity.c.id, entity.c.kind, entity.c.value, part.c.role, part.c.integrity)
            .join(entity, (entity.c.tenant == part.c.tenant) & (entity.c.id == part.c.entity_id))
            .where(part.c.tenant == self._tenant, part.c.shape_id.in_(shape_ids))
            .order_by(part.c.shape_id, entity.c.id, part.c.role)
        )
        for row in rows:
            found[bytes(row.shape_id)].append(row)
        return found


def _users(entities: list[_EntityRow]) -> tuple[bytes, ...]:
    """At most two: a user name from the attacker (a failed login) says nothing of what is normal for a user."""
    named = {bytes(row.id) for row in entities if row.kind == EntityKind.USER and row.integrity < Integrity.EXTERNAL}
    return tuple(sorted(named)[:2])


def _links(entities: list[_EntityRow]) -> tuple[Link, ...]:
    links: dict[bytes, Link] = {}
    for row in entities:
        if row.role == EntityRole.OBSERVER:
            continue
        weight = _KIND_WEIGHT[row.kind]
        if row.integrity >= Integrity.EXTERNAL:
            weight *= EXTERNAL_DISCOUNT
        held = links.get(bytes(row.id))
        if held is None or held.weight < weight:
            links[bytes(row.id)] = Link(bytes(row.id), row.kind, row.value, weight)
    return tuple(links.values())
