"""The check that stands between any engine and people: a claim whose evidence does not say so is dropped and counted.

A claim holds where each of its citations does (the evidence exists in the case, has the field, and the field holds the
text at the place named), and where all that its sentence names occurs in the evidence it cites. The words between are
not checked: a sentence can still mislead, and it says at which evidence to look.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from watchfloor_agents.investigation.literals import Haystack
from watchfloor_core.evidence import Evidence
from watchfloor_core.incident import Verdict
from watchfloor_core.report import (
    AffectedEntity,
    Citation,
    Dropped,
    Finding,
    Hypothesis,
    HypothesisKind,
    Prediction,
    Recommendation,
    Report,
    Stance,
    TechniqueClaim,
    TimelineEntry,
)
from watchfloor_core.untrusted import escape_untrusted

LIKELY: Final = 0.7
"""As an engine needs it for a verdict, so the check for letting one stand."""
REPLACED: Final = "The summary named what the evidence does not hold and was taken out; see the findings."
_BENIGN: Final = (Verdict.BENIGN_POSITIVE, Verdict.FALSE_POSITIVE)

Facts = Mapping[str, Evidence]
ClaimT = TypeVar("ClaimT")


def check(report: Report, evidence: Facts) -> Report:
    """The report with what its evidence bears out, and in ``dropped`` what it does not.

    Where findings fall away, their log-odds are taken from the report's probability, and a verdict that no finding
    bears out any more becomes Undetermined: with no finding left for either side, at probability 0.5 and certainty 0.
    A benign verdict needs a finding that does not rest on what an attacker can write. Total, and checking twice changes
    nothing more.
    """
    return _Check(report, evidence).result()


@dataclass(slots=True)
class _Check:
    report: Report
    evidence: Facts

    def result(self) -> Report:
        report = self.report
        dropped: list[Dropped] = []
        findings = _kept(report.findings, "finding", self._fault_of_finding, dropped, lambda one: one.id)
        by_id = {one.id: one for one in findings}
        lost = [one for one in report.findings if by_id.get(one.id) is not one]
        timeline = _kept(report.timeline, "timeline entry", self._fault_of_entry, dropped, lambda one: one.text[:60])
        techniques = _kept(
            tuple(self._technique(one, by_id) for one in report.techniques),
            "technique",
            lambda one: None if one.finding_ids else "no finding bears it out",
            dropped,
            lambda one: one.technique,
        )
        entities = _kept(
            tuple(replace(one, finding_ids=_known(one.finding_ids, by_id)) for one in report.entities),
            "entity",
            lambda one: self._fault_of_entity(one, by_id),
            dropped,
            lambda one: f"{one.kind} {one.value[:60]}",
        )
        advice = _kept(
            tuple(replace(one, finding_ids=_known(one.finding_ids, by_id)) for one in report.recommendations),
            "recommendation",
            lambda one: self._fault_of_advice(one, by_id),
            dropped,
            lambda one: one.action_class or one.purpose[:60],
        )
        root_cause, root_ids = self._root_cause(by_id, dropped)
        checked = replace(
            report,
            findings=findings,
            timeline=timeline,
            techniques=techniques,
            entities=entities,
            recommendations=advice,
            root_cause=root_cause,
            root_cause_finding_ids=root_ids,
            hypotheses=tuple(_hypothesis(one, by_id) for one in report.hypotheses),
        )
        checked = _reweighed(checked, lost)
        summary = self._summary(checked, dropped)
        return replace(checked, summary=summary, dropped=(*report.dropped, *dropped))

    def _fault_of_finding(self, finding: Finding) -> str | None:
        if not finding.citations:
            return "it cites nothing"
        return self._fault(finding.text, finding.citations)

    def _fault_of_entry(self, entry: TimelineEntry) -> str | None:
        if not entry.citations:
            return "it cites nothing"
        return self._fault(entry.text, entry.citations)

    def _fault(self, text: str, citations: Sequence[Citation]) -> str | None:
        for one in citations:
            fault = self._fault_of_citation(one)
            if fault is not None:
                return fault
        missing = self._haystack(citations).lacks(text)
        return f"its evidence does not hold {_listed(missing)}" if missing else None

    def _fault_of_citation(self, citation: Citation) -> str | None:
        held = self.evidence.get(citation.evidence_id)
        if held is None:
            return f"evidence {escape_untrusted(citation.evidence_id[:16])} is not part of the case"
        value = held.value(citation.field)
        if value is None:
            return f"evidence {held.id[:16]} has no field {escape_untrusted(citation.field[:60])}"
        start, text = citation.start, citation.text
        is_there = (
            text == value if start is None else start >= 0 and value[start : start + len(text)] == text and text != ""
        )
        return (
            None if is_there else f"{escape_untrusted(citation.field[:60])} of evidence {held.id[:16]} does not say so"
        )

    def _fault_of_entity(self, entity: AffectedEntity, findings: Mapping[str, Finding]) -> str | None:
        if not entity.finding_ids:
            return "no finding names it"
        is_named = self._of(entity.finding_ids, findings).holds(entity.value)
        return None if is_named else "the evidence of its findings does not name it"

    def _fault_of_advice(self, advice: Recommendation, findings: Mapping[str, Finding]) -> str | None:
        if not advice.finding_ids:
            return "no finding bears it out"
        haystack = self._of(advice.finding_ids, findings)
        if advice.target and not haystack.holds(advice.target):
            return "the evidence of its findings does not name its target"
        missing = haystack.lacks(f"{advice.purpose} {advice.expected_effect} {advice.undo}")
        return f"its evidence does not hold {_listed(missing)}" if missing else None

    def _technique(self, claim: TechniqueClaim, findings: Mapping[str, Finding]) -> TechniqueClaim:
        held = tuple(one for one in _known(claim.finding_ids, findings) if claim.technique in findings[one].techniques)
        return replace(claim, finding_ids=held)

    def _root_cause(
        self, findings: Mapping[str, Finding], dropped: list[Dropped]
    ) -> tuple[str | None, tuple[str, ...]]:
        report = self.report
        if report.root_cause is None:
            return None, ()
        held = _known(report.root_cause_finding_ids, findings)
        missing = self._of(held, findings).lacks(report.root_cause) if held else ("any finding",)
        if missing:
            dropped.append(Dropped(what="root cause", reason=f"its evidence does not hold {_listed(missing)}"))
            return None, ()
        return report.root_cause, held

    def _summary(self, checked: Report, dropped: list[Dropped]) -> str:
        haystack = self._of(tuple(one.id for one in checked.findings), {one.id: one for one in checked.findings})
        named = {one.technique for one in checked.techniques}
        claimed = {one.technique for one in self.report.techniques}
        text = checked.summary
        is_wrong = haystack.lacks(text) or any(one in text for one in claimed - named)
        is_contrary = checked.verdict is not self.report.verdict
        if text == REPLACED or not (is_wrong or is_contrary):
            return text
        dropped.append(Dropped(what="summary", reason="it named what the evidence does not hold"))
        return REPLACED

    def _of(self, ids: Iterable[str], findings: Mapping[str, Finding]) -> Haystack:
        return self._haystack([citation for one in ids for citation in findings[one].citations])

    def _haystack(self, citations: Sequence[Citation]) -> Haystack:
        ids = dict.fromkeys(one.evidence_id for one in citations)
        return Haystack(tuple(self.evidence[one] for one in ids if one in self.evidence))


def _kept(
    claims: Sequence[ClaimT],
    what: str,
    fault_of: Callable[[ClaimT], str | None],
    dropped: list[Dropped],
    name: Callable[[ClaimT], str],
) -> tuple[ClaimT, ...]:
    kept: list[ClaimT] = []
    for one in claims:
        fault = fault_of(one)
        if fault is None:
            kept.append(one)
        else:
            dropped.append(Dropped(what=f"{what} {escape_untrusted(name(one))}", reason=fault))
    return tuple(kept)


def _known(ids: Sequence[str], findings: Mapping[str, Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for one in ids if one in findings))


def _hypothesis(one: Hypothesis, findings: Mapping[str, Finding]) -> Hypothesis:
    return replace(one, predictions=tuple(_prediction(each, findings) for each in one.predictions))


def _prediction(one: Prediction, findings: Mapping[str, Finding]) -> Prediction:
    """What was seen and cannot be shown any more could not be tested."""
    held = _known(one.finding_ids, findings)
    is_lost = bool(one.finding_ids) and not held
    return replace(one, finding_ids=held, outcome="not testable" if is_lost else one.outcome)


def _reweighed(report: Report, lost: Sequence[Finding]) -> Report:
    """The probability without what the lost findings added, and the verdict that is left."""
    shares = {one.kind: one.probability for one in report.hypotheses}
    unknown = shares.get(HypothesisKind.INSUFFICIENT, 0.0)
    known = max(0.0, 1 - unknown)
    attack = shares.get(HypothesisKind.ATTACK, 0.0)
    kinds = {one.id: one.kind for one in report.hypotheses}
    change = sum(_signed(one, kinds) for one in lost)
    has_attack, has_benign = _borne_out(report.findings, kinds)
    if not has_attack and not has_benign and report.verdict is not Verdict.UNDETERMINED:
        empty = tuple(
            replace(one, probability=1.0 if one.kind is HypothesisKind.INSUFFICIENT else 0.0)
            for one in report.hypotheses
        )
        return replace(report, verdict=Verdict.UNDETERMINED, probability=0.5, certainty=0.0, hypotheses=empty)
    if lost and known > 0 and report.hypotheses:
        share = _shifted(attack / known, -change)
        moved = {HypothesisKind.ATTACK: known * share, HypothesisKind.BENIGN: known * (1 - share)}
        hypotheses = tuple(replace(one, probability=moved.get(one.kind, one.probability)) for one in report.hypotheses)
        report = replace(report, hypotheses=hypotheses, probability=min(1.0, known * share + unknown / 2))
        attack = known * share
    verdict = report.verdict
    if verdict is Verdict.TRUE_POSITIVE and (not has_attack or (lost and attack < LIKELY)):
        verdict = Verdict.UNDETERMINED
    if verdict in _BENIGN and not has_benign:
        verdict = Verdict.UNDETERMINED
    return replace(report, verdict=verdict)


def _borne_out(findings: Sequence[Finding], kinds: Mapping[str, HypothesisKind]) -> tuple[bool, bool]:
    has_attack = has_benign = False
    for one in findings:
        kind = kinds.get(one.hypothesis_id or "")
        if one.stance is not Stance.SUPPORTS:
            continue
        has_attack |= kind is HypothesisKind.ATTACK
        # What an attacker can write may raise suspicion, never lower it.
        has_benign |= kind is HypothesisKind.BENIGN and not one.rests_on_external
    return has_attack, has_benign


def _signed(finding: Finding, kinds: Mapping[str, HypothesisKind]) -> float:
    """What it added to the log-odds of an attack."""
    value = finding.log_odds if math.isfinite(finding.log_odds) else 0.0
    match kinds.get(finding.hypothesis_id or ""):
        case HypothesisKind.ATTACK:
            return value
        case HypothesisKind.BENIGN:
            return -value
        case _:
            return 0.0


def _shifted(share: float, log_odds: float) -> float:
    bounded = min(1 - 1e-6, max(1e-6, share))
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, math.log(bounded / (1 - bounded)) + log_odds))))


def _listed(missing: Sequence[str]) -> str:
    shown = ", ".join(escape_untrusted(one[:80]) for one in missing[:3])
    return shown if len(missing) <= 3 else f"{shown} and {len(missing) - 3} more"
