"""Incidents, verdicts and assessments: what triage works on and what it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class Verdict(StrEnum):
    """What an incident turned out to be."""

    TRUE_POSITIVE = "TruePositive"
    BENIGN_POSITIVE = "BenignPositive"
    """The detector was right, the activity is legitimate."""
    FALSE_POSITIVE = "FalsePositive"
    UNDETERMINED = "Undetermined"
    """Not evaluable: no basis, a dark sensor, too little history."""

    @property
    def is_benign(self) -> bool:
        return self in (Verdict.BENIGN_POSITIVE, Verdict.FALSE_POSITIVE)


class IncidentStatus(StrEnum):
    """Where an incident stands."""

    NEW = "new"
    """Correlated, not yet triaged."""
    QUEUED = "queued"
    """Waits for a person."""
    ESCALATED = "escalated"
    """Waits for a person, and is believed to be an attack."""
    CLOSED = "closed"
    MERGED = "merged"
    """A person joined it into another incident."""

    @property
    def is_open(self) -> bool:
        return self in (IncidentStatus.NEW, IncidentStatus.QUEUED, IncidentStatus.ESCALATED)


class IncidentKind(StrEnum):
    """How the alerts of an incident came together."""

    ACTIVITY = "activity"
    """Salient alerts joined by shared entities."""
    ROUTINE = "routine"
    """Alerts of one asset and one window that are within the learned normal; decided once the window is over."""


class ClosedBy(StrEnum):
    AGENT = "agent"
    RULE = "rule"
    PERSON = "person"


class AutonomyLevel(IntEnum):
    """L0–L4 of the AI Maturity Model for Cybersecurity."""

    L0 = 0
    L1 = 1
    L2 = 2
    L3 = 3
    L4 = 4


class Function(StrEnum):
    """The functions whose autonomy is set apart."""

    THREAT_DETECTION = "threat_detection"
    ALERT_TRIAGE = "alert_triage"
    INVESTIGATION = "investigation"
    EVIDENCE_ACQUISITION = "evidence_acquisition"
    INCIDENT_RESPONSE = "incident_response"
    RISK_MANAGEMENT = "risk_management"
    REPORTING = "reporting"


@dataclass(frozen=True, slots=True)
class Reason:
    """One contribution to an assessment."""

    code: str
    """Stable name, e.g. ``novel_detector_on_asset``."""
    text: str
    """For a person, with the numbers; attacker-authored text in it is quoted."""
    log_odds: float
    """Natural-log odds that it adds for TruePositive."""
    rests_on_external: bool = False
    """True where attacker-authored text is what it rests on; such a reason may raise suspicion, never lower it."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a triage engine says about one revision of an incident."""

    incident_id: str
    revision: int
    verdict: Verdict
    probability: float
    """Calibrated probability of TruePositive, 0–1."""
    certainty: float
    """0–1: how much history and evidence stand behind the probability; low at cold start."""
    reasons: tuple[Reason, ...]
    """Largest absolute contribution first."""
    engine: str
    """``specialist`` or ``generative:<model>``."""
    version: str
    """Digest of what the answer depends on: code version, model state, settings."""
    evidence: tuple[str, ...] = field(default=())
    """Ids of the observations that it rests on."""
