"""Investigations that have concluded, without Temporal: the stages one after the other, over the alerts alone."""

from __future__ import annotations

from sqlalchemy import select

from watchfloor_agents.investigation.loop import InvestigationBudget
from watchfloor_agents.investigation.specialist import SpecialistEngine
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
        investigator = Investigator(
            store=store,
            engine=SpecialistEngine(),
            sources=lambda _: (),
            policy=PolicyFile(settings, store),
            budget=InvestigationBudget(),
        )
        for stage in Stage:
            investigator.run(stage, key)
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
