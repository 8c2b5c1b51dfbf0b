"""The playbooks that come with Watchfloor do what their page says, ask before they act, and are tested."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_playbooks.extension import INCIDENT, of_step
from watchfloor_playbooks.library import LibraryPlaybook, library, library_by_id
from watchfloor_playbooks.model import ActionStep
from watchfloor_playbooks.objects import WatchfloorCommand
from watchfloor_playbooks.running.expectation import differences
from watchfloor_playbooks.running.lowering import MANUAL_MS, unsupported
from watchfloor_playbooks.running.scenario import Answer, Outcome, Scenario, play
from watchfloor_playbooks.running.scenario_file import ScenarioTest, read_scenarios
from watchfloor_playbooks.running.values import Held

IDS = {
    "brute-force": "playbook--af0a4466-1315-471a-a657-b092ec2d6930",
    "credential-dumping": "playbook--0e01a8c2-f69d-4e07-98ce-3ed8ef594852",
    "dns-exfiltration": "playbook--b88c7118-e873-4325-9a83-c0872d9fcbb7",
    "impaired-defences": "playbook--3b91e4bd-6bff-482e-bc50-c2b08e187b46",
    "insider-download": "playbook--77023f87-ec3a-4324-b625-10171f254721",
    "lateral-movement": "playbook--191355d8-99db-47e1-a208-f2507054cf23",
    "leaked-cloud-key": "playbook--096421f4-3a89-43df-9b57-96e4c0673690",
    "malware": "playbook--c987a4f1-f615-4f81-91eb-312501cc9b47",
    "oauth-grant": "playbook--f8679fa9-fe2b-4349-8508-d0a33df14169",
    "persistence": "playbook--d1cfaecf-fc02-47bf-bd59-005a446532d7",
    "phishing": "playbook--5702e927-f6f2-4af4-ba65-d377a069ccd3",
    "ransomware-host": "playbook--dccf91c4-75cb-4198-9b05-0308c837d5f4",
    "session-theft": "playbook--2ab87d13-ead3-471a-859c-a30868cb02f7",
    "web-shell": "playbook--720a3b3c-8060-4acf-92d5-e1767671ea55",
}
"""They stay: approvals, certificates and other playbooks name a playbook by its id."""
PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "playbook-library.md").read_text("utf-8")
every = pytest.mark.parametrize("one", library(), ids=lambda one: one.name)


def scenarios_of(one: LibraryPlaybook) -> tuple[ScenarioTest, ...]:
    scenarios = read_scenarios(one.tests, f"{one.name}.tests.yaml")
    assert scenarios.playbook == f"{one.name}.json"
    return scenarios.tests(one.playbook)


def test_they_keep_their_ids() -> None:
    assert {one.name: one.playbook.id for one in library()} == IDS
    assert {id_: one.name for id_, one in library_by_id().items()} == {id_: name for name, id_ in IDS.items()}
    assert len({one.digest for one in library()}) == len(IDS)


@every
def test_each_comes_to_what_its_tests_expect(one: LibraryPlaybook) -> None:
    tests = scenarios_of(one)
    found = {
        test.name: differences(test.expectation, play(one.playbook, test.scenario), one.playbook) for test in tests
    }

    assert {name: said for name, said in found.items() if said} == {}
    assert len(tests) >= 2
    assert {test.expectation.status for test in tests} >= {"succeeded"}
    refused = [
        answer for test in tests for answers in test.scenario.answers.values() for answer in answers
        if answer.outcome != "succeeded"
    ]  # fmt: skip
    assert refused, "no test in which something is denied, fails or is not answered"


@every
def test_each_step_of_each_is_reached_by_one_of_its_tests(one: LibraryPlaybook) -> None:
    """But for the tasks that a person takes over where an action fails: one of them is like the other."""
    reached = {ended.step for test in scenarios_of(one) for ended in play(one.playbook, test.scenario).ended}
    left = {step.name for id_, step in one.playbook.steps.items() if id_ not in reached}

    assert {name for name in left if not (name or "").startswith("By hand: ")} == set()


@every
def test_each_acts_by_the_catalogue_and_asks_people_for_the_rest(one: LibraryPlaybook) -> None:
    commands = [command for found in one.playbook.commands.values() for command in found]

    assert list(unsupported(one.playbook)) == []
    assert all(isinstance(command, WatchfloorCommand) or command.type == "manual" for command in commands)
    classes = {command.action_class for command in commands if isinstance(command, WatchfloorCommand)}
    assert classes >= {"create ticket", "notify channel"}
    assert "start command" not in classes
    assert {command.tool for command in commands if isinstance(command, WatchfloorCommand)} == {None}


@every
def test_each_says_what_it_answers_and_where_its_values_come_from(one: LibraryPlaybook) -> None:
    declared = one.playbook.head.playbook_variables
    outside = {name for name, variable in declared.items() if variable.external and variable.value is None}

    assert one.ours.attack
    assert outside - set(one.ours.bindings) == {INCIDENT}
    used = {each for step in one.playbook.steps.values() for each in of_step(step).d3fend}
    assert used <= set(one.ours.d3fend)
    names = Counter(step.name for step in one.playbook.steps.values())
    assert [name for name, count in names.items() if count > 1 or not name] == []


@every
def test_what_holds_back_or_changes_something_demands_evidence_and_ends_in_time(one: LibraryPlaybook) -> None:
    for id_, step in one.playbook.steps.items():
        if not isinstance(step, ActionStep):
            continue
        ours = of_step(step)
        assert ours.phase is not None, step.name
        assert step.timeout is not None, step.name
        for command in one.playbook.commands[id_]:
            if isinstance(command, WatchfloorCommand):
                known = CATALOGUE[command.action_class]
                assert ours.requires or ours.phase in ("investigate", "communicate"), step.name
                assert command.lease_s is not None or not known.is_containment or known.name == "contain file"
                assert known.undo or known.leaves_nothing or "annot be taken back" in (step.description or "")
            else:
                assert step.timeout <= 7 * MANUAL_MS, step.name


@every
def test_what_cannot_be_undone_is_told_before(one: LibraryPlaybook) -> None:
    told = (one.playbook.head.description or "").partition("Cannot be taken back: ")[2]
    classes = {
        command.action_class
        for found in one.playbook.commands.values()
        for command in found
        if isinstance(command, WatchfloorCommand)
    }

    assert told
    assert "stop process" not in classes or "process" in told
    assert "stop session" not in classes or "sessions" in told or "process" in told


DISRUPTIVE = frozenset({"disable user", "contain host", "contain file", "stop process", "stop session", "disable app"})
JUDGED = frozenset({"__is_confirmed__", "__did_enter__", "__is_theirs__", "__may_act__", "__did_succeed__"})
"""What people answer before anything of ours is disturbed."""


@every
@settings(max_examples=25)
@given(draw=st.data())
def test_however_people_and_tools_answer_it_ends_and_disturbs_nothing_that_was_not_judged(
    one: LibraryPlaybook, draw: st.DataObject
) -> None:
    declared = one.playbook.head.playbook_variables
    given = {name: Held("x") for name, variable in declared.items() if variable.external and variable.value is None}
    given |= {"__key__": Held("AKIAIOSFODNN7EXAMPLE")} if "__key__" in declared else {}
    given |= {"__app__": Held("0f8cd1cb-6a5f-4f34-9e1c-1f0b8a3c7c11")} if "__app__" in declared else {}
    for name, value in (("__user__", "eve"), ("__file__", "/x"), ("__process__", "9@1"), ("__address__", "192.0.2.7")):
        if name in declared and draw.draw(st.booleans()):
            given[name] = Held(value)
    outcomes = st.sampled_from([Outcome.SUCCEEDED, Outcome.SUCCEEDED, Outcome.DENIED, Outcome.UNANSWERED])
    values = st.sampled_from(["true", "false"])
    answers = {}
    for id_, step in one.playbook.steps.items():
        if isinstance(step, ActionStep):
            said = {
                name: Held(draw.draw(values) if declared[name].type == "bool" else "y") for name in step.out_args or ()
            }
            answers[id_] = (Answer(outcome=draw.draw(outcomes), values=said),)
    played = play(one.playbook, Scenario(given, answers))

    assert played.status.is_over
    telling = [work.text.value for _, work in played.tasks] + [work.action_class for _, work in played.proposals]
    assert telling or played.reason == "its precondition does not hold"
    judged = {
        name
        for id_, _ in played.tasks
        if answers[id_][0].outcome is Outcome.SUCCEEDED
        for name in answers[id_][0].values
    }
    disturbing = [work.action_class for _, work in played.proposals if work.action_class in DISRUPTIVE]
    at_once = ["contain host"] if one.name == "ransomware-host" else []
    assert judged & JUDGED or disturbing in ([], at_once)


def test_messages_hold_no_text_of_an_attacker() -> None:
    """So that telling people never waits for somebody to look at a name that an attacker chose."""
    for one in library():
        for found in one.playbook.commands.values():
            for command in found:
                if isinstance(command, WatchfloorCommand) and command.action_class in (
                    "create ticket",
                    "notify channel",
                ):
                    texts = [command.target, *(command.arguments or {}).values()]
                    used = set(re.findall(r"(__[a-z0-9_]+?__):value", " ".join(texts)))
                    assert used <= {INCIDENT, "__channel__"}


def test_the_page_has_a_line_for_each_with_its_techniques() -> None:
    rows = dict(re.findall(r"(?m)^\| `([a-z-]+)` \| (.*) \|$", PAGE))

    assert rows.keys() == {one.name for one in library()}
    for one in library():
        assert one.playbook.head.name in rows[one.name]
        assert all(technique in rows[one.name] for technique in one.ours.attack), one.name
