"""Who names an entity in the evidence that a report cites: what its label rests on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from watchfloor_core.alert import Integrity
from watchfloor_core.evidence import Evidence
from watchfloor_core.report import Citation, Report


@dataclass(frozen=True, slots=True)
class Naming:
    integrity: Integrity
    """Of the most trusted cited field that names it."""
    sources: frozenset[str]
    """Whose own fields name it."""


def naming_of(
    value: str, finding_ids: Collection[str], report: Report, evidence: Mapping[str, Evidence]
) -> Naming | None:
    """From the citations of these findings; None where no field that they cite is the value."""
    cited = [
        citation
        for finding in report.findings
        if finding.id in finding_ids
        for citation in finding.citations
        if _names(citation, value, evidence)
    ]
    if not cited:
        return None
    named = [(evidence[one.evidence_id].integrity(one.field), evidence[one.evidence_id].source) for one in cited]
    return Naming(
        min(integrity for integrity, _ in named),
        frozenset(source for integrity, source in named if integrity < Integrity.EXTERNAL),
    )


def _names(citation: Citation, value: str, evidence: Mapping[str, Evidence]) -> bool:
    """Whether the cited field is the value; a part of a longer text is not enough to act on."""
    held = evidence.get(citation.evidence_id)
    said = held.value(citation.field) if held is not None else None
    return said is not None and value.casefold() in {part.strip().casefold() for part in said.split(",")}
