"""The autonomy policy in force: read when it changes, and nothing without a person where it cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from watchfloor_core.incident import IncidentStatus
from watchfloor_core.settings import Settings
from watchfloor_core.store.schema import ledger_entry
from watchfloor_workflows.messages import WaitingFor
from watchfloor_workflows.policy import PolicyFile, policy_path
from watchfloor_workflows.testing import Workbench, write_policy


def levels(policy: PolicyFile) -> list[int]:
    matrix = policy.current().matrix
    assert matrix is not None
    return [row.level for row in matrix.rows]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    policy = PolicyFile(Settings(data_dir=tmp_path))
    write_policy(tmp_path, "L2")
    before = levels(policy)
    write_policy(tmp_path, "L3")

    assert (before[0], levels(policy)[0]) == (2, 3)


def test_a_file_that_is_broken_takes_the_earlier_policy_out_of_force(tmp_path: Path) -> None:
    policy = PolicyFile(Settings(data_dir=tmp_path))
    write_policy(tmp_path, "L4")
    assert policy.current().matrix is not None
    (tmp_path / "autonomy.yaml").write_text("rows: [{function: alert_triage, level: L9}]")

    broken = policy.current()
    assert broken.matrix is None
    assert "autonomy.yaml" in str(broken.problem)
    write_policy(tmp_path, "L1")
    assert levels(policy)[0] == 1


@pytest.mark.parametrize("content", [b"\xff\xfe not text", b"rows: ["])
def test_what_is_no_policy_is_a_stated_problem(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "autonomy.yaml").write_bytes(content)
    policy = PolicyFile(Settings(data_dir=tmp_path)).current()

    assert policy.matrix is None
    assert str(tmp_path / "autonomy.yaml") in str(policy.problem)


def test_a_file_that_the_settings_name_must_be_there(tmp_path: Path) -> None:
    policy = PolicyFile(Settings(data_dir=tmp_path, autonomy_file=tmp_path / "missing.yaml")).current()

    assert policy.matrix is None
    assert "missing.yaml" in str(policy.problem)


def test_a_link_that_leads_nowhere_is_not_taken_for_no_policy(tmp_path: Path) -> None:
    (tmp_path / "autonomy.yaml").symlink_to(tmp_path / "gone.yaml")

    assert PolicyFile(Settings(data_dir=tmp_path)).current().matrix is None


def test_without_a_file_of_the_operator_the_policy_that_ships_is_in_force(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)

    assert policy_path(settings).name == "default_autonomy.yaml"
    assert PolicyFile(settings).current().problem is None


@pytest.mark.anyio
async def test_under_a_policy_that_cannot_be_read_an_incident_waits_for_a_person(bench: Workbench) -> None:
    (bench.settings.data_dir / "autonomy.yaml").write_text("rows: [")
    async with bench.worker():
        await bench.open()
        state = await bench.until(lambda state: state.waiting_for is WaitingFor.PERSON)

    assert (state.status, state.verdict) == (IncidentStatus.QUEUED, None)
    with bench.store.read() as connection:
        ruling = connection.execute(select(ledger_entry.c.body).where(ledger_entry.c.kind == "ruling")).scalar_one()
    assert "autonomy.yaml" in json.loads(ruling)["body"]["policy_problem"]


@pytest.mark.anyio
async def test_a_policy_that_was_lowered_holds_for_workflows_that_are_under_way(bench: Workbench) -> None:
    async with bench.worker():
        await (await bench.open()).result()
        bench.set_level("L2")
        await bench.change()
        state = await bench.until(lambda state: state.waiting_for is WaitingFor.PERSON)

    assert (state.status, state.level) == (IncidentStatus.QUEUED, 2)
