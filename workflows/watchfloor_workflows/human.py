"""What people say of incidents, recorded once and put into effect in the same transaction.

From the first word of a person on, no agent closes the incident any more; it may still escalate it.
"""

from __future__ import annotations

import logging

from sqlalchemy import Connection, insert, select

from watchfloor_core.clock import now_us
from watchfloor_core.errors import RefusedError
from watchfloor_core.incident import IncidentStatus, Verdict
from watchfloor_core.ledger.record import Decision, record_decisions
from watchfloor_core.store.engine import Store
from watchfloor_core.store.pipelining import settle_sent
from watchfloor_core.store.schema import human_verdict
from watchfloor_core.telemetry.names import SpanAttribute, SpanName
from watchfloor_guardrails.decision import IncidentState
from watchfloor_guardrails.permit import person_permit
from watchfloor_workflows import shadow
from watchfloor_workflows.authority.responding import void_what_changed
from watchfloor_workflows.authority.tuning import tune
from watchfloor_workflows.closure import close_incident
from watchfloor_workflows.messages import DecideIncidentInput, IncidentStanding, ReopenIncidentInput
from watchfloor_workflows.policy import Policy
from watchfloor_workflows.refusals import (
    request_of,
    require_acceptable_decision,
    require_acceptable_reopening,
)
from watchfloor_workflows.standing import (
    StoredIncident,
    last_entry_id,
    last_human_word,
    lock_incident,
    standing_of,
    write_incident,
)

logger = logging.getLogger(__name__)

_PUT_BEFORE_PERSON = ("queue", "escalation", "closure", "reopen", "correlate")


def record_decision(
    store: Store, tenant: str, incident_id: str, decision: DecideIncidentInput, policy: Policy | None = None
) -> IncidentStanding:
    """Record a person's verdict and act on it. The same ``update_id`` again changes nothing.

    Under a ``policy`` that lets agents propose it, detection may be tuned in consequence.

    Raises `RefusedError` where the incident is not what the person saw, and `NotFoundError`.
    """
    with store.write() as connection:
        held = lock_incident(connection, tenant, incident_id)
        if not _is_recorded(connection, held, decision.update_id):
            held = _decide(connection, held, decision, policy)
        return standing_of(connection, held)


def record_reopening(
    store: Store, tenant: str, incident_id: str, order: ReopenIncidentInput, policy: Policy | None = None
) -> IncidentStanding:
    """Put a closed incident back into the queue, for people only. The same ``update_id`` again changes nothing.

    Raises `RefusedError` and `NotFoundError`.
    """
    with store.write() as connection:
        held = lock_incident(connection, tenant, incident_id)
        if not _is_recorded(connection, held, order.update_id):
            held = _reopen(connection, held, order, policy)
        return standing_of(connection, held)


def _decide(
    connection: Connection, held: StoredIncident, decision: DecideIncidentInput, policy: Policy | None
) -> StoredIncident:
    state = _state(held)
    principal = require_acceptable_decision(decision, state)
    _require_no_unseen_word(connection, held, decision)
    said = _said(connection, held, decision.principal, decision.verdict, decision.comment, decision.update_id)
    spoken = _human_verdict(held, said, parent_id=last_entry_id(connection, held.tenant, held.id, *_PUT_BEFORE_PERSON))
    revealed = shadow.reveal(connection, held.tenant, held.id, now=spoken.end_us, parent_id=spoken.id)
    if decision.close:
        permit = person_permit(request_of(decision, state), principal, state)
        held, effect = close_incident(connection, held, permit, parent_id=spoken.id)
    else:
        held, effect = _leave_open(connection, held, decision.verdict, parent_id=spoken.id)
    void_what_changed(connection, held)
    drafted = [] if policy is None else _tuned(connection, held, policy)
    record_decisions(connection, held.tenant, [spoken, *revealed, effect, *drafted])
    return held


def _tuned(connection: Connection, held: StoredIncident, policy: Policy) -> list[Decision]:
    """What the tuning agent proposes. Whatever goes wrong with that takes nothing from the person's word."""
    try:
        with connection.begin_nested():
            tuned = tune(connection, held, policy)
            settle_sent(connection)
            return tuned
    except Exception:
        logger.exception("detection is not tuned by what was said of incident %s", held.id)
        return []


def _require_no_unseen_word(connection: Connection, held: StoredIncident, decision: DecideIncidentInput) -> None:
    """Two people who looked at the same revision must not overrule each other without knowing."""
    word = last_human_word(connection, held.tenant, held.id)
    if word is None or decision.acknowledges_newer or word.principal == decision.principal:
        return
    if word.verdict is Verdict.UNDETERMINED:
        # Whoever reopened it waits for someone to decide.
        return
    # What was said of an incident that has been merged into this one was said of none of its revisions.
    if word.incident_id != held.id or word.revision >= decision.revision:
        raise RefusedError(
            f"{word.principal!r} has said {word.verdict} of revision {word.revision} of {word.incident_id} already; "
            "look again, then decide with acknowledges_newer"
        )


def _leave_open(
    connection: Connection, held: StoredIncident, verdict: Verdict, *, parent_id: str
) -> tuple[StoredIncident, Decision]:
    """The person goes on working on it: escalated where they believe it to be an attack, else in the queue."""
    is_attack = verdict is Verdict.TRUE_POSITIVE
    status = IncidentStatus.ESCALATED if is_attack else IncidentStatus.QUEUED
    now = now_us()
    changed = write_incident(
        connection, held, {"status": status, "verdict": verdict, "triaged_revision": held.revision}
    )
    effect = Decision(
        chain=held.id,
        kind="escalation" if is_attack else "queue",
        body={"revision": held.revision, "verdict": verdict.value, "because": ["a person has decided so"]},
        name=SpanName.ESCALATION if is_attack else SpanName.QUEUE,
        start_us=now,
        end_us=now,
        parent_id=parent_id,
        attributes={
            SpanAttribute.TENANT: held.tenant,
            SpanAttribute.INCIDENT_REVISION: held.revision,
            SpanAttribute.INCIDENT_STATUS: status.value,
        },
    )
    return changed, effect


def _reopen(
    connection: Connection, held: StoredIncident, order: ReopenIncidentInput, policy: Policy | None
) -> StoredIncident:
    require_acceptable_reopening(order, _state(held))
    said = _said(connection, held, order.principal, Verdict.UNDETERMINED, order.comment, order.update_id)
    parent_id = last_entry_id(connection, held.tenant, held.id, "closure")
    spoken = _human_verdict(held, said, parent_id=parent_id)
    reopened = Decision(
        chain=held.id,
        kind="reopen",
        body={
            "revision": held.revision,
            "closed_revision": held.triaged_revision,
            "closed_by": held.closed_by,
            "cause": "person",
            "principal": order.principal,
        },
        name=SpanName.REOPEN,
        start_us=spoken.end_us,
        end_us=spoken.end_us,
        parent_id=spoken.id,
        attributes={
            SpanAttribute.TENANT: held.tenant,
            SpanAttribute.INCIDENT_REVISION: held.revision,
            SpanAttribute.PRINCIPAL: order.principal,
        },
    )
    held = write_incident(connection, held, {"closed_by": None, "closed_us": None})
    held, queued = _leave_open(connection, held, Verdict.UNDETERMINED, parent_id=reopened.id)
    void_what_changed(connection, held)
    drafted = [] if policy is None else _tuned(connection, held, policy)
    record_decisions(connection, held.tenant, [spoken, reopened, queued, *drafted])
    return held


def _state(held: StoredIncident) -> IncidentState:
    return IncidentState(held.tenant, held.id, held.revision, held.status)


def _is_recorded(connection: Connection, held: StoredIncident, update_id: str) -> bool:
    return (
        connection.execute(
            select(human_verdict.c.id).where(
                human_verdict.c.tenant == held.tenant,
                human_verdict.c.incident_id == held.id,
                human_verdict.c.update_id == update_id,
            )
        ).first()
        is not None
    )


def _said(
    connection: Connection, held: StoredIncident, principal: str, verdict: Verdict, comment: str, update_id: str
) -> dict[str, str | int | bool]:
    """The row in ``human_verdict``, which is also what the ledger says."""
    said: dict[str, str | int | bool] = {
        "revision": held.revision,
        "verdict": verdict.value,
        "principal": principal,
        "comment": comment,
        "update_id": update_id,
        "saw_agent_answer": shadow.answer_was_visible(connection, held.tenant, held.id),
    }
    connection.execute(
        insert(human_verdict).values(**said, tenant=held.tenant, incident_id=held.id, decided_us=now_us())
    )
    return said


def _human_verdict(held: StoredIncident, said: dict[str, str | int | bool], *, parent_id: str | None) -> Decision:
    now = now_us()
    return Decision(
        chain=held.id,
        kind="human_verdict",
        body=said,
        name=SpanName.HUMAN_VERDICT,
        start_us=now,
        end_us=now,
        parent_id=parent_id,
        attributes={
            SpanAttribute.TENANT: held.tenant,
            SpanAttribute.INCIDENT_REVISION: held.revision,
            SpanAttribute.VERDICT: str(said["verdict"]),
            SpanAttribute.PRINCIPAL: str(said["principal"]),
        },
    )
