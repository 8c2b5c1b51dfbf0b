"""From what a model, or somebody else's engine, proposes to a report in which every citation holds.

A model's words are kept as text for people. What counts is computed: a claim whose citation does not hold is dropped;
a claim for a benign cause that rests on text which an attacker could have written is dropped; a verdict that no
remaining claim bears out becomes Undetermined. Probability and certainty are those of the specialist, because a model's
own are not calibrated; no claim of a model carries weight in odds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from watchfloor_agents.generative.desk import Desk
from watchfloor_agents.generative.output import CitedText, ModelClaim, Proposal
from watchfloor_agents.investigation.case import InvestigationCase
from watchfloor_agents.investigation.view import Answer
from watchfloor_core.alert import Integrity, TimePrecision
from watchfloor_core.attack_ids import current_techniques
from watchfloor_core.context import ContextKind
from watchfloor_core.evidence import Evidence
from watchfloor_core.incident import Verdict
from watchfloor_core.logs.source import Health
from watchfloor_core.report import (
    Citation,
    Dropped,
    Finding,
    Hypothesis,
    HypothesisKind,
    Report,
    Stance,
    TechniqueClaim,
    TimelineEntry,
    Unknown,
)
from watchfloor_core.untrusted import escape_untrusted

_ATTACK: Final = "H1"
_BENIGN: Final = "H2"
_SCHEME: Final = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,15})://")
_WWW: Final = re.compile(r"(?i)\bwww\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What stood before: of the specialist's report, or where there is none of triage."""

    probability: float
    certainty: float


def opinion_before(case: InvestigationCase, specialist: Report | None) -> Opinion:
    if specialist is not None:
        return Opinion(probability=specialist.probability, certainty=specialist.certainty)
    known = case.triage_probability
    return Opinion(probability=0.5 if known is None else known, certainty=0.0)


def report_of(proposal: Proposal, desk: Desk, before: Opinion, engine: str, version: str) -> Report:
    """The report; ``engine`` is ``generative:<model>``, or ``plugin:<name>`` for somebody else's engine."""
    case = desk.view.case
    who = "model" if engine.startswith("generative:") else "engine"
    kept, dropped = _checked(proposal, desk, who)
    findings = tuple(one for one, _ in kept.values())
    verdict, missing = _verdict(proposal.verdict, findings, who)
    causes = tuple(kept[number][0].id for number in proposal.root_cause_claims if number in kept)
    return Report(
        tenant=case.tenant,
        incident_id=case.incident_id,
        revision=case.revision,
        verdict=verdict,
        probability=before.probability,
        certainty=before.certainty,
        summary=plain(proposal.summary),
        hypotheses=_hypotheses(before.probability),
        findings=findings,
        timeline=_timeline(list(kept.values())),
        root_cause=plain(proposal.root_cause) if proposal.root_cause and causes else None,
        root_cause_finding_ids=causes if proposal.root_cause else (),
        techniques=_techniques(findings),
        unknowns=(*_unknowns(proposal), *missing, *_blind_spots(desk.answers)),
        dropped=tuple(dropped),
        engine=engine,
        version=version,
    )


def plain(text: str) -> str:
    """A model's words as plain text: nothing invisible, and no link or image that a viewer could bring to life."""
    shown = _WWW.sub("www[.]", _SCHEME.sub(r"\1[:]//", escape_untrusted(text)))
    return shown.replace("](", "] (").replace("![", "! [")


def is_for_attack(finding: Finding) -> bool:
    return (finding.hypothesis_id == _ATTACK) == (finding.stance is Stance.SUPPORTS)


def _checked(
    proposal: Proposal, desk: Desk, who: str
) -> tuple[dict[int, tuple[Finding, tuple[Evidence, ...]]], list[Dropped]]:
    """Claims that hold, by their number, and those that do not, with the reason."""
    kept: dict[int, tuple[Finding, tuple[Evidence, ...]]] = {}
    dropped: list[Dropped] = []
    for number, claim in enumerate(proposal.claims):
        try:
            kept[number] = _finding(claim, f"F{len(kept) + 1}", desk)
        except ValueError as error:
            dropped.append(Dropped(what=f"claim {number + 1} of the {who}", reason=str(error)))
    return kept, dropped


def _finding(claim: ModelClaim, id_: str, desk: Desk) -> tuple[Finding, tuple[Evidence, ...]]:
    cited = tuple(_cited(one, desk) for one in claim.citations)
    is_external = any(evidence.integrity(place.field) is Integrity.EXTERNAL for evidence, place in cited)
    finding = Finding(
        id=id_,
        code="model",
        text=plain(claim.text),
        citations=tuple(place for _, place in cited),
        hypothesis_id=_ATTACK if claim.about is HypothesisKind.ATTACK else _BENIGN,
        stance=Stance(claim.stance),
        techniques=current_techniques(claim.techniques),
        rests_on_external=is_external,
    )
    if is_external and not is_for_attack(finding):
        raise ValueError("it speaks against an attack, and rests on text that an attacker could have written")
    # A known, enabled, privileged account is what an attacker uses best.
    if not is_for_attack(finding) and any(one.body.get("context") == ContextKind.DIRECTORY for one, _ in cited):
        raise ValueError("it speaks against an attack, and rests on what the directory says of an account")
    return finding, tuple(evidence for evidence, _ in cited)


def _cited(cited: CitedText, desk: Desk) -> tuple[Evidence, Citation]:
    evidence = desk.handles.find(cited.evidence)
    if evidence is None:
        raise ValueError("it cites evidence that does not exist")
    whole = evidence.value(cited.field)
    if whole is None:
        raise ValueError(f"evidence {evidence.id} has no field of the name cited")
    start = whole.find(cited.text)
    if start < 0:
        raise ValueError(f"evidence {evidence.id} does not hold the text cited")
    return evidence, Citation(evidence.id, cited.field, cited.text, None if cited.text == whole else start)


def _verdict(proposed: Verdict, findings: tuple[Finding, ...], who: str) -> tuple[Verdict, tuple[Unknown, ...]]:
    """The verdict as far as a claim that holds bears it out."""
    match proposed:
        case Verdict.TRUE_POSITIVE:
            is_borne_out = any(is_for_attack(one) for one in findings)
        case Verdict.BENIGN_POSITIVE | Verdict.FALSE_POSITIVE:
            is_borne_out = any(not is_for_attack(one) for one in findings)
        case Verdict.UNDETERMINED:
            is_borne_out = True
    if is_borne_out:
        return proposed, ()
    text = f"The {who} proposes {proposed.value}, but none of its claims that hold bears that out."
    return Verdict.UNDETERMINED, (Unknown(text=text, cause="not_collected"),)


def _hypotheses(probability: float) -> tuple[Hypothesis, ...]:
    attack = Hypothesis(id=_ATTACK, kind=HypothesisKind.ATTACK, title="An attack", probability=probability)
    benign = Hypothesis(id=_BENIGN, kind=HypothesisKind.BENIGN, title="A benign cause", probability=1 - probability)
    return (attack, benign) if probability >= 0.5 else (benign, attack)


def _timeline(kept: list[tuple[Finding, tuple[Evidence, ...]]]) -> tuple[TimelineEntry, ...]:
    entries = [entry for finding, cited in kept if (entry := _entry(finding, cited)) is not None]
    return tuple(sorted(entries, key=lambda one: one.time_us))


def _entry(finding: Finding, cited: tuple[Evidence, ...]) -> TimelineEntry | None:
    timed = [one for one in cited if one.time_us is not None]
    if not timed:
        return None
    first = min(timed, key=lambda one: (one.time_us or 0, one.id))
    precision = first.body.get("precision")
    known = precision if precision in set(TimePrecision) else TimePrecision.SECOND
    return TimelineEntry(
        time_us=first.time_us or 0,
        precision=TimePrecision(str(known)),
        text=finding.text,
        citations=tuple(one for one in finding.citations if one.evidence_id == first.id),
    )


def _techniques(findings: tuple[Finding, ...]) -> tuple[TechniqueClaim, ...]:
    """Named by their ids: names come from the catalogue, not from a model."""
    ids: dict[str, list[str]] = {}
    for finding in findings:
        for technique in finding.techniques if is_for_attack(finding) else ():
            ids.setdefault(technique, []).append(finding.id)
    return tuple(TechniqueClaim(technique=one, name=one, finding_ids=tuple(by)) for one, by in sorted(ids.items()))


def _unknowns(proposal: Proposal) -> Iterator[Unknown]:
    for text in proposal.unknowns:
        yield Unknown(text=plain(text), cause="not_collected")


def _blind_spots(answers: list[Answer]) -> Iterator[Unknown]:
    """Sources that could not have shown what was asked for, each once."""
    seen: set[tuple[str, Health]] = set()
    for answer, coverage in ((asked, one) for asked in answers for one in asked.coverage):
        if coverage.health is Health.WHOLE or (coverage.source, coverage.health) in seen:
            continue
        seen.add((coverage.source, coverage.health))
        cause = "dark_source" if coverage.health is Health.DARK else "partial_source"
        source = coverage.source if answer.is_about_telemetry and coverage in answer.concerned else ""
        yield Unknown(text=f"{coverage.source}: {escape_untrusted(coverage.reason)}", cause=cause, source=source)
