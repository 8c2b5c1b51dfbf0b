"""A person's decision on an incident: what makes one acceptable.

Pure and without a clock, so that a workflow's update validator and the transaction that closes give the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from watchfloor_core.incident import IncidentStatus, Verdict

MAX_COMMENT: Final = 4_000
"""Characters."""
MAX_PRINCIPAL: Final = 128
"""Characters; as wide as the store keeps it."""

_VERDICTS: Final = tuple(verdict.value for verdict in Verdict)


class PrincipalKind(StrEnum):
    """What stands behind a credential; `watchfloor_guardrails.roles` says what each kind may hold."""

    PERSON = "person"
    SERVICE = "service"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, as authentication established it; never taken from a request."""

    name: str
    kind: PrincipalKind


@dataclass(frozen=True, slots=True)
class DecideRequest:
    """What the person wants, as it came over the wire."""

    incident_id: str
    revision: int
    """The revision that the person saw."""
    verdict: str
    comment: str = ""
    acknowledged_revision: int | None = None
    """A newer revision about which the person was told and which the decision covers as well."""


@dataclass(frozen=True, slots=True)
class IncidentState:
    """The incident as it is now."""

    tenant: str
    incident_id: str
    revision: int
    status: IncidentStatus


def refusals(request: DecideRequest, principal: Principal, incident: IncidentState) -> list[str]:
    """Every reason against a decision, each with its remedy; empty where it is acceptable."""
    found: list[str] = []
    if principal.kind is not PrincipalKind.PERSON:
        found.append(f"principal {principal.name!r} is a {principal.kind}; only a person decides on an incident")
    if not 1 <= len(principal.name) <= MAX_PRINCIPAL:
        found.append(f"the principal's name has {len(principal.name)} characters; 1 to {MAX_PRINCIPAL} are expected")
    if request.incident_id != incident.incident_id:
        found.append(f"the decision is about incident {request.incident_id!r}, not {incident.incident_id!r}")
    if not incident.status.is_open:
        found.append(f"the incident is {incident.status}; reopen it to decide again")
    if not _covers(request, incident.revision):
        found.append(
            f"the decision is about revision {request.revision}, the incident is at {incident.revision}; "
            f"look again, or acknowledge revision {incident.revision}"
        )
    if request.verdict not in _VERDICTS:
        found.append(f"verdict {request.verdict[:60]!r} is not one of {', '.join(_VERDICTS)}")
    if request.verdict == Verdict.UNDETERMINED and not request.comment.strip():
        found.append("an Undetermined incident is closed only with a comment on why it cannot be evaluated")
    if len(request.comment) > MAX_COMMENT:
        found.append(f"the comment has {len(request.comment):,} characters; at most {MAX_COMMENT:,} are kept")
    if not is_storable(request.comment):
        found.append("the comment holds a NUL or half a surrogate pair, which no database keeps; remove it")
    return found


def _covers(request: DecideRequest, revision: int) -> bool:
    seen = request.revision if request.acknowledged_revision is None else request.acknowledged_revision
    # A revision older than the one seen cannot be acknowledged, and one that does not exist yet cannot have been seen.
    return request.revision <= seen == revision


def is_storable(text: str) -> bool:
    """Both databases can keep the text as it is."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
