"""Makes an asset inventory that of a tenant."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, text

from watchfloor_connectors.inventory import InventoryItem
from watchfloor_core.store.interning import entity_id
from watchfloor_core.store.schema import asset


def write_inventory(connection: Connection, tenant: str, items: Sequence[InventoryItem]) -> None:
    """Make this the tenant's inventory, in place of any before."""
    connection.execute(delete(asset).where(asset.c.tenant == tenant))
    rows = [
        {
            "tenant": tenant,
            "entity_id": entity_id(item.kind, item.value),
            "kind": item.kind.value,
            "value": item.value,
            "tier": item.tier,
            "groups": list(item.groups),
        }
        for item in items
    ]
    if rows:
        connection.execute(insert(asset), rows)
    # Correlation keeps tiers with the shapes that it has read; what it kept is stale now.
    connection.execute(text("UPDATE cursor SET version = version + 1 WHERE tenant = :tenant"), {"tenant": tenant})
