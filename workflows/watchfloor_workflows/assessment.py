"""An engine's assessment as the store and the ledger keep it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from watchfloor_core.canonical import JsonValue
from watchfloor_core.incident import Assessment, Reason, Verdict


@dataclass(frozen=True, slots=True)
class StoredAssessment:
    """An assessment and the ledger entry in which it was recorded."""

    assessment: Assessment
    decision_id: str

    def is_of(self, revision: int, version: str) -> bool:
        """True where the same engine has assessed this very revision: it need not be asked again."""
        return self.assessment.revision == revision and self.assessment.version == version


def assessment_content(assessment: Assessment) -> dict[str, JsonValue]:
    """What is entered in the ledger, sealed at L0, and kept with the incident."""
    return {
        "incident_id": assessment.incident_id,
        "revision": assessment.revision,
        "verdict": assessment.verdict.value,
        "probability": assessment.probability,
        "certainty": assessment.certainty,
        "reasons": [
            {
                "code": reason.code,
                "text": reason.text,
                "log_odds": reason.log_odds,
                "rests_on_external": reason.rests_on_external,
            }
            for reason in assessment.reasons
        ],
        "engine": assessment.engine,
        "version": assessment.version,
        "evidence": list(assessment.evidence),
    }


def to_row(assessment: Assessment, decision_id: str) -> dict[str, JsonValue]:
    """The value of column ``incident.assessment``."""
    return {**assessment_content(assessment), "decision_id": decision_id}


def from_row(content: Mapping[str, Any] | None) -> StoredAssessment | None:
    """The value of column ``incident.assessment``, which only `to_row` writes."""
    if content is None:
        return None
    assessment = Assessment(
        incident_id=content["incident_id"],
        revision=content["revision"],
        verdict=Verdict(content["verdict"]),
        probability=content["probability"],
        certainty=content["certainty"],
        reasons=tuple(Reason(**reason) for reason in content["reasons"]),
        engine=content["engine"],
        version=content["version"],
        evidence=tuple(content["evidence"]),
    )
    return StoredAssessment(assessment, content["decision_id"])
