"""How often findings are right, as people judged them: by the rule that makes them, and by technique.

Counted is what the labels can bear. A claim is one case however many people judged it, and however many revisions of
the incident repeat it on the same evidence: the last revision on which anybody judged it counts, with the worst that
stands of it there. Incomplete is not right. What nobody judged is not counted, and so no closure of an agent is either.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from watchfloor_core.correction import Judgement
from watchfloor_guardrails.proportion import clopper_pearson
from watchfloor_service.incidents.finding_labels import FindingLabel

CONFIDENCE: Final = 0.95
_WORST_FIRST: Final = (Judgement.WRONG, Judgement.INCOMPLETE, Judgement.RIGHT)
_Claim: TypeAlias = Hashable


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Of one rule of one engine, or of one technique."""

    engine: str | None
    """None for a technique, whoever claims it."""
    name: str
    """The rule, or the technique's ATT&CK id."""
    judged: int
    right: int
    wrong: int
    incomplete: int
    missed: int | None
    """Incidents in which people say that it took place and the report does not name it; None for a rule, because
    nobody can say which one should have found it."""
    precision: float | None
    """``right / judged``; None where none is judged."""
    low: float | None
    """The bounds of its Clopper–Pearson interval at `CONFIDENCE`."""
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingMeasures:
    judged: int
    """Claims, each once."""
    incidents: int
    people: int
    disputed: int
    """Claims of which people say different things."""
    versions: list[tuple[str, str, int]]
    """Engine, version, and how many of the judged claims are of it."""
    overall: Measure
    by_rule: list[Measure]
    by_technique: list[Measure]


@dataclass(frozen=True, slots=True)
class _Case:
    label: FindingLabel
    """One of those that count."""
    says: Judgement
    is_disputed: bool


def measure_findings(
    labels: Iterable[FindingLabel], *, engine: str | None = None, version: str | None = None
) -> FindingMeasures:
    """Of the last words alone; ``engine`` and ``version`` leave all others out."""
    counted = [
        one for one in labels if one.is_latest and engine in (None, one.engine) and version in (None, one.version)
    ]
    cases = _cases(counted)
    rules: defaultdict[tuple[str, str], list[Judgement]] = defaultdict(list)
    techniques: defaultdict[str, list[Judgement]] = defaultdict(list)
    for case in cases:
        finding = case.label.finding
        if finding is None:
            continue
        rules[case.label.engine, finding.code].append(case.says)
        for technique in dict.fromkeys(finding.techniques) if case.label.is_for_attack else ():
            techniques[technique].append(case.says)
    missed = Counter(
        technique for _, technique in {(one.correction.incident_id, one.missed) for one in counted if one.missed}
    )
    versions = Counter((case.label.engine, case.label.version) for case in cases)
    return FindingMeasures(
        judged=len(cases),
        incidents=len({one.correction.incident_id for one in counted}),
        people=len({one.correction.principal for one in counted}),
        disputed=sum(case.is_disputed for case in cases),
        versions=[(*key, count) for key, count in sorted(versions.items())],
        overall=_measure(None, "all", [case.says for case in cases], missed.total()),
        by_rule=[_measure(by, rule, says, None) for (by, rule), says in sorted(rules.items())],
        by_technique=[
            _measure(None, one, techniques.get(one, ()), missed[one]) for one in sorted({*techniques, *missed})
        ],
    )


def _cases(labels: Sequence[FindingLabel]) -> list[_Case]:
    """Each claim once."""
    by_claim: defaultdict[_Claim, list[FindingLabel]] = defaultdict(list)
    for one in labels:
        if one.finding is not None:
            by_claim[_claim(one)].append(one)
    found = []
    for some in by_claim.values():
        last = max(one.correction.revision for one in some)
        on_last = [one for one in some if one.correction.revision == last]
        said = {one.correction.says for one in on_last}
        worst = next(each for each in _WORST_FIRST if each in said)
        found.append(_Case(on_last[0], worst, len(said) > 1))
    return found


def _claim(label: FindingLabel) -> _Claim:
    """What makes it the same claim: who says it, by which rule, of what evidence. Numbers differ from report to
    report."""
    finding = label.finding
    assert finding is not None  # noqa: S101  # told apart by the caller
    cited = frozenset((one.evidence_id, one.field, one.start, one.text) for one in finding.citations)
    return label.correction.incident_id, label.engine, finding.code, finding.techniques, cited


def _measure(engine: str | None, name: str, says: Sequence[Judgement], missed: int | None) -> Measure:
    count: Mapping[Judgement, int] = Counter(says)
    judged, right = len(says), count[Judgement.RIGHT]
    low, high = clopper_pearson(right, judged, CONFIDENCE) if judged else (None, None)
    return Measure(
        engine=engine,
        name=name,
        judged=judged,
        right=right,
        wrong=count[Judgement.WRONG],
        incomplete=count[Judgement.INCOMPLETE],
        missed=missed,
        precision=right / judged if judged else None,
        low=low,
        high=high,
    )
