"""One incident as people and programs read it: the same values behind the API's JSON, ``--json`` and the page.

Text from alerts is given as it came; whoever shows it quotes it (`watchfloor_core.untrusted`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, and_, func, select

from watchfloor_core.alert import Integrity
from watchfloor_core.clock import to_iso
from watchfloor_core.errors import LedgerError, NotFoundError
from watchfloor_core.ports import Json
from watchfloor_core.store import schema
from watchfloor_core.store.precision import precisions
from watchfloor_service.incidents.listing import IncidentSummary, require_incident, severity_name
from watchfloor_service.incidents.reports import find_report
from watchfloor_service.playbooks.views import RunSummary, list_runs

MAX_ENTITIES: Final = 200
MAX_HUMAN_VERDICTS: Final = 100


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
    precision: str
    """In which the sensor gave the first time: s, ms, us or ns."""
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
class InvestigationView:
    """What the latest investigation came to, and how that relates to triage's verdict."""

    revision: int
    is_of_now: bool
    """False where the incident has changed since."""
    status: str
    """Of the investigation; ``altered`` where its report is not the one that was concluded."""
    verdict: str | None
    """None where it has not concluded."""
    probability: float | None
    certainty: float | None
    relation: str
    """One sentence."""
    problem: str | None


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
    investigation: InvestigationView | None
    """None where there was none, and at L0 until a person has given a verdict."""
    playbooks: list[RunSummary]
    """Runs that were picked or started for it, the newest first; picked ones as `investigation`."""


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
        # What an agent says stays unseen where triage's answer does.
        investigation=None if summary.verdict is None else _investigation(connection, tenant, incident_id),
        playbooks=[] if summary.verdict is None else list_runs(connection, tenant, incident_id=incident_id),
    )


def _investigation(connection: Connection, tenant: str, incident_id: str) -> InvestigationView | None:
    try:
        found = find_report(connection, tenant, incident_id)
    except NotFoundError:
        return None
    except LedgerError as error:
        # The incident is shown all the same; what the report says is not.
        return InvestigationView(0, True, "altered", None, None, None, "", str(error))
    report = found.report
    return InvestigationView(
        revision=found.revision,
        is_of_now=found.is_of_now,
        status=found.status,
        verdict=None if report is None else report.verdict.value,
        probability=None if report is None else report.probability,
        certainty=None if report is None else report.certainty,
        relation="" if report is None else report.relation,
        problem=found.problem,
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
    ).all()  # fmt: skip
    given = precisions(connection, tenant, incident_id, {(bytes(row.shape_id), row.first_us) for row in rows})
    return [
        ObservationView(
            shape_id=bytes(row.shape_id).hex(),
            product=row.product,
            detector=row.uid,
            title=row.title,
            severity=severity_name(row.severity),
            alerts=row.alerts,
            first_at=to_iso(row.first_us),
            last_at=to_iso(row.last_us),
            precision=given[bytes(row.shape_id), row.first_us].value,
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
