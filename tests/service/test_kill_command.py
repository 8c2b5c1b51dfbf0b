"""``watchfloor kill``: stopping from the command line, without a running API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner, Result

from watchfloor_core.clock import now_us
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_core.store.schema_authority import execution
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.switches import covering_scopes
from watchfloor_service.access.operator_token import local_principal
from watchfloor_service.cli import app
from watchfloor_workflows.authority.freezes import freeze_class
from watchfloor_workflows.authority.kill_drill import drill
from watchfloor_workflows.authority.kill_switch import read_switches

Run = Callable[..., Result]
ACT = covering_scopes("default", "incident_response", "deny ip", "edge", "specialist")


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    migrate(settings.store_url)
    opened = open_store(settings.store_url)
    yield opened
    opened.close()


@pytest.fixture
def run(settings: Settings, store: Store) -> Run:
    runner = CliRunner()

    def invoke(*arguments: str, answer: str | None = None) -> Result:
        return runner.invoke(app, ["--data-dir", str(settings.data_dir), "kill", *arguments], input=answer)

    return invoke


def engaged(store: Store) -> tuple[int, tuple[str, ...]]:
    with store.read() as connection:
        reading = read_switches(connection, ACT)
    return reading.epoch, reading.engaged


def begin(store: Store) -> None:
    now = now_us()
    with store.write() as connection:
        connection.execute(
            insert(execution).values(
                tenant="default",
                grant_id="1" * 32,
                proposal_id="act-1",
                digest="1" * 64,
                action_class="deny ip",
                tool="edge",
                executor="executor-1",
                authority="level",
                kill_scopes=list(ACT),
                state_before={},
                phase="acting",
                consumed_us=now,
                beat_us=now,
            )
        )


def test_engaging_stops_and_says_that_nothing_acts(run: Run, store: Store) -> None:
    result = run("engage", "tenant:default/action:deny ip", "--reason", "looks wrong")
    assert result.exit_code == 0, result.output
    assert "is stopped (epoch 1)" in result.stdout
    assert "Nothing in it is acting" in result.stdout
    assert engaged(store) == (1, ("tenant:default/action:deny ip",))


def test_what_still_acts_is_named_and_the_exit_code_says_so(run: Run, store: Store) -> None:
    begin(store)
    result = run("engage", "all", "--reason", "stop", "--wait", "0")
    assert result.exit_code == 1
    assert "still acting: act-1 (deny ip by edge)" in result.stderr
    assert engaged(store) == (1, ("all",))


def test_releasing_lets_go_and_kills_what_was_granted(run: Run, store: Store) -> None:
    run("engage", "tool:edge", "--reason", "stop")
    result = run("release", "tool:edge", "--reason", "mended")
    assert (result.exit_code, engaged(store)) == (0, (2, ()))
    again = run("release", "tool:edge", "--reason", "mended")
    assert again.exit_code == 4
    assert "is not engaged" in again.stderr


@pytest.mark.parametrize("command", ["engage", "release"])
def test_a_misspelt_scope_is_answered_with_the_forms_there_are(run: Run, store: Store, command: str) -> None:
    result = run(command, "action:block ip", "--reason", "typo")
    assert result.exit_code == 2
    assert "'deny ip'" in result.stderr
    assert engaged(store) == (0, ())


def test_the_status_shows_switches_with_who_and_why_and_what_is_frozen(run: Run, store: Store) -> None:
    run("engage", "tenant:default", "--reason", "odd \u202e reason")
    with store.write() as connection:
        freeze_class(connection, "default", "deny ip", "act-7", "no answer")
    shown = run("status").stdout
    assert "STOPPED" in shown
    assert local_principal() in shown
    assert "\u202e" not in shown
    assert "'deny ip' is frozen since" in shown
    told = json.loads(run("status", "--json").stdout)
    assert [(one["scope"], one["is_engaged"]) for one in told["switches"]] == [("all", False), ("tenant:default", True)]
    assert [one["proposal_id"] for one in told["freezes"]] == ["act-7"]


def test_a_freeze_is_lifted_by_hand(run: Run, store: Store) -> None:
    with store.write() as connection:
        freeze_class(connection, "default", "deny ip", "act-7", "no answer")
    assert run("lift", "deny ip", "--reason", "looked", "--proposal", "act-8").exit_code == 4
    result = run("lift", "deny ip", "--reason", "looked")
    assert result.exit_code == 0
    assert "act-7" in result.stdout
    assert run("lift", "deny ip", "--reason", "looked").exit_code == 4


def test_a_drill_measures_without_stopping_anything_real(run: Run, store: Store) -> None:
    begin(store)
    told = json.loads(run("drill", "--json").stdout)
    assert told["scope"] == "tenant:default/action:drill"
    assert told["is_still"] is True
    assert 0 < told["durable_ms"] <= told["still_ms"]
    assert engaged(store) == (0, ())


def test_a_drill_on_something_real_asks_first_and_lets_go_again(run: Run, store: Store) -> None:
    refused = run("drill", "--scope", "tool:edge", answer="n\n")
    assert (refused.exit_code, engaged(store)) == (1, (0, ()))
    agreed = run("drill", "--scope", "tool:edge", answer="y\n")
    assert (agreed.exit_code, engaged(store)) == (0, (2, ()))
    begin(store)
    busy = run("drill", "--scope", "tool:edge", "--yes", "--wait", "0")
    assert (busy.exit_code, engaged(store)) == (1, (4, ()))
    assert "still acting: act-1" in busy.stderr


def test_a_drill_never_lets_go_what_is_stopped_in_earnest(run: Run, store: Store) -> None:
    run("engage", "tool:edge", "--reason", "in earnest")
    result = run("drill", "--scope", "tool:edge", "--yes")
    assert result.exit_code == 4
    assert engaged(store) == (1, ("tool:edge",))


def test_what_is_thrown_in_earnest_during_a_drill_stays_stopped(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(*_: object) -> None:
        assert run("engage", "tool:edge", "--reason", "in earnest").exit_code == 0
        raise KeyboardInterrupt

    monkeypatch.setattr("watchfloor_workflows.authority.kill_drill.wait_until_still", meanwhile)
    result = run("drill", "--scope", "tool:edge", "--yes")
    assert result.exit_code == 4
    assert engaged(store) == (2, ("tool:edge",))


def test_no_program_drills(store: Store) -> None:
    with pytest.raises(Exception, match="only a person"):
        drill(store, "default", "all", Principal("siem", PrincipalKind.SERVICE), 0)
    assert engaged(store) == (0, ())
