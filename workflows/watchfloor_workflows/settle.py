"""Settles one revision of an incident: the ruling, and in the same transaction what it leads to.

Closed, queued for a person, or escalated: one of the three, once for each revision, and only on what the incident holds
in that transaction.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import assert_never

from sqlalchemy import Connection

from watchfloor_agents.vouching.endorser import NamedValue
from watchfloor_core.clock import now_us
from watchfloor_core.incident import Assessment, IncidentStatus, Verdict
from watchfloor_core.ledger.record import Decision, record_decisions
from watchfloor_core.store.engine import Store
from watchfloor_core.telemetry.names import SpanAttribute, SpanName
from watchfloor_guardrails.autonomy import CLOSE_INCIDENT
from watchfloor_guardrails.ruling import Route, Ruling, permit_of
from watchfloor_guardrails.ruling_json import ruling_to_json
from watchfloor_workflows.assessment import StoredAssessment, from_row
from watchfloor_workflows.authority.responding import first_containment, respond, void_what_changed
from watchfloor_workflows.authority.vouching import Vouched, open_values
from watchfloor_workflows.closure import close_incident
from watchfloor_workflows.investigation.records import make_due
from watchfloor_workflows.investigation.wanted import is_investigated
from watchfloor_workflows.messages import IncidentStanding
from watchfloor_workflows.policy import Policy
from watchfloor_workflows.proposal import rule_on
from watchfloor_workflows.standing import (
    HumanWord,
    StoredIncident,
    last_entry_id,
    last_human_word,
    lock_incident,
    read_incident,
    standing_of,
    write_incident,
)


def settle(
    store: Store,
    policy: Policy,
    tenant: str,
    incident_id: str,
    revision: int,
    *,
    has_logs: bool = False,
    vouched: Vouched = MappingProxyType({}),
) -> IncidentStanding:
    """Rule on ``revision`` and act on the ruling; returns where the incident stands then.

    What is escalated is investigated; what waits in the queue too where there is telemetry to investigate in
    (``has_logs``), so that whoever takes it has the report before them. ``vouched``: what endorsers of others, asked
    before about `to_vouch_for`, vouch for.

    Where the incident has moved on or is settled already (by an earlier try, or by a person) nothing is changed, and
    the standing tells. Raises `NotFoundError`.
    """
    with store.write() as connection:
        held = lock_incident(connection, tenant, incident_id)
        if held.merged_into is not None:
            held = _merged(connection, held)
        elif held.revision == revision and not held.is_settled:
            held = _settle(connection, held, policy, has_logs=has_logs, vouched=vouched)
        return standing_of(connection, held)


def to_vouch_for(store: Store, policy: Policy, tenant: str, incident_id: str, revision: int) -> tuple[NamedValue, ...]:
    """Targets that settling this revision would propose to act on and that nobody of ours vouches for.

    Nothing where the incident has moved on, is settled, or is not believed to be an attack. Raises `NotFoundError`.
    """
    with store.read() as connection:
        held = read_incident(connection, tenant, incident_id)
        if held.merged_into is not None or held.revision != revision or held.is_settled:
            return ()
        stored = from_row(held.assessment)
        word = last_human_word(connection, tenant, incident_id)
        is_attack = (
            stored is not None
            and stored.assessment.revision == revision
            and (stored.assessment.verdict is Verdict.TRUE_POSITIVE)
        )
        if not is_attack and (word is None or word.verdict is not Verdict.TRUE_POSITIVE):
            return ()
        return open_values(first_containment(connection, held, policy))


def _merged(connection: Connection, held: StoredIncident) -> StoredIncident:
    """Correlation or a person joined it into another: there is nothing left to decide on."""
    if held.status is IncidentStatus.MERGED and held.triaged_revision >= held.revision:
        return held
    merged = write_incident(connection, held, {"status": IncidentStatus.MERGED, "triaged_revision": held.revision})
    void_what_changed(connection, merged)
    return merged


def _settle(
    connection: Connection, held: StoredIncident, policy: Policy, *, has_logs: bool, vouched: Vouched
) -> StoredIncident:
    stored = from_row(held.assessment)
    if stored is not None and stored.assessment.revision != held.revision:
        stored = None
    word = last_human_word(connection, held.tenant, held.id)
    start_us = now_us()
    ruling = rule_on(connection, held, stored.assessment if stored else None, policy, word)
    ruled = _ruled(connection, held, stored, ruling, policy, start_us)
    # What an agent thinks may stand with the incident only where the level in force lets it be heard.
    heard = stored.assessment if stored and not ruling.is_shadow else None
    values: dict[str, object] = {
        "level": ruling.level,
        "ruling": ruling_to_json(ruling),
        "probability": heard.probability if heard else None,
        "triaged_revision": held.revision,
        **({} if heard else {"assessment": None}),
    }
    match ruling.route:
        case Route.CLOSE:
            held, effect = close_incident(
                connection,
                held,
                permit_of(ruling),
                parent_id=ruled.id,
                beside=values,
                details={"rule_id": ruling.rule_id, "review_drawn": ruling.review_drawn},
            )
        case Route.QUEUE | Route.ESCALATE:
            status = _open_status(ruling.route, word)
            values["status"] = status
            values["verdict"] = _open_verdict(heard, ruling, word)
            effect = _put_before_person(held, status, ruling, ruled.id)
            held = write_incident(connection, held, values)
        case unknown:
            assert_never(unknown)
    drafted = respond(connection, held, policy, vouched) if ruling.route is Route.ESCALATE else []
    is_worth_it = ruling.route is Route.ESCALATE or (ruling.route is Route.QUEUE and has_logs)
    # In shadow nobody sees an agent's answer before a person's, and a report is one.
    if is_worth_it and not ruling.is_shadow and is_investigated(held, policy):
        make_due(connection, held.tenant, held.id, held.revision)
    void_what_changed(connection, held)
    record_decisions(connection, held.tenant, [ruled, effect, *drafted])
    return held


def _open_status(route: Route, word: HumanWord | None) -> IncidentStatus:
    """An agent may escalate what a person left, but never takes back a person's escalation."""
    if route is Route.ESCALATE or (word is not None and word.verdict is Verdict.TRUE_POSITIVE):
        return IncidentStatus.ESCALATED
    return IncidentStatus.QUEUED


def _open_verdict(heard: Assessment | None, ruling: Ruling, word: HumanWord | None) -> Verdict | None:
    if word is not None and word.verdict is Verdict.TRUE_POSITIVE:
        return Verdict.TRUE_POSITIVE
    return ruling.verdict if heard else None


def _ruled(
    connection: Connection,
    held: StoredIncident,
    stored: StoredAssessment | None,
    ruling: Ruling,
    policy: Policy,
    start_us: int,
) -> Decision:
    parent_id = stored.decision_id if stored else None
    return Decision(
        chain=held.id,
        kind="ruling",
        body={**ruling_to_json(ruling), "policy_problem": policy.problem},
        name=SpanName.RULING,
        start_us=start_us,
        end_us=now_us(),
        parent_id=parent_id or last_entry_id(connection, held.tenant, held.id, "shadow_seal", "correlate", "reopen"),
        attributes={
            SpanAttribute.TENANT: held.tenant,
            SpanAttribute.INCIDENT_REVISION: held.revision,
            SpanAttribute.ACTION_CLASS: CLOSE_INCIDENT,
            SpanAttribute.AUTONOMY_LEVEL: int(ruling.level),
            SpanAttribute.AUTONOMY_CONFIGURED: int(ruling.effective.configured),
            SpanAttribute.RULING: ruling.decision.value,
            SpanAttribute.RULING_CODES: [hit.rule for hit in ruling.hits if hit.outcome is ruling.decision],
            SpanAttribute.POLICY_DIGEST: ruling.policy_digest or "",
        },
    )


def _put_before_person(held: StoredIncident, status: IncidentStatus, ruling: Ruling, parent_id: str) -> Decision:
    is_escalated = status is IncidentStatus.ESCALATED
    now = now_us()
    requirement = ruling.requirement
    return Decision(
        chain=held.id,
        kind="escalation" if is_escalated else "queue",
        body={
            "revision": held.revision,
            "verdict": ruling.verdict.value if ruling.verdict else None,
            "because": [hit.text for hit in ruling.hits if hit.outcome is ruling.decision],
            "roles": list(requirement.roles) if requirement else [],
            "deadline_s": requirement.deadline_s if requirement else None,
        },
        name=SpanName.ESCALATION if is_escalated else SpanName.QUEUE,
        start_us=now,
        end_us=now,
        parent_id=parent_id,
        attributes={
            SpanAttribute.TENANT: held.tenant,
            SpanAttribute.INCIDENT_REVISION: held.revision,
            SpanAttribute.INCIDENT_STATUS: status.value,
        },
    )
