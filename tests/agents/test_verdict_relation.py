"""The sentence that says how triage's verdict and an investigation's relate."""

from __future__ import annotations

from dataclasses import replace

import pytest

from watchfloor_agents.investigation.case import InvestigationCase
from watchfloor_agents.investigation.case_json import case_from_json, case_to_json
from watchfloor_agents.investigation.loop import run_locally
from watchfloor_agents.investigation.relating import relation
from watchfloor_agents.investigation.specialist import SpecialistEngine
from watchfloor_core.incident import Verdict
from watchfloor_core.logs.query import TimeRange
from watchfloor_core.report import Report, Unknown

CASE = InvestigationCase(
    tenant="acme",
    incident_id="inc-1",
    revision=1,
    title="a test",
    range=TimeRange(1, 2),
    alerts=(),
    entities=(),
    triage_verdict=Verdict.TRUE_POSITIVE,
    triage_probability=0.98,
    triage_reasons=("corroboration", "novel_detector_on_asset", "corroboration", "tactic_progression", "severity"),
)
STANDS = (
    "triage's verdict stands for what the alerts say and is the incident's until a person gives theirs, "
    "the investigation's for what evidence beyond them bears out"
)
SAID = (
    "Triage said TruePositive, probability 0.98, from the alerts alone (most of it corroboration, novel detector on "
    "asset, tactic progression); the investigation "
)


def report(verdict: Verdict, *unknowns: Unknown) -> Report:
    _, blank = run_locally(SpecialistEngine(), CASE, ())
    return replace(blank, verdict=verdict, unknowns=unknowns)


def dark(source: str, cause: str = "dark_source") -> Unknown:
    return Unknown(text=f"Of the source {source}", cause=cause, source=source)


@pytest.mark.parametrize(
    ("unknowns", "lack"),
    [
        ((), "what the log sources hold does not decide it"),
        ((dark("edr"),), 'of the log sources "edr" a part at most could be seen'),
        (
            (dark("d"), dark("c"), dark("b", "partial_source"), dark("a")),
            'of the log sources "a", "b", "c" and 1 more a part at most could be seen',
        ),
        ((dark("edr"), Unknown(text="x", cause="conflict")), "the rules and a second engine disagree on it"),
    ],
)
def test_what_the_investigation_could_not_establish_is_said_with_the_reason(
    unknowns: tuple[Unknown, ...], lack: str
) -> None:
    found = relation(CASE, report(Verdict.UNDETERMINED, *unknowns))
    assert found == f"{SAID}could not establish that, because {lack}, so {STANDS}."


def test_an_investigation_without_any_log_source_says_so() -> None:
    _, blank = run_locally(SpecialistEngine(), CASE, ())
    assert blank.verdict is Verdict.UNDETERMINED
    assert "because no log source could be asked, so" in relation(CASE, blank)


def test_agreement_and_contradiction_are_told_apart() -> None:
    same = relation(CASE, report(Verdict.TRUE_POSITIVE))
    other = relation(CASE, report(Verdict.BENIGN_POSITIVE))
    assert same == f"{SAID}came to the same by what it found, and {STANDS}."
    assert other == f"{SAID}came to BenignPositive by what it found, so {STANDS}: a person decides."


def test_where_neither_decides_the_reason_is_said_all_the_same() -> None:
    found = relation(replace(CASE, triage_verdict=Verdict.UNDETERMINED), report(Verdict.UNDETERMINED, dark("edr")))
    assert 'the investigation could not decide it either, because of the log sources "edr" a part at most' in found


def test_where_triage_gave_no_verdict_nothing_is_said() -> None:
    assert relation(replace(CASE, triage_verdict=None), report(Verdict.TRUE_POSITIVE)) == ""


def test_the_case_keeps_what_triage_rested_on_and_reads_cases_that_were_kept_without() -> None:
    content = case_to_json(CASE)
    assert case_from_json(content, {}) == CASE
    before = {name: value for name, value in content.items() if name != "triage_reasons"}
    assert case_from_json(before, {}) == replace(CASE, triage_reasons=())
