"""Shapes as correlation needs them, read once and kept."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from watchfloor_agents.correlation.observation import Link, Shape
from watchfloor_core.alert import EntityKind, EntityRole, Integrity
from watchfloor_core.identity import digest16
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
ALIAS_DISCOUNT: Final = 0.8
"""Sensors name one host by its full and by its short name, one account with and without its domain."""
EXTERNAL_DISCOUNT: Final = 0.5
"""What an attacker can write, an attacker can use to glue or to split; by itself it joins only where fresh."""


class ShapeBook:
    """The shapes of one tenant, least recently used ones forgotten."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._kept: OrderedDict[bytes, Shape] = OrderedDict()

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
                entity.c.kind,
                entity.c.value.label("asset"),
                asset.c.tier,
            )
            .join(detector, (detector.c.tenant == shape.c.tenant) & (detector.c.id == shape.c.detector_id))
            .outerjoin(entity, (entity.c.tenant == shape.c.tenant) & (entity.c.id == shape.c.asset_id))
            .outerjoin(asset, (asset.c.tenant == shape.c.tenant) & (asset.c.entity_id == shape.c.asset_id))
            .where(shape.c.tenant == tenant, shape.c.id.in_(shape_ids))
        )
        found = rows.all()
        tiers = self._read_alias_tiers(connection, {(row.kind, row.asset) for row in found if row.tier is None})
        for row in found:
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
                is_asset_external=_is_external(row.asset_id, entities),
                tier=row.tier if row.tier is not None else tiers.get((row.kind, row.asset)),
                users=_users(entities),
                links=_links(entities),
            )

    def _read_alias_tiers(
        self, connection: Connection, assets: set[tuple[str | None, str | None]]
    ) -> dict[tuple[str | None, str | None], int]:
        """Tiers of assets that the inventory lists by another name of theirs."""
        wanted: dict[bytes, list[tuple[str | None, str | None]]] = defaultdict(list)
        for kind, value in assets:
            if kind is not None and value is not None and (alias := other_name(kind, value)):
                wanted[digest16("entity", kind, alias)].append((kind, value))
        if not wanted:
            return {}
        table = schema.asset
        rows = connection.execute(
            select(table.c.entity_id, table.c.tier).where(
                table.c.tenant == self._tenant, table.c.entity_id.in_(sorted(wanted))
            )
        )
        return {asset: row.tier for row in rows for asset in wanted[bytes(row.entity_id)]}

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


def _is_external(asset_id: bytes | None, entities: list[_EntityRow]) -> bool:
    """True where only the attacker vouches for the asset's name."""
    named = [row.integrity for row in entities if asset_id is not None and bytes(row.id) == bytes(asset_id)]
    return bool(named) and min(named) >= Integrity.EXTERNAL


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
        names = [Link(bytes(row.id), row.kind, row.value, weight)]
        if alias := other_name(row.kind, row.value):
            names.append(
                Link(digest16("entity", row.kind, alias), row.kind, alias, weight * ALIAS_DISCOUNT, is_alias=True)
            )
        for link in names:
            held = links.get(link.entity_id)
            if held is None or held.weight < link.weight:
                links[link.entity_id] = link
    return tuple(links.values())


def other_name(kind: str, value: str) -> str | None:
    """The short name of a host, or an account's name without its domain, where `value` is the long one."""
    match kind:
        case EntityKind.HOST:
            short = value.split(".", 1)[0]
            return None if short in ("", value) or short.isdigit() else short
        case EntityKind.USER:
            short = value.rsplit("\\", 1)[-1].split("@", 1)[0]
            return None if short in ("", value) else short
        case _:
            return None
