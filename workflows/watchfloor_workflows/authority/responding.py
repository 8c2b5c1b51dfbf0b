"""What follows from where an incident stands: proposals of the response engine, and the end of what no longer holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, select

from watchfloor_agents.response.planning import plan_response
from watchfloor_agents.response.specialist import NAME, NamedAddress, Suggestion, suggest
from watchfloor_core.alert import EntityKind, EntityRole, Integrity
from watchfloor_core.evidence import Evidence
from watchfloor_core.incident import AutonomyLevel, IncidentStatus, Verdict
from watchfloor_core.ledger.record import Decision
from watchfloor_core.report import Report
from watchfloor_core.store.schema import asset, detector, entity, observation, shape, shape_entity
from watchfloor_core.store.schema_authority import action_proposal
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.catalogue import function_of
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.draft import ActionDraft
from watchfloor_guardrails.endorsement import endorse_by_corroboration, endorse_by_endorser
from watchfloor_guardrails.incident_facts import IncidentFacts, material_change
from watchfloor_guardrails.matrix import Task
from watchfloor_guardrails.proposal import ProposalStatus, Proposer
from watchfloor_workflows.authority.drafting import announce, prepare_action
from watchfloor_workflows.authority.incident_view import facts_from, facts_of
from watchfloor_workflows.authority.records import list_proposals
from watchfloor_workflows.authority.vouching import Vouched, suggestion_of
from watchfloor_workflows.policy import Policy
from watchfloor_workflows.standing import StoredIncident

_OPEN = (ProposalStatus.DRAFTED, ProposalStatus.WAITING)


def respond(
    connection: Connection, held: StoredIncident, policy: Policy, vouched: Vouched = MappingProxyType({})
) -> list[Decision]:
    """Drafts for a locked incident that is believed to be an attack; the caller records the decisions.

    ``vouched``: what endorsers of others, asked before about `first_containment`, vouch for.

    What was proposed for the incident once is not proposed again, however it ended; unless what it rested on changed.
    """
    if held.verdict is not Verdict.TRUE_POSITIVE:
        return []
    facts = facts_from(held, has_target=True)
    return [
        prepare_action(connection, held.tenant, _draft(held, one, facts, vouched))[1]
        for one in first_containment(connection, held, policy)
    ]


def first_containment(connection: Connection, held: StoredIncident, policy: Policy) -> list[Suggestion]:
    """What is to be proposed for an incident once it is believed to be an attack."""
    if policy.matrix is None:
        return []
    facts = facts_from(held, has_target=True)
    known = _proposed_before(connection, held)
    return [
        one
        for one in suggest(named_addresses(connection, held))
        if (one.action_class, one.value) not in known and is_proposed_at_all(held, one.action_class, facts, policy)
    ]


def respond_to_report(
    connection: Connection,
    held: StoredIncident,
    policy: Policy,
    report: Report,
    evidence: Mapping[str, Evidence],
    vouched: Vouched = MappingProxyType({}),
) -> list[Decision]:
    """Drafts from a checked report on a locked incident; the caller records the decisions.

    ``vouched``: what endorsers of others, asked before, vouch for.

    Where the incident has moved on meanwhile, or a person or the triage holds it for harmless, nothing is proposed: the
    report is there to read, and a later revision is investigated by itself.
    """
    is_open = held.status is IncidentStatus.ESCALATED and held.verdict is not Verdict.BENIGN_POSITIVE
    if not is_open or held.revision != report.revision or held.merged_into is not None:
        return []
    known = _proposed_before(connection, held)
    facts = facts_from(held, has_target=True)
    return [
        prepare_action(connection, held.tenant, _draft(held, one, facts, vouched))[1]
        for one in (suggestion_of(step) for step in plan_response(report, evidence))
        if (one.action_class, one.value) not in known and is_proposed_at_all(held, one.action_class, facts, policy)
    ]


def void_what_changed(connection: Connection, held: StoredIncident) -> None:
    """Tell the approvals of this incident that no longer hold. The ruling before the grant would find it as well."""
    for stored in list_proposals(connection, held.tenant, statuses=_OPEN, incident_id=held.id):
        draft = stored.draft
        now = facts_of(connection, held.tenant, held.id, draft.target_kind, str(draft.target.value))
        changed = "the incident is gone" if now is None else material_change(draft.facts, now, draft.action_class)
        if changed is not None and draft.undo_of is None:
            announce(connection, held.tenant, stored.id, "void", changed)


def _draft(
    held: StoredIncident, one: Suggestion, facts: IncidentFacts, vouched: Vouched = MappingProxyType({})
) -> ActionDraft:
    target = endorse_by_corroboration(Labelled(one.value, one.integrity), one.products)
    endorser = vouched.get((one.action_class, one.value))
    return ActionDraft(
        incident_id=held.id,
        action_class=one.action_class,
        target_kind=one.target_kind,
        target=target if endorser is None else endorse_by_endorser(target, endorser),
        arguments={},
        tool=None,
        lease_s=None,
        proposer=Proposer(NAME, PrincipalKind.AGENT),
        facts=facts,
        purpose=one.purpose,
    )


def is_proposed_at_all(held: StoredIncident, action_class: str, facts: IncidentFacts, policy: Policy) -> bool:
    """At L0 and L1 no agent proposes; the ruling would deny it, and a person's queue is no place for denials."""
    if policy.matrix is None:
        return False
    task = Task(function_of(action_class), action_class, facts.alert_family, facts.asset_tier, held.tenant)
    return policy.matrix.row_for(task).level >= AutonomyLevel.L2


def _proposed_before(connection: Connection, held: StoredIncident) -> set[tuple[str, str]]:
    rows = connection.execute(
        select(action_proposal.c.draft, action_proposal.c.status).where(
            action_proposal.c.tenant == held.tenant,
            action_proposal.c.incident_id == held.id,
            # A decoy was never meant: what it names may still be proposed in earnest.
            action_proposal.c.decoy_answer.is_(None),
        )
    )
    return {
        (row.draft["action_class"], str(row.draft["target"]["value"]))
        for row in rows
        if row.status != ProposalStatus.VOIDED
    }


def named_addresses(connection: Connection, held: StoredIncident) -> list[NamedAddress]:
    """The addresses that the incident's alerts name, apart from those of the sensors themselves."""
    rows = connection.execute(
        select(
            entity.c.value,
            shape.c.severity,
            observation.c.alerts,
            shape_entity.c.integrity,
            detector.c.product,
            asset.c.tier,
        )
        .select_from(observation)
        .join(shape, (shape.c.tenant == observation.c.tenant) & (shape.c.id == observation.c.shape_id))
        .join(
            shape_entity,
            (shape_entity.c.tenant == observation.c.tenant) & (shape_entity.c.shape_id == observation.c.shape_id),
        )
        .join(entity, (entity.c.tenant == shape_entity.c.tenant) & (entity.c.id == shape_entity.c.entity_id))
        .join(detector, (detector.c.tenant == shape.c.tenant) & (detector.c.id == shape.c.detector_id))
        .outerjoin(asset, (asset.c.tenant == entity.c.tenant) & (asset.c.entity_id == entity.c.id))
        .where(
            observation.c.tenant == held.tenant,
            observation.c.incident_id == held.id,
            entity.c.kind == EntityKind.IP.value,
            shape_entity.c.role != EntityRole.OBSERVER.value,
        )
    )
    # SQLAlchemy's rows are untyped; the column types of the schema hold.
    by_value: defaultdict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_value[row.value].append(row)
    return [_address(value, found) for value, found in by_value.items()]


def _address(value: str, rows: list[Any]) -> NamedAddress:
    return NamedAddress(
        value=value,
        severity=max(row.severity for row in rows),
        alerts=sum(row.alerts for row in rows),
        integrity=Integrity(min(row.integrity for row in rows)),
        products=frozenset(row.product for row in rows if row.integrity < Integrity.EXTERNAL),
        in_inventory=any(row.tier is not None for row in rows),
    )
