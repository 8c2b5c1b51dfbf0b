"""The case that an investigation begins with: one revision of an incident, as its alerts tell it."""

from __future__ import annotations

from dataclasses import dataclass

from watchfloor_core.alert import EntityKind, EntityRole, Integrity, TimePrecision
from watchfloor_core.evidence import Evidence
from watchfloor_core.incident import Verdict
from watchfloor_core.logs.query import TimeRange


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseEntity:
    """An entity that the incident's alerts name."""

    kind: EntityKind
    value: str
    role: EntityRole
    integrity: Integrity
    """Of the most trusted field that names it."""
    alerts: int
    tier: int | None = None
    """0 (crown jewel) to 3; None where the inventory does not list it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseAlert:
    """One kind of alert of the incident: equal alerts count together."""

    evidence: Evidence
    """Of kind ALERT; its ``fields`` hold what a finding may cite."""
    product: str
    detector: str
    """The rule's title."""
    severity: int
    """OCSF ``severity_id``."""
    tactics: tuple[str, ...]
    techniques: tuple[str, ...]
    entities: tuple[tuple[EntityKind, str, EntityRole], ...]
    count: int
    first_us: int
    last_us: int
    precision: TimePrecision = TimePrecision.SECOND
    """In which the sensor gave the time of the first."""
    of_rule: int = 0
    """Alerts of the whole incident by the same rule, those of kinds that the case leaves out too; 0: not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvestigationCase:
    """What is known before anybody has looked at telemetry."""

    tenant: str
    incident_id: str
    revision: int
    title: str
    range: TimeRange
    """From the first alert to just after the last."""
    alerts: tuple[CaseAlert, ...]
    """By time."""
    entities: tuple[CaseEntity, ...]
    """Those named by the most alerts first."""
    triage_verdict: Verdict | None = None
    triage_probability: float | None = None
    triage_reasons: tuple[str, ...] = ()
    """Codes of what its probability rests on, the weightiest for that first."""

    def values(self, kind: EntityKind) -> tuple[str, ...]:
        """Names of the entities of a kind, those named most first."""
        return tuple(one.value for one in self.entities if one.kind is kind)
