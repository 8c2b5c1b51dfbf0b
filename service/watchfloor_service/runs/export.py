"""The result of a run as files: one line per source record, one line per incident."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import orjson
from sqlalchemy import Connection, Row, select

from watchfloor_core.clock import to_iso
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.ports import Json
from watchfloor_core.store.export import export_alerts
from watchfloor_core.store.schema import entity, incident, incident_entity
from watchfloor_service.runs.csv_line import csv_line

INCIDENTS_FILE: Final = "incidents.ndjson"
ALERTS_FILE: Final = "alerts.csv"
ALERT_COLUMNS: Final = ("row", "fingerprint", "incident_id", "verdict", "probability", "closed_by")
INCIDENTS_AT_ONCE: Final = 500
"""Incidents whose entities are held in memory together."""


def alert_files(out: Path, stems: Sequence[str]) -> list[Path]:
    """Where the lines of each source file go.

    ``alerts.csv`` for a single one; ``alerts-<stem>.csv`` for each of several, numbered where stems repeat.
    """
    if len(stems) == 1:
        return [out / ALERTS_FILE]
    seen: dict[str, int] = {}
    files = []
    for stem in stems:
        seen[stem] = seen.get(stem, 0) + 1
        files.append(out / (f"alerts-{stem}.csv" if seen[stem] == 1 else f"alerts-{stem}-{seen[stem]}.csv"))
    return files


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of ``path`` once it is complete, and never before."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise ConfigurationError(
            f"{str(path)!r} cannot be written ({error.strerror}); name a place that can"
        ) from error
    finally:
        fresh.unlink(missing_ok=True)


def make_folder(out: Path) -> None:
    """Raises `ConfigurationError` where the folder cannot be made or written: before the work, not after it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigurationError(
            f"folder {str(out)!r} cannot be written ({error.strerror}); name another by --out"
        ) from error


def write_alerts(connection: Connection, tenant: str, source_id: str, path: Path) -> int:
    """One CSV line per record of the source, in its order; returns how many.

    ``row`` is the record's number in the source, from 1, a header not counted. ``probability`` is that of
    TruePositive. A record that is no alert has its number only.
    """
    count = 0
    with replacing(path) as file:
        file.write(csv_line(ALERT_COLUMNS))
        for one in export_alerts(connection, tenant, source_id):
            probability = "" if one.probability is None else f"{one.probability:.6g}"
            known = (one.fingerprint or "", one.incident_id or "", one.verdict or "", probability, one.closed_by or "")
            file.write(csv_line((one.position, *known)))
            count += 1
    return count


def write_incidents(connection: Connection, tenant: str, path: Path) -> int:
    """Every incident of the tenant as a JSON line, in the order of event time; returns how many.

    ``entities`` come with the number of alerts that name them, most first. Incidents that a person merged into
    another are told by the one that holds their alerts now.
    """
    count = 0
    with replacing(path) as file:
        for rows in _incidents(connection, tenant):
            entities = _entities(connection, tenant, [row.id for row in rows])
            for row in rows:
                file.write(orjson.dumps(_line(row, entities.get(row.id, [])), option=orjson.OPT_APPEND_NEWLINE))
                count += 1
    return count


def _incidents(connection: Connection, tenant: str) -> Iterator[Sequence[Row[tuple[object, ...]]]]:
    """Blocks of rows, each block by a query of its own so that entities can be read between them."""
    after: tuple[int, str] | None = None
    while True:
        statement = (
            select(incident)
            .where(incident.c.tenant == tenant, incident.c.merged_into.is_(None))
            .order_by(incident.c.first_us, incident.c.id)
            .limit(INCIDENTS_AT_ONCE)
        )
        if after is not None:
            first_us, incident_id = after
            statement = statement.where(
                (incident.c.first_us > first_us) | ((incident.c.first_us == first_us) & (incident.c.id > incident_id))
            )
        rows = connection.execute(statement).all()
        if not rows:
            return
        yield rows
        after = (rows[-1].first_us, rows[-1].id)


def _entities(connection: Connection, tenant: str, incident_ids: Sequence[str]) -> dict[str, list[Json]]:
    rows = connection.execute(
        select(
            incident_entity.c.incident_id,
            entity.c.kind,
            entity.c.value,
            incident_entity.c.alerts,
            incident_entity.c.is_asset,
        )
        .join(
            entity,
            (entity.c.tenant == incident_entity.c.tenant) & (entity.c.id == incident_entity.c.entity_id),
        )
        .where(incident_entity.c.tenant == tenant, incident_entity.c.incident_id.in_(incident_ids))
        .order_by(incident_entity.c.alerts.desc(), entity.c.kind, entity.c.value)
    )
    found: dict[str, list[Json]] = {}
    for row in rows:
        found.setdefault(row.incident_id, []).append(
            {"kind": row.kind, "value": row.value, "alerts": row.alerts, "is_asset": row.is_asset}
        )
    return found


def _line(row: Row[tuple[object, ...]], entities: list[Json]) -> dict[str, Json]:
    return {
        "incident_id": row.id,
        "opened_at": to_iso(row.opened_us),
        "first_alert_at": to_iso(row.first_us),
        "last_alert_at": to_iso(row.last_us),
        "alert_count": row.alert_count,
        "entities": entities,
        "verdict": row.verdict,
        "probability": row.probability,
        "status": row.status,
        "level": row.level,
        "reasons": (row.assessment or {}).get("reasons", []),
    }
