"""What correlation writes of its decisions: observations, the entities of incidents, and the ledger."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from sqlalchemy import Connection, bindparam, insert, text, update
from sqlalchemy.dialects import postgresql, sqlite

from watchfloor_agents.correlation.fold import Changes
from watchfloor_agents.correlation.observation import Observation
from watchfloor_core.canonical import JsonValue
from watchfloor_core.ledger import Decision
from watchfloor_core.store import schema
from watchfloor_core.telemetry.names import SpanAttribute, SpanName

MAX_JOINS: Final = 40
"""Joins spelt out in one ledger entry; the rest are counted there and stand in the observations."""


def write_observations(connection: Connection, tenant: str, changes: Changes) -> None:
    """Insert the observations, then apply moves and merges in the order in which they were decided."""
    table = schema.observation
    if changes.observations:
        rows: list[dict[str, Any]] = [
            {
                "tenant": tenant,
                "tick": observation.group.tick,
                "shape_id": observation.group.shape.id,
                "incident_id": observation.incident_id,
                "revision": observation.revision,
                "alerts": observation.group.alerts,
                "first_us": observation.group.first_us,
                "last_us": observation.group.last_us,
                "is_late": observation.group.is_late,
                "surprise": observation.surprise.total,
                "reason": observation.join.to_json(),
            }
            for observation in changes.observations
        ]
        connection.execute(insert(table), rows)
    if changes.moved:
        connection.execute(
            update(table)
            .where(
                table.c.tenant == tenant,
                table.c.tick == bindparam("at_tick"),
                table.c.shape_id == bindparam("of_shape"),
            )
            .values(incident_id=bindparam("into"), revision=bindparam("as_of"), reason=bindparam("why")),
            [
                {"at_tick": tick, "of_shape": shape_id, "into": into, "as_of": revision, "why": join.to_json()}
                for (tick, shape_id), (into, revision, join) in changes.moved.items()
            ],
        )
    for kept, absorbed, revision in changes.merged:
        connection.execute(
            update(table)
            .where(table.c.tenant == tenant, table.c.incident_id == absorbed.id)
            .values(incident_id=kept.id, revision=revision)
        )


def write_entities(connection: Connection, tenant: str, changes: Changes) -> None:
    """Count the alerts of each incident by entity."""
    counts: dict[tuple[str, bytes], int] = defaultdict(int)
    assets: set[tuple[str, bytes]] = set()
    for observation in changes.observations:
        shape = observation.group.shape
        for link in shape.links:
            if not link.is_alias:
                counts[observation.incident_id, link.entity_id] += observation.group.alerts
        if shape.asset_id:
            assets.add((observation.incident_id, shape.asset_id))
    _add_entities(connection, tenant, counts, assets)
    for kept, absorbed, _ in changes.merged:
        move_entities(connection, tenant, absorbed.id, kept.id)


def _add_entities(
    connection: Connection, tenant: str, counts: dict[tuple[str, bytes], int], assets: set[tuple[str, bytes]]
) -> None:
    if not counts:
        return
    table = schema.incident_entity
    keys = ["tenant", "incident_id", "entity_id"]
    rows: list[dict[str, Any]] = [
        {
            "tenant": tenant,
            "incident_id": incident_id,
            "entity_id": entity_id,
            "alerts": alerts,
            "is_asset": (incident_id, entity_id) in assets,
        }
        for (incident_id, entity_id), alerts in sorted(counts.items())
    ]
    if connection.dialect.name == "sqlite":
        lite = sqlite.insert(table)
        connection.execute(
            lite.on_conflict_do_update(index_elements=keys, set_={"alerts": table.c.alerts + lite.excluded.alerts}),
            rows,
        )
    else:
        post = postgresql.insert(table)
        connection.execute(
            post.on_conflict_do_update(index_elements=keys, set_={"alerts": table.c.alerts + post.excluded.alerts}),
            rows,
        )


def move_entities(connection: Connection, tenant: str, source: str, target: str) -> None:
    """An absorbed incident's entities are those of the one that absorbed it."""
    values = {"tenant": tenant, "source": source, "target": target}
    connection.execute(
        text(
            "INSERT INTO incident_entity (tenant, incident_id, entity_id, alerts, is_asset)"
            " SELECT tenant, :target, entity_id, alerts, is_asset FROM incident_entity"
            " WHERE tenant = :tenant AND incident_id = :source"
            " ON CONFLICT (tenant, incident_id, entity_id)"
            " DO UPDATE SET alerts = incident_entity.alerts + excluded.alerts"
        ),
        values,
    )
    connection.execute(text("DELETE FROM incident_entity WHERE tenant = :tenant AND incident_id = :source"), values)


def decisions(changes: Changes, tick_s: int, at_us: int) -> list[Decision]:
    """One ledger entry per incident and tick, and one per merge."""
    joined: dict[tuple[int, str], list[Observation]] = defaultdict(list)
    for observation in changes.observations:
        joined[observation.group.tick, observation.incident_id].append(observation)
    found = [_correlate(incident_id, tick, held, tick_s, at_us) for (tick, incident_id), held in sorted(joined.items())]
    for kept, absorbed, _ in changes.merged:
        body: dict[str, JsonValue] = {
            "into": kept.id,
            "absorbed": absorbed.id,
            "by": "correlation",
            "reason": "one observation belongs to both",
        }
        found.append(Decision(kept.id, "merge", body, SpanName.MERGE, at_us, at_us))
        found.append(Decision(absorbed.id, "merge", body, SpanName.MERGE, at_us, at_us))
    return found


def _correlate(incident_id: str, tick: int, held: list[Observation], tick_s: int, at_us: int) -> Decision:
    joins: list[JsonValue] = [
        {
            "shape": observation.group.shape.id.hex(),
            "detector": observation.group.shape.title,
            "asset": observation.group.shape.asset,
            "alerts": observation.group.alerts,
            "late": observation.group.is_late,
            "surprise": round(observation.surprise.total, 4),
            **observation.join.to_json(),
        }
        for observation in held[:MAX_JOINS]
    ]
    alerts = sum(observation.group.alerts for observation in held)
    body: dict[str, JsonValue] = {
        "event_time_us": tick * tick_s * 1_000_000,
        "revision": max(observation.revision for observation in held),
        "alerts": alerts,
        "observations": len(held),
        "joins": joins,
    }
    attributes: dict[str, str | int] = {SpanAttribute.ALERTS: alerts, SpanAttribute.JOIN_RULE: held[0].join.rule}
    return Decision(incident_id, "correlate", body, SpanName.CORRELATE, at_us, at_us, attributes=attributes)
