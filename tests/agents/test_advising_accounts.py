"""What a report advises about accounts: those that acted, by the events themselves, the least disruptive step first."""

from __future__ import annotations

from watchfloor_agents.investigation.case import InvestigationCase
from watchfloor_agents.investigation.checking import check
from watchfloor_agents.investigation.loop import run_locally
from watchfloor_agents.investigation.specialist import SpecialistEngine
from watchfloor_agents.investigation.view import CaseView
from watchfloor_agents.response.planning import plan_response
from watchfloor_connectors.logs.listed import ListLogSource
from watchfloor_connectors.logs.testing import START_US, sample_event
from watchfloor_core.incident import Verdict
from watchfloor_core.logs.event import EventType, LogEvent
from watchfloor_core.logs.query import TimeRange
from watchfloor_core.report import Report

CASE = InvestigationCase(
    tenant="acme",
    incident_id="inc-1",
    revision=1,
    title="a test",
    range=TimeRange(START_US, START_US + 60_000_000),
    alerts=(),
    entities=(),
)


def done_by(user: str, number: int, line: str) -> LogEvent:
    name = line.split()[0]
    return sample_event(
        number, number, EventType.PROCESS_START, host__name="ws1", user__name=user, process__name=name,
        process__executable=f"C:\\x\\{name}", process__command_line=line,
    )  # fmt: skip


def attack_by(user: str, first: int = 2) -> list[LogEvent]:
    lines = (
        "procdump.exe -ma lsass.exe c:\\x.dmp",
        "mimikatz.exe sekurlsa::logonpasswords",
        "wevtutil.exe cl Security",
        "vssadmin.exe delete shadows /all /quiet",
    )
    return [done_by(user, number, line) for number, line in enumerate(lines, first)]


def report_of(*events: LogEvent) -> tuple[CaseView, Report]:
    view, report = run_locally(SpecialistEngine(), CASE, [ListLogSource("lab", events)])
    checked = check(report, view.evidence)
    assert (checked.verdict, checked.dropped) == (Verdict.TRUE_POSITIVE, ())
    return view, checked


def disabled(report: Report) -> list[str]:
    return [one.target for one in report.recommendations if one.action_class == "disable user"]


def test_the_account_that_acted_is_named_with_its_findings_between_the_milder_and_the_harsher_steps() -> None:
    connection = sample_event(
        9, 9, EventType.NETWORK_CONNECTION, host__name="ws1", user__name="eve", process__name="mimikatz.exe",
        process__executable="C:\\x\\mimikatz.exe", destination__ip="45.77.3.9", destination__port=443,
    )  # fmt: skip
    view, report = report_of(*attack_by("eve"), connection)
    told = [one.action_class or one.purpose.split()[0] for one in report.recommendations if one.phase == "contain"]
    assert told == ["deny ip", "Ask", "disable user", "Isolate"]
    [advice] = [one for one in report.recommendations if one.action_class == "disable user"]
    texts = {one.id: one.text for one in report.findings}
    assert advice.target == "eve"
    assert advice.finding_ids
    assert all('by "eve"' in texts[one] for one in advice.finding_ids)
    step = next(one for one in plan_response(report, view.evidence) if one.action_class == "disable user")
    assert (step.value, step.target_kind) == ("eve", "user")


def test_of_several_accounts_the_one_that_most_was_done_with_comes_first() -> None:
    _, report = report_of(*attack_by("eve"), done_by("adam", 20, "procdump.exe -ma lsass.exe c:\\y.dmp"))
    assert disabled(report) == ["eve", "adam"]


def test_accounts_of_machines_and_accounts_that_were_only_tried_are_nobodys_to_disable() -> None:
    failed = [
        sample_event(
            number, number, EventType.LOGON_FAILED, host__name="ws1", user__name="mallory", source__ip="45.77.3.9"
        )
        for number in range(30, 45)
    ]
    _, report = report_of(*attack_by("SYSTEM"), *attack_by("NT AUTHORITY\\SYSTEM", 10), *attack_by("WS1$", 20), *failed)
    assert disabled(report) == []
    assert {(one.value, one.scope.value) for one in report.entities if one.kind == "user"} == {("mallory", "targeted")}
