"""Tests of playbooks: what a run is answered, in virtual time, and how it is told that something else came."""

from __future__ import annotations

import textwrap

import pytest

from tests.playbooks.running.runs import Step, act, again, book_of, both, do, end, other
from watchfloor_core.alert import Integrity
from watchfloor_core.clock import MICROSECONDS
from watchfloor_core.errors import ConfigurationError
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.expectation import differences
from watchfloor_playbooks.running.scenario import Answer, Outcome, Scenario, play
from watchfloor_playbooks.running.scenario_file import ScenarioTest, read_scenarios
from watchfloor_playbooks.running.values import Held

STRING = {"type": "string"}
VARIABLES: dict[str, Step] = {
    "__ip__": {"type": "ipv4-addr", "external": True},
    "__who__": STRING,
    "__n__": {"type": "integer", "value": "0"},
    "__incident_id__": {**STRING, "external": True},
}
BOOK = book_of(
    {
        "ask": act(on_success="block", on_failure="sad", out_args=["__who__"], timeout=60_000),
        "block": do("deny ip", "__ip__:value", arguments={"note": "for __who__:value"}, on_success="call", tool="edge"),
        "call": other("playbook--00000000-0000-4000-8000-000000000777", in_args=["__who__"], on_success="fin"),
        "fin": end(),
        "sad": act(on_success="end"),
        "end": end(),
    },
    VARIABLES,
    ours={"bindings": {"__ip__": {"entity": "ip", "role": "actor"}}, "max_level": "L2"},
)
ASK = "action--00000000-0000-4000-8000-000000000001"
INCIDENT = """
    incident:
      id: inc-7
      entities:
        - {kind: ip, value: 10.0.0.5, role: target}
        - {kind: ip, value: 203.0.113.7, role: actor, written_by: external, endorsed_by: corroboration}
"""


def read(text: str, book: Playbook = BOOK) -> tuple[ScenarioTest, ...]:
    tests = textwrap.indent(textwrap.dedent(text), "  ")
    return read_scenarios(f"playbook: x.json\ntests:\n{tests}", "t.yaml").tests(book)


def said(text: str, book: Playbook = BOOK) -> list[str]:
    [one] = read(text, book)
    return differences(one.expectation, play(book, one.scenario), book)


GOOD = f"""
  - name: All goes well
    {INCIDENT.strip()}
    answers:
      ask: {{values: {{__who__: {{value: eve, written_by: external}}}}}}
    expect:
      status: succeeded
      reason: ""
      proposals:
        - step: block
          action_class: deny ip
          target: 203.0.113.7
          arguments: {{note: for eve}}
          tool: edge
          lease_s: null
          tainted: true
          max_level: L2
      tasks: [{{step: ask, agent: Analyst, text: Look, tainted: false}}]
      calls: [{{step: call, inputs: {{__who__: eve}}}}]
"""  # fmt: skip


def test_a_run_that_comes_to_what_is_expected_says_nothing() -> None:
    assert said(GOOD) == []


@pytest.mark.parametrize(
    ("before", "after", "difference"),
    [
        ("status: succeeded", "status: failed", "status: expected failed, got succeeded"),
        ('reason: ""', "reason: why", 'reason: expected "why", got ""'),
        ("target: 203.0.113.7", "target: x", 'proposals[0].target (line 16): expected "x", got "203.0.113.7"'),
        ("tainted: true", "tainted: false", "proposals[0].tainted (line 16): expected false, got true"),
        ("max_level: L2", "max_level: L3", 'proposals[0].max_level (line 16): expected "L3", got "L2"'),
        ("note: for eve", "note: x", 'proposals[0].arguments (line 16): expected {"note":"x"}, got {"note":"for eve"}'),
        ("step: block", "step: sad", 'proposals[0].step (line 16): expected "sad", got "block"'),
        ("agent: Analyst", "agent: Boss", 'tasks[0].agent (line 24): expected "Boss", got "Analyst"'),
    ],
)  # fmt: skip
def test_what_differs_is_told_with_both_sides(before: str, after: str, difference: str) -> None:
    assert before in GOOD
    assert said(GOOD.replace(before, after)) == [difference]


def test_proposals_that_are_missing_or_too_many_stand_out() -> None:
    fork = {"fork": both("a", "b", "c", on_completion="fin"), "fin": end()}
    for name in "abc":
        fork |= {name: do("deny ip", f"192.0.2.{ord(name)}", f"{name} end"), f"{name} end": end()}
    text = """
      - name: x
        expect:
          proposals:
            [{step: a}, {target: 192.0.2.99}, {action_class: scan host}, {action_class: deny ip, target: 1.1.1.1}]
    """

    assert said(text, book_of(fork)) == [
        "proposals: expected 4, got 3:",
        "    (a)",
        "  + deny ip 192.0.2.98 (b)",
        "    192.0.2.99",
        "  - scan host",
        "  - deny ip 1.1.1.1",
    ]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        ("failed", "it failed"),
        ("denied", "it was denied"),
        ("unknown", "its outcome is not known"),
        ("denied, reason: too much", "too much"),
    ],
)
def test_an_action_that_does_not_succeed_fails_its_step(outcome: str, reason: str) -> None:
    text = GOOD.partition("    expect:")[0] + f"      block: {{outcome: {outcome}}}\n"
    assert said(f"{text}    expect: {{status: failed, reason: {reason}, calls: []}}") == []


def test_a_task_that_nobody_does_ends_with_its_time_limit_and_one_that_takes_too_long_as_well() -> None:
    given = {"__ip__": Held("203.0.113.7"), "__incident_id__": Held("inc-1")}
    for answer in (Answer(outcome=Outcome.UNANSWERED), Answer(after_us=60 * MICROSECONDS)):
        played = play(BOOK, Scenario(given, {ASK: (answer,)}))
        assert (played.status, played.took_us, played.proposals) == ("succeeded", 60 * MICROSECONDS, ())
        assert [BOOK.steps[step].name for step, _ in played.tasks] == ["ask", "sad"]

    soon = Answer(after_us=60 * MICROSECONDS - 1, values={"__who__": Held("eve")})
    assert play(BOOK, Scenario(given, {ASK: (soon,)})).took_us == 60 * MICROSECONDS - 1


def test_a_task_without_a_time_limit_that_nobody_does_ends_after_a_day() -> None:
    played = play(
        book_of({"one": act("fin"), "fin": end()}), Scenario({}, {ASK: (Answer(outcome=Outcome.UNANSWERED),)})
    )

    assert (played.ended[1].reason, played.took_us) == ("its time limit is over", 86_400 * MICROSECONDS)


def test_an_action_that_nothing_ends_leaves_the_run_running() -> None:
    book = book_of({"one": do("scan host", "web-1", "fin"), "fin": end()})
    assert play(book, Scenario({}, {ASK: (Answer(outcome=Outcome.UNANSWERED),)})).status == "running"


def test_answers_are_given_in_turn_and_the_last_one_holds() -> None:
    steps = {
        "loop": again("__n__:value < 9", "count", on_completion="fin"),
        "count": act("c", out_args=["__n__"]), "c": end(), "fin": end(),
    }  # fmt: skip
    book = book_of(steps, {"__n__": {"type": "integer", "value": "0"}})
    text = """
      - name: x
        answers: {count: [{values: {__n__: 1}}, {values: {__n__: 2}}, {values: {__n__: 9}}]}
        expect: {status: succeeded, tasks: [count, count, count]}
    """
    assert said(text, book) == []


def test_a_task_that_asks_for_something_has_to_be_answered_in_the_test() -> None:
    text = GOOD.replace("{values: {__who__: {value: eve, written_by: external}}}", "{}")
    assert said(text)[0] == "step 'ask' was done, and nothing is answered for __who__"


def test_values_have_the_label_of_whoever_gives_them_until_another_is_said() -> None:
    text = """
      - name: x
        given: {__ip__: 203.0.113.7, __incident_id__: {value: inc, written_by: sensor}}
        answers: {ask: {values: {__who__: eve}}, block: {output: {value: "x", written_by: derived}}, call: {}}
        expect: {status: succeeded}
    """
    [one] = read(text)

    assert one.scenario.given["__ip__"] == Held("203.0.113.7", Integrity.HUMAN)
    assert one.scenario.given["__incident_id__"].integrity is Integrity.SENSOR
    [answers] = [one.scenario.answers[key] for key in one.scenario.answers if key == ASK]
    assert answers[0].values["__who__"].integrity is Integrity.HUMAN
    outputs = [answer.output for given in one.scenario.answers.values() for answer in given if answer.output]
    assert outputs == [Held("x", Integrity.DERIVED)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("playbook: x.json", "t.yaml:1: 'playbook' (its file) and 'tests' (a list with some) are expected"),
        ("playbook: x\ntests: []", "t.yaml:1: 'playbook' (its file)"),
        ("playbook: x\ntest:\n  - name: y", "t.yaml:2: unknown key 'test'; did you mean 'tests'?"),
        ("[]", "t.yaml:1: the keys 'playbook' and 'tests' are expected"),
    ],
)
def test_a_file_that_is_none_of_tests_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_scenarios(text, "t.yaml")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("expect:", "expects:", "unknown key 'expects'; did you mean 'expect'?"),
        ("status: succeeded", "status: done", "t.yaml:13: 'done': Input should be"),
        ("id: inc-7", "nr: 7", "t.yaml:5: 'id' and 'entities' (a list) are expected"),
        ("kind: ip, value: 203", "kind: address, value: 203", "t.yaml:9: 'address' is not a valid EntityKind"),
        ("role: actor", "role: villain", "t.yaml:9: 'villain' is not a valid EntityRole"),
        ("value: 203.0.113.7", "value: 203", 't.yaml:9: 203 is not text; put it in quotes'),
        ("role: actor", "role: related", 't.yaml:4: "__ip__" comes from outside and has no value; give one'),
        ("      ask:", "      aks:", "t.yaml:11: no step is called 'aks'; did you mean 'ask'?"),
        ("__who__: {value", "__ip__: {value", 't.yaml:11: the step does not write "__ip__"; it writes __who__'),
        ("written_by: external}}}", "written_by: me}}}", "t.yaml:11: 'me': Input should be"),
        ("status: succeeded", "statis: x", "t.yaml:13: unknown key 'statis'; did you mean 'status'?"),
        ("- step: block", "- stop: block", "unknown key 'stop'; did you mean 'step'?"),
        ("step: ask, agent", "step: task, agent", "no step is called 'task'"),
        ("max_level: L2", "maxlevel: L2", "unknown key 'maxlevel'; did you mean 'max_level'?"),
    ],
)  # fmt: skip
def test_every_mistake_of_a_file_is_told_with_its_line(before: str, after: str, message: str) -> None:
    assert before in GOOD
    with pytest.raises(ConfigurationError) as caught:
        read(GOOD.replace(before, after))
    text = str(caught.value)
    assert message in text, text
    assert all(line.startswith("t.yaml:") for line in text.splitlines())


def test_two_tests_of_one_name_and_a_name_of_two_steps_are_mistakes() -> None:
    with pytest.raises(ConfigurationError, match="test 'All goes well' is there already in line 4"):
        read(GOOD + GOOD)
    twice = book_of({"one": act("two"), "two": {**act("fin"), "name": "one"}, "fin": end()})
    with pytest.raises(ConfigurationError, match='several steps are called "one"; name the one by its id'):
        read("- {name: x, expect: {tasks: [one]}}", twice)
    assert said(f"- {{name: x, expect: {{tasks: [{ASK}, {ASK[:-1]}2]}}}}", twice) == []
