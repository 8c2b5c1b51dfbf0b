"""The fold's state in the store: read once, then only what changed is written, in the transaction of the ticks."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, Table, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from watchfloor_agents.correlation.fold import CONTEXT_S, Fold, FoldSettings
from watchfloor_agents.correlation.observation import Group, OpenIncident
from watchfloor_agents.correlation.sessions import Sessions
from watchfloor_agents.correlation.shapes import ShapeBook
from watchfloor_agents.triage.baseline import VERSION as BASELINE_VERSION
from watchfloor_agents.triage.baseline import Activity, Baseline
from watchfloor_agents.triage.features import Features
from watchfloor_core.identity import digest16
from watchfloor_core.incident import IncidentKind
from watchfloor_core.ports import Json
from watchfloor_core.store import schema

logger = logging.getLogger(__name__)

_Rows = list[dict[str, Any]]
"""Rows for an executemany; the columns are of several types."""


def upsert(connection: Connection, table: Table, rows: _Rows, keys: list[str], columns: list[str]) -> None:
    """Insert rows; where the key is there, overwrite `columns` (none: leave the row as it is)."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        lite = sqlite.insert(table)
        changes = {column: lite.excluded[column] for column in columns}
        connection.execute(
            lite.on_conflict_do_update(index_elements=keys, set_=changes) if columns else lite.on_conflict_do_nothing(),
            rows,
        )
    else:
        post = postgresql.insert(table)
        changes = {column: post.excluded[column] for column in columns}
        connection.execute(
            post.on_conflict_do_update(index_elements=keys, set_=changes) if columns else post.on_conflict_do_nothing(),
            rows,
        )


def load_fold(connection: Connection, tenant: str, settings: FoldSettings, tick: int, shapes: ShapeBook) -> Fold:
    """The fold as it stood when `tick` was the next to take."""
    sessions = Sessions(settings.tick_s, settings.session_gap_s, settings.incident_max_s)
    fold = Fold(tenant, settings, _load_baseline(connection, tenant), sessions)
    suspects: list[tuple[bytes, OpenIncident]] = []
    table = schema.incident
    rows = connection.execute(
        select(table).where(table.c.tenant == tenant, table.c.is_sealed.is_(False)).order_by(table.c.id)
    )
    for row in rows:
        incident = _incident(row._mapping)
        if incident.kind is IncidentKind.ROUTINE:
            window = incident.opened_tick * settings.tick_s // settings.routine_window_s
            fold.routine[incident.asset_id, window] = incident
        else:
            sessions.add(incident)
            suspects += [(bytes.fromhex(asset), incident) for asset in row.features["fold"]["hot_assets"]]
    fold.hot = dict(suspects)
    _load_recent(connection, fold, tick, shapes)
    return fold


def _incident(row: Any) -> OpenIncident:  # a RowMapping; its columns are of several types
    kept = row["features"]["fold"]
    return OpenIncident(
        id=row["id"],
        kind=IncidentKind(row["kind"]),
        opened_tick=kept["opened_tick"],
        last_tick=kept["last_tick"],
        first_us=row["first_us"],
        last_us=row["last_us"],
        features=Features.from_json(row["features"]["triage"]),
        asset_id=bytes.fromhex(kept["asset_id"]),
        alert_count=row["alert_count"],
        severity=row["severity"],
        revision=row["revision"],
        emitted=kept["emitted"],
        is_sealed=kept["is_sealed"],
        is_hot=kept["is_hot"],
        hindsight_tick=kept["hindsight_tick"],
        links=dict(kept["links"]),
        alarms=dict(kept["alarms"]),
        reclaimed_by=kept["reclaimed_by"],
        changed_tick=kept["changed_tick"],
    )


def _load_recent(connection: Connection, fold: Fold, tick: int, shapes: ShapeBook) -> None:
    """Routine observations that may yet become context."""
    ids = {incident.id for incident in fold.routine.values()}
    table = schema.observation
    rows = connection.execute(
        select(table)
        .where(table.c.tenant == fold.tenant, table.c.tick >= tick - CONTEXT_S // fold.settings.tick_s)
        .order_by(table.c.tick, table.c.shape_id)
    ).all()
    rows = [row for row in rows if row.incident_id in ids]
    known = shapes.get(connection, {bytes(row.shape_id) for row in rows})
    for row in rows:
        shape = known[bytes(row.shape_id)]
        group = Group(row.tick, shape, row.alerts, row.first_us, row.last_us, row.is_late)
        fold.recent.setdefault(shape.asset_id, []).append((group, row.incident_id))


def _load_baseline(connection: Connection, tenant: str) -> Baseline:
    baseline = Baseline()
    table = schema.baseline
    written_by = connection.execute(
        select(table.c.data).where(table.c.tenant == tenant, table.c.kind == "tenant")
    ).scalar_one_or_none()
    if written_by is not None and written_by.get("version") != BASELINE_VERSION:
        # Read by other rules it would mean something else. Learning anew is honest: certainty starts low again.
        logger.warning("tenant %s: the learned normal is of another version and is learned anew", tenant)
        connection.execute(delete(table).where(table.c.tenant == tenant))
        return baseline
    for kind, data in connection.execute(select(table.c.kind, table.c.data).where(table.c.tenant == tenant)):
        first, second = bytes.fromhex(data["key"][0]), bytes.fromhex(data["key"][1])
        match kind:
            case "tenant":
                baseline.start_hour = data["start_hour"]
            case "asset":
                baseline.assets[first] = data["first_hour"]
            case "pair":
                baseline.pairs[first, second] = Activity.from_json(data["activity"])
            case "user":
                baseline.users[first, second] = Activity.from_json(data["activity"])
            case "detector":
                baseline.detectors[first] = Activity.from_json(data["activity"])
                if data["season"]:
                    baseline.seasons[first] = list(data["season"])
            case _:
                baseline.links[first] = Activity.from_json(data["activity"])
                baseline.beside[first] = [bytes.fromhex(asset) for asset in data["beside"]]
    return baseline


def save_baseline(connection: Connection, tenant: str, baseline: Baseline, tick: int) -> None:
    """Write what was learned since the last time; forget what is beyond the bounds."""
    dropped = baseline.evict()
    rows: _Rows = [
        {
            "tenant": tenant,
            "kind": kind,
            "key": _baseline_key(kind, first, second),
            "last_tick": tick,
            "data": _baseline_data(baseline, kind, first, second),
        }
        for kind, first, second in sorted(baseline.dirty)
    ]
    upsert(connection, schema.baseline, rows, ["tenant", "kind", "key"], ["last_tick", "data"])
    table = schema.baseline
    for kind, first, second in dropped:
        connection.execute(
            delete(table).where(
                table.c.tenant == tenant, table.c.kind == kind, table.c.key == _baseline_key(kind, first, second)
            )
        )
    baseline.dirty.clear()


def _baseline_key(kind: str, first: bytes, second: bytes) -> bytes:
    return digest16("baseline", kind, first.hex(), second.hex())


def _baseline_data(baseline: Baseline, kind: str, first: bytes, second: bytes) -> dict[str, Json]:
    data: dict[str, Json] = {"key": [first.hex(), second.hex()]}
    match kind:
        case "tenant":
            data["start_hour"], data["version"] = baseline.start_hour, BASELINE_VERSION
        case "asset":
            data["first_hour"] = baseline.assets[first]
        case "pair":
            data["activity"] = baseline.pairs[first, second].to_json()
        case "user":
            data["activity"] = baseline.users[first, second].to_json()
        case "detector":
            data["activity"] = baseline.detectors[first].to_json()
            data["season"] = list(baseline.seasons.get(first, []))
        case _:
            data["activity"] = baseline.links[first].to_json()
            data["beside"] = [asset.hex() for asset in baseline.beside.get(first, [])]
    return data


FOLD_COLUMNS: Final = [
    "title",
    "first_us",
    "last_us",
    "alert_count",
    "severity",
    "revision",
    "is_sealed",
    "features",
    "updated_us",
]
"""What correlation owns of an incident's row; the rest is the workflow's."""


def save_incidents(connection: Connection, fold: Fold, incidents: Iterable[OpenIncident], now_us: int) -> None:
    """Write changed incidents, leaving status and verdict to the workflow."""
    hot: dict[str, list[Json]] = {}
    for asset, suspect in fold.hot.items():
        hot.setdefault(suspect.id, []).append(asset.hex())
    done = {incident.id for incident in fold.changes.forgotten}
    rows: _Rows = [
        {
            "tenant": fold.tenant,
            "id": incident.id,
            "kind": incident.kind.value,
            "title": incident.title,
            "opened_us": incident.opened_tick * fold.settings.tick_s * 1_000_000,
            "first_us": incident.first_us,
            "last_us": incident.last_us,
            "alert_count": incident.alert_count,
            "severity": incident.severity,
            "status": "merged" if incident.merged_into else "new",
            "revision": incident.revision,
            "is_sealed": incident.id in done or incident.merged_into is not None,
            "features": {
                "triage": incident.features.to_json(),
                "fold": {
                    **incident.fold_json(),
                    "is_sealed": incident.is_sealed,
                    "hot_assets": sorted(hot.get(incident.id, []), key=str),
                },
            },
            "merged_into": incident.merged_into,
            "updated_us": now_us,
        }
        for incident in sorted(incidents, key=lambda incident: incident.id)
    ]
    upsert(connection, schema.incident, rows, ["tenant", "id"], FOLD_COLUMNS)
    table = schema.incident
    for incident in fold.changes.touched.values():
        if incident.merged_into is not None:
            connection.execute(
                update(table)
                .where(table.c.tenant == fold.tenant, table.c.id == incident.id)
                .values(status="merged", merged_into=incident.merged_into)
            )
