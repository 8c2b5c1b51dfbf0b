"""The sub-commands that decide: through the API of a running stack, as the user of this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from watchfloor_core.clock import now_us
from watchfloor_core.settings import Settings
from watchfloor_core.store import schema
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_service.access.operator_token import local_principal
from watchfloor_service.cli import app
from watchfloor_service.supervision.claim import Claim
from watchfloor_service.supervision.running import RunningStack
from watchfloor_service.supervision.stack import store_place
from watchfloor_service.testing import Api, eve_lines, plant_incidents, served

Run = Callable[..., Result]


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    migrate(settings.store_url)
    opened = open_store(settings.store_url)
    yield opened
    opened.close()


@pytest.fixture
def incidents(store: Store, settings: Settings) -> list[str]:
    return plant_incidents(store, settings, "default", eve_lines(60))


def describe(settings: Settings, api_url: str | None, database: str | None = None) -> None:
    RunningStack(
        pid=1,
        command="up" if api_url else "run",
        since_us=now_us(),
        temporal_address="127.0.0.1:1",
        api_url=api_url,
        autonomy_file=None,
        store=database or store_place(settings),
    ).write(settings.data_dir)


@pytest.fixture
def running(store: Store, settings: Settings) -> Iterator[Api]:
    """A stack as `watchfloor up` leaves it: the directory claimed, ``run.json`` written, the API there."""
    claim = Claim.take(settings.data_dir, "up")
    with served(store, settings) as api:
        describe(settings, api.url)
        yield api
    claim.release()


@pytest.fixture
def run(settings: Settings) -> Run:
    runner = CliRunner()

    def invoke(*arguments: str) -> Result:
        return runner.invoke(app, ["--data-dir", str(settings.data_dir), *arguments])

    return invoke


def test_a_decision_is_the_operators_and_closes_the_incident(
    run: Run, running: Api, incidents: list[str], store: Store
) -> None:
    result = run("incident", "decide", incidents[0], "-v", "BenignPositive", "-m", "our scanner", "--close")
    assert result.exit_code == 0, result.output
    assert f"{incidents[0]} is closed, BenignPositive" in result.stdout
    with store.read() as connection:
        said = connection.execute(select(schema.human_verdict)).one()
    assert (said.principal, said.comment) == (local_principal(), "our scanner")
    shown = run("incident", "show", incidents[0]).stdout
    assert "closed by person" in shown
    assert "our scanner" in shown


def test_a_refusal_is_exit_code_4_with_the_reason(run: Run, running: Api, incidents: list[str]) -> None:
    result = run("incident", "decide", incidents[0], "-v", "FalsePositive", "-m", "x", "--revision", "1")
    assert result.exit_code == 4
    assert "revision" in result.stderr


def test_a_decision_on_another_tenants_incident_is_exit_code_3(
    run: Run, running: Api, store: Store, settings: Settings
) -> None:
    theirs = plant_incidents(store, settings, "acme", eve_lines(12))[0]
    assert run("incident", "reopen", theirs, "-m", "x").exit_code == 3
    closed = run("incident", "decide", theirs, "-v", "FalsePositive", "-m", "x", "--close", "--tenant", "acme")
    assert closed.exit_code == 0, closed.output


def test_reopen_merge_and_split(run: Run, running: Api, incidents: list[str]) -> None:
    into, other = incidents[:2]
    run("incident", "decide", into, "-v", "FalsePositive", "-m", "x", "--close")
    reopened = json.loads(run("incident", "reopen", into, "-m", "it goes on", "--json").stdout)
    assert reopened["status"] in ("queued", "escalated")
    assert "is part of" in run("incident", "merge", into, other, "-m", "one campaign").stdout
    assert run("incident", "merge", into, other, "-m", "again").exit_code == 4
    shape = json.loads(run("incident", "show", into, "--json").stdout)["observations"][0]["shape_id"]
    split = json.loads(run("incident", "split", into, "--shape", shape, "-m", "not this", "--json").stdout)
    assert split["incident_id"] not in (into, other)
    assert run("incident", "split", into, "--shape", "zz", "-m", "x").exit_code == 2


def test_a_stack_without_an_api_takes_no_decisions(run: Run, settings: Settings, incidents: list[str]) -> None:
    claim = Claim.take(settings.data_dir, "run alerts.csv")
    describe(settings, None)
    result = run("incident", "reopen", incidents[0], "-m", "x")
    claim.release()
    assert result.exit_code == 75
    assert "has no API" in result.stderr


def test_a_stack_whose_api_is_gone_is_exit_code_75(run: Run, settings: Settings, incidents: list[str]) -> None:
    claim = Claim.take(settings.data_dir, "up")
    describe(settings, "http://127.0.0.1:9")
    result = run("incident", "reopen", incidents[0], "-m", "x")
    claim.release()
    assert result.exit_code == 75
    assert "does not answer" in result.stderr


def test_a_stack_on_another_database_is_not_asked(run: Run, settings: Settings, incidents: list[str]) -> None:
    claim = Claim.take(settings.data_dir, "up")
    describe(settings, "http://127.0.0.1:9", "postgresql+psycopg://db/watchfloor")
    result = run("incident", "reopen", incidents[0], "-m", "x")
    claim.release()
    assert result.exit_code == 2
    assert "WATCHFLOOR_DATABASE_URL" in result.stderr
