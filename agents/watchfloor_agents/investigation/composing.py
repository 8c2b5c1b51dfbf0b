"""The report that claims and tests add up to."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from watchfloor_agents.investigation.advising import recommendations
from watchfloor_agents.investigation.engine import Claim, Expectation
from watchfloor_agents.investigation.origin import ORIGIN, earliest_program
from watchfloor_agents.investigation.testing_hypotheses import NOT_SEEN, SEEN, count_of, outcome
from watchfloor_agents.investigation.unknowns import unknowns
from watchfloor_agents.investigation.view import CaseView, EventEvidence
from watchfloor_agents.investigation.weighing import Weighed, certainty, combined, visibility, weigh
from watchfloor_core.alert import EntityKind, TimePrecision
from watchfloor_core.evidence import EvidenceKind
from watchfloor_core.incident import Verdict
from watchfloor_core.logs.fields import Field
from watchfloor_core.report import (
    AffectedEntity,
    Citation,
    Finding,
    Hypothesis,
    HypothesisKind,
    Prediction,
    Report,
    Scope,
    Stance,
    TechniqueClaim,
    TimelineEntry,
)
from watchfloor_core.untrusted import quote_untrusted

LIKELY: Final = 0.7
"""The probability from which a report calls an explanation its verdict."""
WORTH_NAMING: Final = 1.0
"""Log-odds that the findings of a technique must reach together for the report to name it."""
MAX_FINDINGS: Final = 60

_DETAILS: Final = re.compile(r": (?=[A-Za-z_.]+ \")")
"""What separates a claim's sentence from the fields that bear it out."""
_IDS: Final = {HypothesisKind.ATTACK: "H1", HypothesisKind.BENIGN: "H2", HypothesisKind.INSUFFICIENT: "H3"}
_TITLES: Final = {
    HypothesisKind.ATTACK: "An attack",
    HypothesisKind.BENIGN: "Routine or authorised work",
    HypothesisKind.INSUFFICIENT: "Too little was there to look at",
}


@dataclass(frozen=True, slots=True)
class _Tested:
    expectation: Expectation
    outcome: str
    claim: Claim | None
    """What was seen, as a finding."""


def compose(
    view: CaseView,
    claims: Sequence[Claim],
    expected: Sequence[Expectation],
    names: Mapping[str, str],
    engine: tuple[str, str],
) -> Report:
    """``names`` of techniques by id; ``engine``: name and version."""
    tested = [_tested(view, one) for one in expected]
    earliest = earliest_program(view, claims)
    origin = earliest if earliest is not None and earliest.code == ORIGIN else None
    found = [*claims, *(one.claim for one in tested if one.claim), *([earliest] if earliest else [])]
    kept = _chosen(found)
    findings = tuple(_finding(number, one) for number, one in enumerate(kept, 1))
    by_content = {_content(one): finding.id for one, finding in zip(kept, findings, strict=True)}
    # Also of what was left out because it says the same again.
    ids = {id(one): by_content[_content(one)] for one in found if _content(one) in by_content}
    weighed = _weighed(view, claims, tested)
    verdict = _verdict(weighed, claims)
    techniques = _techniques(kept, ids, names, has_telemetry=bool(view.all_events))
    return Report(
        tenant=view.case.tenant,
        incident_id=view.case.incident_id,
        revision=view.case.revision,
        verdict=verdict,
        probability=_share(weighed),
        certainty=certainty(view, weighed),
        summary=_summary(view, verdict, weighed, kept, techniques),
        hypotheses=_hypotheses(weighed, tested, ids),
        findings=findings,
        timeline=_timeline(view, kept),
        root_cause=origin.text if origin else None,
        root_cause_finding_ids=(ids[id(origin)],) if origin and id(origin) in ids else (),
        techniques=techniques,
        entities=_entities(kept, ids),
        unknowns=unknowns(view, has_origin=origin is not None),
        recommendations=recommendations(verdict, kept, ids),
        engine=engine[0],
        version=engine[1],
    )


def _chosen(claims: Sequence[Claim]) -> list[Claim]:
    """The strongest, in the order of time; of those that say the same by the same evidence, one."""
    ranked = sorted(claims, key=lambda one: (-abs(one.log_odds), one.time_us, one.code))
    different: dict[Hashable, Claim] = {}
    for one in ranked:
        different.setdefault(_content(one), one)
    strongest = list(different.values())[:MAX_FINDINGS]
    return sorted(strongest, key=lambda one: (one.time_us, one.code, one.text))


def _content(claim: Claim) -> Hashable:
    """Equal for claims that a reader cannot tell apart."""
    return claim.text, claim.citations, claim.stance, claim.about, claim.techniques


def _tested(view: CaseView, expectation: Expectation) -> _Tested:
    answer = view.answer_to(expectation.question)
    result = outcome(answer)
    if result != SEEN or answer is None:
        return _Tested(expectation, result, None)
    evidence = answer.evidence[0]
    entities: tuple[tuple[str, str, Scope], ...] = ()
    if evidence.kind is EvidenceKind.COUNT:
        total = evidence.value("total") or ""
        citations: tuple[Citation, ...] = (Citation(evidence.id, "total", total),)
        # What a source does not hold may be more of the same.
        least = "" if answer.can_say_no else "at least "
        text = f"The program had done the same before: {least}{count_of(answer)} times in the week before"
        time_us = view.case.range.start_us
    else:
        event = EventEvidence(evidence)
        named = [
            name
            for name in (Field.PROCESS_EXECUTABLE, Field.DESTINATION_IP, Field.DESTINATION_PORT)
            if event.text(name)
        ]
        citations = tuple(event.cite(name) for name in named)
        told = ", ".join(f"{one.field} {quote_untrusted(one.text, 120)}" for one in citations)
        text = f"The program went on to connect to another machine: {told}"
        time_us = event.time_us
        if event.text(Field.DESTINATION_IP):
            entities = ((EntityKind.IP.value, event.text(Field.DESTINATION_IP), Scope.INVOLVED),)
    about = expectation.about
    claim = Claim(
        code=f"predicted_{about.value}",
        text=text,
        citations=citations,
        time_us=time_us,
        stance=Stance.SUPPORTS,
        about=about,
        log_odds=expectation.log_odds,
        entities=entities,
        rests_on_external=False,
    )
    return _Tested(expectation, result, claim)


def _weighed(view: CaseView, claims: Sequence[Claim], tested: Sequence[_Tested]) -> Weighed:
    attack = combined(claims, HypothesisKind.ATTACK)
    benign = combined([one for one in claims if not one.rests_on_external], HypothesisKind.BENIGN)
    for one in tested:
        if one.outcome == SEEN:
            gain = one.expectation.log_odds
        else:
            gain = one.expectation.log_odds_unseen if one.outcome == NOT_SEEN else 0.0
        if one.expectation.about is HypothesisKind.ATTACK:
            attack = max(0.0, attack + gain) if attack else attack
        else:
            benign = max(0.0, benign + gain)
    return weigh(view.case.triage_probability, attack, benign, visibility(view))


def _verdict(weighed: Weighed, claims: Sequence[Claim]) -> Verdict:
    has_attack = any(one.about is HypothesisKind.ATTACK and one.log_odds > 0 for one in claims)
    if weighed.attack >= LIKELY and has_attack:
        return Verdict.TRUE_POSITIVE
    has_benign = any(one.about is HypothesisKind.BENIGN and one.log_odds > 0 for one in claims)
    if weighed.benign >= LIKELY and has_benign:
        return Verdict.BENIGN_POSITIVE
    return Verdict.UNDETERMINED


def _share(weighed: Weighed) -> float:
    """Probability of an attack, with what could not be told counted half."""
    return min(1.0, max(0.0, weighed.attack + weighed.insufficient / 2))


def _finding(number: int, claim: Claim) -> Finding:
    is_neutral = claim.stance is Stance.NEUTRAL
    return Finding(
        id=f"F{number}",
        code=claim.code,
        text=claim.text,
        citations=claim.citations,
        hypothesis_id=None if is_neutral else _IDS[claim.about],
        stance=claim.stance,
        log_odds=claim.log_odds,
        techniques=claim.techniques,
        rests_on_external=claim.rests_on_external,
    )


def _hypotheses(weighed: Weighed, tested: Sequence[_Tested], ids: Mapping[int, str]) -> tuple[Hypothesis, ...]:
    shares = {
        HypothesisKind.ATTACK: weighed.attack,
        HypothesisKind.BENIGN: weighed.benign,
        HypothesisKind.INSUFFICIENT: weighed.insufficient,
    }
    found = [
        Hypothesis(
            id=_IDS[kind],
            kind=kind,
            title=_TITLES[kind],
            probability=share,
            predictions=tuple(
                Prediction(
                    text=one.expectation.text,
                    is_for=one.expectation.seen_is_for,
                    outcome=one.outcome,
                    finding_ids=(ids[id(one.claim)],) if one.claim is not None and id(one.claim) in ids else (),
                )
                for one in tested
                if one.expectation.about is kind
            ),
        )
        for kind, share in shares.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.probability, one.id)))


def _techniques(
    kept: Sequence[Claim], ids: Mapping[int, str], names: Mapping[str, str], *, has_telemetry: bool
) -> tuple[TechniqueClaim, ...]:
    """Those whose findings weigh enough together; the best borne out first."""
    weights: dict[str, float] = {}
    findings: dict[str, list[str]] = {}
    for one in kept:
        if one.about is not HypothesisKind.ATTACK or one.stance is not Stance.SUPPORTS:
            continue
        for technique in one.techniques:
            weights[technique] = weights.get(technique, 0.0) + one.log_odds
            findings.setdefault(technique, []).append(ids[id(one)])
    # Without telemetry a sensor's word is all there is, and weighs little: then all that sensors claim is named.
    is_borne_out = has_telemetry and any(weight >= WORTH_NAMING for weight in weights.values())
    least = WORTH_NAMING if is_borne_out else 0.0
    named = sorted((one for one in weights if weights[one] >= least), key=lambda one: (-weights[one], one))
    return tuple(
        TechniqueClaim(technique=one, name=names.get(one, one), finding_ids=tuple(findings[one])) for one in named
    )


def _timeline(view: CaseView, kept: Sequence[Claim]) -> tuple[TimelineEntry, ...]:
    return tuple(
        TimelineEntry(time_us=one.time_us, precision=_precision(view, one), text=one.text, citations=one.citations)
        for one in kept
        if one.citations and _happened(view, one)
    )


def _happened(view: CaseView, claim: Claim) -> bool:
    """False for what is known all the time: a listing, a runbook."""
    cited = (view.evidence.get(one.evidence_id) for one in claim.citations)
    return any(one is not None and one.kind is not EvidenceKind.LOOKUP for one in cited)


def _precision(view: CaseView, claim: Claim) -> TimePrecision:
    evidence = view.evidence.get(claim.citations[0].evidence_id)
    if evidence is not None and evidence.kind is EvidenceKind.EVENT:
        return EventEvidence(evidence).precision
    given = (one.precision for one in view.case.alerts if one.evidence.id == claim.citations[0].evidence_id)
    return next(given, TimePrecision.SECOND)


_STRENGTH: Final = (Scope.COMPROMISED, Scope.TARGETED, Scope.INVOLVED)


def _entities(kept: Sequence[Claim], ids: Mapping[int, str]) -> tuple[AffectedEntity, ...]:
    """Each with the strongest scope that a finding bears out."""
    found: dict[tuple[str, str], AffectedEntity] = {}
    for claim in kept:
        for kind, value, scope in claim.entities:
            held = found.get((kind, value))
            if held is None:
                found[kind, value] = AffectedEntity(kind=kind, value=value, scope=scope, finding_ids=(ids[id(claim)],))
                continue
            strongest = min(held.scope, scope, key=_STRENGTH.index)
            found[kind, value] = replace(held, scope=strongest, finding_ids=(*held.finding_ids, ids[id(claim)]))
    return tuple(sorted(found.values(), key=lambda one: (_STRENGTH.index(one.scope), one.kind, one.value)))


def _summary(
    view: CaseView, verdict: Verdict, weighed: Weighed, kept: Sequence[Claim], techniques: Sequence[TechniqueClaim]
) -> str:
    """In words; names nothing that the findings do not name."""
    attack = [one for one in kept if one.about is HypothesisKind.ATTACK and one.stance is Stance.SUPPORTS]
    strongest = sorted(attack, key=lambda one: (-one.log_odds, one.time_us))[:3]
    told = dict.fromkeys(_DETAILS.split(one.text, maxsplit=1)[0] for one in strongest)
    said = {
        Verdict.TRUE_POSITIVE: "The evidence speaks for an attack.",
        Verdict.BENIGN_POSITIVE: "The evidence speaks for routine or authorised work.",
        Verdict.FALSE_POSITIVE: "The evidence speaks against what the alerts claim.",
        Verdict.UNDETERMINED: "The evidence does not decide between an attack and routine work.",
    }[verdict]
    parts = [said]
    if strongest:
        parts.append("Most telling: " + "; ".join(told) + ".")
    if techniques:
        parts.append("Techniques: " + ", ".join(one.technique for one in techniques[:6]) + ".")
    if weighed.insufficient >= 0.3:
        parts.append("Much could not be looked at; see what is not known.")
    parts.append(f"{len(view.answers)} questions were asked and {len(kept)} findings kept.")
    return " ".join(parts)
