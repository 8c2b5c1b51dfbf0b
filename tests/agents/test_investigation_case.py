"""The case of an incident as the store holds it, on both databases, and what a report says of its alerts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import delete, select

from watchfloor_agents.correlation.sequencer import Sequencer
from watchfloor_agents.investigation.analysers.alerts import MAX_HOSTS, MAX_RULES, AlertAnalyser
from watchfloor_agents.investigation.case import InvestigationCase
from watchfloor_agents.investigation.case_json import case_from_json, case_to_json
from watchfloor_agents.investigation.checking import check
from watchfloor_agents.investigation.export.markdown import report_markdown
from watchfloor_agents.investigation.loading import MAX_OF_A_RULE, load_investigation_case
from watchfloor_agents.investigation.specialist import SpecialistEngine
from watchfloor_agents.investigation.view import CaseView
from watchfloor_core.alert import Alert, Detector, Entity, EntityKind, EntityRole, Severity, TimePrecision
from watchfloor_core.errors import NotFoundError
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.ingest import ParsedBatch, ParsedRecord, close_source, register_source, write_batch
from watchfloor_core.store.schema import alert as stored_alert
from watchfloor_core.store.schema import incident

START_US = 1_767_225_600_000_000


def alert(second: int, rule: str, *, host: str = "web01", user: str = "eve") -> Alert:
    return Alert(
        connector="test",
        detector=Detector("sensor", rule, rule, techniques=("T1110",)),
        severity=Severity.HIGH,
        event_us=START_US + second * 1_000_000,
        precision=TimePrecision.SECOND,
        entities=(
            Entity(EntityKind.HOST, host, EntityRole.TARGET),
            Entity(EntityKind.USER, user, EntityRole.ACTOR),
            Entity(EntityKind.USER, "root", EntityRole.RELATED),
        ),
    )


def cases_of(store: Store, alerts: Sequence[Alert]) -> list[InvestigationCase]:
    with store.write() as connection:
        register_source(connection, "acme", "http:sensor", "sensor", is_bounded=False)
        records = [ParsedRecord(number, b"{}", one) for number, one in enumerate(alerts, 1)]
        write_batch(connection, "acme", ParsedBatch("http:sensor", "b1", "test", "1", records))
        close_source(connection, "acme", "http:sensor")
    Sequencer(store, Settings(idle_s=10**6, lateness_s=60)).advance("acme", finish=True, budget_s=60.0)
    with store.read() as connection:
        ids = connection.execute(select(incident.c.id).order_by(incident.c.first_us)).scalars().all()
        return [load_investigation_case(connection, "acme", one) for one in ids]


def test_a_flood_of_one_rule_leaves_the_others_in_and_is_counted_whole(store: Store) -> None:
    flood = [alert(number, "password guessing", user=f"user{number}") for number in range(400)]
    [case] = cases_of(store, [*flood, alert(500, "shell opened"), alert(501, "service stopped", host="db01")])

    kinds = Counter(one.detector for one in case.alerts)
    assert kinds == {"password guessing": MAX_OF_A_RULE, "shell opened": 1, "service stopped": 1}
    guessing = [one for one in case.alerts if one.detector == "password guessing"]
    # The first to fire are kept, so that the report has when it began.
    assert guessing[0].first_us == START_US
    assert {one.of_rule for one in guessing} == {400}
    texts = [one.text for one in AlertAnalyser().analyse(CaseView(case)).claims]
    assert texts == [
        'sensor reported "password guessing" on "web01", 400 times',
        'sensor reported "shell opened" on "web01"',
        'sensor reported "service stopped" on "db01"',
    ]


def test_the_timeline_has_each_time_as_its_sensor_gave_it_also_after_retention(store: Store) -> None:
    given = [
        alert(0, "to the second"),
        replace(alert(1, "ended on a whole millisecond"), precision=TimePrecision.MILLISECOND),
        replace(alert(2, "finer"), event_us=START_US + 2_123_456, precision=TimePrecision.MICROSECOND),
        replace(alert(3, "in nanoseconds"), event_us=START_US + 3_120_000, precision=TimePrecision.NANOSECOND),
    ]
    [case] = cases_of(store, given)
    assert [one.precision for one in case.alerts] == [one.precision for one in given]
    evidence = {one.evidence.id: one.evidence for one in case.alerts}
    assert case_from_json(case_to_json(case), evidence) == case
    times = [
        line.split()[1]
        for line in report_markdown(SpecialistEngine().conclude(CaseView(case)), {}).splitlines()
        if "sensor reported" in line and line[0].isdecimal()
    ]
    assert times == [
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:01.000Z",
        "2026-01-01T00:00:02.123456Z",
        "2026-01-01T00:00:03.120000Z",
    ]
    with store.write() as connection:
        connection.execute(delete(stored_alert))
    with store.read() as connection:
        kept = load_investigation_case(connection, "acme", case.incident_id)
    assert [one.precision.value for one in kept.alerts] == ["s", "s", "us", "ms"]


def test_a_rule_that_fires_on_many_hosts_is_one_finding_that_cites_each_it_names(store: Store) -> None:
    [case] = cases_of(store, [alert(number, "scan", host=f"host{number}") for number in range(8)])
    view = CaseView(case)
    [claim] = AlertAnalyser().analyse(view).claims
    assert claim.text == 'sensor reported "scan" on "host0", "host1", "host2", "host3" and 4 more, 8 times'
    assert len({one.evidence_id for one in claim.citations}) == MAX_HOSTS
    report = check(SpecialistEngine().conclude(view), view.evidence)
    assert report.dropped == ()
    assert [one.time_us for one in report.timeline] == [START_US]


def test_of_too_many_rules_those_that_fired_least_are_told(store: Store) -> None:
    often = [alert(number, f"often {number % 60}", user=f"u{number}") for number in range(180)]
    [case] = cases_of(store, [*often, *(alert(200 + number, f"once {number}") for number in range(10))])
    claims = AlertAnalyser().analyse(CaseView(case)).claims
    assert len(claims) == MAX_RULES
    assert sum("once" in one.text for one in claims) == 10


def test_a_case_comes_back_from_the_record_also_from_one_that_counted_no_rules(store: Store) -> None:
    [case] = cases_of(store, [alert(0, "scan"), alert(1, "shell opened")])
    evidence = {one.evidence.id: one.evidence for one in case.alerts}
    content = case_to_json(case)
    assert case_from_json(content, evidence) == case
    alerts = content["alerts"]
    assert isinstance(alerts, list)
    for one in alerts:
        del one["of_rule"]
    assert {one.of_rule for one in case_from_json(content, evidence).alerts} == {0}


def test_without_the_incident_there_is_no_case(store: Store) -> None:
    with store.read() as connection, pytest.raises(NotFoundError, match="no incident"):
        load_investigation_case(connection, "acme", "inc-0")
