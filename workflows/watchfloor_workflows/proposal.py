"""Puts an incident before the guardrails: what is proposed, and all that the ruling has to know beside it."""

from __future__ import annotations

from sqlalchemy import Connection, select

from watchfloor_agents.triage.engine import TriageCase
from watchfloor_agents.triage.features import Features
from watchfloor_core.alert import Severity
from watchfloor_core.clock import now_us
from watchfloor_core.incident import Assessment, AutonomyLevel, Function, IncidentKind, IncidentStatus, Verdict
from watchfloor_core.store.schema import incident, incident_entity
from watchfloor_guardrails.autonomy import CLOSE_INCIDENT, AutonomyMatrix
from watchfloor_guardrails.closing_rule import matching_rule
from watchfloor_guardrails.closure import ClosureProposal, RulingContext
from watchfloor_guardrails.ruling import Ruling, rule
from watchfloor_guardrails.switches import covering_scopes
from watchfloor_workflows.authority.kill_switch import read_switches
from watchfloor_workflows.policy import Policy
from watchfloor_workflows.standing import HumanWord, StoredIncident
from watchfloor_workflows.subjects import rule_subjects

NO_ENGINE = "none"


def rule_on(
    connection: Connection,
    held: StoredIncident,
    assessment: Assessment | None,
    policy: Policy,
    word: HumanWord | None,
) -> Ruling:
    """The ruling on closing the incident as it is now, on this assessment or on none."""
    proposal = _proposal(connection, held, assessment, policy.matrix)
    scopes = covering_scopes(held.tenant, Function.ALERT_TRIAGE, CLOSE_INCIDENT, agent=proposal.engine)
    engaged = read_switches(connection, scopes).engaged
    return rule(proposal, _context(held, policy, word, engaged))


def level_before_asking(held: StoredIncident, engine: str, policy: Policy) -> AutonomyLevel:
    """The level as far as it is known before an engine is asked: whether it may be, and who may see its answer.

    What an answer adds can lower a level, but not below L2.
    """
    case = case_of(held)
    proposal = _unanswered(held, case, engine)
    # Whether a switch is engaged stops closing, and says nothing about the level.
    return rule(proposal, _context(held, policy, None, ())).level


def _proposal(
    connection: Connection, held: StoredIncident, assessment: Assessment | None, matrix: AutonomyMatrix | None
) -> ClosureProposal:
    case = case_of(held)
    bare = _unanswered(held, case, NO_ENGINE)
    is_autonomous = matrix is not None and matrix.row_for(bare.task).level >= AutonomyLevel.L3
    return ClosureProposal(
        tenant=held.tenant,
        incident_id=held.id,
        revision=held.revision,
        kind=bare.kind,
        is_sealed=held.is_sealed,
        verdict=assessment.verdict if assessment else bare.verdict,
        probability=assessment.probability if assessment else bare.probability,
        certainty=assessment.certainty if assessment else bare.certainty,
        reasons=assessment.reasons if assessment else (),
        engine=assessment.engine if assessment else NO_ENGINE,
        alert_count=held.alert_count,
        severity=bare.severity,
        asset_tier=case.tier,
        alert_family=case.family,
        rule_id=_matching_rule_id(connection, held, matrix),
        # Under L3 nothing rests on it, and it would be the dearest query of all: the cautious answer does.
        has_open_context=_has_open_context(connection, held) if is_autonomous else True,
    )


def case_of(held: StoredIncident) -> TriageCase:
    """The case without lessons: task and rules look at neither them nor anything else that costs a query."""
    return TriageCase(
        tenant=held.tenant,
        incident_id=held.id,
        revision=held.revision,
        kind=held.kind,
        features=Features.from_json(held.features["triage"]),
        alert_count=held.alert_count,
        severity=held.severity,
        is_sealed=held.is_sealed,
    )


def _unanswered(held: StoredIncident, case: TriageCase, engine: str) -> ClosureProposal:
    return ClosureProposal(
        tenant=held.tenant,
        incident_id=held.id,
        revision=held.revision,
        kind=IncidentKind(held.kind),
        is_sealed=held.is_sealed,
        verdict=Verdict.UNDETERMINED,
        probability=0.5,
        certainty=0.0,
        reasons=(),
        engine=engine,
        alert_count=held.alert_count,
        severity=Severity(held.severity),
        asset_tier=case.tier,
        alert_family=case.family,
        rule_id=None,
        has_open_context=True,
    )


def _context(held: StoredIncident, policy: Policy, word: HumanWord | None, engaged: tuple[str, ...]) -> RulingContext:
    return RulingContext(
        matrix=policy.matrix,
        caps=(),
        now_us=now_us(),
        current_revision=held.revision,
        engaged_kill_switches=engaged,
        dark_sources=(),
        is_human_locked=word is not None,
    )


def _matching_rule_id(connection: Connection, held: StoredIncident, matrix: AutonomyMatrix | None) -> str | None:
    now = now_us()
    if matrix is None or not any(rule.covers_tenant(held.tenant) and not rule.is_expired(now) for rule in matrix.rules):
        return None
    matching = matching_rule(matrix.rules, held.tenant, rule_subjects(connection, held.tenant, held.id), now)
    return matching.id if matching else None


def _has_open_context(connection: Connection, held: StoredIncident) -> bool:
    """True where another incident that waits for a person shares an asset with this one."""
    ours, theirs = incident_entity.alias("ours"), incident_entity.alias("theirs")
    found = connection.execute(
        select(incident.c.id)
        .select_from(ours)
        .join(theirs, (theirs.c.tenant == ours.c.tenant) & (theirs.c.entity_id == ours.c.entity_id))
        .join(incident, (incident.c.tenant == theirs.c.tenant) & (incident.c.id == theirs.c.incident_id))
        .where(
            ours.c.tenant == held.tenant,
            ours.c.incident_id == held.id,
            ours.c.is_asset,
            theirs.c.is_asset,
            theirs.c.incident_id != held.id,
            incident.c.status.in_((IncidentStatus.QUEUED, IncidentStatus.ESCALATED)),
        )
        .limit(1)
    )
    return found.first() is not None
