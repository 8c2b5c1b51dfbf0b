"""Closing an incident: the one function that does it, and it takes a permit."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConflictError
from watchfloor_core.incident import IncidentStatus
from watchfloor_core.ledger.record import Decision
from watchfloor_core.telemetry.names import SpanAttribute, SpanName
from watchfloor_guardrails.permit import ClosurePermit
from watchfloor_workflows.standing import StoredIncident, write_incident


def close_incident(
    connection: Connection,
    held: StoredIncident,
    permit: ClosurePermit,
    *,
    parent_id: str,
    beside: Mapping[str, object] | None = None,
    details: Mapping[str, JsonValue] | None = None,
) -> tuple[StoredIncident, Decision]:
    """Close a locked incident under a permit for its very revision.

    ``beside`` is what the same update of the row sets, ``details`` what the ledger entry says further. The decision is
    to be recorded in the same transaction. Raises `ConflictError` where the permit is for anything else.
    """
    if (permit.tenant, permit.incident_id, permit.revision) != (held.tenant, held.id, held.revision):
        raise ConflictError(
            f"the permit is for revision {permit.revision} of {permit.incident_id!r}, not for revision "
            f"{held.revision} of {held.id!r}; rule again"
        )
    now = now_us()
    closed = write_incident(
        connection,
        held,
        {
            **(beside or {}),
            "status": IncidentStatus.CLOSED,
            "verdict": permit.verdict,
            "closed_by": permit.closed_by,
            "closed_us": now,
            "triaged_revision": permit.revision,
        },
    )
    decision = Decision(
        chain=held.id,
        kind="closure",
        body={
            "revision": permit.revision,
            "verdict": permit.verdict.value,
            "closed_by": permit.closed_by.value,
            "policy_digest": permit.policy_digest,
            "principal": permit.principal,
            "alerts": held.alert_count,
            **(details or {}),
        },
        name=SpanName.CLOSURE,
        start_us=now,
        end_us=now,
        parent_id=parent_id,
        attributes={
            SpanAttribute.TENANT: held.tenant,
            SpanAttribute.INCIDENT_REVISION: permit.revision,
            SpanAttribute.VERDICT: permit.verdict.value,
            SpanAttribute.CLOSED_BY: permit.closed_by.value,
            SpanAttribute.ALERTS: held.alert_count,
        },
    )
    return closed, decision
