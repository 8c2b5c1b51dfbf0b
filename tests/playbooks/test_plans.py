"""Plans: every piece of work of a playbook with its conditions, before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchfloor_core.alert import Integrity
from watchfloor_playbooks.library import LibraryPlaybook, library
from watchfloor_playbooks.loading import load
from watchfloor_playbooks.running.planning import plan
from watchfloor_playbooks.running.values import Held
from watchfloor_playbooks.running.work import ActionWork, ManualWork

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "cacao"
TEXT = """
type: playbook
spec_version: cacao-2.0
id: playbook--0f8cd1cb-6a5f-4f34-9e1c-1f0b8a3c7c11
name: Plan me
created_by: identity--3f2b6d0e-8f0a-4c6e-9a51-2b5f7f3d9c20
created: "2026-11-28T08:30:00.000Z"
modified: "2026-11-28T08:30:00.000Z"
playbook_variables:
  __address__: {type: ipv4-addr, external: true}
  __count__: {type: integer, value: "0"}
  __ticket__: {type: string}
workflow_start: start--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a001
workflow_exception: end--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a002
workflow:
  start--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a001:
    type: start
    on_completion: action--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a003
  action--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a003:
    type: action
    name: Count
    commands: [{type: manual, command: "How many from __address__:value?"}]
    agent: individual--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a010
    out_args: [__count__]
    on_success: while-condition--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a004
    on_failure: end--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a002
  while-condition--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a004:
    type: while-condition
    condition: __count__:value > 3
    on_true: action--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a005
    on_completion: action--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a006
  action--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a005:
    type: action
    name: Open a ticket
    commands:
      - type: watchfloor-action
        action_class: create ticket
        target: inc-1
        arguments: {title: "__count__:value from __address__:value"}
    agent: individual--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a010
    out_args: [__ticket__, __count__]
    on_completion: end--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a008
  action--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a006:
    type: action
    name: Tell
    commands:
      - {type: watchfloor-action, action_class: notify channel, target: soc, arguments: {text: "__ticket__:value"}}
    agent: individual--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a010
    on_completion: end--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a007
  end--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a007: {type: end}
  end--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a008: {type: end}
  end--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a002: {type: end}
agent_definitions:
  individual--6a1d3a51-3c62-4e0a-8b53-5f1d6fb6a010: {type: individual, name: The analyst}
"""


def test_every_piece_of_work_is_told_once_with_the_conditions_under_which_it_comes() -> None:
    found = plan(load(TEXT.encode(), "plan.yaml"), {"__address__": Held("203.0.113.7", Integrity.SENSOR)})

    assert [(one.name, one.when) for one in found] == [
        ("Count", ()),
        ("Open a ticket", ("while __count__:value > 3, at most 1,000 times",)),
        ("Tell", ()),
    ]
    assert not [one.problem for one in found if one.problem]


def test_a_value_that_only_the_run_knows_has_the_worst_label_that_it_can_get() -> None:
    count, ticket, tell = plan(load(TEXT.encode(), "plan.yaml"), {"__address__": Held("203.0.113.7", Integrity.SENSOR)})

    assert isinstance(count.work, ManualWork)
    assert count.work.text.integrity is Integrity.SENSOR
    assert isinstance(ticket.work, ActionWork)
    title = ticket.work.arguments["title"]
    assert (title.value, title.integrity) == ("<__count__> from 203.0.113.7", Integrity.EXTERNAL)
    assert isinstance(tell.work, ActionWork)
    assert tell.work.arguments["text"].is_tainted


def test_without_a_value_from_outside_the_worst_is_taken() -> None:
    count, *_ = plan(load(TEXT.encode(), "plan.yaml"), {})

    assert isinstance(count.work, ManualWork)
    assert (count.work.text.value, count.work.text.is_tainted) == ("How many from <__address__>?", True)


@pytest.mark.parametrize("one", library(), ids=lambda one: one.name)
def test_every_playbook_of_the_library_is_planned_without_a_problem(one: LibraryPlaybook) -> None:
    found = plan(one.playbook, {})

    assert found
    assert [planned.problem for planned in found if planned.problem] == []
    commands = sum(len(some) for some in one.playbook.commands.values())
    assert len(found) == commands + sum(step.type == "playbook-action" for step in one.playbook.steps.values())


@pytest.mark.skipif(not DATA.is_dir(), reason="the playbooks are not here")
@pytest.mark.parametrize(
    ("name", "count", "problem"),
    [
        ("fin-playbook.json", 1, 'commands of type "pong" are not supported'),
        ("http-playbook.json", 1, "the command is no start line"),
        ("manual-playbook.json", 1, None),
        ("openc2-playbook.json", 1, 'commands of type "openc2" are not supported'),
        ("powershell-playbook.json", 1, None),
        ("ssh-playbook.json", 2, "a reference stands where the name of a command stands"),
        ("test-parallels_playbook.json", 1, "the path begins with one '/'"),
        ("test-playbook.json", 4, "the path begins with one '/'"),
    ],
)
def test_playbooks_of_others_are_planned_and_what_cannot_run_here_is_said(
    name: str, count: int, problem: str | None
) -> None:
    found = plan(load((DATA / name).read_bytes(), name), {})
    problems = [one.problem for one in found if one.problem]

    assert len(found) == count
    assert bool(problems) is (problem is not None)
    assert all(str(problem) in one for one in problems)
