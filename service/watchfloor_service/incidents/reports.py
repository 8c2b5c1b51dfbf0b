"""Reports of investigations as people look at them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import Connection, Row, Select, func, select

from watchfloor_agents.investigation.export.markdown import SHOW, report_markdown
from watchfloor_agents.investigation.export.report_json import report_from_json
from watchfloor_core.clock import to_iso
from watchfloor_core.errors import LedgerError, NotFoundError
from watchfloor_core.evidence import Evidence
from watchfloor_core.ports import Json
from watchfloor_core.report import Report
from watchfloor_core.store.evidence import read_evidence
from watchfloor_core.store.schema import incident
from watchfloor_core.store.schema_investigation import investigation
from watchfloor_service.incidents.corrections import CorrectionView, standing_corrections


@dataclass(frozen=True, slots=True)
class StoredReport:
    """The latest investigation of an incident, or of one of its revisions."""

    incident_id: str
    title: str
    alerts: int
    incident_revision: int
    """Of now."""
    revision: int
    """That was investigated."""
    status: str
    engine: str | None
    engine_version: str | None
    """Of the rules; of a report in which a model had a part, the model's stand in the report."""
    started_us: int | None
    ended_us: int | None
    problem: str | None
    content: str | None
    """Canonical JSON, whose SHA-256 the ledger has."""
    sha256: str | None
    report: Report | None

    @property
    def is_of_now(self) -> bool:
        """False where the incident has changed since."""
        return self.revision == self.incident_revision


def list_reports(connection: Connection, tenant: str) -> list[StoredReport]:
    """One for each incident of the tenant that was investigated: its latest concluded one, else its latest.

    Raises `LedgerError` where a report is not the one that was concluded.
    """
    rows = connection.execute(_select().where(investigation.c.tenant == tenant))
    latest: dict[str, Row[Any]] = {}
    for row in rows:
        before = latest.get(row.incident_id)
        if before is None or _rank(row) > _rank(before):
            latest[row.incident_id] = row
    return [_stored(row) for _, row in sorted(latest.items())]


def find_report(connection: Connection, tenant: str, incident_id: str, revision: int | None = None) -> StoredReport:
    """The latest concluded investigation of an incident, else the latest, or that of a revision.

    Raises `NotFoundError` with what there is instead, and `LedgerError` where the report is not the one that was
    concluded.
    """
    found = _select().where(investigation.c.tenant == tenant, investigation.c.incident_id == incident_id)
    if revision is not None:
        found = found.where(investigation.c.revision == revision)
    rows = connection.execute(found).all()
    if not rows:
        of = f"revision {revision} of incident" if revision is not None else "incident"
        raise NotFoundError(
            f"{of} {incident_id!r} was not investigated in tenant {tenant!r}; what is escalated is, "
            "from level L1 of the function investigation on"
        )
    return _stored(max(rows, key=_rank))


def evidence_of(connection: Connection, tenant: str, report: Report) -> dict[str, Evidence]:
    """All that the report cites."""
    cited = {one.evidence_id for finding in report.findings for one in finding.citations}
    cited |= {one.evidence_id for entry in report.timeline for one in entry.citations}
    return dict(read_evidence(connection, tenant, cited))


@dataclass(frozen=True, slots=True)
class ReportView:
    """As programs get it."""

    incident_id: str
    revision: int
    is_of_now: bool
    """False where the incident has changed since."""
    status: str
    """due, running, done, superseded or failed."""
    engine: str | None
    started_at: str | None
    ended_at: str | None
    problem: str | None
    sha256: str | None
    """Of the report's canonical JSON, as the ledger has it."""
    report: Json
    corrections: list[CorrectionView]
    """What people say of its findings, and stand by."""


def report_view(connection: Connection, tenant: str, stored: StoredReport) -> ReportView:
    return ReportView(
        incident_id=stored.incident_id,
        revision=stored.revision,
        is_of_now=stored.is_of_now,
        status=stored.status,
        engine=stored.engine,
        started_at=None if stored.started_us is None else to_iso(stored.started_us),
        ended_at=None if stored.ended_us is None else to_iso(stored.ended_us),
        problem=stored.problem,
        sha256=stored.sha256,
        report=None if stored.content is None else orjson.loads(stored.content)["report"],
        corrections=[
            CorrectionView.of(one)
            for one in standing_corrections(connection, tenant, stored.incident_id, stored.revision)
        ],
    )


class ReportFormat(StrEnum):
    MARKDOWN = "markdown"
    JSON = "json"
    STIX = "stix"
    """A STIX 2.1 bundle."""


def render(connection: Connection, tenant: str, stored: StoredReport, format_: ReportFormat) -> str:
    """Raises `NotFoundError` where the investigation has not concluded, with how it stands."""
    report = stored.report
    if report is None or stored.content is None:
        problem = f": {stored.problem}" if stored.problem else ""
        raise NotFoundError(
            f"the investigation of revision {stored.revision} of incident {stored.incident_id!r} has no report; it is "
            f"{stored.status}{problem}"
        )
    match format_:
        case ReportFormat.MARKDOWN:
            return page_of(connection, tenant, report)
        case ReportFormat.JSON:
            return stored.content
        case ReportFormat.STIX:
            # Without what people say of it, who are named there: a bundle is made to be given away.
            # Imported where it is asked for: the library takes long to load, and every start of the API would wait.
            from watchfloor_agents.investigation.export.stix import report_bundle

            return report_bundle(report)


def page_of(connection: Connection, tenant: str, report: Report, *, show: str = SHOW) -> str:
    """The report as Markdown, with the evidence that it cites and what people say of its findings.

    ``show``: the command that the page names for looking at evidence."""
    corrections = standing_corrections(connection, tenant, report.incident_id, report.revision)
    return report_markdown(report, evidence_of(connection, tenant, report), corrections, show=show)


def _select() -> Select[Any]:  # Any: SQLAlchemy's rows of many columns
    return select(
        investigation.c.incident_id,
        investigation.c.revision,
        investigation.c.status,
        investigation.c.engine,
        investigation.c.engine_version,
        investigation.c.started_us,
        investigation.c.ended_us,
        investigation.c.problem,
        investigation.c.report,
        investigation.c.report_sha256,
        func.coalesce(incident.c.title, "").label("title"),
        func.coalesce(incident.c.alert_count, 0).label("alerts"),
        func.coalesce(incident.c.revision, 0).label("incident_revision"),
    ).join(
        incident,
        (incident.c.tenant == investigation.c.tenant) & (incident.c.id == investigation.c.incident_id),
    )


def _rank(row: Row[Any]) -> tuple[bool, int]:
    return row.report is not None, row.revision


def _stored(row: Row[Any]) -> StoredReport:
    if row.report is not None and hashlib.sha256(row.report.encode()).hexdigest() != row.report_sha256:
        raise LedgerError(
            f"the report on revision {row.revision} of incident {row.incident_id} is not the one that was concluded: "
            "its SHA-256 differs; the ledger has the right one"
        )
    return StoredReport(
        incident_id=row.incident_id,
        title=row.title,
        alerts=row.alerts,
        incident_revision=row.incident_revision,
        revision=row.revision,
        status=row.status,
        engine=row.engine,
        engine_version=row.engine_version,
        started_us=row.started_us,
        ended_us=row.ended_us,
        problem=row.problem,
        content=row.report,
        sha256=row.report_sha256,
        report=None if row.report is None else report_from_json(orjson.loads(row.report)),
    )
