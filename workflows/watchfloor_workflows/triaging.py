"""The triage of one incident's present revision: ask the engine, and keep its answer where it belongs.

At L0 the answer is sealed, at L1 no engine is asked, from L2 on it is recorded with its reasons. What the verdict leads
to is not decided here (`watchfloor_workflows.settle`).
"""

from __future__ import annotations

from sqlalchemy import Connection

from watchfloor_agents.triage.engine import TriageEngine, load_case
from watchfloor_core.clock import now_us
from watchfloor_core.incident import Assessment, AutonomyLevel, IncidentStatus
from watchfloor_core.ledger.record import Decision, record_decisions
from watchfloor_core.store.engine import Store
from watchfloor_core.telemetry.names import SpanAttribute, SpanName
from watchfloor_workflows import shadow
from watchfloor_workflows.assessment import assessment_content, from_row, to_row
from watchfloor_workflows.policy import Policy
from watchfloor_workflows.proposal import level_before_asking
from watchfloor_workflows.standing import (
    StoredIncident,
    last_entry_id,
    lock_incident,
    read_incident,
    write_incident,
)


def triage(store: Store, engine: TriageEngine, policy: Policy, tenant: str, incident_id: str) -> int:
    """The revision that is now ready to be settled. Safe to repeat: what is done already is not done again.

    Raises `NotFoundError`.
    """
    with store.read() as connection:
        held = read_incident(connection, tenant, incident_id)
        level = level_before_asking(held, engine.name, policy)
        is_answered = held.is_settled or held.merged_into is not None or _is_answered(connection, held, engine, level)
        case = None if is_answered or level is AutonomyLevel.L1 else load_case(connection, tenant, incident_id)
    if _is_closed_on_less(held):
        # First of all, so that nothing new stays hidden in a closed incident while an engine thinks or fails.
        with store.write() as connection:
            _reopen(connection, lock_incident(connection, tenant, incident_id))
    if case is None:
        return held.revision
    start_us = now_us()
    assessment = engine.assess(case)
    with store.write() as connection:
        held = lock_incident(connection, tenant, incident_id)
        # Where the incident moved on, or a person decided while the engine thought, the answer is to no question.
        if held.revision == case.revision and not held.is_settled and not _is_answered(connection, held, engine, level):
            _keep(connection, held, assessment, level, start_us)
    return case.revision


def _is_answered(connection: Connection, held: StoredIncident, engine: TriageEngine, level: AutonomyLevel) -> bool:
    if level is AutonomyLevel.L0:
        return shadow.is_sealed(connection, held.tenant, held.id, held.revision)
    stored = from_row(held.assessment)
    return stored is not None and stored.is_of(held.revision, engine.version)


def _is_closed_on_less(held: StoredIncident) -> bool:
    return held.status is IncidentStatus.CLOSED and held.revision > held.triaged_revision


def _reopen(connection: Connection, held: StoredIncident) -> None:
    if not _is_closed_on_less(held):
        return
    now = now_us()
    write_incident(connection, held, {"status": IncidentStatus.NEW, "closed_by": None, "closed_us": None})
    record_decisions(
        connection,
        held.tenant,
        [
            Decision(
                chain=held.id,
                kind="reopen",
                body={
                    "revision": held.revision,
                    "closed_revision": held.triaged_revision,
                    "closed_by": held.closed_by,
                    "cause": "new_material",
                },
                name=SpanName.REOPEN,
                start_us=now,
                end_us=now,
                parent_id=last_entry_id(connection, held.tenant, held.id, "correlate", "merge", "split"),
                attributes={SpanAttribute.TENANT: held.tenant, SpanAttribute.INCIDENT_REVISION: held.revision},
            )
        ],
    )


def _keep(
    connection: Connection, held: StoredIncident, assessment: Assessment, level: AutonomyLevel, start_us: int
) -> None:
    now = now_us()
    parent_id = last_entry_id(connection, held.tenant, held.id, "correlate", "merge", "split")
    if level is AutonomyLevel.L0:
        sealed = shadow.seal(
            connection,
            held.tenant,
            held.id,
            held.revision,
            assessment_content(assessment),
            start_us=start_us,
            end_us=now,
            parent_id=parent_id,
        )
        record_decisions(connection, held.tenant, [sealed])
        return
    verdict = Decision(
        chain=held.id,
        kind="verdict",
        body=assessment_content(assessment),
        name=SpanName.VERDICT,
        start_us=start_us,
        end_us=now,
        parent_id=parent_id,
        attributes={
            SpanAttribute.TENANT: held.tenant,
            SpanAttribute.INCIDENT_REVISION: held.revision,
            SpanAttribute.VERDICT: assessment.verdict.value,
            SpanAttribute.PROBABILITY: assessment.probability,
            SpanAttribute.CERTAINTY: assessment.certainty,
            SpanAttribute.ENGINE_NAME: assessment.engine,
            SpanAttribute.ENGINE_VERSION: assessment.version,
            SpanAttribute.REASON_CODES: [reason.code for reason in assessment.reasons],
        },
    )
    write_incident(connection, held, {"assessment": to_row(assessment, verdict.id)})
    record_decisions(connection, held.tenant, [verdict])
