"""Incidents as people and programs read them: the same values behind the API's JSON, ``--json`` and the tables.

Text from alerts is given as it came; whoever shows it quotes it (`watchfloor_core.untrusted`).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Row, and_, func, or_, select

from watchfloor_core.alert import Integrity, Severity
from watchfloor_core.clock import to_iso
from watchfloor_core.errors import NotFoundError
from watchfloor_core.incident import IncidentStatus, Verdict
from watchfloor_core.ports import Json
from watchfloor_core.store import schema

_INCIDENT_ID: Final = re.compile(r"inc-[0-9a-f]{16}")
MAX_PAGE: Final = 500
MAX_ENTITIES: Final = 200
MAX_HUMAN_VERDICTS: Final = 100


@dataclass(frozen=True, slots=True)
class IncidentSummary:
    """One line of the queue. Times are RFC 3339, UTC."""

    incident_id: str
    kind: str
    title: str
    """Holds attacker-authored text."""
    status: str
    verdict: str | None
    probability: float | None
    """Of TruePositive, 0–1."""
    severity: str
    alert_count: int
    opened_at: str
    first_alert_at: str
    last_alert_at: str
    closed_by: str | None
    closed_at: str | None
    level: int | None
    """The effective autonomy level of the last ruling."""
    revision: int
    triaged_revision: int
    """The revision that verdict and status speak of."""
    is_sealed: bool
    merged_into: str | None


@dataclass(frozen=True, slots=True)
class IncidentPage:
    incidents: list[IncidentSummary]
    next: str | None
    """Cursor of the following page; none on the last."""


@dataclass(frozen=True, slots=True)
class ReasonView:
    code: str
    text: str
    log_odds: float
    rests_on_external: bool


@dataclass(frozen=True, slots=True)
class EntityView:
    kind: str
    value: str
    alerts: int
    is_asset: bool
    tier: int | None
    """From the inventory; 0 is a crown jewel."""


@dataclass(frozen=True, slots=True)
class AttributeView:
    name: str
    value: str
    integrity: str


@dataclass(frozen=True, slots=True)
class ObservationView:
    """The alerts of one shape in one tick."""

    shape_id: str
    """Names the shape in a split."""
    product: str
    detector: str
    title: str
    severity: str
    alerts: int
    first_at: str
    last_at: str
    is_late: bool
    revision: int
    attributes: list[AttributeView]
    reason: Json
    """Why it is in this incident."""


@dataclass(frozen=True, slots=True)
class HumanVerdictView:
    principal: str
    verdict: str
    comment: str
    revision: int
    decided_at: str
    saw_agent_answer: bool


@dataclass(frozen=True, slots=True)
class IncidentDetail:
    """All that is shown of one incident."""

    incident: IncidentSummary
    certainty: float | None
    engine: str | None
    engine_version: str | None
    reasons: list[ReasonView]
    """Largest contribution first."""
    ruling: Json
    entities: list[EntityView]
    """Assets first, then those in most alerts; 200 at most."""
    observations: list[ObservationView]
    """In order of time."""
    observations_total: int
    human_verdicts: list[HumanVerdictView]


def list_incidents(
    connection: Connection,
    tenant: str,
    *,
    statuses: Sequence[IncidentStatus] = (),
    verdicts: Sequence[Verdict] = (),
    limit: int = 50,
    cursor: str | None = None,
) -> IncidentPage:
    """A page of incidents, those with the latest alerts first. Raises ValueError for a cursor that is none of ours."""
    table = schema.incident
    wanted = [table.c.tenant == tenant]
    if statuses:
        wanted.append(table.c.status.in_([status.value for status in statuses]))
    if verdicts:
        wanted.append(table.c.verdict.in_([verdict.value for verdict in verdicts]))
    if cursor is not None:
        last_us, after = _decode_cursor(cursor)
        wanted.append(or_(table.c.last_us < last_us, and_(table.c.last_us == last_us, table.c.id > after)))
    rows = connection.execute(
        select(*_SUMMARY_COLUMNS).where(*wanted).order_by(table.c.last_us.desc(), table.c.id).limit(limit + 1)
    ).all()
    page = rows[:limit]
    following = _encode_cursor(page[-1]) if len(rows) > limit else None
    return IncidentPage([_summary(row) for row in page], following)


def require_incident(connection: Connection, tenant: str, incident_id: str) -> IncidentSummary:
    """The incident's summary. Raises `NotFoundError` where this tenant has no such incident."""
    table = schema.incident
    row = None
    # What cannot be an id is not looked for: PostgreSQL takes no text with a NUL in it.
    if _INCIDENT_ID.fullmatch(incident_id):
        row = connection.execute(
            select(*_SUMMARY_COLUMNS).where(table.c.tenant == tenant, table.c.id == incident_id)
        ).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no incident {incident_id[:40]!a} here; `watchfloor incident list` shows them")
    return _summary(row)


def load_incident(
    connection: Connection, tenant: str, incident_id: str, *, limit: int = 100, offset: int = 0
) -> IncidentDetail:
    """An incident with ``limit`` of its observations from ``offset``. Raises `NotFoundError`."""
    summary = require_incident(connection, tenant, incident_id)
    table = schema.incident
    decided = connection.execute(
        select(table.c.assessment, table.c.ruling).where(table.c.tenant == tenant, table.c.id == incident_id)
    ).one()
    assessment = decided.assessment if isinstance(decided.assessment, dict) else {}
    return IncidentDetail(
        incident=summary,
        certainty=assessment.get("certainty"),
        engine=assessment.get("engine"),
        engine_version=assessment.get("version"),
        reasons=[
            ReasonView(
                code=str(reason.get("code", "")),
                text=str(reason.get("text", "")),
                log_odds=float(reason.get("log_odds", 0.0)),
                rests_on_external=bool(reason.get("rests_on_external", False)),
            )
            for reason in assessment.get("reasons", ())
        ],
        ruling=decided.ruling,
        entities=_entities(connection, tenant, incident_id),
        observations=_observations(connection, tenant, incident_id, limit, offset),
        observations_total=connection.execute(
            select(func.count())
            .select_from(schema.observation)
            .where(schema.observation.c.tenant == tenant, schema.observation.c.incident_id == incident_id)
        ).scalar_one(),
        human_verdicts=_human_verdicts(connection, tenant, incident_id),
    )


_SUMMARY_COLUMNS: Final = tuple(
    schema.incident.c[name]
    for name in (
        "id", "kind", "title", "status", "verdict", "probability", "severity", "alert_count", "opened_us", "first_us",
        "last_us", "closed_by", "closed_us", "level", "revision", "triaged_revision", "is_sealed", "merged_into",
    )
)  # fmt: skip


def _summary(row: Row[tuple[object, ...]]) -> IncidentSummary:
    values = row._mapping
    return IncidentSummary(
        incident_id=values["id"],
        kind=values["kind"],
        title=values["title"],
        status=values["status"],
        verdict=values["verdict"],
        probability=values["probability"],
        severity=_severity(values["severity"]),
        alert_count=values["alert_count"],
        opened_at=to_iso(values["opened_us"]),
        first_alert_at=to_iso(values["first_us"]),
        last_alert_at=to_iso(values["last_us"]),
        closed_by=values["closed_by"],
        closed_at=None if values["closed_us"] is None else to_iso(values["closed_us"]),
        level=values["level"],
        revision=values["revision"],
        triaged_revision=values["triaged_revision"],
        is_sealed=values["is_sealed"],
        merged_into=values["merged_into"],
    )


def _entities(connection: Connection, tenant: str, incident_id: str) -> list[EntityView]:
    part, entity, asset = schema.incident_entity, schema.entity, schema.asset
    rows = connection.execute(
        select(entity.c.kind, entity.c.value, part.c.alerts, part.c.is_asset, asset.c.tier)
        .join(entity, and_(entity.c.tenant == part.c.tenant, entity.c.id == part.c.entity_id))
        .outerjoin(asset, and_(asset.c.tenant == part.c.tenant, asset.c.entity_id == part.c.entity_id))
        .where(part.c.tenant == tenant, part.c.incident_id == incident_id)
        .order_by(part.c.is_asset.desc(), part.c.alerts.desc(), entity.c.kind, entity.c.value)
        .limit(MAX_ENTITIES)
    )
    return [EntityView(row.kind, row.value, row.alerts, row.is_asset, row.tier) for row in rows]


def _observations(
    connection: Connection, tenant: str, incident_id: str, limit: int, offset: int
) -> list[ObservationView]:
    seen, shape, detector = schema.observation, schema.shape, schema.detector
    rows = connection.execute(
        select(
            seen.c.shape_id, seen.c.alerts, seen.c.first_us, seen.c.last_us, seen.c.is_late, seen.c.revision,
            seen.c.reason, shape.c.severity, shape.c.attributes, detector.c.product, detector.c.uid, detector.c.title,
        )
        .join(shape, and_(shape.c.tenant == seen.c.tenant, shape.c.id == seen.c.shape_id))
        .join(detector, and_(detector.c.tenant == shape.c.tenant, detector.c.id == shape.c.detector_id))
        .where(seen.c.tenant == tenant, seen.c.incident_id == incident_id)
        .order_by(seen.c.first_us, seen.c.tick, seen.c.shape_id)
        .limit(limit)
        .offset(offset)
    )  # fmt: skip
    return [
        ObservationView(
            shape_id=bytes(row.shape_id).hex(),
            product=row.product,
            detector=row.uid,
            title=row.title,
            severity=_severity(row.severity),
            alerts=row.alerts,
            first_at=to_iso(row.first_us),
            last_at=to_iso(row.last_us),
            is_late=row.is_late,
            revision=row.revision,
            attributes=[
                AttributeView(name, value, Integrity(integrity).name.lower())
                for name, value, integrity in row.attributes
            ],
            reason=row.reason,
        )
        for row in rows
    ]


def _human_verdicts(connection: Connection, tenant: str, incident_id: str) -> list[HumanVerdictView]:
    said = schema.human_verdict
    rows = connection.execute(
        select(said)
        .where(said.c.tenant == tenant, said.c.incident_id == incident_id)
        .order_by(said.c.id.desc())
        .limit(MAX_HUMAN_VERDICTS)
    )
    return [
        HumanVerdictView(
            row.principal, row.verdict, row.comment, row.revision, to_iso(row.decided_us), row.saw_agent_answer
        )
        for row in rows
    ]


def _severity(value: int) -> str:
    return Severity(value).name.lower()


def _encode_cursor(row: Row[tuple[object, ...]]) -> str:
    return base64.urlsafe_b64encode(f"{row._mapping['last_us']}:{row._mapping['id']}".encode()).decode()


def _decode_cursor(cursor: str) -> tuple[int, str]:
    try:
        last_us, _, incident_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition(":")
        return int(last_us), incident_id
    except (binascii.Error, UnicodeError, ValueError):
        raise ValueError("cursor is not one that a page gave as `next`") from None
