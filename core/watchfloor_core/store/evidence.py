"""Evidence in the store: each fact once, and who found it with which question."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import zstandard
from sqlalchemy import Connection, RowMapping, bindparam, select, text

from watchfloor_core.errors import NotFoundError, RecordError
from watchfloor_core.evidence import Evidence, EvidenceKind
from watchfloor_core.store.schema_investigation import evidence, evidence_use, investigation_query

SHORTEST_PREFIX: Final = 8
"""Hex digits by which evidence may be named where no other begins with them."""
_AT_ONCE: Final = 500
"""Ids in one statement; SQLite takes at most 999 parameters where it was built long ago."""

_KEEP: Final = text(
    "INSERT INTO evidence (tenant, id, kind, source, time_us, content, kept_us) "
    "VALUES (:tenant, :id, :kind, :source, :time_us, :content, :kept_us) ON CONFLICT DO NOTHING"
)
_USE: Final = text(
    "INSERT INTO evidence_use (tenant, incident_id, revision, digest, position, evidence_id, agent, collected_us) "
    "VALUES (:tenant, :incident_id, :revision, :digest, :position, :evidence_id, :agent, :collected_us) "
    "ON CONFLICT DO NOTHING"
)
_READ: Final = select(evidence).where(
    evidence.c.tenant == bindparam("tenant"), evidence.c.id.in_(bindparam("ids", expanding=True))
)


@dataclass(frozen=True, slots=True)
class Use:
    """How a piece of evidence came into one investigation."""

    incident_id: str
    revision: int
    tool: str
    purpose: str
    query: object
    """JSON of the question; None for an alert of the incident itself."""
    agent: str
    collected_us: int


@dataclass(frozen=True, slots=True)
class UseKey:
    """Of which answer of which investigation pieces of evidence are part."""

    tenant: str
    incident_id: str
    revision: int
    digest: str
    """Of the question; empty for the case's own alerts."""


def keep_evidence(
    connection: Connection, key: UseKey, found: Sequence[Evidence], *, agent: str, collected_us: int
) -> None:
    """Keep what an answer holds, in its order. What is there already stays as it is: equal ids are equal facts."""
    if not found:
        return
    connection.execute(
        _KEEP,
        [
            {
                "tenant": key.tenant,
                "id": one.id,
                "kind": one.kind.value,
                "source": one.source,
                "time_us": one.time_us,
                "content": zstandard.compress(one.canonical, 3),
                "kept_us": collected_us,
            }
            # In one order everywhere, so that concurrent inserts of the same facts cannot cross.
            for one in sorted(found, key=lambda one: one.id)
        ],
    )
    connection.execute(
        _USE,
        [
            {
                "tenant": key.tenant,
                "incident_id": key.incident_id,
                "revision": key.revision,
                "digest": key.digest,
                "position": position,
                "evidence_id": one.id,
                "agent": agent,
                "collected_us": collected_us,
            }
            for position, one in enumerate(found)
        ],
    )


def read_evidence(connection: Connection, tenant: str, ids: Collection[str]) -> dict[str, Evidence]:
    """Those of these ids that are kept. Raises `RecordError` where one is not what its id commits to."""
    wanted = sorted(set(ids))
    found: dict[str, Evidence] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        rows = connection.execute(_READ, {"tenant": tenant, "ids": wanted[start : start + _AT_ONCE]}).mappings()
        found.update((row["id"], _evidence(row)) for row in rows)
    return found


def find_evidence(connection: Connection, tenant: str, prefix: str) -> Evidence:
    """The one whose id begins with this.

    Raises `NotFoundError` where none or more than one does, and `RecordError` where it was changed since.
    """
    if len(prefix) < SHORTEST_PREFIX or not set(prefix) <= set("0123456789abcdef"):
        raise NotFoundError(f"{prefix!r} is no id of evidence; give at least {SHORTEST_PREFIX} of its 64 hex digits")
    rows = (
        connection.execute(
            select(evidence)
            .where(evidence.c.tenant == tenant, evidence.c.id >= prefix, evidence.c.id <= prefix + "g")
            .order_by(evidence.c.id)
            .limit(2)
        )
        .mappings()
        .all()
    )
    if not rows:
        raise NotFoundError(f"no evidence {prefix!r} in tenant {tenant!r}")
    if len(rows) > 1:
        raise NotFoundError(f"several pieces of evidence begin with {prefix!r}; give more of the id's digits")
    return _evidence(rows[0])


def uses_of(connection: Connection, tenant: str, evidence_id: str, *, limit: int = 50) -> tuple[Use, ...]:
    """By whom and with which questions it was found, the latest first."""
    join = (
        (investigation_query.c.tenant == evidence_use.c.tenant)
        & (investigation_query.c.incident_id == evidence_use.c.incident_id)
        & (investigation_query.c.revision == evidence_use.c.revision)
        & (investigation_query.c.digest == evidence_use.c.digest)
    )
    rows = connection.execute(
        select(
            evidence_use.c.incident_id,
            evidence_use.c.revision,
            evidence_use.c.agent,
            evidence_use.c.collected_us,
            investigation_query.c.tool,
            investigation_query.c.purpose,
            investigation_query.c.query,
        )
        .select_from(evidence_use.outerjoin(investigation_query, join))
        .where(evidence_use.c.tenant == tenant, evidence_use.c.evidence_id == evidence_id)
        .order_by(evidence_use.c.collected_us.desc(), evidence_use.c.incident_id, evidence_use.c.revision.desc())
        .limit(limit)
    )
    return tuple(
        Use(
            row.incident_id,
            row.revision,
            row.tool or "correlation",
            row.purpose or "an alert of the incident",
            row.query,
            row.agent,
            row.collected_us,
        )
        for row in rows
    )


def _evidence(row: RowMapping) -> Evidence:
    data = zstandard.decompress(row["content"])
    if hashlib.sha256(data).hexdigest() != row["id"]:
        raise RecordError(f"evidence {row['id']} is not what its id commits to: it was changed in the store")
    content = json.loads(data)
    body = content["body"]
    # The id commits to an event's time, the column beside it does not.
    time_us = body.get("time_us", row["time_us"]) if isinstance(body, dict) else None
    return Evidence(EvidenceKind(content["kind"]), content["source"], body, time_us)
