"""Which of the things that people said of a report stand."""

from __future__ import annotations

from itertools import count

from watchfloor_core.correction import Correction, Judgement, in_effect, latest_ids

NUMBERS = count(1)


def said(
    says: Judgement, finding: str | None = "F1", principal: str = "ana", technique: str | None = None, revision: int = 1
) -> Correction:
    return Correction(
        id=next(NUMBERS),
        incident_id="inc-1",
        revision=revision,
        report_sha256="0" * 64,
        finding_id=finding,
        says=says,
        technique=technique,
        comment="",
        principal=principal,
        decided_us=0,
    )


def test_a_later_word_of_the_same_person_on_the_same_finding_takes_the_place_of_the_earlier() -> None:
    first, second = said(Judgement.WRONG), said(Judgement.RIGHT)
    assert in_effect([second, first]) == (second,)


def test_words_of_others_on_other_findings_and_on_other_reports_stand_beside_it() -> None:
    made = [
        said(Judgement.WRONG),
        said(Judgement.RIGHT, principal="bo"),
        said(Judgement.RIGHT, "F2"),
        said(Judgement.RIGHT, revision=2),
    ]
    assert in_effect(made) == tuple(made)


def test_a_finding_is_one_thing_whatever_technique_is_named_beside_it() -> None:
    made = [said(Judgement.WRONG, technique="T1003"), said(Judgement.WRONG, technique="T1021")]
    assert in_effect(made) == (made[1],)


def test_each_missed_technique_is_a_thing_of_its_own() -> None:
    made = [said(Judgement.MISSED, None, technique="T1003"), said(Judgement.MISSED, None, technique="T1021")]
    assert in_effect(made) == tuple(made)


def test_what_is_taken_back_does_not_stand_and_may_be_said_again() -> None:
    made = [said(Judgement.MISSED, None, technique="T1003"), said(Judgement.WITHDRAWN, None, technique="T1003")]
    assert in_effect(made) == ()
    assert latest_ids(made) == {made[1].id}
    again = said(Judgement.MISSED, None, technique="T1003")
    assert in_effect([*made, again]) == (again,)
