"""The specialist's verdicts: each reason in the open, honest at cold start, taught by people alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from watchfloor_agents.triage import scoring
from watchfloor_agents.triage.engine import TriageCase
from watchfloor_agents.triage.features import MAX_DETECTORS, DetectorEvidence, Features
from watchfloor_agents.triage.learning import JudgedIncident, lessons
from watchfloor_agents.triage.lexicon import suggest
from watchfloor_agents.triage.specialist import SpecialistTriage
from watchfloor_core.incident import Verdict


def evidence(name: str, total: float = 0.0, product: str = "sensor", **changes: object) -> DetectorEvidence:
    base = DetectorEvidence(
        detector_id=name,
        product=product,
        title=f"rule {name}",
        severity=0,
        tactics=[],
        asset_id="aa",
        asset="web01",
        is_asset_external=False,
        arrival=total,
        volume=0.0,
        expected_per_day=0.01,
        hours_seen=0.0,
        hour_total=1,
        louder_hours=0.0,
        first_us=0,
        last_us=0,
        alerts=1,
        assets=["web01"],
    )
    return replace(base, **changes)  # type: ignore[arg-type]  # fields of several types by name


def features(*held: DetectorEvidence, kind: str = "activity", exposure_days: float = 5.0) -> Features:
    found = Features(kind=kind, exposure_days=exposure_days)
    for one in held:
        found.add(one)
    return found


def case(found: Features, **changes: object) -> TriageCase:
    base = TriageCase("t", "inc-0000000000000001", 1, found.kind, found, 1, 0, True)
    return replace(base, **changes)  # type: ignore[arg-type]  # fields of several types by name


def log_odds(*held: DetectorEvidence) -> float:
    return scoring.log_odds(scoring.contributions(features(*held)))


def test_the_reasons_add_up_to_the_probability() -> None:
    assessment = SpecialistTriage().assess(case(features(evidence("a", 3.0), evidence("b", 2.0, "other"))))
    total = sum(reason.log_odds for reason in assessment.reasons)
    assert assessment.probability == pytest.approx(1 / (1 + math.exp(-total)), abs=1e-6)
    assert {reason.code for reason in assessment.reasons} >= {"prior", "novel_detector_on_asset", "corroboration"}


def test_two_independent_sensors_weigh_more_than_two_rules_of_one() -> None:
    one_sensor = log_odds(evidence("a", 3.0), evidence("b", 3.0))
    two_sensors = log_odds(evidence("a", 3.0), evidence("b", 3.0, "other"))
    assert two_sensors > one_sensor + 1


def test_tactics_in_the_order_of_the_matrix_weigh_more_than_out_of_order() -> None:
    early = evidence("a", 2.0, tactics=["TA0001"], first_us=1)
    late = evidence("b", 2.0, tactics=["TA0010"], first_us=2)
    forwards = log_odds(early, late)
    backwards = log_odds(replace(early, first_us=3), late)
    assert forwards > backwards


def test_a_crown_jewel_raises_and_a_toy_lowers() -> None:
    crown, toy = features(evidence("a", 3.0)), features(evidence("a", 3.0))
    crown.tier, toy.tier = 0, 3
    odds = [scoring.log_odds(scoring.contributions(found)) for found in (toy, crown)]
    assert odds[0] < odds[1]


def test_an_unimportant_asset_that_the_attacker_named_is_marked_so() -> None:
    found = features(evidence("a", 3.0, is_asset_external=True))
    found.tier = 3
    reasons = {reason.code: reason for reason in scoring.contributions(found)}
    assert reasons["asset_criticality"].rests_on_external


def test_a_flood_of_one_known_rule_is_not_an_attack_by_itself() -> None:
    flood = evidence("a", arrival=-2.0, volume=4.0, hours_seen=60.0, hour_total=400_000)
    assert scoring.probability(log_odds(flood)) < 0.5


def test_with_little_history_a_low_probability_is_undetermined() -> None:
    fresh = SpecialistTriage().assess(case(features(evidence("a"), exposure_days=0.05)))
    seasoned = SpecialistTriage().assess(case(features(evidence("a"), exposure_days=5.0)))
    assert fresh.verdict is Verdict.UNDETERMINED
    assert fresh.certainty < 0.1
    assert seasoned.verdict is Verdict.FALSE_POSITIVE


def test_at_cold_start_severity_and_title_are_what_there_is() -> None:
    beacon = evidence("a", title="ET MALWARE Cobalt Strike Beacon Activity (GET)", severity=4)
    assessment = SpecialistTriage().assess(case(features(beacon, exposure_days=0.0)))
    assert assessment.verdict is Verdict.UNDETERMINED
    assert assessment.probability > 0.15
    assert {reason.code for reason in assessment.reasons} >= {"rule_title", "severity", "nothing_stands_out"}
    assert "learned normal" not in " ".join(reason.text for reason in assessment.reasons)


def test_routine_alerts_are_benign_positives() -> None:
    routine = features(evidence("a", arrival=-3.0, hours_seen=90.0), kind="routine")
    assert SpecialistTriage().assess(case(routine)).verdict is Verdict.BENIGN_POSITIVE


def test_no_features_at_all_give_an_answer_and_no_crash() -> None:
    assessment = SpecialistTriage().assess(case(features()))
    assert assessment.verdict is Verdict.FALSE_POSITIVE
    assert [reason.code for reason in assessment.reasons] == ["prior"]


def test_the_same_case_gets_the_same_answer_whatever_the_order_of_its_detectors() -> None:
    held = [evidence(name, 1.0 + n / 10, "ab"[n % 2]) for n, name in enumerate("pqrstu")]
    engine = SpecialistTriage()
    assert engine.assess(case(features(*held))) == engine.assess(case(features(*reversed(held))))


def test_detectors_are_bounded_and_the_strongest_stay() -> None:
    found = features(*(evidence(f"d{n:03}", n / 10) for n in range(MAX_DETECTORS + 20)))
    assert len(found.detectors) == MAX_DETECTORS
    assert found.detectors_dropped == 20
    assert "d000" not in found.detectors


def test_features_survive_being_stored() -> None:
    found = features(evidence("a", 2.0), evidence("b", 1.0))
    assert Features.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("title", "tactic"),
    [
        ("Possible Mimikatz activity", "TA0006"),
        ("ET SCAN Possible Nmap User-Agent Observed", "TA0043"),
        ("Successful sudo to ROOT executed.", "TA0004"),
        ("ClamAV database update", None),
    ],
)
def test_titles_suggest_tactics(title: str, tactic: str | None) -> None:
    assert suggest(title).tactic == tactic


def judged(verdict: Verdict, detector: str, times: int) -> list[JudgedIncident]:
    return [JudgedIncident(verdict, ((detector, "sensor"),))] * times


def test_ten_benign_verdicts_teach_the_detector_and_its_cousins_a_little() -> None:
    found = lessons(judged(Verdict.FALSE_POSITIVE, "a", 10), [("a", "sensor"), ("cousin", "sensor"), ("x", "other")])
    assert found["a"].log_odds < found["cousin"].log_odds < 0
    assert "x" not in found


def test_one_verdict_moves_little_and_many_move_no_further_than_the_bound() -> None:
    one = lessons(judged(Verdict.TRUE_POSITIVE, "a", 1), [("a", "sensor")])["a"]
    many = lessons(judged(Verdict.TRUE_POSITIVE, "a", 10_000), [("a", "sensor")])["a"]
    assert 0 < one.log_odds < 1.5
    assert many.log_odds == pytest.approx(2.5)


def test_undetermined_verdicts_teach_nothing() -> None:
    assert lessons(judged(Verdict.UNDETERMINED, "a", 9), [("a", "sensor")]) == {}


def test_a_lesson_is_a_reason_with_its_counts() -> None:
    taught = lessons(judged(Verdict.FALSE_POSITIVE, "a", 9), [("a", "sensor")])
    assessment = SpecialistTriage().assess(case(features(evidence("a", 2.0)), lessons=taught))
    reason = next(reason for reason in assessment.reasons if reason.code == "analyst_verdicts")
    assert "9 of 9" in reason.text
    assert reason.log_odds < 0
