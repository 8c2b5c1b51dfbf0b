"""What follows from a person's verdict for detection: the tuning agent's proposals, ruled on like any other action."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, exists, or_, select

from watchfloor_agents.detection.tuning import NAME, Habit, Sighting, Word, suggest_filters
from watchfloor_connectors.detection.filters import sets_aside
from watchfloor_core.alert import EntityKind, EntityRole, Integrity
from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.errors import NotFoundError
from watchfloor_core.ledger.record import Decision
from watchfloor_core.store.originals import load_raw
from watchfloor_core.store.schema import alert, detector, entity, incident, observation, record, shape, shape_entity
from watchfloor_core.store.schema_authority import action_proposal, lease
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.draft import ActionDraft
from watchfloor_guardrails.incident_facts import HARMLESS, IncidentFacts
from watchfloor_guardrails.proposal import ProposalStatus, Proposer
from watchfloor_workflows.authority.drafting import prepare_action
from watchfloor_workflows.authority.incident_view import facts_from
from watchfloor_workflows.authority.responding import is_proposed_at_all
from watchfloor_workflows.policy import Policy
from watchfloor_workflows.standing import StoredIncident, last_human_word

ACTION_CLASS: Final = "create filter"
PRODUCT: Final = "sigma"
"""The detector whose alerts a Sigma filter can name."""
MAX_RULES: Final = 20
"""Of one incident. One that more rules fired in is no habit of a single rule."""
MAX_ROWS: Final = 20_000
MAX_INCIDENTS: Final = 200
"""That one rule and host may stand in. Beyond either bound not all can be looked at, and then nothing is proposed."""
ASKED_AGAIN_AFTER_S: Final = 30 * 86_400
"""A filter that people refused, or did not decide on, is not proposed again before that."""
# The account that acts and the address that it came from: what the system wrote down itself. Whoever is acted on may be
# a name that somebody typed.
_FACT_OF: Final[Mapping[tuple[str, str], str]] = {
    (EntityKind.USER, EntityRole.ACTOR): "user",
    (EntityKind.IP, EntityRole.ACTOR): "address",
}
_RULES: Final = (
    select(detector.c.id, detector.c.uid, detector.c.title)
    .distinct()
    .select_from(observation)
    .join(shape, and_(shape.c.tenant == observation.c.tenant, shape.c.id == observation.c.shape_id))
    .join(detector, and_(detector.c.tenant == shape.c.tenant, detector.c.id == shape.c.detector_id))
    .where(
        observation.c.tenant == bindparam("tenant"),
        observation.c.incident_id == bindparam("incident_id"),
        detector.c.product == PRODUCT,
    )
    .order_by(detector.c.uid)
    .limit(MAX_RULES + 1)
)
_ON_THE_SAME_HOSTS: Final = (
    select(shape.c.asset_id)
    .select_from(observation)
    .join(shape, and_(shape.c.tenant == observation.c.tenant, shape.c.id == observation.c.shape_id))
    .where(
        observation.c.tenant == bindparam("tenant"),
        observation.c.incident_id == bindparam("incident_id"),
        shape.c.detector_id == bindparam("detector_id"),
    )
)
_SEEN: Final = (
    select(
        observation.c.incident_id,
        observation.c.shape_id,
        shape_entity.c.role,
        shape_entity.c.integrity,
        entity.c.kind,
        entity.c.value,
    )
    .distinct()
    .select_from(observation)
    .join(shape, and_(shape.c.tenant == observation.c.tenant, shape.c.id == observation.c.shape_id))
    .join(shape_entity, and_(shape_entity.c.tenant == shape.c.tenant, shape_entity.c.shape_id == shape.c.id))
    .join(entity, and_(entity.c.tenant == shape_entity.c.tenant, entity.c.id == shape_entity.c.entity_id))
    .where(
        observation.c.tenant == bindparam("tenant"),
        shape.c.detector_id == bindparam("detector_id"),
        shape.c.asset_id.in_(_ON_THE_SAME_HOSTS),
    )
    .limit(MAX_ROWS + 1)
)
_CLOSED_BY: Final = select(incident.c.closed_by).where(
    incident.c.tenant == bindparam("tenant"), incident.c.id == bindparam("incident_id")
)
_ORIGINAL: Final = (
    select(record.c.batch_id, record.c.position)
    .select_from(observation)
    .join(shape, and_(shape.c.tenant == observation.c.tenant, shape.c.id == observation.c.shape_id))
    .join(alert, and_(alert.c.tenant == shape.c.tenant, alert.c.shape_id == shape.c.id))
    .join(record, and_(record.c.tenant == alert.c.tenant, record.c.fingerprint == alert.c.fingerprint))
    .where(
        observation.c.tenant == bindparam("tenant"),
        observation.c.incident_id == bindparam("incident_id"),
        shape.c.detector_id == bindparam("detector_id"),
    )
    .order_by(record.c.batch_id.desc(), record.c.position)
    .limit(1)
)
_OPEN: Final = tuple(status.value for status in ProposalStatus if status.is_open)
_ASKED: Final = select(
    exists()
    .where(
        action_proposal.c.tenant == bindparam("tenant"),
        action_proposal.c.draft["action_class"].as_string() == ACTION_CLASS,
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
        lease.c.action_class == ACTION_CLASS,
        lease.c.target_value == bindparam("value"),
        lease.c.state != "ended",
    )
    .label("is_held"),
)


@dataclass(slots=True)
class _Shape:
    """What one shape of alerts in one incident names."""

    host: str | None
    facts: set[tuple[str, str]]
    integrity: Integrity


def tune(connection: Connection, held: StoredIncident, policy: Policy) -> list[Decision]:
    """Drafts for an incident that a person has just called harmless; the caller holds its lock and records them.

    Nothing is proposed below L2 of threat_detection, and what was asked and not decided for is not asked again soon.
    """
    facts = facts_from(held, has_target=False)
    if held.verdict not in HARMLESS or not is_proposed_at_all(held, ACTION_CLASS, facts, policy):
        return []
    asked = {"tenant": held.tenant, "incident_id": held.id}
    rules = connection.execute(_RULES, asked).all()
    if len(rules) > MAX_RULES:
        return []
    return [
        prepare_action(connection, held.tenant, _draft(held, habit, facts))[1]
        for rule in rules
        for habit in _habits(connection, held, rule)
        if not _was_asked(connection, held.tenant, habit.wanted.text)
    ]


def _habits(connection: Connection, held: StoredIncident, rule: Any) -> list[Habit]:
    asked = {"tenant": held.tenant, "incident_id": held.id, "detector_id": rule.id}
    rows = connection.execute(_SEEN, asked).all()
    if len(rows) > MAX_ROWS:
        return []
    shapes = _shapes(rows)
    incidents = {incident_id for incident_id, _ in shapes}
    if len(incidents) > MAX_INCIDENTS:
        return []
    words = {one: _word(connection, held.tenant, one) for one in incidents}
    seen = [
        Sighting(incident_id, words[incident_id], one.host, frozenset(one.facts), one.integrity)
        for (incident_id, _), one in sorted(shapes.items())
        if one.host is not None
    ]
    # Before the original is read: most verdicts are no habit.
    if not suggest_filters(rule.uid, rule.title, (("product", "any"),), held.id, seen):
        return []
    source, event = _original(connection, asked)
    habits = suggest_filters(rule.uid, rule.title, source, held.id, seen) if source else []
    # Logs have names of their own for the same thing. What the filter would not find there it is no use to ask for.
    return [one for one in habits if sets_aside(one.wanted, event)]


def _shapes(rows: Iterable[Any]) -> dict[tuple[str, bytes], _Shape]:
    found: defaultdict[tuple[str, bytes], _Shape] = defaultdict(lambda: _Shape(None, set(), Integrity.SENSOR))
    for row in rows:
        one = found[row.incident_id, bytes(row.shape_id)]
        integrity = Integrity(row.integrity)
        if integrity >= Integrity.EXTERNAL:
            continue
        if row.kind == EntityKind.HOST and row.role == EntityRole.TARGET:
            one.host = row.value
        elif row.kind == EntityKind.FILE_HASH:
            one.facts.add(("file_hash", row.value))
        elif (name := _FACT_OF.get((row.kind, row.role))) is not None:
            one.facts.add((name, row.value))
        else:
            continue
        one.integrity = max(one.integrity, integrity)
    return found


def _word(connection: Connection, tenant: str, incident_id: str) -> Word:
    said = last_human_word(connection, tenant, incident_id)
    if said is not None:
        return Word.HARMLESS if said.verdict in HARMLESS else Word.NOT_HARMLESS
    closed_by = connection.execute(_CLOSED_BY, {"tenant": tenant, "incident_id": incident_id}).scalar_one_or_none()
    return Word.NOT_HARMLESS if closed_by is None else Word.UNJUDGED


def _original(
    connection: Connection, asked: Mapping[str, Any]
) -> tuple[tuple[tuple[str, str], ...], Mapping[str, Any]]:
    """The rule's log source and the matched event, by the latest original; both empty where none is kept or says so."""
    place = connection.execute(_ORIGINAL, asked).one_or_none()
    if place is None:
        return (), {}
    try:
        original = json.loads(load_raw(connection, asked["tenant"], place.batch_id, place.position))
        given, event = original["sigma"]["logsource"], dict(original["event"])
        return tuple(sorted((name, str(value)) for name, value in given.items())), event
    except (NotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return (), {}


def _was_asked(connection: Connection, tenant: str, value: str) -> bool:
    since_us = now_us() - ASKED_AGAIN_AFTER_S * MICROSECONDS
    row = connection.execute(_ASKED, {"tenant": tenant, "value": value, "since_us": since_us}).one()
    return bool(row.is_asked or row.is_held)


def _draft(held: StoredIncident, habit: Habit, facts: IncidentFacts) -> ActionDraft:
    return ActionDraft(
        incident_id=held.id,
        action_class=ACTION_CLASS,
        target_kind="filter",
        target=Labelled(habit.wanted.text, habit.integrity),
        arguments={},
        tool=None,
        lease_s=None,
        proposer=Proposer(NAME, PrincipalKind.AGENT),
        facts=facts,
        purpose=habit.purpose,
    )
