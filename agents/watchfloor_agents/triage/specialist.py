"""The specialist engine: no network, no key, deterministic, and every number in the open."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from watchfloor_agents.triage import baseline, scoring
from watchfloor_agents.triage.engine import TriageCase
from watchfloor_core.incident import Assessment, IncidentKind, Reason, Verdict

ATTACK_FROM: Final = 0.5
"""Probability of TruePositive from which the verdict says so."""
BENIGN_BELOW: Final = 0.15
"""Probability under which the verdict is benign; between the two it is Undetermined."""
NO_BASIS_BELOW: Final = 0.2
"""Certainty under which a low probability says nothing: the organisation has hardly been watched."""


def _version() -> str:
    """Digest of the code that the answer depends on: other weights are another engine."""
    digest = hashlib.sha256(baseline.VERSION.encode())
    for name in ("baseline", "features", "learning", "lexicon", "scoring", "specialist"):
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


class SpecialistTriage:
    """Combines surprise, corroboration, progression, criticality and people's verdicts as log-odds."""

    name = "specialist"

    def __init__(self) -> None:
        self.version = _version()

    def assess(self, case: TriageCase) -> Assessment:
        reasons = [*scoring.contributions(case.features), *_learned(case)]
        prior, rest = reasons[0], reasons[1:]
        rest.sort(key=lambda reason: (-abs(reason.log_odds), reason.code, reason.text))
        probability = scoring.probability(scoring.log_odds(reasons))
        certainty = scoring.certainty(case.features)
        return Assessment(
            incident_id=case.incident_id,
            revision=case.revision,
            verdict=_verdict(case.kind, probability, certainty),
            probability=round(probability, 6),
            certainty=round(certainty, 4),
            reasons=(*rest, prior),
            engine=self.name,
            version=self.version,
        )


def _verdict(kind: str, probability: float, certainty: float) -> Verdict:
    if probability >= ATTACK_FROM:
        return Verdict.TRUE_POSITIVE
    if probability >= BENIGN_BELOW or certainty < NO_BASIS_BELOW:
        return Verdict.UNDETERMINED
    # Routine means that the detector rightly reports what this organisation always does.
    return Verdict.BENIGN_POSITIVE if kind == IncidentKind.ROUTINE else Verdict.FALSE_POSITIVE


def _learned(case: TriageCase) -> list[Reason]:
    """The strongest lesson: several detectors of one incident were taught by the same verdicts."""
    if not case.lessons:
        return []
    detector_id, lesson = max(case.lessons.items(), key=lambda item: (abs(item[1].log_odds), item[0]))
    title = case.features.detectors[detector_id].title
    own = lesson.true_positives + lesson.benign
    text = f"People judged {lesson.benign} of {own} incidents led by {title!r} benign"
    if lesson.cousins:
        text += f", and {lesson.cousins} led by other rules of the same sensor"
    return [Reason("analyst_verdicts", text, lesson.log_odds)]
