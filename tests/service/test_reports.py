"""Reports and evidence as people and programs get them: the command line, the API, and what was tampered with."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
import zstandard
from rich.console import Console
from sqlalchemy import delete, select, update
from typer.testing import CliRunner, Result

from tests.service.reports import investigated
from watchfloor_core.evidence import Evidence, EvidenceKind
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_core.store.schema import alert, batch_raw, incident
from watchfloor_core.store.schema_investigation import evidence, investigation
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_guardrails.roles import Role
from watchfloor_service.access.testing import add_person, signed_in
from watchfloor_service.cli import app
from watchfloor_service.commands.place import command
from watchfloor_service.detection.investigate import report_table
from watchfloor_service.incidents.evidence_alerts import MAX_CHARACTERS, MAX_LINES, alerts_behind, shown_original
from watchfloor_service.incidents.reports import find_report, page_of
from watchfloor_service.testing import eve_alert, eve_lines, plant_incidents, served
from watchfloor_workflows.testing.workbench import write_policy

HOSTILE = "ET [x](http://evil.example) \x1b[31m \u202egpj.exe"
Run = Callable[..., Result]


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    migrate(settings.store_url)
    opened = open_store(settings.store_url)
    yield opened
    opened.close()


@pytest.fixture
def incident_id(store: Store, settings: Settings) -> str:
    return plant_incidents(store, settings, "default", eve_lines(20, signature=HOSTILE))[0]


@pytest.fixture
def run(settings: Settings) -> Run:
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, ["--data-dir", str(settings.data_dir), *arguments])


def test_the_report_is_printed_with_nothing_live_in_it(
    run: Run, store: Store, settings: Settings, incident_id: str
) -> None:
    evidence_id = investigated(store, settings, "default", incident_id)
    shown = run("incident", "report", incident_id)

    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith(f"# Investigation of incident {incident_id}")
    assert evidence_id[:12] in shown.stdout
    assert "\x1b" not in shown.stdout
    assert "\u202e" not in shown.stdout


def test_one_sentence_relates_the_two_verdicts_in_page_json_and_incident(
    run: Run, store: Store, settings: Settings, incident_id: str
) -> None:
    investigated(store, settings, "default", incident_id)
    with store.read() as connection:
        stored = find_report(connection, "default", incident_id)
        triage = connection.execute(select(incident.c.verdict).where(incident.c.id == incident_id)).scalar_one()
    assert stored.report is not None
    said = stored.report.relation
    assert said.startswith(f"Triage said {triage}, probability ")
    assert "because no log source could be asked" in said

    page = " ".join(run("incident", "report", incident_id).stdout.split())
    shown = " ".join(run("incident", "show", incident_id).stdout.split())
    content = json.loads(run("incident", "show", incident_id, "--json").stdout)
    assert f"- {said}" in page
    assert f"Investigation Undetermined, probability of an attack {stored.report.probability:.2f}" in shown
    assert said in shown
    assert content["investigation"]["relation"] == said
    assert json.loads(run("incident", "report", incident_id, "--format", "json").stdout)["report"]["relation"] == said

    with store.write() as connection:
        connection.execute(update(investigation).values(report=investigation.c.report + " "))
    altered = json.loads(run("incident", "show", incident_id, "--json").stdout)["investigation"]
    assert (altered["status"], altered["verdict"], altered["relation"]) == ("altered", None, "")


def test_the_timeline_of_an_incident_has_times_as_the_sensor_gave_them(run: Run, incident_id: str) -> None:
    found = json.loads(run("incident", "show", incident_id, "--json").stdout)["observations"]
    assert {one["precision"] for one in found} == {"us"}
    shown = run("incident", "show", incident_id).stdout
    assert "2024-06-13T00:00:20.000001Z" in [one["first_at"] for one in found]
    assert "2024-06-13T00:00:20.000001Z" in shown


def test_an_incident_whose_triage_is_sealed_shows_no_investigation_either(
    run: Run, store: Store, settings: Settings
) -> None:
    write_policy(settings.data_dir, "L0")
    sealed = plant_incidents(store, settings, "default", eve_lines(60))[0]
    investigated(store, settings, "default", sealed)
    content = json.loads(run("incident", "show", sealed, "--json").stdout)
    with store.read() as connection:
        stored = find_report(connection, "default", sealed)
    assert (content["incident"]["verdict"], content["investigation"]) == (None, None)
    assert stored.report is not None
    assert stored.report.relation == ""


def test_every_finding_leads_to_evidence_that_can_be_shown(
    run: Run, store: Store, settings: Settings, incident_id: str
) -> None:
    investigated(store, settings, "default", incident_id)
    report = json.loads(run("incident", "report", incident_id, "--format", "json").stdout)["report"]

    cited = {citation["evidence_id"] for finding in report["findings"] for citation in finding["citations"]}
    assert cited
    for one in cited:
        shown = run("evidence", "show", one[:12], "--json")
        assert shown.exit_code == 0, shown.output
        assert json.loads(shown.stdout)["uses"][0]["incident_id"] == incident_id


def test_a_bundle_is_printed(run: Run, store: Store, settings: Settings, incident_id: str) -> None:
    investigated(store, settings, "default", incident_id)
    bundle = json.loads(run("incident", "report", incident_id, "--format", "stix").stdout)
    assert bundle["type"] == "bundle"
    assert "report" in {one["type"] for one in bundle["objects"]}


def test_without_an_investigation_it_says_so(run: Run, store: Store, incident_id: str) -> None:
    shown = run("incident", "report", incident_id)
    assert shown.exit_code == 3
    assert "was not investigated" in shown.output
    assert run("incident", "report", "inc-0000000000000000").exit_code == 3


def test_an_investigation_that_failed_says_why(run: Run, store: Store, settings: Settings, incident_id: str) -> None:
    investigated(store, settings, "default", incident_id)
    with store.write() as connection:
        connection.execute(
            update(investigation).values(status="failed", report=None, report_sha256=None, problem="collect: Refused")
        )
    shown = run("incident", "report", incident_id)
    assert shown.exit_code == 3
    assert "it is failed: collect: Refused" in " ".join(shown.output.split())


def test_a_report_on_an_earlier_revision_says_that_more_is_known(
    run: Run, store: Store, settings: Settings, incident_id: str
) -> None:
    investigated(store, settings, "default", incident_id)
    with store.write() as connection:
        connection.execute(update(incident).values(revision=incident.c.revision + 1))
    shown = run("incident", "report", incident_id)
    assert shown.exit_code == 0
    assert "the incident has changed since" in shown.stderr
    assert run("incident", "report", incident_id, "--revision", "99").exit_code == 3


def test_what_was_changed_in_the_store_is_not_given_out(
    run: Run, store: Store, settings: Settings, incident_id: str
) -> None:
    evidence_id = investigated(store, settings, "default", incident_id)
    with store.write() as connection:
        connection.execute(update(investigation).values(report=investigation.c.report + " "))
    shown = run("incident", "report", incident_id)
    assert shown.exit_code == 1
    assert "is not the one that was concluded" in " ".join(shown.output.split())
    with store.write() as connection:
        connection.execute(update(evidence).values(content=zstandard.compress(b"{}")))
    assert run("evidence", "show", evidence_id).exit_code == 1


def test_the_api_gives_report_and_evidence(store: Store, settings: Settings, incident_id: str) -> None:
    evidence_id = investigated(store, settings, "default", incident_id)
    add_person(store, "vera", Role.VIEWER, tenant="default")
    with served(store, settings) as api, signed_in(api, "vera") as browser:
        whole = browser.get(f"/v1/incidents/{incident_id}/report").json()
        text = browser.get(f"/v1/incidents/{incident_id}/report?format=json")
        page = browser.get(f"/v1/incidents/{incident_id}/report?format=markdown")
        found = browser.get(f"/v1/evidence/{evidence_id}")
        absent = browser.get(f"/v1/evidence/{'0' * 64}")
        odd = browser.get("/v1/evidence/xyz")

    assert (whole["status"], whole["is_of_now"], whole["report"]["incident_id"]) == ("done", True, incident_id)
    assert hashlib.sha256(text.content).hexdigest() == whole["sha256"]
    assert page.headers["content-type"].startswith("text/markdown")
    assert page.headers["x-content-type-options"] == "nosniff"
    assert found.json()["id"] == evidence_id
    assert (absent.status_code, odd.status_code) == (404, 422)


@pytest.fixture
def repeated(store: Store, settings: Settings) -> str:
    """Evidence of a shape that two alerts have."""
    once = eve_alert(0, HOSTILE)
    again = once | {"timestamp": "2024-06-13T00:20:00.000000+0000", "flow_id": 1}
    body = b"".join(orjson.dumps(one) + b"\n" for one in (once, again))
    [planted] = plant_incidents(store, settings, "default", body)
    return investigated(store, settings, "default", planted)


def test_evidence_of_an_alert_leads_to_its_original(run: Run, repeated: str) -> None:
    [behind] = json.loads(run("evidence", "show", repeated, "--json").stdout)["alerts"]
    original = json.loads(behind["original"])
    shown = json.loads(run("alert", "show", behind["fingerprint"], "--json").stdout)

    assert behind["count"] == 2
    assert behind["first"][:19] == original["timestamp"][:19]
    assert behind["first"] < behind["last"]
    assert original == json.loads(base64.b64decode(shown["raw_base64"]))
    assert behind["original_bytes"] == len(base64.b64decode(shown["raw_base64"]))


def test_evidence_of_an_alert_is_printed_with_time_and_original(run: Run, settings: Settings, repeated: str) -> None:
    [behind] = json.loads(run("evidence", "show", repeated, "--json").stdout)["alerts"]
    shown = run("evidence", "show", repeated)

    assert shown.exit_code == 0, shown.output
    assert f"2 alerts in {behind['incident_id']}: from {behind['first']} to {behind['last']}" in shown.stdout
    assert command(settings, "default", f"alert show {behind['fingerprint']}") in shown.stdout
    assert f"  {escape_untrusted(behind['original'])}\n" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert "\u202e" not in shown.stdout


def test_an_original_that_is_no_longer_kept_is_said_to_be_gone(run: Run, store: Store, repeated: str) -> None:
    with store.write() as connection:
        connection.execute(delete(batch_raw))
    assert "original record is no longer kept (retention_raw_days)" in run("evidence", "show", repeated).stdout
    [behind] = json.loads(run("evidence", "show", repeated, "--json").stdout)["alerts"]
    assert (behind["count"], behind["original"], behind["original_bytes"]) == (2, None, None)
    assert behind["fingerprint"] is not None

    with store.write() as connection:
        connection.execute(delete(alert))
    shown = run("evidence", "show", repeated)
    assert shown.exit_code == 0, shown.output
    assert "2 alerts in" in shown.stdout
    assert "No alert of these is kept in detail any more" in shown.stdout


def test_other_evidence_has_no_alerts_behind_it(store: Store) -> None:
    event = Evidence(EvidenceKind.EVENT, "files", {"shape": "00" * 16, "fields": {}})
    odd = Evidence(EvidenceKind.ALERT, "edr", {"shape": "none", "fields": {}})
    with store.read() as connection:
        assert alerts_behind(connection, "default", event, ()) == ()
        assert alerts_behind(connection, "default", odd, ()) == ()


@pytest.mark.parametrize(
    ("original", "lines", "is_whole"),
    [
        (b"a\r\nb\n", ["a", "b"], True),
        (b"a\x1b[2J\xe2\x80\xa8b", ["a\\u{001B}[2J\\u{2028}b"], True),
        (b"x\n" * (MAX_LINES + 1), ["x"] * MAX_LINES, False),
        ("\U0001f600".encode() * (MAX_CHARACTERS + 1), ["\U0001f600" * MAX_CHARACTERS], False),
    ],
)
def test_an_original_is_shown_in_bounds_and_safe(original: bytes, lines: list[str], is_whole: bool) -> None:
    assert shown_original(original) == (lines, is_whole)


def test_a_page_can_name_the_whole_command(store: Store, settings: Settings, incident_id: str) -> None:
    investigated(store, settings, "default", incident_id)
    whole = command(settings.model_copy(update={"data_dir": Path("/a b/data")}), "default", "evidence show ID")
    assert shlex.split(whole) == [
        "watchfloor", "--data-dir", "/a b/data", "evidence", "show", "ID", "--tenant", "default",
    ]  # fmt: skip
    with store.read() as connection:
        stored = find_report(connection, "default", incident_id)
        assert stored.report is not None
        assert f"`{whole}`" in page_of(connection, "default", stored.report, show=whole)
        assert "`watchfloor evidence show ID`" in page_of(connection, "default", stored.report)


@pytest.mark.parametrize("width", [80, 60])
def test_ids_stay_whole_in_a_narrow_terminal(store: Store, settings: Settings, incident_id: str, width: int) -> None:
    investigated(store, settings, "default", incident_id)
    with store.read() as connection:
        stored = find_report(connection, "default", incident_id)
    out = io.StringIO()
    Console(file=out, width=width).print(report_table([stored]))
    assert incident_id in out.getvalue()
