"""What follows from a person's verdict for detection: the tuning agent's proposals, ruled on like any other action.

Harmless again and again: a filter is proposed. Not harmless after all: what waits to be filtered is voided, and what is
filtered is proposed to be seen again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, and_, bindparam, exists, func, or_, select

from watchfloor_agents.detection.tuning import (
    MAX_PROPOSALS,
    MIN_INCIDENTS,
    NAME,
    Habit,
    Sighting,
    Word,
    suggest_filters,
)
from watchfloor_core.alert import Integrity
from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.incident import Verdict
from watchfloor_core.ledger.record import Decision
from watchfloor_core.store.schema import detector, incident, observation, shape
from watchfloor_core.store.schema_authority import action_proposal, lease
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.catalogue import CREATE_FILTER
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.draft import ActionDraft
from watchfloor_guardrails.incident_facts import HARMLESS, IncidentFacts
from watchfloor_guardrails.proposal import ProposalStatus, Proposer
from watchfloor_guardrails.rule_filter import RuleFilter, parse_filter
from watchfloor_workflows.authority.drafting import announce, prepare_action
from watchfloor_workflows.authority.incident_view import facts_from
from watchfloor_workflows.authority.leases import undo_draft
from watchfloor_workflows.authority.matched_events import PRODUCT, MatchedEvent, matched_events
from watchfloor_workflows.authority.records import read_proposal
from watchfloor_workflows.authority.responding import is_proposed_at_all
from watchfloor_workflows.policy import Policy
from watchfloor_workflows.standing import StoredIncident, last_human_word

MAX_RULES: Final = 20
"""Of one incident. One that more rules fired in is no habit of a single rule."""
MAX_INCIDENTS: Final = 200
"""In which one rule may have fired. Beyond that not all can be looked at, and then nothing is proposed."""
ASKED_AGAIN_AFTER_S: Final = 30 * 86_400
"""A filter that people refused, or did not decide on, is not proposed again before that."""
_OPEN: Final = [status.value for status in ProposalStatus if status.is_open]
_RULES: Final = (
    select(func.lower(detector.c.uid).label("uid"), func.min(detector.c.title).label("title"))
    .select_from(observation)
    .join(shape, and_(shape.c.tenant == observation.c.tenant, shape.c.id == observation.c.shape_id))
    .join(detector, and_(detector.c.tenant == shape.c.tenant, detector.c.id == shape.c.detector_id))
    .where(
        observation.c.tenant == bindparam("tenant"),
        observation.c.incident_id == bindparam("incident_id"),
        detector.c.product == PRODUCT,
    )
    .group_by(func.lower(detector.c.uid))
    .order_by(func.lower(detector.c.uid))
    .limit(MAX_RULES + 1)
)
_FIRED_IN: Final = (
    select(observation.c.incident_id)
    .distinct()
    .select_from(observation)
    .join(shape, and_(shape.c.tenant == observation.c.tenant, shape.c.id == observation.c.shape_id))
    .join(detector, and_(detector.c.tenant == shape.c.tenant, detector.c.id == shape.c.detector_id))
    .where(
        observation.c.tenant == bindparam("tenant"),
        detector.c.product == PRODUCT,
        func.lower(detector.c.uid) == bindparam("uid"),
    )
    .limit(MAX_INCIDENTS + 1)
)
_CLOSED_BY: Final = select(incident.c.closed_by).where(
    incident.c.tenant == bindparam("tenant"), incident.c.id == bindparam("incident_id")
)
_ASKED: Final = select(
    exists()
    .where(
        action_proposal.c.tenant == bindparam("tenant"),
        action_proposal.c.draft["action_class"].as_string() == CREATE_FILTER,
        action_proposal.c.draft[("target", "value")].as_string() == bindparam("value"),
        or_(
            action_proposal.c.status.in_(_OPEN),
            and_(
                action_proposal.c.created_us > bindparam("since_us"),
                action_proposal.c.status.in_((ProposalStatus.DENIED.value, ProposalStatus.EXPIRED.value)),
            ),
        ),
    )
    .label("is_asked"),
    exists()
    .where(
        lease.c.tenant == bindparam("tenant"),
        lease.c.action_class == CREATE_FILTER,
        lease.c.target_value == bindparam("value"),
        lease.c.state != "ended",
    )
    .label("is_held"),
)
_WAITING: Final = select(
    action_proposal.c.id, action_proposal.c.draft[("target", "value")].as_string().label("value")
).where(
    action_proposal.c.tenant == bindparam("tenant"),
    action_proposal.c.draft["action_class"].as_string() == CREATE_FILTER,
    action_proposal.c.status.in_(_OPEN),
)
_HELD: Final = select(lease.c.proposal_id, lease.c.target_value).where(
    lease.c.tenant == bindparam("tenant"), lease.c.action_class == CREATE_FILTER, lease.c.state == "open"
)
_UNDONE: Final = select(action_proposal.c.id).where(
    action_proposal.c.tenant == bindparam("tenant"),
    action_proposal.c.undo_of == bindparam("origin"),
    action_proposal.c.status.in_(_OPEN),
)


def tune(connection: Connection, held: StoredIncident, policy: Policy) -> list[Decision]:
    """Drafts for an incident that a person has just spoken of; the caller holds its lock and records them."""
    if held.verdict in HARMLESS:
        return _filter_habits(connection, held, policy)
    return _see_again(connection, held) if held.verdict in (Verdict.TRUE_POSITIVE, Verdict.UNDETERMINED) else []


def _filter_habits(connection: Connection, held: StoredIncident, policy: Policy) -> list[Decision]:
    """Nothing is proposed below L2 of threat_detection, and what was not decided for is not asked again soon."""
    facts = facts_from(held, has_target=False)
    if not is_proposed_at_all(held, CREATE_FILTER, facts, policy):
        return []
    rules = connection.execute(_RULES, {"tenant": held.tenant, "incident_id": held.id}).all()
    if len(rules) > MAX_RULES:
        return []
    habits = [
        habit
        for rule in rules
        for habit in _habits(connection, held, rule.uid, rule.title)
        if not _was_asked(connection, held.tenant, habit.wanted.text)
    ]
    return [prepare_action(connection, held.tenant, _draft(held, one, facts))[1] for one in habits[:MAX_PROPOSALS]]


def _habits(connection: Connection, held: StoredIncident, uid: str, title: str) -> list[Habit]:
    incidents = list(connection.scalars(_FIRED_IN, {"tenant": held.tenant, "uid": uid}))
    if len(incidents) > MAX_INCIDENTS:
        return []
    words = {one: _word(connection, held.tenant, one) for one in incidents}
    if sum(word is Word.HARMLESS for word in words.values()) < MIN_INCIDENTS:
        return []
    events = matched_events(connection, held.tenant, uid, [one for one in words if words[one] is not Word.UNJUDGED])
    # Whoever sends alerts writes the rule's own words into them: where these differ, nobody knows which are the rule's.
    if events is None or len({(one.title, one.log_source) for one in events}) != 1 or not events[0].log_source:
        return []
    seen = [_sighting(one, words[one.incident_id]) for one in events]
    return suggest_filters(uid, title, events[0].log_source, held.id, seen)


def _sighting(one: MatchedEvent, word: Word) -> Sighting:
    return Sighting(one.incident_id, word, one.event, one.host, one.others)


def _see_again(connection: Connection, held: StoredIncident) -> list[Decision]:
    """What would hide, or hides, an incident that is not harmless after all is voided, or proposed to be taken back."""
    waiting = [
        (row.id, wanted)
        for row in connection.execute(_WAITING, {"tenant": held.tenant})
        if (wanted := _filter_of(row.value))
    ]
    live = [
        (row.proposal_id, wanted)
        for row in connection.execute(_HELD, {"tenant": held.tenant})
        if (wanted := _filter_of(row.target_value))
    ]
    if not waiting and not live:
        return []
    rules = {wanted.rule for _, wanted in waiting} | {wanted.rule for _, wanted in live}
    events = {rule: matched_events(connection, held.tenant, rule, [held.id]) for rule in sorted(rules)}
    why = f"incident {held.id} is {held.verdict}, and it would be set aside"
    for proposal_id, wanted in waiting:
        if _hides(wanted, events[wanted.rule]):
            announce(connection, held.tenant, proposal_id, "void", why)
    drafts = []
    for proposal_id, wanted in live:
        if not _hides(wanted, events[wanted.rule]):
            continue
        if connection.execute(_UNDONE, {"tenant": held.tenant, "origin": proposal_id}).first() is not None:
            continue
        origin = read_proposal(connection, held.tenant, proposal_id)
        purpose = f"Incident {held.id} is {held.verdict}: what this filter sets aside is to be seen again."
        draft = undo_draft(connection, origin, Proposer(NAME, PrincipalKind.AGENT), purpose)
        drafts.append(prepare_action(connection, held.tenant, replace(draft, lease_s=None))[1])
    return drafts


def _hides(wanted: RuleFilter, events: tuple[MatchedEvent, ...] | None) -> bool:
    """Also where not all of its events can be looked at: then it may."""
    return events is None or any(wanted.sets_aside(one.event) for one in events)


def _filter_of(value: str) -> RuleFilter | None:
    try:
        return parse_filter(value)
    except ValueError:
        return None


def _word(connection: Connection, tenant: str, incident_id: str) -> Word:
    said = last_human_word(connection, tenant, incident_id)
    if said is not None:
        return Word.HARMLESS if said.verdict in HARMLESS else Word.NOT_HARMLESS
    closed_by = connection.execute(_CLOSED_BY, {"tenant": tenant, "incident_id": incident_id}).scalar_one_or_none()
    return Word.NOT_HARMLESS if closed_by is None else Word.UNJUDGED


def _was_asked(connection: Connection, tenant: str, value: str) -> bool:
    since_us = now_us() - ASKED_AGAIN_AFTER_S * MICROSECONDS
    row = connection.execute(_ASKED, {"tenant": tenant, "value": value, "since_us": since_us}).one()
    return bool(row.is_asked or row.is_held)


def _draft(held: StoredIncident, habit: Habit, facts: IncidentFacts) -> ActionDraft:
    return ActionDraft(
        incident_id=held.id,
        action_class=CREATE_FILTER,
        target_kind="filter",
        target=Labelled(habit.wanted.text, Integrity.SENSOR),
        arguments={},
        tool=None,
        lease_s=None,
        proposer=Proposer(NAME, PrincipalKind.AGENT),
        facts=facts,
        purpose=habit.purpose,
    )
