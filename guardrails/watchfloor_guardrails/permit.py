"""The permit to close one revision of one incident: the closing code takes nothing else.

Only the decision point (`watchfloor_guardrails.ruling.rule`) and `person_permit` can make one. It does not leave the
process: closing code rules again in the transaction that closes, so that a stored ruling is a record, not an authority.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from typing import Final, NoReturn

from watchfloor_core.errors import RefusedError
from watchfloor_core.incident import ClosedBy, Verdict
from watchfloor_guardrails.decision import DecideRequest, IncidentState, Principal, refusals

_AUTHORITY: Final = object()
"""What the two issuers have and nobody else: importing it elsewhere is what a test forbids."""


@dataclass(frozen=True, slots=True)
class ClosurePermit:
    """Bound to one revision, one verdict and whoever answers for it."""

    tenant: str
    incident_id: str
    revision: int
    verdict: Verdict
    closed_by: ClosedBy
    policy_digest: str | None
    """The policy that allowed it; None where a person decided."""
    principal: str | None
    """The person who decided; None for the agent and for rules."""
    authority: InitVar[object]

    def __post_init__(self, authority: object) -> None:
        if authority is not _AUTHORITY:
            raise TypeError("a closure permit comes from permit_of() or person_permit(), not from its constructor")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a closure permit does not leave its process; rule again where the incident is closed")


def person_permit(request: DecideRequest, principal: Principal, incident: IncidentState) -> ClosurePermit:
    """The permit for a person's own decision; raises `RefusedError` with every reason against it."""
    against = refusals(request, principal, incident)
    if against:
        raise RefusedError("; ".join(against))
    return ClosurePermit(
        tenant=incident.tenant,
        incident_id=incident.incident_id,
        revision=incident.revision,
        verdict=Verdict(request.verdict),
        closed_by=ClosedBy.PERSON,
        policy_digest=None,
        principal=principal.name,
        authority=_AUTHORITY,
    )
