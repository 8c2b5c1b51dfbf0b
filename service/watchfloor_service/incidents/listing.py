"""Lists of incidents as people and programs read them: the same values behind the API's JSON, ``--json`` and tables.

Text from alerts is given as it came; whoever shows it quotes it (`watchfloor_core.untrusted`).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Row, and_, case, exists, func, or_, select

from watchfloor_core.alert import Severity
from watchfloor_core.clock import to_iso
from watchfloor_core.errors import NotFoundError
from watchfloor_core.incident import IncidentStatus, Verdict
from watchfloor_core.store import schema

_INCIDENT_ID: Final = re.compile(r"inc-[0-9a-f]{16}")
MAX_PAGE: Final = 500


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


def list_queue(connection: Connection, tenant: str, limit: int = 50) -> tuple[list[IncidentSummary], int]:
    """What waits for a person, the likeliest attacks first, and how many wait in all.

    What a person has judged at its present revision waits no more, even where it stays open. Escalated incidents come
    before queued ones, each by the agent's probability; one without (an L0 shadow, say) comes after those that have
    one, the latest first.
    """
    table, said = schema.incident, schema.human_verdict
    is_judged = exists(
        select(1).where(
            said.c.tenant == table.c.tenant,
            said.c.incident_id == table.c.id,
            said.c.revision >= table.c.revision,
            said.c.verdict != Verdict.UNDETERMINED.value,
        )
    )
    waits = (
        table.c.tenant == tenant,
        ~is_judged,
        table.c.status.in_([IncidentStatus.ESCALATED.value, IncidentStatus.QUEUED.value]),
    )
    rows = connection.execute(
        select(*_SUMMARY_COLUMNS)
        .where(*waits)
        .order_by(
            case((table.c.status == IncidentStatus.ESCALATED.value, 0), else_=1),
            table.c.probability.desc().nulls_last(),
            table.c.last_us.desc(),
            table.c.id,
        )
        .limit(limit)
    ).all()
    total = connection.execute(select(func.count()).select_from(table).where(*waits)).scalar_one()
    return [_summary(row) for row in rows], int(total)


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
        severity=severity_name(values["severity"]),
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


def severity_name(value: int) -> str:
    return Severity(value).name.lower()


def _encode_cursor(row: Row[tuple[object, ...]]) -> str:
    return base64.urlsafe_b64encode(f"{row._mapping['last_us']}:{row._mapping['id']}".encode()).decode()


def _decode_cursor(cursor: str) -> tuple[int, str]:
    try:
        last_us, _, incident_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition(":")
        return int(last_us), incident_id
    except (binascii.Error, UnicodeError, ValueError):
        raise ValueError("cursor is not one that a page gave as `next`") from None
