"""The check between any engine and people: what the evidence does not say is taken out and counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchfloor_agents.investigation.checking import REPLACED, check
from watchfloor_core.alert import TimePrecision
from watchfloor_core.evidence import Evidence, EvidenceKind
from watchfloor_core.incident import Verdict
from watchfloor_core.report import (
    AffectedEntity,
    Citation,
    Finding,
    Hypothesis,
    HypothesisKind,
    Phase,
    Prediction,
    Recommendation,
    Report,
    Scope,
    Stance,
    TechniqueClaim,
    TimelineEntry,
)

COMMAND = "rundll32.exe comsvcs.dll MiniDump 640 C:\\Temp\\out.dmp full"
FIELDS = {"process.command_line": COMMAND, "host.name": "ws1", "destination.ip": "203.0.113.9"}
EVENT = Evidence(EvidenceKind.EVENT, "lab", {"fields": dict(FIELDS)}, 5)
OTHER = Evidence(EvidenceKind.EVENT, "lab", {"fields": {"host.name": "ws2"}}, 6)
FACTS = {one.id: one for one in (EVENT, OTHER)}


def cite(field: str = "process.command_line", text: str | None = None, start: int | None = None) -> Citation:
    return Citation(EVENT.id, field, FIELDS.get(field, "") if text is None else text, start)


def finding(id_: str = "F1", **changes: Any) -> Finding:
    values: dict[str, Any] = {
        "id": id_,
        "code": "dump",
        "text": 'Memory was dumped on "ws1"',
        "citations": (cite(), cite("host.name")),
        "hypothesis_id": "H1",
        "stance": Stance.SUPPORTS,
        "log_odds": 3.0,
        "techniques": ("T1003.001",),
    }
    return Finding(**(values | changes))


def report(*findings: Finding, **changes: Any) -> Report:
    values: dict[str, Any] = {
        "tenant": "acme",
        "incident_id": "inc-1",
        "revision": 1,
        "verdict": Verdict.TRUE_POSITIVE,
        "probability": 0.95,
        "certainty": 0.9,
        "summary": "The evidence speaks for an attack.",
        "hypotheses": (
            Hypothesis(id="H1", kind=HypothesisKind.ATTACK, title="An attack", probability=0.9),
            Hypothesis(id="H2", kind=HypothesisKind.BENIGN, title="Routine", probability=0.05),
            Hypothesis(id="H3", kind=HypothesisKind.INSUFFICIENT, title="Too little", probability=0.05),
        ),
        "findings": findings,
        "timeline": (),
        "root_cause": None,
    }
    return Report(**(values | changes))


def reasons(checked: Report) -> list[str]:
    return [f"{one.what}: {one.reason}" for one in checked.dropped]


def test_what_the_evidence_bears_out_stays_as_it_is() -> None:
    whole = report(
        finding(),
        timeline=(TimelineEntry(time_us=5, precision=TimePrecision.SECOND, text="It ran", citations=(cite(),)),),
        techniques=(TechniqueClaim(technique="T1003.001", name="LSASS Memory", finding_ids=("F1",)),),
        entities=(AffectedEntity(kind="host", value="ws1", scope=Scope.COMPROMISED, finding_ids=("F1",)),),
        root_cause='It began on "ws1"',
        root_cause_finding_ids=("F1",),
    )
    assert check(whole, FACTS) == whole


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"citations": ()}, "it cites nothing"),
        ({"citations": (Citation("0" * 64, "host.name", "ws1"),)}, "is not part of the case"),
        ({"citations": (cite("user.name", "ann"),)}, "user.name"),
        ({"citations": (cite("host.name", "ws2"),)}, "does not say so"),
        ({"citations": (cite("process.command_line", "MiniDump", 3),)}, "does not say so"),
        ({"citations": (cite("process.command_line", "rundll32", None),)}, "does not say so"),
        ({"text": 'It ran on "ws9"'}, "ws9"),
        ({"text": "It called 198.51.100.7"}, "198.51.100.7"),
        ({"text": "It wrote C:\\Temp\\other.dmp"}, "other.dmp"),
        ({"text": "See https://evil.example/x"}, "evil.example"),
        ({"text": "Its hash is " + "a" * 64}, "a" * 64),
        ({"text": "It asked for evil.example"}, "evil.example"),
        ({"text": "x" * 30_000 + '"'}, "characters"),
    ],
)
def test_a_finding_that_its_evidence_does_not_bear_out_is_dropped(changes: dict[str, Any], reason: str) -> None:
    checked = check(report(finding(**{"log_odds": 0.1, **changes}), finding("F2")), FACTS)
    assert [one.id for one in checked.findings] == ["F2"]
    [told] = reasons(checked)
    assert told.startswith("finding F1: ")
    assert reason in told


def test_a_part_of_a_field_may_be_cited_at_its_place() -> None:
    start = COMMAND.index("MiniDump")
    checked = check(
        report(finding(citations=(cite("process.command_line", "MiniDump", start), cite("host.name")))), FACTS
    )
    assert checked.dropped == ()


def test_what_one_finding_cites_bears_out_no_other() -> None:
    wrong = finding(text='It went on to "ws2"')
    assert reasons(check(report(wrong), FACTS))[0].startswith("finding F1")


def test_what_rests_on_a_dropped_finding_goes_with_it() -> None:
    bad = finding(text='It ran on "ws9"')
    checked = check(
        report(
            bad,
            finding("F2", techniques=()),
            techniques=(TechniqueClaim(technique="T1003.001", name="x", finding_ids=("F1",)),),
            entities=(AffectedEntity(kind="host", value="ws1", scope=Scope.COMPROMISED, finding_ids=("F1",)),),
            root_cause='It began on "ws1"',
            root_cause_finding_ids=("F1",),
            hypotheses=(
                Hypothesis(
                    id="H1",
                    kind=HypothesisKind.ATTACK,
                    title="An attack",
                    probability=1.0,
                    predictions=(Prediction(text="seen", is_for=True, outcome="seen", finding_ids=("F1",)),),
                ),
            ),
        ),
        FACTS,
    )
    assert (checked.techniques, checked.entities, checked.root_cause) == ((), (), None)
    assert checked.hypotheses[0].predictions[0].outcome == "not testable"
    assert [one.what.split()[0] for one in checked.dropped] == ["finding", "technique", "entity", "root"]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"techniques": (TechniqueClaim(technique="T1059", name="x", finding_ids=("F1",)),)}, "technique T1059"),
        ({"techniques": (TechniqueClaim(technique="T1003.001", name="x", finding_ids=("F9",)),)}, "technique"),
        (
            {"entities": (AffectedEntity(kind="host", value="ws9", scope=Scope.INVOLVED, finding_ids=("F1",)),)},
            "entity host ws9",
        ),
        ({"root_cause": 'A mail to "bob"', "root_cause_finding_ids": ("F1",)}, "root cause"),
        ({"root_cause": "A mail", "root_cause_finding_ids": ()}, "root cause"),
        (
            {"timeline": (TimelineEntry(time_us=1, precision=TimePrecision.SECOND, text="x", citations=()),)},
            "timeline entry",
        ),
        ({"summary": "The attacker came from 198.51.100.7."}, "summary"),
    ],
)
def test_everything_else_that_a_report_claims_is_checked_as_well(changes: dict[str, Any], what: str) -> None:
    [told] = reasons(check(report(finding(), **changes), FACTS))
    assert told.startswith(what)


def test_a_summary_that_names_what_is_not_there_is_replaced() -> None:
    checked = check(report(finding(), summary="From 198.51.100.7."), FACTS)
    assert checked.summary == REPLACED


def advice(**changes: Any) -> Recommendation:
    values: dict[str, Any] = {
        "phase": Phase.CONTAIN,
        "action_class": "deny ip",
        "target_kind": "ip",
        "target": "203.0.113.9",
        "purpose": "It took part",
        "expected_effect": "nothing gets through",
        "undo": "let it through",
        "finding_ids": ("F1",),
    }
    return Recommendation(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"finding_ids": ()}, "no finding bears it out"),
        ({"target": "198.51.100.7"}, "does not name its target"),
        ({"purpose": "As https://evil.example says"}, "evil.example"),
        ({"undo": 'Restore "C:\\Temp\\x"'}, "temp"),
    ],
)
def test_nothing_is_recommended_that_no_evidence_names(changes: dict[str, Any], reason: str) -> None:
    cited = finding(citations=(cite(), cite("host.name"), cite("destination.ip")))
    kept = check(report(cited, recommendations=(advice(),)), FACTS)
    assert kept.recommendations == (advice(),)
    [told] = reasons(check(report(cited, recommendations=(advice(**changes),)), FACTS))
    assert reason in told


def test_what_a_dropped_finding_added_is_taken_from_the_probability() -> None:
    checked = check(report(finding(text='On "ws9"', log_odds=2.0), finding("F2", log_odds=1.0)), FACTS)
    assert checked.probability < 0.9
    assert sum(one.probability for one in checked.hypotheses) == pytest.approx(1.0)


def test_a_verdict_that_nothing_bears_out_any_more_is_undetermined() -> None:
    checked = check(report(finding(text='On "ws9"')), FACTS)
    assert (checked.verdict, checked.probability, checked.certainty) == (Verdict.UNDETERMINED, 0.5, 0.0)


def test_no_attacker_talks_an_incident_down() -> None:
    """A benign verdict needs a finding that does not rest on what an attacker can write."""
    calm = finding(hypothesis_id="H2", techniques=(), rests_on_external=True)
    benign = report(calm, verdict=Verdict.BENIGN_POSITIVE, probability=0.05)
    assert check(benign, FACTS).verdict is Verdict.UNDETERMINED
    measured = replace(benign, findings=(replace(calm, rests_on_external=False),))
    assert check(measured, FACTS).verdict is Verdict.BENIGN_POSITIVE


citations = st.lists(
    st.builds(
        Citation,
        st.sampled_from([EVENT.id, OTHER.id, "0" * 64, ""]),
        st.sampled_from([*FIELDS, "user.name", "", "fields", "a.b.c"]),
        st.sampled_from([*FIELDS.values(), "ws2", "", "x"]),
        st.none() | st.integers(-3, 80),
    ),
    max_size=3,
)
texts = st.sampled_from(["ran", 'on "ws1"', 'on "ws9"', '"', "203.0.113.9", "C:\\x\\y", "", "\u202e", "F1", REPLACED])
ids = st.sampled_from(["F1", "F2", "F3", ""])
reports = st.builds(
    lambda found, texts_, verdict, numbers, techniques: report(
        *found,
        verdict=verdict,
        probability=numbers[0],
        certainty=numbers[1],
        summary=texts_[0],
        root_cause=texts_[1],
        root_cause_finding_ids=(techniques[0],),
        techniques=(TechniqueClaim(technique="T1003.001", name="x", finding_ids=tuple(techniques)),),
        entities=(AffectedEntity(kind="host", value=texts_[2], scope=Scope.INVOLVED, finding_ids=tuple(techniques)),),
        recommendations=(advice(target=texts_[2], finding_ids=tuple(techniques)),),
    ),
    st.lists(
        st.builds(
            lambda id_, text, cited, hypothesis, stance, odds, external: finding(
                id_,
                text=text,
                citations=tuple(cited),
                hypothesis_id=hypothesis,
                stance=stance,
                log_odds=odds,
                rests_on_external=external,
            ),
            ids,
            texts,
            citations,
            st.sampled_from(["H1", "H2", "H3", "H9", None]),
            st.sampled_from(Stance),
            st.floats(allow_nan=True, allow_infinity=True),
            st.booleans(),
        ),
        max_size=4,
    ),
    st.lists(texts, min_size=3, max_size=3),
    st.sampled_from(Verdict),
    st.lists(st.floats(0, 1), min_size=2, max_size=2),
    st.lists(ids, min_size=1, max_size=3),
)


@settings(max_examples=200, deadline=None)
@given(reports)
def test_checking_never_fails_and_checking_twice_changes_nothing(one: Report) -> None:
    once = check(one, FACTS)
    assert check(once, FACTS) == once
    assert 0 <= once.probability <= 1
    for kept in once.findings:
        assert kept.citations
        assert all(FACTS[each.evidence_id].value(each.field) is not None for each in kept.citations)
    if once.verdict is Verdict.TRUE_POSITIVE:
        assert any(each.hypothesis_id == "H1" for each in once.findings)
    assert len(once.findings) + sum(each.what.startswith("finding") for each in once.dropped) == len(one.findings)
