"""What people said of findings, as labelled cases, and how often findings are right by them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import update
from typer.testing import CliRunner, Result

from tests.service.reports import claim, reported
from watchfloor_agents.investigation.specialist import SpecialistEngine
from watchfloor_core.correction import Judgement
from watchfloor_core.errors import LedgerError
from watchfloor_core.incident import ClosedBy, IncidentStatus, Verdict
from watchfloor_core.report import Finding, Stance
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_core.store.schema import incident
from watchfloor_core.store.schema_investigation import finding_correction
from watchfloor_guardrails.correction import CorrectionRequest
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.proportion import clopper_pearson
from watchfloor_service.cli import app
from watchfloor_service.incidents.finding_labels import FindingLabel, read_finding_labels
from watchfloor_service.incidents.finding_measures import FindingMeasures, Measure, measure_findings
from watchfloor_service.testing import eve_lines, plant_incidents
from watchfloor_workflows.investigation.corrections import record_correction
from watchfloor_workflows.investigation.records import InvestigationKey

WRONG, RIGHT, INCOMPLETE, MISSED, WITHDRAWN = Judgement
SPECIALIST = SpecialistEngine().version


class Desk:
    """Reports on incidents of one tenant, and people who correct them."""

    def __init__(self, store: Store, settings: Settings, tenant: str = "acme") -> None:
        self.store, self.settings, self.tenant = store, settings, tenant
        self.incidents = plant_incidents(store, settings, tenant, eve_lines(60))

    def report(self, *findings: Finding, incident: int = 0, revision: int = 100, engine: str = "specialist") -> None:
        key = InvestigationKey(self.tenant, self.incidents[incident], revision)
        version = "m1" if engine.startswith("generative") else ""
        reported(self.store, self.settings, key, *findings, engine=engine, version=version)

    def say(
        self,
        says: Judgement,
        finding: str | None = None,
        technique: str | None = None,
        *,
        by: str = "ana",
        incident: int = 0,
        revision: int = 100,
    ) -> None:
        key = InvestigationKey(self.tenant, self.incidents[incident], revision)
        request = CorrectionRequest(says, finding, technique, "because")
        record_correction(self.store, key, request, Principal(by, PrincipalKind.PERSON))

    def labels(self, tenant: str | None = None) -> list[FindingLabel]:
        with self.store.read() as connection:
            return list(read_finding_labels(connection, tenant or self.tenant))

    def measures(self, **only: str) -> FindingMeasures:
        return measure_findings(self.labels(), **only)


@pytest.fixture
def desk(store: Store, settings: Settings) -> Desk:
    return Desk(store, settings)


def row(measures: list[Measure], name: str) -> tuple[int, int, int, int, int | None]:
    [found] = [one for one in measures if one.name == name]
    return found.judged, found.right, found.wrong, found.incomplete, found.missed


class TestLabels:
    def test_a_label_is_a_persons_word_beside_the_claim_and_who_made_it(self, desk: Desk) -> None:
        desk.report(claim("F1", "T1003.001", evidence="a"))
        desk.say(WRONG, "F1", "T1003.002")
        [label] = desk.labels()
        line = json.loads(json.dumps(label.as_json()))
        assert (line["kind"], line["incident"], line["revision"]) == ("finding", desk.incidents[0], 100)
        assert (line["finding"]["id"], line["finding"]["rule"]) == ("F1", "lsass_memory_read")
        assert (line["finding"]["techniques"], line["finding"]["evidence"]) == (["T1003.001"], ["a" * 64])
        said = line["label"]
        assert (said["says"], said["technique"], said["principal"], said["comment"]) == (
            "wrong",
            "T1003.002",
            "ana",
            "because",
        )
        assert said["saw_agent_answer"]
        assert said["is_latest"]
        assert line["agent"] == {"engine": "specialist", "version": SPECIALIST}
        assert line["missed"] == "T1003.002"

    def test_a_missed_technique_has_no_finding_and_is_held_against_the_reports_engine(self, desk: Desk) -> None:
        desk.report(claim("F1"), engine="generative:lab")
        desk.say(MISSED, technique="T1021.002")
        [label] = desk.labels()
        assert (label.finding, label.missed, label.engine, label.version) == (None, "T1021.002", "generative:lab", "m1")

    def test_in_a_joint_report_each_finding_is_its_own_engines(self, desk: Desk) -> None:
        desk.report(claim("F1"), claim("M1", code="model"), engine="generative:lab")
        desk.say(RIGHT, "F1")
        desk.say(RIGHT, "M1")
        assert [(one.engine, one.version) for one in desk.labels()] == [
            ("specialist", SPECIALIST),
            ("generative:lab", "m1"),
        ]

    def test_what_was_replaced_is_told_and_marked_and_what_was_taken_back_is_no_label(self, desk: Desk) -> None:
        desk.report(claim("F1"))
        desk.say(WRONG, "F1")
        desk.say(RIGHT, "F1")
        assert [(one.correction.says, one.is_latest) for one in desk.labels()] == [(WRONG, False), (RIGHT, True)]
        desk.say(WITHDRAWN, "F1")
        assert [one.is_latest for one in desk.labels()] == [False, False]
        assert desk.measures().judged == 0

    def test_what_agents_do_is_no_label_whatever_they_close(self, desk: Desk) -> None:
        desk.report(claim("F1", "T1003.001"))
        for by in (ClosedBy.AGENT, ClosedBy.RULE):
            with desk.store.write() as connection:
                connection.execute(
                    update(incident).values(status=IncidentStatus.CLOSED, verdict=Verdict.FALSE_POSITIVE, closed_by=by)
                )
            assert desk.labels() == []
            assert (desk.measures().judged, desk.measures().by_technique) == (0, [])

    def test_another_tenants_labels_are_not_told(self, desk: Desk) -> None:
        desk.report(claim("F1"))
        desk.say(WRONG, "F1")
        assert desk.labels("other") == []

    def test_a_label_of_another_report_than_the_stored_one_stops_the_export(self, desk: Desk) -> None:
        desk.report(claim("F1"))
        desk.say(WRONG, "F1")
        with desk.store.write() as connection:
            connection.execute(update(finding_correction).values(report_sha256="0" * 64))
        with pytest.raises(LedgerError, match="is not the one that people corrected"):
            desk.labels()

    def test_a_label_of_a_finding_that_is_not_there_stops_the_export(self, desk: Desk) -> None:
        desk.report(claim("F1"))
        desk.say(WRONG, "F1")
        with desk.store.write() as connection:
            connection.execute(update(finding_correction).values(finding_id="F7"))
        with pytest.raises(LedgerError, match="is not the one that people corrected"):
            desk.labels()


class TestMeasures:
    def test_right_wrong_and_incomplete_are_counted_by_rule_and_by_technique(self, desk: Desk) -> None:
        desk.report(
            claim("F1", "T1003.001", evidence="a"),
            claim("F2", "T1003.001", evidence="b"),
            claim("F3", "T1003.001", "T1021.002", code="remote_dump", evidence="c"),
            claim("F4", code="unjudged", evidence="d"),
        )
        desk.say(RIGHT, "F1")
        desk.say(WRONG, "F2")
        desk.say(INCOMPLETE, "F3")
        found = desk.measures()
        assert (found.judged, found.incidents, found.people) == (3, 1, 1)
        assert row(found.by_rule, "lsass_memory_read") == (2, 1, 1, 0, None)
        assert row(found.by_rule, "remote_dump") == (1, 0, 0, 1, None)
        assert [one.name for one in found.by_rule] == ["lsass_memory_read", "remote_dump"]
        assert row(found.by_technique, "T1003.001") == (3, 1, 1, 1, 0)
        assert row(found.by_technique, "T1021.002") == (1, 0, 0, 1, 0)
        [dumping] = [one for one in found.by_technique if one.name == "T1003.001"]
        assert dumping.precision == pytest.approx(1 / 3)
        assert (dumping.low, dumping.high) == clopper_pearson(1, 3)

    def test_a_technique_counts_as_missed_once_an_incident_and_has_no_precision(self, desk: Desk) -> None:
        desk.report(claim("F1", "T1003.001"))
        desk.report(claim("F1", "T1003.001"), incident=1)
        desk.say(MISSED, technique="T1021.002")
        desk.say(MISSED, technique="T1021.002", by="bo")
        desk.say(WRONG, "F1", "T1021.002", incident=1)
        # The report names it already: nothing is missed.
        desk.say(INCOMPLETE, "F1", "T1003.001", by="bo")
        found = desk.measures()
        assert row(found.by_technique, "T1021.002") == (0, 0, 0, 0, 2)
        [missed] = [one for one in found.by_technique if one.name == "T1021.002"]
        assert (missed.precision, missed.low, missed.high) == (None, None, None)
        assert found.overall.missed == 2

    def test_people_who_disagree_make_one_case_which_counts_as_the_worst(self, desk: Desk) -> None:
        desk.report(claim("F1", evidence="a"), claim("F2", evidence="b"), claim("F3", evidence="c"))
        for finding, first, second in (("F1", RIGHT, WRONG), ("F2", RIGHT, INCOMPLETE), ("F3", RIGHT, RIGHT)):
            desk.say(first, finding)
            desk.say(second, finding, by="bo")
        found = desk.measures()
        assert row(found.by_rule, "lsass_memory_read") == (3, 1, 1, 1, None)
        assert (found.disputed, found.people) == (2, 2)

    def test_the_same_claim_in_reports_on_several_revisions_is_one_case_as_last_judged(self, desk: Desk) -> None:
        desk.report(claim("F1", evidence="a"), claim("F2", evidence="b"))
        desk.report(claim("F1", evidence="b"), claim("F2", evidence="a"), revision=101)
        desk.say(WRONG, "F1")
        desk.say(RIGHT, "F2", revision=101)
        desk.say(RIGHT, "F2")
        found = desk.measures()
        assert row(found.by_rule, "lsass_memory_read") == (2, 2, 0, 0, None)

    def test_the_same_claim_of_two_incidents_is_two_cases(self, desk: Desk) -> None:
        for number in (0, 1):
            desk.report(claim("F1"), incident=number)
            desk.say(RIGHT, "F1", incident=number)
        found = desk.measures()
        assert (found.judged, found.incidents) == (2, 2)

    def test_a_finding_against_an_attack_says_nothing_of_its_technique(self, desk: Desk) -> None:
        desk.report(claim("F1", "T1003.001", stance=Stance.REFUTES))
        desk.say(WRONG, "F1")
        found = desk.measures()
        assert (found.judged, found.by_technique) == (1, [])

    def test_engines_and_versions_are_taken_alone(self, desk: Desk) -> None:
        desk.report(claim("F1"), claim("M1", code="model"), engine="generative:lab")
        desk.say(RIGHT, "F1")
        desk.say(WRONG, "M1")
        desk.say(MISSED, technique="T1021.002")
        assert desk.measures().versions == [("generative:lab", "m1", 1), ("specialist", SPECIALIST, 1)]
        rules = desk.measures(engine="specialist")
        assert (rules.judged, rules.overall.wrong, rules.overall.missed) == (1, 0, 0)
        model = desk.measures(version="m1")
        assert (model.judged, model.overall.wrong, model.overall.missed) == (1, 1, 1)
        assert desk.measures(version="m2").judged == 0


Run = Callable[..., Result]


class TestCommand:
    @pytest.fixture
    def store(self, settings: Settings) -> Iterator[Store]:
        migrate(settings.store_url)
        opened = open_store(settings.store_url)
        yield opened
        opened.close()

    @pytest.fixture
    def run(self, settings: Settings) -> Run:
        start = ["--data-dir", str(settings.data_dir)]
        return lambda *arguments: CliRunner().invoke(app, [*start, *arguments, "--tenant", "acme"])

    def test_the_export_has_findings_behind_incidents(self, desk: Desk, run: Run, tmp_path: Path) -> None:
        desk.report(claim("F1"))
        desk.say(WRONG, "F1")
        desk.say(RIGHT, "F1")
        file = tmp_path / "labels.ndjson"
        done = run("labels", "export", str(file))
        assert "0 labels of incidents and 2 of findings written" in done.stdout
        assert [json.loads(line)["kind"] for line in file.read_text().splitlines()] == ["finding", "finding"]
        assert json.loads(run("labels", "export", str(file), "--json").stdout)["findings"] == 2

    def test_the_summary_gives_counts_with_their_interval(self, desk: Desk, run: Run) -> None:
        desk.report(claim("F1", "T1003.001", evidence="a"), claim("M1", code="model"), engine="generative:lab")
        desk.say(RIGHT, "F1")
        desk.say(WRONG, "M1")
        desk.say(MISSED, technique="T1021.002")
        shown = run("labels", "summary")
        assert shown.exit_code == 0, shown.output
        assert "2 findings of 1 incidents judged by 1 people" in shown.stdout
        assert "of 2 versions" in shown.stdout
        [line] = [line.split() for line in shown.stdout.splitlines() if line.startswith("T1003.001")]
        assert line == ["T1003.001", "1", "1", "0", "0", "1.000", "0.025–1.000", "0"]
        [line] = [line.split() for line in shown.stdout.splitlines() if line.startswith("T1021.002")]
        assert line == ["T1021.002", "0", "0", "0", "0", "–", "–", "1"]
        found = json.loads(run("labels", "summary", "--engine", "specialist", "--json").stdout)
        assert (found["judged"], found["overall"]["right"], found["by_rule"][0]["name"]) == (1, 1, "lsass_memory_read")

    def test_without_any_judgement_it_says_how_to_give_one(self, desk: Desk, run: Run) -> None:
        shown = run("labels", "summary")
        assert shown.exit_code == 0
        assert "watchfloor incident correct ID FINDING" in shown.stdout
