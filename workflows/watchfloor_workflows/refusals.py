"""Whether a person's request on an incident is accepted: the guardrails' answer for the workflow's own messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from watchfloor_core.errors import RefusedError
from watchfloor_core.incident import IncidentStatus, Verdict
from watchfloor_guardrails.decision import DecideRequest, IncidentState, Principal, PrincipalKind, refusals
from watchfloor_workflows.messages import DecideIncidentInput, ReopenIncidentInput

MAX_UPDATE_ID: Final = 64
"""Characters; as wide as the store keeps it."""
_KINDS: Final = {kind.value: kind for kind in PrincipalKind}


def require_acceptable_decision(decision: DecideIncidentInput, incident: IncidentState) -> Principal:
    """Who decides; raises `RefusedError` with every reason against it."""
    principal = _principal(decision)
    request = request_of(decision, incident)
    _require([*refusals(request, principal, incident), *_faults(decision.update_id)])
    return principal


def require_acceptable_reopening(order: ReopenIncidentInput, incident: IncidentState) -> Principal:
    """Who takes a closed incident up again; raises `RefusedError` with every reason against it.

    To reopen is to say that the incident is Undetermined again, so the same is asked of who says it.
    """
    principal = _principal(order)
    against = [] if incident.status is IncidentStatus.CLOSED else [f"the incident is {incident.status}, not closed"]
    if order.comment.strip():
        request = DecideRequest(incident.incident_id, incident.revision, Verdict.UNDETERMINED, order.comment)
        reopened = IncidentState(incident.tenant, incident.incident_id, incident.revision, IncidentStatus.NEW)
        against += refusals(request, principal, reopened)
    else:
        against.append("an incident is reopened only with a comment on why")
    _require([*against, *_faults(order.update_id)])
    return principal


def request_of(decision: DecideIncidentInput, incident: IncidentState) -> DecideRequest:
    """The decision in the guardrails' terms."""
    return DecideRequest(
        incident_id=incident.incident_id,
        revision=decision.revision,
        verdict=decision.verdict,
        comment=decision.comment,
        acknowledged_revision=incident.revision if decision.acknowledges_newer else None,
    )


def _principal(request: DecideIncidentInput | ReopenIncidentInput) -> Principal:
    kind = _KINDS.get(request.principal_kind)
    if kind is None:
        raise RefusedError(f"principal kind {request.principal_kind[:60]!r} is not one of {', '.join(_KINDS)}")
    return Principal(request.principal, kind)


def _faults(update_id: str) -> list[str]:
    if 1 <= len(update_id) <= MAX_UPDATE_ID:
        return []
    return [f"update_id has {len(update_id)} characters; 1 to {MAX_UPDATE_ID} are expected"]


def _require(against: Sequence[str]) -> None:
    if against:
        raise RefusedError("; ".join(against))
