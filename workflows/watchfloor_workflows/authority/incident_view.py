"""An incident as proposals look at it: the facts they rest on, the evidence behind them, and who shaped it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, bindparam, exists, literal, select

from watchfloor_core.alert import Severity
from watchfloor_core.errors import NotFoundError
from watchfloor_core.ledger.merkle import merkle_root
from watchfloor_core.store.schema import asset as asset_table
from watchfloor_core.store.schema import entity, incident_entity, ledger_entry, observation, shape_entity
from watchfloor_guardrails.blast import Blast, InventoryHit, blast_of
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.incident_facts import IncidentFacts
from watchfloor_guardrails.matrix import UNKNOWN_TIER
from watchfloor_guardrails.touching import entity_of, touches_nothing
from watchfloor_workflows.authority.budgets import COUNT_INVENTORY
from watchfloor_workflows.authority.spelling import spelled
from watchfloor_workflows.proposal import case_of
from watchfloor_workflows.standing import StoredIncident, read_incident

EXTERNAL = 4
"""`watchfloor_core.alert.Integrity.EXTERNAL` as the store keeps it."""
_SHAPES: Final = (
    select(observation.c.shape_id)
    .where(observation.c.tenant == bindparam("tenant"), observation.c.incident_id == bindparam("incident_id"))
    .distinct()
    .order_by(observation.c.shape_id)
)
_UNTRUSTED: Final = select(
    exists().where(
        observation.c.tenant == bindparam("tenant"),
        observation.c.incident_id == bindparam("incident_id"),
        shape_entity.c.tenant == bindparam("tenant"),
        shape_entity.c.shape_id == observation.c.shape_id,
        shape_entity.c.integrity >= EXTERNAL,
    )
)
_TOUCHED: Final = select(
    asset_table.c.kind,
    asset_table.c.value,
    asset_table.c.tier,
    COUNT_INVENTORY.correlate(None).scalar_subquery().label("inventory_size"),
).select_from(
    # One row, whether the inventory has the target or not.
    select(literal(1))
    .subquery("asked")
    .outerjoin(
        asset_table,
        (asset_table.c.tenant == bindparam("tenant"))
        & (asset_table.c.kind == bindparam("kind"))
        & (asset_table.c.value == bindparam("value")),
    )
)
SELECT_GROUPS: Final = select(asset_table.c.groups).where(
    asset_table.c.tenant == bindparam("tenant"),
    asset_table.c.kind == bindparam("asset_kind"),
    asset_table.c.value == bindparam("asset_value"),
)
"""The inventory's groups of a target; one row at most."""
EDITS: Final = ("merge", "split")
"""Kinds of ledger entries of which the principal chose what the incident consists of."""
_EDITS: Final = select(ledger_entry.c.body).where(
    ledger_entry.c.tenant == bindparam("tenant"),
    ledger_entry.c.chain == bindparam("incident_id"),
    ledger_entry.c.kind.in_(EDITS),
)
SELECT_TARGET: Final = (
    select(entity.c.id)
    .join(
        incident_entity,
        (incident_entity.c.tenant == entity.c.tenant) & (incident_entity.c.entity_id == entity.c.id),
    )
    .where(
        entity.c.tenant == bindparam("tenant"),
        entity.c.kind == bindparam("asset_kind"),
        entity.c.value == bindparam("asset_value"),
        incident_entity.c.incident_id == bindparam("incident_id"),
    )
    .limit(1)
)
"""A row where the incident names the target."""


def facts_of(connection: Connection, tenant: str, incident_id: str, kind: str, value: str) -> IncidentFacts | None:
    """The incident now, as far as it bears on acting on this target; None where it is gone."""
    held = find_incident(connection, tenant, incident_id)
    return None if held is None else facts_from(held, has_target=_has_target(connection, held, kind, value))


def find_incident(connection: Connection, tenant: str, incident_id: str) -> StoredIncident | None:
    """None where it is gone."""
    try:
        return read_incident(connection, tenant, incident_id)
    except NotFoundError:
        return None


def facts_from(held: StoredIncident, *, has_target: bool) -> IncidentFacts:
    case = case_of(held)
    return IncidentFacts(
        revision=held.revision,
        is_open=held.status.is_open and held.merged_into is None,
        verdict=held.verdict,
        severity=Severity(held.severity),
        asset_tier=case.tier,
        alert_family=case.family,
        has_target=has_target,
    )


def evidence_root(connection: Connection, tenant: str, incident_id: str) -> str:
    """RFC 6962 Merkle root (64 hex digits) over the ids of the distinct alerts of the incident, in their order."""
    shapes = connection.scalars(_SHAPES, {"tenant": tenant, "incident_id": incident_id})
    return merkle_root(bytes(one) for one in shapes).hex()


def blast_on(connection: Connection, tenant: str, kind: str, value: str) -> Blast:
    """What acting on this target touches, by the inventory."""
    if touches_nothing(kind):
        return Blast(0, 0, 0, UNKNOWN_TIER, in_inventory=False)
    touched = asset_of(kind, value)
    blast = _blast(connection, tenant, touched["asset_kind"], touched["asset_value"])
    # Less is seen on a filter's host, which is not held back: none of ours is contained by it.
    return replace(blast, in_inventory=False) if kind == TargetKind.FILTER else blast


def _blast(connection: Connection, tenant: str, kind: str, value: str) -> Blast:
    row = connection.execute(_TOUCHED, {"tenant": tenant, "kind": kind, "value": value}).one()
    hits = [] if row.kind is None else [InventoryHit(row.kind, row.value, row.tier)]
    return blast_of(hits, row.inventory_size)


def asset_of(kind: str, value: str) -> dict[str, str]:
    """Kind and value under which the inventory has what an action touches."""
    entity_kind, named = entity_of(kind, value)
    return {"asset_kind": entity_kind, "asset_value": spelled(entity_kind, named)}


def groups_on(connection: Connection, tenant: str, kind: str, value: str) -> tuple[str, ...]:
    """The inventory's groups of a target, sorted."""
    rows = connection.scalars(SELECT_GROUPS, {"tenant": tenant, **asset_of(kind, value)})
    return tuple(sorted({group for groups in rows for group in groups}))


def evidence_editors(connection: Connection, tenant: str, incident_id: str) -> tuple[str, ...]:
    """People who merged or split the incident, sorted: they chose what it consists of."""
    bodies = connection.scalars(_EDITS, {"tenant": tenant, "incident_id": incident_id})
    named = (json.loads(body)["body"].get("principal") for body in bodies)
    return tuple(sorted({name for name in named if isinstance(name, str)}))


def holds_untrusted_input(connection: Connection, tenant: str, incident_id: str) -> bool:
    """True where any alert of the incident names something that an attacker wrote."""
    return bool(connection.execute(_UNTRUSTED, {"tenant": tenant, "incident_id": incident_id}).scalar_one())


def _has_target(connection: Connection, held: StoredIncident, kind: str, value: str) -> bool:
    asked = {"tenant": held.tenant, "incident_id": held.id, **asset_of(kind, value)}
    return connection.execute(SELECT_TARGET, asked).first() is not None
