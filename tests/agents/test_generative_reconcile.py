"""Two reports made into one: agreement strengthens nothing, disagreement goes to a person."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_agents.generative.reconcile import reconcile
from watchfloor_core.incident import AutonomyLevel, Verdict
from watchfloor_core.report import Citation, Finding, Hypothesis, HypothesisKind, Report, Stance
from watchfloor_guardrails.engine import engine_ceiling

ATTACK = Hypothesis(id="H1", kind=HypothesisKind.ATTACK, title="An attack", probability=0.6)
BENIGN = Hypothesis(id="H2", kind=HypothesisKind.BENIGN, title="A benign cause", probability=0.4)
PLACE = Citation("a" * 64, "process.command_line", "whoami")


def finding(id_: str, *, hypothesis: str = "H1", place: Citation = PLACE, log_odds: float = 0.0) -> Finding:
    return Finding(
        id=id_,
        code="some",
        text=f"words of {id_}",
        citations=(place,),
        hypothesis_id=hypothesis,
        stance=Stance.SUPPORTS,
        log_odds=log_odds,
    )


def report(engine: str, verdict: Verdict, *findings: Finding, probability: float = 0.6) -> Report:
    return Report(
        tenant="acme",
        incident_id="inc-1",
        revision=2,
        verdict=verdict,
        probability=probability,
        certainty=0.5,
        summary="words",
        hypotheses=(ATTACK, BENIGN),
        findings=findings,
        timeline=(),
        root_cause=None,
        engine=engine,
    )


SPECIALIST = report("specialist", Verdict.TRUE_POSITIVE, finding("F1", log_odds=1.5))
MODEL = report("generative:m", Verdict.TRUE_POSITIVE, finding("F1", log_odds=9.0), probability=0.99)


def test_agreement_strengthens_nothing() -> None:
    joint = reconcile(SPECIALIST, MODEL)
    assert not joint.needs_person
    assert joint.report.verdict is Verdict.TRUE_POSITIVE
    assert joint.report.probability == SPECIALIST.probability
    assert joint.report.certainty == SPECIALIST.certainty
    assert [(one.id, one.log_odds) for one in joint.report.findings] == [("F1", 1.5), ("M1", 0.0)]


@given(st.sampled_from(Verdict), st.sampled_from(Verdict), st.floats(0, 1), st.floats(0, 1))
def test_nothing_that_a_model_says_moves_the_probability_or_lifts_the_level(
    ours: Verdict, theirs: Verdict, probability: float, stated: float
) -> None:
    specialist = replace(SPECIALIST, verdict=ours, probability=probability)
    joint = reconcile(specialist, replace(MODEL, verdict=theirs, probability=stated))
    assert joint.report.probability == probability
    assert joint.ceiling is AutonomyLevel.L2
    assert engine_ceiling(joint.report.engine, (("generative", AutonomyLevel.L4),)) is AutonomyLevel.L2
    assert joint.needs_person == (ours is not theirs)
    assert joint.report.verdict is (ours if ours is theirs else Verdict.UNDETERMINED)


def test_both_sides_of_a_disagreement_are_shown() -> None:
    joint = reconcile(SPECIALIST, replace(MODEL, verdict=Verdict.FALSE_POSITIVE))
    (one,) = joint.disagreements
    assert (one.about, one.specialist, one.generative) == ("verdict", "TruePositive", "FalsePositive")
    assert (joint.specialist, joint.generative.verdict) == (SPECIALIST, Verdict.FALSE_POSITIVE)
    (unknown,) = joint.report.unknowns
    assert unknown.cause == "conflict"
    assert "FalsePositive" in unknown.text


def test_the_same_evidence_read_in_opposite_ways_needs_a_person() -> None:
    joint = reconcile(SPECIALIST, replace(MODEL, findings=(finding("F1", hypothesis="H2"),)))
    assert [one.about for one in joint.disagreements] == ["evidence"]
    assert joint.needs_person
    assert joint.disagreements[0].specialist == "F1: words of F1"


def test_other_evidence_read_otherwise_is_no_disagreement() -> None:
    elsewhere = Citation("b" * 64, "process.command_line", "whoami")
    joint = reconcile(SPECIALIST, replace(MODEL, findings=(finding("F1", hypothesis="H2", place=elsewhere),)))
    assert joint.disagreements == ()


def test_root_causes_without_common_evidence_are_a_disagreement() -> None:
    ours = replace(SPECIALIST, root_cause="Mail", root_cause_finding_ids=("F1",))
    elsewhere = finding("F1", place=Citation("b" * 64, "user.name", "ann"))
    theirs = replace(MODEL, root_cause="A stolen key", root_cause_finding_ids=("F1",), findings=(elsewhere,))
    assert [one.about for one in reconcile(ours, theirs).disagreements] == ["root_cause"]
    same = replace(theirs, findings=(finding("F1"),))
    assert reconcile(ours, same).disagreements == ()


def test_a_models_hypotheses_are_those_of_the_specialist_of_the_same_kind() -> None:
    swapped = replace(
        MODEL,
        hypotheses=(replace(BENIGN, id="H1"), replace(ATTACK, id="H2")),
        findings=(finding("F1", hypothesis="H2"),),
    )
    joint = reconcile(SPECIALIST, swapped)
    assert joint.report.findings[1].hypothesis_id == "H1"
    assert joint.disagreements == ()


@pytest.mark.parametrize("change", [{"tenant": "other"}, {"incident_id": "inc-2"}, {"revision": 3}])
def test_reports_on_different_things_are_not_reconciled(change: dict[str, str | int]) -> None:
    with pytest.raises(ValueError, match="different things"):
        reconcile(SPECIALIST, replace(MODEL, **change))  # type: ignore[arg-type]  # one of three fields


def test_the_second_report_must_be_a_models() -> None:
    with pytest.raises(ValueError, match="generative:<model>"):
        reconcile(SPECIALIST, SPECIALIST)
