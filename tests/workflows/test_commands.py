"""A playbook's command on its whole way: sealed, asked about at every level, approved, run once in the sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.workflows.plane import ANA, BEN, Plane, policy_at
from watchfloor_connectors.targets.base import NotReadyError, Slot
from watchfloor_connectors.targets.commands.bash import Bash
from watchfloor_connectors.targets.commands.sandbox import SandboxOptions
from watchfloor_core.alert import Integrity
from watchfloor_core.incident import AutonomyLevel
from watchfloor_core.store.engine import Store
from watchfloor_guardrails.action import Labelled, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_playbooks.templates import bash_arguments
from watchfloor_workflows.testing.tools import OneTool

HERE = "local://scripts"


@pytest.fixture
def plane(sqlite_store: Store, tmp_path: Path) -> Plane:
    tool = Bash(Slot("scripts", "acme", tmp_path / "executor"), SandboxOptions(timeout_s=8))
    try:
        tool.read_state(Target(TargetKind.COMMAND, HERE))
    except NotReadyError as error:
        pytest.skip(f"no namespaces can be made here: {error}")
    return Plane(sqlite_store, policy=policy_at(AutonomyLevel.L4), tools=OneTool(tool)).furnish()


def labelled(command: str, value: str, integrity: Integrity) -> Mapping[str, Labelled]:
    """The text is the policy's, the values are whose they are."""
    made = bash_arguments(command, {"__host__": value})
    return {name: Labelled(text, Integrity.POLICY if name == "script" else integrity) for name, text in made.items()}


def test_a_command_asks_people_at_every_level_and_runs_once_with_its_values_as_data(plane: Plane) -> None:
    arguments = labelled("printf -- '[%s]' __host__:value", "$(reboot); --x", Integrity.EXTERNAL)
    proposal_id = plane.propose(HERE, action_class="start command", arguments=arguments)
    assert plane.stored(proposal_id).status is ProposalStatus.WAITING
    for person in (ANA, BEN):
        if plane.stored(proposal_id).status is ProposalStatus.WAITING:
            plane.vote(person, proposal_id)
    result = plane.execute(proposal_id, plane.grant(proposal_id).grant_id)
    assert result.status is ProposalStatus.SUCCEEDED, result
    tool = plane.executor._tools.of("acme", "scripts")
    proposal = plane.stored(proposal_id).sealed()
    assert tool.read_back(proposal.action, proposal.digest).output == "[$(reboot); --x]"
    assert len(plane.executions()) == 1


def test_a_command_that_ends_badly_is_no_success(plane: Plane) -> None:
    arguments = labelled("test -e /nowhere/__host__:value", "ws-17", Integrity.SENSOR)
    proposal_id = plane.propose(HERE, action_class="start command", arguments=arguments)
    for person in (ANA, BEN):
        if plane.stored(proposal_id).status is ProposalStatus.WAITING:
            plane.vote(person, proposal_id)
    result = plane.execute(proposal_id, plane.grant(proposal_id).grant_id)
    assert result.status is ProposalStatus.FAILED
    (row,) = plane.executions()
    assert "exit code 1" in str(row["receipt"])


def test_a_command_without_an_approval_does_not_run(plane: Plane, tmp_path: Path) -> None:
    arguments = labelled("echo -- __host__:value", "ws-17", Integrity.POLICY)
    proposal_id = plane.propose(HERE, action_class="start command", arguments=arguments)
    assert plane.grant(proposal_id).grant_id is None
    assert not (tmp_path / "executor" / "targets" / "scripts").exists()
