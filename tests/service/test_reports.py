"""Reports and evidence as people and programs get them: the command line, the API, and what was tampered with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator

import pytest
import zstandard
from sqlalchemy import update
from typer.testing import CliRunner, Result

from tests.service.reports import investigated
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_core.store.schema import incident
from watchfloor_core.store.schema_investigation import evidence, investigation
from watchfloor_guardrails.roles import Role
from watchfloor_service.access.testing import add_person, signed_in
from watchfloor_service.cli import app
from watchfloor_service.testing import eve_lines, plant_incidents, served

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
