"""What a source that was dark or held a part takes from a report: certainty, and every word that something is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from watchfloor_agents.investigation.case import InvestigationCase
from watchfloor_agents.investigation.export.markdown import report_markdown
from watchfloor_agents.investigation.export.report_json import report_from_json, report_to_json
from watchfloor_agents.investigation.loop import run_locally
from watchfloor_agents.investigation.specialist import SpecialistEngine
from watchfloor_connectors.logs.listed import ListLogSource
from watchfloor_connectors.logs.testing import START_US, sample_event
from watchfloor_core.incident import Verdict
from watchfloor_core.logs.event import EventType, LogEvent
from watchfloor_core.logs.query import Aggregate, Select, TimeRange
from watchfloor_core.logs.source import Coverage, Events, Groups, Health, LogSource
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
WHOLE = Coverage("edr", Health.WHOLE)


@dataclass
class Covered:
    """A source that says how much of everything it could show."""

    name: str
    events: tuple[LogEvent, ...]
    health: Coverage

    def coverage(self, range_: TimeRange) -> Coverage:
        return replace(self.health, source=self.name)

    def select(self, query: Select) -> Events:
        found = ListLogSource(self.name, self.events).select(query)
        return replace(found, coverage=self.coverage(query.range))

    def aggregate(self, query: Aggregate) -> Groups:
        found = ListLogSource(self.name, self.events).aggregate(query)
        return replace(found, coverage=self.coverage(query.select.range))


def program(number: int, line: str, **more: str) -> LogEvent:
    executable = f"C:\\x\\{line.split()[0]}"
    return sample_event(
        number, number, EventType.PROCESS_START, host__name="ws1", process__name=line.split()[0],
        process__executable=executable, process__command_line=line, **more,
    )  # fmt: skip


ATTACK = (
    program(2, "procdump.exe -ma lsass.exe c:\\x.dmp", process__parent__executable="C:\\x\\a.exe"),
    program(3, "mimikatz.exe sekurlsa::logonpasswords"),
    program(4, "wevtutil.exe cl Security"),
    program(5, "vssadmin.exe delete shadows /all /quiet"),
)


def report_of(*sources: LogSource) -> Report:
    _, report = run_locally(SpecialistEngine(), CASE, list(sources))
    return report


def certainty_line(report: Report) -> str:
    [line] = [one for one in report_markdown(report, {}).splitlines() if one.startswith("- Certainty")]
    return line


def test_strong_evidence_in_whole_sources_is_certain_and_names_no_source() -> None:
    report = report_of(Covered("edr", ATTACK, WHOLE))
    assert (report.verdict, certainty_line(report)) == (
        Verdict.TRUE_POSITIVE,
        "- Certainty: 1.00 (how much there was to decide on)",
    )


@pytest.mark.parametrize(
    ("health", "cause", "told"),
    [
        (Health.PARTIAL, "partial_source", "seen in part: `edr`"),
        (Health.DARK, "dark_source", "dark: `edr`"),
    ],
)
def test_the_same_evidence_is_less_certain_where_the_source_held_a_part_and_it_stands_beside(
    health: Health, cause: str, told: str
) -> None:
    whole = report_of(Covered("edr", ATTACK, WHOLE))
    report = report_of(Covered("edr", ATTACK, Coverage("edr", health, "it holds a part of that time")))
    assert report.certainty < 0.8 < whole.certainty
    assert certainty_line(report) == f"- Certainty: {report.certainty:.2f} (how much there was to decide on; {told})"
    assert [(one.cause, one.source) for one in report.unknowns if one.source] == [(cause, "edr")]
    assert report_from_json(report_to_json(report)) == report


def test_one_dark_source_among_many_whole_ones_keeps_a_report_from_certainty() -> None:
    sources: Sequence[LogSource] = [
        *(Covered(f"edr{number}", ATTACK, WHOLE) for number in range(200)),
        Covered("proxy", (), Coverage("proxy", Health.DARK, "it does not answer")),
    ]
    report = report_of(*sources)
    assert f"{report.certainty:.2f}" == "0.99"
    assert "dark: `proxy`" in certainty_line(report)


def test_a_source_that_never_has_such_events_takes_no_certainty_from_what_was_asked_of_another() -> None:
    edr = Covered("edr", ATTACK, replace(WHOLE, types=frozenset(EventType)))
    partial = Coverage("dns", Health.PARTIAL, "it holds no event of the kind")
    of_anything = report_of(edr, Covered("dns", (), partial))
    of_names = report_of(edr, Covered("dns", (), replace(partial, types=frozenset({EventType.DNS_QUERY}))))
    assert of_names.certainty > of_anything.certainty


@pytest.mark.parametrize(
    ("health", "parent", "often"),
    [
        (Health.WHOLE, "is not in the logs", "before: 1 times"),
        (Health.PARTIAL, "is not in what could be seen of the logs", "before: at least 1 times"),
    ],
)
def test_that_something_is_not_there_is_said_of_whole_sources_only(health: Health, parent: str, often: str) -> None:
    before = replace(program(9, "procdump.exe -ma lsass.exe c:\\x.dmp"), time_us=START_US - 3 * 86_400_000_000)
    report = report_of(Covered("edr", (before, *ATTACK), Coverage("edr", health)))
    told = " ".join(one.text for one in report.findings)
    assert (parent in told, often in told) == (True, True)
    outcomes = {each.outcome for one in report.hypotheses for each in one.predictions}
    assert ("not seen" in outcomes) is (health is Health.WHOLE)
