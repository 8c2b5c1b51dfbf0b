"""Two reports on one case, the specialist's and a model's or a plug-in's, made into one that people can read.

Agreement strengthens nothing: the specialist's probability stays, and whatever a model had a part in needs a person's
decision (level 2). Disagreement is nobody's to settle but a person's: the verdict is Undetermined then, and both sides
are shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from watchfloor_core.incident import AutonomyLevel, Verdict
from watchfloor_core.report import Dropped, Finding, Hypothesis, HypothesisKind, Report, Stance, Unknown

CEILING: Final = AutonomyLevel.L2
"""The most that may rest on a report in which a model had a part."""
_PREFIX: Final = "M"
"""Before the numbers of a model's findings in the joint report."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Something that the two say differently; each side in words."""

    about: str
    """``verdict``, ``evidence`` or ``root_cause``."""
    specialist: str
    generative: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    report: Report
    """The specialist's, with the model's findings behind its own; its ``engine`` is the model's, so that the model's
    ceiling holds for it wherever it is looked at."""
    disagreements: tuple[Disagreement, ...]
    specialist: Report
    generative: Report
    ceiling: AutonomyLevel = CEILING

    @property
    def needs_person(self) -> bool:
        """The two disagree: nothing is proposed on the strength of either before a person has decided."""
        return bool(self.disagreements)


def reconcile(specialist: Report, generative: Report) -> Reconciled:
    """Both must be of the same revision of the same incident; raises ValueError else, and where the second is neither a
    generative engine's nor a plug-in's."""
    if _of(specialist) != _of(generative):
        raise ValueError(f"reports on different things: {_of(specialist)} and {_of(generative)}")
    if not generative.engine.startswith(("generative:", "plugin:")):
        raise ValueError(
            f"the second report is of engine {generative.engine!r}; expected generative:<model> or plugin:<name>"
        )
    disagreements = tuple(_disagreements(specialist, generative))
    differs = specialist.verdict is not generative.verdict
    mapped = _hypothesis_ids(specialist, generative)
    findings = tuple(
        replace(
            one,
            id=f"{_PREFIX}{number}",
            hypothesis_id=mapped.get(one.hypothesis_id or ""),
            log_odds=0.0,
        )
        for number, one in enumerate(generative.findings, 1)
    )
    ids = {old.id: new.id for old, new in zip(generative.findings, findings, strict=True)}
    conflicts = tuple(_unknown(one, generative.engine) for one in disagreements)
    report = replace(
        specialist,
        verdict=Verdict.UNDETERMINED if differs else specialist.verdict,
        findings=(*specialist.findings, *findings),
        timeline=tuple(sorted((*specialist.timeline, *generative.timeline), key=lambda one: one.time_us)),
        # The model's techniques stay with its findings: in the report's own list stands what rules bear out.
        unknowns=(*specialist.unknowns, *generative.unknowns, *conflicts),
        dropped=(*specialist.dropped, *(_dropped(one, ids) for one in generative.dropped)),
        engine=generative.engine,
        version=generative.version,
    )
    return Reconciled(report=report, disagreements=disagreements, specialist=specialist, generative=generative)


def _of(report: Report) -> tuple[str, str, int]:
    return report.tenant, report.incident_id, report.revision


def _disagreements(specialist: Report, generative: Report) -> Iterator[Disagreement]:
    if specialist.verdict is not generative.verdict:
        yield Disagreement("verdict", specialist.verdict.value, generative.verdict.value)
    for finding in generative.findings:
        other = _opposite(finding, specialist, generative)
        if other is not None:
            yield Disagreement("evidence", f"{other.id}: {other.text}", finding.text)
    if specialist.root_cause and generative.root_cause and not _shares_root(specialist, generative):
        yield Disagreement("root_cause", specialist.root_cause, generative.root_cause)


def _opposite(finding: Finding, specialist: Report, generative: Report) -> Finding | None:
    """The specialist's finding that takes the same field of the same evidence for the opposite."""
    places = {(one.evidence_id, one.field) for one in finding.citations}
    leaning = _leaning(finding, generative)
    for other in specialist.findings:
        is_same = any((one.evidence_id, one.field) in places for one in other.citations)
        if is_same and {leaning, _leaning(other, specialist)} == {True, False}:
            return other
    return None


def _leaning(finding: Finding, report: Report) -> bool | None:
    """True: towards an attack; False: towards a benign cause; None: neither."""
    kinds = {one.id: one.kind for one in report.hypotheses}
    kind = kinds.get(finding.hypothesis_id or "")
    if finding.stance is Stance.NEUTRAL or kind not in (HypothesisKind.ATTACK, HypothesisKind.BENIGN):
        return None
    return (kind is HypothesisKind.ATTACK) == (finding.stance is Stance.SUPPORTS)


def _shares_root(specialist: Report, generative: Report) -> bool:
    """Whether the two root causes rest on a common piece of evidence."""
    return bool(_root_evidence(specialist) & _root_evidence(generative))


def _root_evidence(report: Report) -> set[str]:
    of = set(report.root_cause_finding_ids)
    return {place.evidence_id for one in report.findings if one.id in of for place in one.citations}


def _hypothesis_ids(specialist: Report, generative: Report) -> dict[str, str]:
    """From the model's hypotheses to the specialist's likeliest of the same kind."""
    own: dict[HypothesisKind, Hypothesis] = {}
    for one in specialist.hypotheses:
        own.setdefault(one.kind, one)
    return {one.id: own[one.kind].id for one in generative.hypotheses if one.kind in own}


def _unknown(disagreement: Disagreement, engine: str) -> Unknown:
    about = disagreement.about.replace("_", " ")
    other = "a model" if engine.startswith("generative:") else engine
    sides = f"rules say {disagreement.specialist}; {other} says {disagreement.generative}"
    text = f"The engines disagree on the {about}: {sides}"
    return Unknown(text=text, cause="conflict")


def _dropped(dropped: Dropped, ids: dict[str, str]) -> Dropped:
    """With the joint report's numbers, where it names a finding."""
    name = dropped.what.removeprefix("finding ")
    return replace(dropped, what=f"finding {ids[name]}") if name in ids else dropped
