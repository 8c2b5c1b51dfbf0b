"""``watchfloor playbook plan``: what it says of values that a run would begin without."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_playbooks.playbook import Playbook
from watchfloor_service.cli import app
from watchfloor_service.testing import eve_lines, plant_incidents
from watchfloor_service.testing_playbooks import keep
from watchfloor_workflows.playbooks.shelf import FOLDER
from watchfloor_workflows.testing.playbooks import Sketch

Plan = Callable[..., Result]


@pytest.fixture
def plan(settings: Settings) -> Plan:
    """The command line for an incident whose alerts name several addresses."""
    migrate(settings.store_url)
    store = open_store(settings.store_url)
    incident_id = plant_incidents(store, settings, "default", eve_lines(12))[0]
    store.close()

    def invoke(playbook: Playbook, *arguments: str, of: str = incident_id) -> Result:
        keep(settings, playbook)
        command = ["playbook", "plan", playbook.id, "--incident", of, *arguments]
        return CliRunner().invoke(app, ["--data-dir", str(settings.data_dir), *command])

    return invoke


def block(*, external: bool, **extension: object) -> Playbook:
    sketch = Sketch("Block an address").variable("__address__", "ipv4-addr", external=external)
    sketch.extension = dict(extension)
    done = sketch.end("done")
    return sketch.playbook(sketch.action("block", "deny ip", "__address__:value", on_completion=done))


def test_a_value_that_is_missing_is_told_and_the_answer_is_no(plan: Plan) -> None:
    told = plan(block(external=True))

    assert told.exit_code == 1
    assert 'It cannot be run: "__address__" comes from outside and has no value' in told.stdout
    assert plan(block(external=True), "--set", "address=203.0.113.7").exit_code == 0


def test_an_incident_that_is_not_there_is_no_plan(plan: Plan) -> None:
    told = plan(block(external=False), of="inc-0000000000000000")

    assert told.exit_code == 3
    assert "inc-0000000000000000" in told.stderr


def test_a_precondition_that_does_not_hold_is_told(plan: Plan) -> None:
    playbook = block(external=True, precondition="__address__:value NOT ISSUBSET '203.0.113.0/24'")

    told = plan(playbook, "--set", "address=203.0.113.7")

    assert told.exit_code == 1
    assert "It cannot be run: its precondition does not hold" in told.stdout


def test_what_stays_empty_because_the_incident_names_several_is_told(plan: Plan) -> None:
    playbook = block(external=False, bindings={"__address__": {"entity": "ip"}})

    told = plan(playbook)
    found = json.loads(plan(playbook, "--json").stdout)
    chosen = plan(playbook, "--set", "address=203.0.113.7")

    assert told.exit_code == 0, told.output
    assert "__address__ is left empty" in told.stdout
    assert "`--set address=…` gives one" in told.stdout
    assert len(found["left_empty"]["__address__"]) > 1
    assert "is left empty" not in chosen.stdout


def test_a_file_that_is_not_among_the_operator_s_is_not_run_and_says_where_to_put_it(
    settings: Settings, tmp_path: Path
) -> None:
    migrate(settings.store_url)
    file = tmp_path / "look.json"
    file.write_bytes(block(external=False).canonical())
    command = ["playbook", "run", str(file), "--incident", "inc-0000000000000000", "-m", "why"]

    told = CliRunner().invoke(app, ["--data-dir", str(settings.data_dir), *command])

    assert told.exit_code == 3
    assert f"copy it there, and run {'look'!r}" in told.stderr
    assert repr(str(settings.data_dir / FOLDER)) in told.stderr
