"""What analysers know: each indicator fires on an event that shows it, is turned by what explains it, and cites."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from watchfloor_agents.investigation.analysers import ANALYSERS
from watchfloor_agents.investigation.analysers.indicator import Indicator, IndicatorAnalyser
from watchfloor_agents.investigation.case import CaseAlert, InvestigationCase
from watchfloor_agents.investigation.checking import check
from watchfloor_agents.investigation.export.report_json import report_from_json, report_to_json
from watchfloor_agents.investigation.export.stix import report_bundle
from watchfloor_agents.investigation.loading import alert_evidence
from watchfloor_agents.investigation.loop import run_locally
from watchfloor_agents.investigation.specialist import SpecialistEngine
from watchfloor_agents.investigation.view import CaseView
from watchfloor_connectors.logs.listed import ListLogSource
from watchfloor_connectors.logs.testing import START_US
from watchfloor_core.alert import EntityKind, EntityRole, TimePrecision
from watchfloor_core.attack_ids import current_techniques
from watchfloor_core.incident import Verdict
from watchfloor_core.logs.event import EventType, LogEvent, Value
from watchfloor_core.logs.fields import INTEGERS, Field
from watchfloor_core.logs.matching import fulfils
from watchfloor_core.logs.query import AllOf, AnyOf, Condition, Not, Operator, TimeRange, Where
from watchfloor_core.report import HypothesisKind, Report

INDICATORS = [one for each in ANALYSERS if isinstance(each, IndicatorAnalyser) for one in each.indicators]
EXPLAINED = [one for one in INDICATORS if one.benign is not None]
CASE = InvestigationCase(
    tenant="acme",
    incident_id="inc-1",
    revision=1,
    title="a test",
    range=TimeRange(START_US, START_US + 60_000_000),
    alerts=(),
    entities=(),
)


def shows(condition: Condition, found: dict[Field, Value]) -> None:
    """Make the condition true of these fields; what must not be is left to chance and looked at afterwards."""
    match condition:
        case AllOf(conditions):
            for one in conditions:
                shows(one, found)
        case AnyOf(conditions):
            if not any(fulfils(one, found) for one in conditions):
                shows(next(one for one in conditions if not isinstance(one, Not)), found)
        case Where(field, operator, values) if not fulfils(condition, found):
            found[field] = value_for(operator, values, found.get(field))
        case _:
            pass


def value_for(operator: Operator, values: tuple[Value, ...], held: Value | None) -> Value:
    first = values[0] if values else "something"
    before = "" if held is None else str(held)
    match operator:
        case Operator.CONTAINS:
            return f"{before} {first} x"
        case Operator.STARTS_WITH:
            return f"{first}{before}"
        case Operator.ENDS_WITH:
            return f"{before}{first}"
        case Operator.IN_NETWORK:
            return str(first).partition("/")[0]
        case _:
            return first


def event_for(indicator: Indicator, *conditions: Condition) -> LogEvent:
    fields: dict[Field, Value] = {Field.HOST_NAME: "ws1"}
    for condition in (*conditions, indicator.where):
        shows(condition, fields)
    for name in indicator.cite[:1]:
        fields.setdefault(name, 7 if name in INTEGERS else "x")
    return LogEvent("1" * 64, "lab", START_US + 1_000_000, TimePrecision.SECOND, min(indicator.types), fields)


def investigated(*events: LogEvent, case: InvestigationCase = CASE) -> tuple[CaseView, Report]:
    return run_locally(SpecialistEngine(), case, [ListLogSource("lab", events)])


def test_every_indicator_has_a_code_of_its_own_and_techniques_that_there_can_be() -> None:
    codes = [one.code for one in INDICATORS]
    assert len(set(codes)) == len(codes) > 50
    for one in INDICATORS:
        assert one.log_odds > 0, one.code
        assert all(re.fullmatch(r"T\d{4}(\.\d{3})?", each) for each in one.techniques), one.code


@pytest.mark.parametrize("indicator", INDICATORS, ids=lambda one: one.code)
def test_an_event_that_shows_it_is_found_cited_and_passes_the_check(indicator: Indicator) -> None:
    event = event_for(indicator)
    assert fulfils(indicator.where, event.fields), event.fields
    view, report = investigated(event)
    checked = check(report, view.evidence)
    [found] = [one for one in checked.findings if one.code == indicator.code]
    assert not [one for one in checked.dropped if one.what == f"finding {found.id}"]
    assert found.citations
    assert set(found.techniques) == set(current_techniques(indicator.techniques))


@pytest.mark.parametrize("indicator", EXPLAINED, ids=lambda one: one.code)
def test_what_explains_it_turns_it_to_the_other_side(indicator: Indicator) -> None:
    assert indicator.benign is not None
    event = event_for(indicator, indicator.benign)
    if not (fulfils(indicator.where, event.fields) and fulfils(indicator.benign, event.fields)):
        pytest.fail(f"no event shows {indicator.code} and what explains it: {event.fields}")
    _, explained = investigated(event)
    kinds = {one.id: one.kind for one in explained.hypotheses}
    found = [one for one in explained.findings if one.code.startswith(indicator.code)]
    assert found
    assert all(kinds[one.hypothesis_id or ""] is not HypothesisKind.ATTACK for one in found)
    _, attack = investigated(event_for(indicator))
    assert explained.probability < attack.probability


def attack_events() -> Iterator[LogEvent]:
    for number, code in enumerate(("lsass_memory_read", "dump_by_system_tool", "log_cleared")):
        indicator = next(one for one in INDICATORS if one.code == code)
        event = event_for(indicator)
        yield replace(event, id=f"{number:064x}", time_us=START_US + number * 1_000_000)


def test_equal_views_give_equal_reports_in_whatever_order_the_answers_came() -> None:
    view, report = investigated(*attack_events())
    answers = list(view.answers)
    random.Random(7).shuffle(answers)
    shuffled = replace(view, answers=tuple(answers))
    assert SpecialistEngine().conclude(shuffled) == report
    assert SpecialistEngine().plan(shuffled) == SpecialistEngine().plan(view)


def test_more_evidence_makes_it_surer_and_repetition_does_not() -> None:
    first, second, third = attack_events()
    _, one = investigated(first)
    _, more = investigated(first, second, third)
    again = [replace(first, id=f"{number:064x}", time_us=first.time_us + number) for number in range(100, 130)]
    _, repeated = investigated(first, *again)
    assert one.probability < more.probability
    assert repeated.probability == pytest.approx(one.probability, abs=0.02)


def test_nothing_to_look_at_is_no_evidence_of_absence() -> None:
    _, report = investigated()
    assert report.verdict is Verdict.UNDETERMINED
    assert report.certainty < 0.3
    assert [one.cause for one in report.unknowns if "lab" in one.text] == ["dark_source"]


def test_nothing_found_where_one_could_look_is_more_certain_than_nothing_seen() -> None:
    harmless = [
        LogEvent(f"{number:064x}", "lab", START_US - 3_600_000_000 * 2 + number * 3_600_000_000, TimePrecision.SECOND,
                 type_, {Field.HOST_NAME: "ws1"})
        for number, type_ in enumerate([*EventType, EventType.OTHER] * 2)
    ]  # fmt: skip
    _, seen = investigated(*harmless)
    _, dark = investigated()
    assert seen.certainty > dark.certainty
    assert seen.verdict is Verdict.UNDETERMINED


def sensor_alert(detector: str, technique: str, host: str = "ws1") -> CaseAlert:
    evidence = alert_evidence(
        product="edr",
        rule_id=detector,
        rule_name=detector,
        severity=4,
        entities=((EntityKind.HOST, host, EntityRole.TARGET), (EntityKind.USER, "lab\\ann", EntityRole.ACTOR)),
        attributes={},
        shape=detector,
    )
    return CaseAlert(
        evidence=evidence,
        product="edr",
        detector=detector,
        severity=4,
        tactics=(),
        techniques=(technique,),
        entities=((EntityKind.HOST, host, EntityRole.TARGET), (EntityKind.USER, "lab\\ann", EntityRole.ACTOR)),
        count=2,
        first_us=START_US,
        last_us=START_US + 5,
    )


def test_without_telemetry_the_sensors_word_is_all_there_is_and_is_named_as_that() -> None:
    case = replace(CASE, alerts=(sensor_alert("Scan", "T1046"), sensor_alert("Dump", "T1003")))
    view, report = run_locally(SpecialistEngine(), case, [])
    checked = check(report, view.evidence)
    assert {one.technique for one in checked.techniques} == {"T1046", "T1003"}
    assert checked.dropped == ()
    assert {(one.kind, one.value) for one in checked.entities} == {("host", "ws1"), ("user", "ann")}
    assert any("No log source could be asked" in one.text for one in checked.unknowns)


def test_one_rule_about_one_host_is_one_finding_however_many_alerts_say_it() -> None:
    same = sensor_alert("Scan", "T1046")
    other = replace(same, evidence=replace(same.evidence, body={**same.evidence.body, "shape": "b"}), count=3)
    _, report = run_locally(SpecialistEngine(), replace(CASE, alerts=(same, other)), [])
    [found] = report.findings
    assert "5 times" in found.text
    # One of them stands for the others: they say the same of the same host.
    assert len({one.evidence_id for one in found.citations}) == 1


def test_a_report_comes_back_whole_from_json_and_its_bundle_is_the_same_each_time() -> None:
    view, report = investigated(*attack_events())
    checked = replace(check(report, view.evidence), started_us=START_US, ended_us=START_US + 1)
    assert report_from_json(report_to_json(checked)) == checked
    assert report_bundle(checked) == report_bundle(checked)
