"""Investigations that have concluded, without Temporal: over the alerts alone, or with a report that a test wants."""

from __future__ import annotations

from sqlalchemy import select, update

from watchfloor_agents.investigation.loop import InvestigationBudget
from watchfloor_agents.investigation.specialist import SpecialistEngine
from watchfloor_core.incident import Verdict
from watchfloor_core.report import Citation, Finding, Hypothesis, HypothesisKind, Report, Stance, TechniqueClaim
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import incident
from watchfloor_core.store.schema_investigation import evidence_use, investigation
from watchfloor_workflows.investigation.records import InvestigationKey, make_due
from watchfloor_workflows.investigation.stages import Investigator, Stage
from watchfloor_workflows.policy import PolicyFile


def investigated(store: Store, settings: Settings, tenant: str, incident_id: str) -> str:
    """Investigate the incident, once; gives the id of a piece of its evidence."""
    with store.read() as connection:
        revision = connection.execute(
            select(incident.c.revision).where(incident.c.tenant == tenant, incident.c.id == incident_id)
        ).scalar_one()
        ours = (investigation.c.tenant == tenant, investigation.c.incident_id == incident_id)
        is_done = connection.execute(select(investigation.c.revision).where(*ours)).first() is not None
    key = InvestigationKey(tenant, incident_id, revision)
    if not is_done:
        with store.write() as connection:
            make_due(connection, tenant, incident_id, revision)
        for stage in Stage:
            _investigator(store, settings).run(stage, key)
    with store.read() as connection:
        return str(
            connection.execute(
                select(evidence_use.c.evidence_id).where(
                    evidence_use.c.tenant == tenant, evidence_use.c.incident_id == incident_id
                )
            )
            .scalars()
            .first()
        )


def _investigator(store: Store, settings: Settings) -> Investigator:
    return Investigator(
        store=store,
        engine=SpecialistEngine(),
        sources=lambda _: (),
        policy=PolicyFile(settings, store),
        budget=InvestigationBudget(),
    )


def claim(
    id_: str, *techniques: str, code: str = "lsass_memory_read", evidence: str = "e", stance: Stance = Stance.SUPPORTS
) -> Finding:
    """A finding for an attack, on a piece of evidence of that letter."""
    return Finding(
        id=id_,
        code=code,
        text=f"{code} was seen",
        citations=(Citation(evidence * 64, "process.name", "x"),),
        hypothesis_id="H1",
        stance=stance,
        techniques=techniques,
    )


def reported(
    store: Store,
    settings: Settings,
    key: InvestigationKey,
    *findings: Finding,
    engine: str = "specialist",
    version: str = "",
) -> InvestigationKey:
    """Conclude the investigation of this revision with these findings; the report names their techniques."""
    with store.write() as connection:
        connection.execute(
            update(incident)
            .where(incident.c.tenant == key.tenant, incident.c.id == key.incident_id)
            .values(revision=key.revision)
        )
        make_due(connection, key.tenant, key.incident_id, key.revision)
    named = {technique: one.id for one in findings for technique in one.techniques}
    report = Report(
        tenant=key.tenant,
        incident_id=key.incident_id,
        revision=key.revision,
        verdict=Verdict.TRUE_POSITIVE,
        probability=0.9,
        certainty=0.5,
        summary="Something was seen.",
        hypotheses=(Hypothesis(id="H1", kind=HypothesisKind.ATTACK, title="An attack", probability=1.0),),
        findings=findings,
        timeline=(),
        root_cause=None,
        techniques=tuple(TechniqueClaim(technique=one, name=one, finding_ids=(id_,)) for one, id_ in named.items()),
        engine=engine,
        version=version or SpecialistEngine().version,
    )
    investigator = _investigator(store, settings)
    investigator.run(Stage.SCOPE, key)
    investigator.keep(key, report, None)
    return key
