"""What findings say and leave unsaid: where it began, how often, to where, and nothing twice."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from watchfloor_agents.investigation.analysers import ANALYSERS
from watchfloor_agents.investigation.case import InvestigationCase
from watchfloor_agents.investigation.checking import check
from watchfloor_agents.investigation.engine import Analyser, Analysis
from watchfloor_agents.investigation.export.markdown import report_markdown
from watchfloor_agents.investigation.loop import run_locally
from watchfloor_agents.investigation.specialist import SpecialistEngine
from watchfloor_agents.investigation.view import CaseView, Question
from watchfloor_connectors.logs.listed import ListLogSource
from watchfloor_connectors.logs.testing import START_US, sample_event
from watchfloor_core.logs.event import EventType, LogEvent, Value
from watchfloor_core.logs.query import TimeRange
from watchfloor_core.report import Finding, Report

CASE = InvestigationCase(
    tenant="acme",
    incident_id="inc-1",
    revision=1,
    title="a test",
    range=TimeRange(START_US, START_US + 60_000_000),
    alerts=(),
    entities=(),
)
SERVICES = "C:\\Windows\\System32\\services.exe"
SHELL = "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe"


def report_of(*events: LogEvent, engine: SpecialistEngine | None = None) -> Report:
    view, report = run_locally(engine or SpecialistEngine(), CASE, [ListLogSource("lab", events)])
    checked = check(report, view.evidence)
    assert checked.dropped == ()
    return checked


def found(report: Report, code: str) -> list[Finding]:
    return [one for one in report.findings if one.code == code]


def dump(**more: Value) -> LogEvent:
    return sample_event(
        2, 2, EventType.PROCESS_START, host__name="ws1", process__name="procdump.exe",
        process__executable="C:\\x\\procdump.exe", process__command_line="procdump.exe -ma lsass.exe c:\\x.dmp", **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("parent", "named"),
    [
        ({"process__parent__executable": SHELL}, 'process.parent.executable "C:\\\\Windows'),
        ({"process__parent__executable": "-", "process__parent__pid": 41}, 'process.parent.pid "41"'),
        # Anybody may name a program like the system's.
        ({"process__parent__executable": "C:\\x\\services.exe"}, 'process.parent.executable "C:\\\\x'),
        ({"process__parent__executable": "C:\\x" + SERVICES[2:]}, 'process.parent.executable "C:\\\\x'),
    ],
)
def test_a_program_whose_parent_was_not_found_is_no_root_cause(parent: dict[str, Value], named: str) -> None:
    report = report_of(dump(**parent))
    [earliest] = found(report, "earliest_program")
    assert earliest.text.startswith('The earliest program seen of this is process.executable "C:\\\\x\\\\procdump.exe"')
    assert f"; its parent {named}" in earliest.text
    assert earliest.text.endswith(" is not in what could be seen of the logs")
    assert (report.root_cause, report.root_cause_finding_ids) == (None, ())
    assert "Where the programs came from was not established" in [one.text for one in report.unknowns]
    assert "Not established." in report_markdown(report, {})


@pytest.mark.parametrize("parent", [{}, {"process__parent__executable": "-", "process__parent__pid": 0}])
def test_a_program_that_names_no_parent_is_where_the_line_begins(parent: dict[str, Value]) -> None:
    report = report_of(dump(**parent))
    [origin] = found(report, "process_origin")
    assert origin.text.startswith("The line of programs begins with ")
    assert (report.root_cause, report.root_cause_finding_ids) == (origin.text, (origin.id,))


def test_what_the_service_manager_started_is_where_the_line_begins() -> None:
    report = report_of(dump(process__parent__executable=SERVICES))
    [origin] = found(report, "process_origin")
    assert "started by process.parent.executable" in origin.text
    assert report.root_cause == origin.text


def test_the_line_is_followed_to_a_parent_that_was_found() -> None:
    shell = sample_event(
        1, 1, host__name="ws1", process__executable=SHELL, process__entity_id="{s}", process__name="powershell.exe",
        process__parent__executable="C:\\Windows\\explorer.exe", process__parent__entity_id="{e}",
    )  # fmt: skip
    report = report_of(shell, dump(process__parent__executable=SHELL, process__parent__entity_id="{s}"))
    [earliest] = found(report, "earliest_program")
    assert "powershell.exe" in earliest.text.partition("; its parent")[0]
    assert "explorer.exe" in earliest.text.partition("; its parent")[2]


def connection(number: int, destination: str, second: int = 3) -> LogEvent:
    return sample_event(
        number, second, EventType.NETWORK_CONNECTION, host__name="ws1", process__name="powershell.exe",
        process__executable=SHELL, destination__ip=destination, destination__port=443,
    )  # fmt: skip


@pytest.mark.parametrize("address", ["10.1.2.3", "172.16.0.9", "192.168.1.1", "fd00::7"])
def test_a_private_address_is_never_called_outside(address: str) -> None:
    report = report_of(connection(1, address))
    [one] = found(report, "script_host_connection")
    assert one.text.startswith("A shell or script host connected to an address that is not public")
    assert not any("outside" in each for each in (*(one.text for one in report.findings), report.summary))


def test_connections_within_are_told_apart_from_those_to_the_outside_and_never_take_their_place() -> None:
    within = [connection(number, f"10.0.0.{number}", number) for number in range(1, 5)]
    report = report_of(*within, connection(9, "45.77.3.9", 9))
    texts = sorted(one.text for one in found(report, "script_host_connection"))
    assert [one.partition(" on ")[0].rpartition(" connected to ")[2] for one in texts] == [
        "an address outside",
        "an address that is not public",
    ]
    assert '"45.77.3.9"' in texts[0]
    assert "times" not in texts[0]
    assert "(4 times, with 4 values of destination.ip: " in texts[1]


def share(number: int, target: str) -> LogEvent:
    fields: dict[str, Value] = {
        "host__name": "ws1", "winlog__event_data__ShareName": "\\\\*\\ADMIN$",
        "winlog__event_data__RelativeTargetName": target, "source__ip": "10.0.0.5",
    }  # fmt: skip
    return sample_event(number, number, EventType.SHARE_ACCESS, **fields)


def times(*targets: str) -> tuple[str, int]:
    """What stands in brackets at the end, and how many citations there are of the value."""
    [one] = found(report_of(*(share(number, each) for number, each in enumerate(targets, 1))), "admin_share_written")
    cited = sum(each.field == "winlog.event_data.RelativeTargetName" for each in one.citations)
    return one.text.rpartition(" (")[2], cited


def test_a_value_that_only_some_events_had_is_not_said_of_all() -> None:
    told = '4 times, with 2 values of winlog.event_data.RelativeTargetName: "PSEXESVC.exe", "cmd.exe")'
    assert times("PSEXESVC.exe", "cmd.exe", "psexesvc.exe", "cmd.exe") == (told, 2)


def test_of_many_values_three_are_named() -> None:
    told = '5 times, with 5 values of winlog.event_data.RelativeTargetName: "a.exe", "b.exe", "c.exe")'
    assert times("a.exe", "b.exe", "c.exe", "d.exe", "e.exe") == (told, 3)


def test_equal_events_are_counted_and_no_more() -> None:
    assert times("a.exe", "a.exe", "A.EXE") == ("3 times)", 1)


def test_a_value_that_some_events_lack_is_said_of_the_others() -> None:
    without = sample_event(
        8, 8, EventType.NETWORK_CONNECTION, host__name="ws1", process__name="powershell.exe",
        destination__ip="45.77.3.9", destination__port=443,
    )  # fmt: skip
    [one] = found(report_of(connection(1, "45.77.3.9"), without), "script_host_connection")
    assert one.text.endswith(" (2 times, with process.executable in 1 of them)")


@dataclass
class Twice:
    """Says all that another says, and says it again with less weight."""

    inner: Analyser
    name: str
    version: str = "1"

    def questions(self, view: CaseView) -> list[Question]:
        return list(self.inner.questions(view))

    def analyse(self, view: CaseView) -> Analysis:
        given = self.inner.analyse(view)
        again = tuple(replace(one, log_odds=one.log_odds / 2) for one in given.claims)
        return replace(given, claims=(*again, *given.claims))


def test_what_is_said_twice_by_the_same_evidence_is_one_finding_with_the_stronger_weight() -> None:
    once = report_of(dump())
    engine = SpecialistEngine(analysers=tuple(Twice(one, one.name) for one in ANALYSERS))
    twice = report_of(dump(), engine=engine)
    assert [(one.text, one.log_odds) for one in twice.findings] == [(one.text, one.log_odds) for one in once.findings]
    assert len({(one.text, one.citations) for one in twice.findings}) == len(twice.findings) > 1
