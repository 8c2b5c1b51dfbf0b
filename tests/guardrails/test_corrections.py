"""When a correction of a finding is acceptable: who may, and what can be said of what."""

from __future__ import annotations

import pytest

from watchfloor_core.correction import Judgement
from watchfloor_guardrails.correction import CorrectionRequest, refusals
from watchfloor_guardrails.decision import MAX_COMMENT, Principal, PrincipalKind

ANA = Principal("ana", PrincipalKind.PERSON)
WRONG, RIGHT, INCOMPLETE, MISSED, WITHDRAWN = Judgement


def against(request: CorrectionRequest, principal: Principal = ANA) -> str:
    return "; ".join(
        refusals(request, principal, named={"T1003.001"}, is_technique=lambda one: one in ("T1003.001", "T1021.002"))
    )


# says | finding | technique | what is said against it
CASES: list[tuple[Judgement, str | None, str | None, str]] = [
    (WRONG, "F1", None, ""),
    (RIGHT, "F1", None, ""),
    (INCOMPLETE, "F1", None, ""),
    (WITHDRAWN, "F1", None, ""),
    (WRONG, "F1", "T1021.002", ""),
    (INCOMPLETE, "F1", "T1021.002", ""),
    (WRONG, "F1", "T1003.001", ""),
    (MISSED, None, "T1021.002", ""),
    (WITHDRAWN, None, "T1021.002", ""),
    (WITHDRAWN, None, "T1003.001", ""),
    (RIGHT, "F1", "T1021.002", "'right' takes no technique"),
    (WITHDRAWN, "F1", "T1021.002", "'withdrawn' takes no technique"),
    (WRONG, "F1", "T9999", "'T9999' is no technique of ATT&CK; give an id such as T1003.001"),
    (MISSED, None, "T9999", "'T9999' is no technique of ATT&CK"),
    (MISSED, None, "T1003.001", "the report has T1003.001; correct the finding that it rests on"),
    (MISSED, None, None, "neither a finding nor a technique is named"),
    (WITHDRAWN, None, None, "neither a finding nor a technique is named"),
    (WRONG, None, "T1021.002", "'wrong' is said of a finding; name the finding"),
    (RIGHT, None, None, "'right' is said of a finding"),
    (MISSED, "F1", "T1021.002", "missed by the report, not by a finding"),
]


@pytest.mark.parametrize(("says", "finding", "technique", "reason"), CASES)
def test_what_can_be_said_of_what(says: Judgement, finding: str | None, technique: str | None, reason: str) -> None:
    found = against(CorrectionRequest(says, finding, technique))
    assert reason in found
    assert bool(reason) is bool(found)


@pytest.mark.parametrize("kind", [PrincipalKind.SERVICE, PrincipalKind.AGENT])
def test_only_a_person_corrects(kind: PrincipalKind) -> None:
    assert f"is a {kind}; only a person corrects" in against(CorrectionRequest(WRONG, "F1"), Principal("bot", kind))


@pytest.mark.parametrize("name", ["", "a" * 129])
def test_a_principal_that_the_store_cannot_keep_is_refused(name: str) -> None:
    assert "the principal's name has" in against(CorrectionRequest(WRONG, "F1"), Principal(name, PrincipalKind.PERSON))


@pytest.mark.parametrize("comment", ["x" * (MAX_COMMENT + 1), "a\0b", "\ud800"])
def test_a_comment_that_is_too_long_or_cannot_be_kept_is_refused(comment: str) -> None:
    assert "the comment h" in against(CorrectionRequest(WRONG, "F1", comment=comment))


def test_every_reason_is_given_at_once() -> None:
    found = against(CorrectionRequest(RIGHT, "F1", "T9999", "\0"), Principal("bot", PrincipalKind.AGENT))
    assert found.count(";") >= 3
