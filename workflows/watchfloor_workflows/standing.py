"""An incident's row as the workflow's activities read and change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from sqlalchemy import Connection, Row, String, bindparam, select, update

from watchfloor_core.clock import now_us
from watchfloor_core.errors import NotFoundError
from watchfloor_core.incident import IncidentStatus, Verdict
from watchfloor_core.store.schema import human_verdict, incident, ledger_entry, ledger_head
from watchfloor_workflows.messages import IncidentStanding

INCIDENT_COLUMNS: Final = (
    incident.c.tenant,
    incident.c.id,
    incident.c.kind,
    incident.c.status,
    incident.c.verdict,
    incident.c.closed_by,
    incident.c.level,
    incident.c.revision,
    incident.c.triaged_revision,
    incident.c.severity,
    incident.c.alert_count,
    incident.c.is_sealed,
    incident.c.features,
    incident.c.assessment,
    incident.c.ruling,
    incident.c.merged_into,
)

# Built once: these run for every pass, and to build a statement takes as long as to run it.
_READ: Final = select(*INCIDENT_COLUMNS).where(
    incident.c.tenant == bindparam("tenant"), incident.c.id == bindparam("id")
)
_LOCK: Final = _READ.with_for_update()
_LEDGER_LENGTH: Final = select(ledger_head.c.seq).where(
    ledger_head.c.tenant == bindparam("tenant"), ledger_head.c.chain == bindparam("id")
)
_TAKEN_IN: Final = select(bindparam("id", type_=String).label("id")).cte("taken_in", recursive=True)
_HELD: Final = _TAKEN_IN.union(
    select(incident.c.id).where(incident.c.tenant == bindparam("tenant"), incident.c.merged_into == _TAKEN_IN.c.id)
)
"""The incident and all that were merged into it, however often: who took one of those has taken its alerts."""
_LAST_WORD: Final = (
    select(human_verdict.c.incident_id, human_verdict.c.revision, human_verdict.c.verdict, human_verdict.c.principal)
    .join(_HELD, _HELD.c.id == human_verdict.c.incident_id)
    .where(human_verdict.c.tenant == bindparam("tenant"))
    .order_by(human_verdict.c.id.desc())
    .limit(1)
)
_LAST_ENTRY: Final = (
    select(ledger_entry.c.id)
    .where(
        ledger_entry.c.tenant == bindparam("tenant"),
        ledger_entry.c.chain == bindparam("id"),
        ledger_entry.c.kind.in_(bindparam("kinds", expanding=True)),
    )
    .order_by(ledger_entry.c.seq.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class StoredIncident:
    """What the activities need of an incident's row."""

    tenant: str
    id: str
    kind: str
    status: IncidentStatus
    verdict: Verdict | None
    closed_by: str | None
    level: int | None
    revision: int
    triaged_revision: int
    severity: int
    alert_count: int
    is_sealed: bool
    features: Mapping[str, Any]
    """As correlation wrote them; the store's JSON columns are untyped."""
    assessment: Mapping[str, Any] | None
    """See `watchfloor_workflows.assessment`."""
    ruling: Mapping[str, Any] | None
    merged_into: str | None

    @property
    def is_settled(self) -> bool:
        """Its status and verdict speak of what it holds now."""
        return self.status is not IncidentStatus.NEW and self.triaged_revision >= self.revision


_FIELDS: Final = frozenset(field.name for field in fields(StoredIncident))


def read_incident(connection: Connection, tenant: str, incident_id: str) -> StoredIncident:
    """The row as it is. Raises NotFoundError."""
    row = connection.execute(_READ, {"tenant": tenant, "id": incident_id}).one_or_none()
    return _incident(row, tenant, incident_id)


def incident_of(row: Row[*tuple[Any, ...]]) -> StoredIncident | None:
    """From a row that holds `INCIDENT_COLUMNS` beside others; None where it holds no incident."""
    return None if row.id is None else _incident(row, row.tenant, row.id)


def lock_incident(connection: Connection, tenant: str, incident_id: str) -> StoredIncident:
    """The row, which no one else changes until the transaction ends. Raises NotFoundError.

    SQLite's one writer is the lock there.
    """
    row = connection.execute(_LOCK, {"tenant": tenant, "id": incident_id}).one_or_none()
    return _incident(row, tenant, incident_id)


def write_incident(connection: Connection, held: StoredIncident, values: Mapping[str, Any]) -> StoredIncident:
    """Change columns of a locked row; returns it as it is then."""
    connection.execute(
        update(incident)
        .where(incident.c.tenant == held.tenant, incident.c.id == held.id)
        .values(**values, updated_us=now_us())
    )
    return replace(held, **{name: value for name, value in values.items() if name in _FIELDS})


def standing_of(connection: Connection, held: StoredIncident) -> IncidentStanding:
    """What the workflow is told; to be read in the transaction that locked the row."""
    entries = connection.execute(_LEDGER_LENGTH, {"tenant": held.tenant, "id": held.id}).scalar_one_or_none()
    return IncidentStanding(
        status=held.status,
        revision=held.revision,
        settled_revision=held.triaged_revision,
        severity=held.severity,
        verdict=held.verdict,
        level=held.level,
        ledger_seq=entries or 0,
    )


@dataclass(frozen=True, slots=True)
class HumanWord:
    """The latest that a person said of an incident, or of one that was merged into it."""

    incident_id: str
    """The one that the person looked at; ``revision`` is of that one."""
    revision: int
    verdict: Verdict
    principal: str


def last_human_word(connection: Connection, tenant: str, incident_id: str) -> HumanWord | None:
    """None where no person has said anything of what it holds; else no agent closes the incident any more."""
    row = connection.execute(_LAST_WORD, {"tenant": tenant, "id": incident_id}).one_or_none()
    return HumanWord(row.incident_id, row.revision, Verdict(row.verdict), row.principal) if row else None


def last_entry_id(connection: Connection, tenant: str, incident_id: str, *kinds: str) -> str | None:
    """Id of the latest ledger entry of these kinds in the incident's chain: the parent of what follows from it."""
    found: str | None = connection.execute(
        _LAST_ENTRY, {"tenant": tenant, "id": incident_id, "kinds": kinds}
    ).scalar_one_or_none()
    return found


def _incident(row: Row[*tuple[Any, ...]] | None, tenant: str, incident_id: str) -> StoredIncident:
    if row is None:
        raise NotFoundError(f"no incident {incident_id!r} in tenant {tenant!r}")
    return StoredIncident(
        tenant=row.tenant,
        id=row.id,
        kind=row.kind,
        status=IncidentStatus(row.status),
        verdict=Verdict(row.verdict) if row.verdict else None,
        closed_by=row.closed_by,
        level=row.level,
        revision=row.revision,
        triaged_revision=row.triaged_revision,
        severity=row.severity,
        alert_count=row.alert_count,
        is_sealed=row.is_sealed,
        features=row.features,
        assessment=row.assessment,
        ruling=row.ruling,
        merged_into=row.merged_into,
    )
