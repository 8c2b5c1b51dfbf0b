"""The report of an investigation: claims, each of which cites the evidence it rests on.

Text in a report is for people and may quote what an attacker wrote. It is data: whoever shows it escapes it, and no
link or image in it is ever live.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from watchfloor_core.alert import TimePrecision
from watchfloor_core.incident import Verdict


class Stance(StrEnum):
    """What a finding does to the hypothesis that it is about."""

    SUPPORTS = "supports"
    REFUTES = "refutes"
    NEUTRAL = "neutral"


class HypothesisKind(StrEnum):
    ATTACK = "attack"
    BENIGN = "benign"
    INSUFFICIENT = "insufficient"
    """There is too little to see to tell."""


class Scope(StrEnum):
    """How far an entity is affected."""

    COMPROMISED = "compromised"
    """Evidence shows the attacker in control of it."""
    TARGETED = "targeted"
    """It was acted on; whether that succeeded is not shown."""
    INVOLVED = "involved"
    """It took part without being the aim: a source, a tool."""


class Phase(StrEnum):
    """Of the response (NIST SP 800-61)."""

    CONTAIN = "contain"
    ERADICATE = "eradicate"
    RECOVER = "recover"


@dataclass(frozen=True, slots=True)
class Citation:
    """The exact place that a claim relies on."""

    evidence_id: str
    """64 hex digits (`watchfloor_core.evidence.Evidence.id`)."""
    field: str
    """As `Evidence.value` takes it, e.g. ``process.command_line``."""
    text: str
    """What is relied on, which the field's value must hold: the whole value, or the part from ``start``."""
    start: int | None = None
    """Index of ``text`` in the value, in code points; None where ``text`` is the whole value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One claim."""

    id: str
    """``F1``, ``F2`` …; unique in the report."""
    code: str
    """Stable name of the analyser's rule, e.g. ``lsass_memory_read``; ``model`` for a generative engine's own."""
    text: str
    citations: tuple[Citation, ...]
    hypothesis_id: str | None = None
    stance: Stance = Stance.NEUTRAL
    log_odds: float = 0.0
    """Natural-log odds that it adds for its hypothesis; negative where it refutes."""
    techniques: tuple[str, ...] = ()
    """ATT&CK ids that it bears out."""
    rests_on_external: bool = False
    """An attacker could have written what it rests on: it may raise suspicion, never lower it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What must, or must not, be seen if a hypothesis holds; asked of the sources."""

    text: str
    is_for: bool
    """True: seeing it speaks for the hypothesis; False: it speaks against it."""
    outcome: str
    """``seen``, ``not seen`` or ``not testable``: a dark source shows nothing."""
    finding_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """One explanation, held against the others."""

    id: str
    """``H1`` …"""
    kind: HypothesisKind
    title: str
    probability: float
    """Posterior, 0–1; those of one report add up to 1."""
    predictions: tuple[Prediction, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    time_us: int
    precision: TimePrecision
    text: str
    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TechniqueClaim:
    """A technique with the findings that bear it out."""

    technique: str
    name: str
    finding_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedEntity:
    kind: str
    """A `watchfloor_core.alert.EntityKind`."""
    value: str
    scope: Scope
    finding_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """What could not be told, and why."""

    text: str
    cause: str
    """``dark_source``, ``partial_source``, ``budget``, ``cut``, ``not_collected``, ``conflict``."""
    source: str = ""
    """The log source that was dark or partial, where events of the case may have stayed unseen for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """A step worth proposing. What it touches, and whether a person must agree, the core computes from the proposal."""

    phase: Phase
    action_class: str
    """OpenC2 verb and target, as in the catalogue of actions; or empty for work that people do."""
    target_kind: str
    target: str
    purpose: str
    expected_effect: str
    undo: str
    """In words; what cannot be taken back says so."""
    finding_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A claim that did not pass the check, and why."""

    what: str
    """``finding F3``, ``technique T1059`` …"""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an investigation of one revision of an incident came to."""

    tenant: str
    incident_id: str
    revision: int
    verdict: Verdict
    probability: float
    """Calibrated probability of TruePositive, 0–1."""
    certainty: float
    """0–1: how much there was to decide on; below 1 where a log source that the case is about was dark or partial."""
    summary: str
    hypotheses: tuple[Hypothesis, ...]
    """The most probable first."""
    findings: tuple[Finding, ...]
    timeline: tuple[TimelineEntry, ...]
    """By time."""
    root_cause: str | None
    """None: not established."""
    root_cause_finding_ids: tuple[str, ...] = ()
    techniques: tuple[TechniqueClaim, ...] = ()
    entities: tuple[AffectedEntity, ...] = ()
    unknowns: tuple[Unknown, ...] = ()
    recommendations: tuple[Recommendation, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    """Claims that the checker took out."""
    relation: str = ""
    """One sentence: how triage's verdict and this one relate, and which stands for what; empty where triage gave none
    that may be shown."""
    engine: str = "specialist"
    version: str = ""
    """Digest of what the answer depends on besides the evidence."""
    started_us: int = 0
    ended_us: int = 0
