"""Variables while a playbook runs: who could have written them, where they are seen, and what writes them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.playbooks.running.runs import Run, act, book_of, do, either, end
from watchfloor_core.alert import Integrity
from watchfloor_core.errors import ConfigurationError, RecordError
from watchfloor_guardrails.action import Labelled
from watchfloor_playbooks.objects import Server, ShellCommand
from watchfloor_playbooks.running.commands import command_work
from watchfloor_playbooks.running.machine import shared_out
from watchfloor_playbooks.running.state import new_state
from watchfloor_playbooks.running.values import MAX_VALUE, Held, filled

OUTSIDE = Held("eve", Integrity.EXTERNAL)
ENDORSED = Held("eve", Integrity.EXTERNAL, "corroboration")
SENSOR = Held("web-1", Integrity.SENSOR)
POLICY = Held("p", Integrity.POLICY)
VALUES = {"__o__": OUTSIDE, "__e__": ENDORSED, "__s__": SENSOR, "__p__": POLICY, "__d__": Held({"b": 1, "a": [2]})}
STRING = {"type": "string"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", Labelled("plain", Integrity.HUMAN)),
        ("__s__:value", Labelled("web-1", Integrity.SENSOR)),
        ("__o__:value", Labelled("eve", Integrity.EXTERNAL)),
        ("__e__:value", Labelled("eve", Integrity.EXTERNAL, "corroboration")),
        ("on __s__:value", Labelled("on web-1", Integrity.SENSOR)),
        ("__o__:value on __s__:value", Labelled("eve on web-1", Integrity.EXTERNAL)),
        ("__e__:value!", Labelled("eve!", Integrity.EXTERNAL)),
        ("__e__:value__e__:value", Labelled("eveeve", Integrity.EXTERNAL)),
        ("__p__:value", Labelled("p", Integrity.POLICY)),
        ("word __p__:value", Labelled("word p", Integrity.HUMAN)),
        ("__d__:value", Labelled('{"a":[2],"b":1}', Integrity.HUMAN)),
        ("__o__ stays", Labelled("__o__ stays", Integrity.HUMAN)),
    ],
)
def test_a_text_has_the_worst_label_of_its_parts_and_an_endorsement_for_a_whole_value_alone(
    text: str, expected: Labelled
) -> None:
    assert filled(text, VALUES) == expected


def test_what_a_value_says_is_not_filled_again() -> None:
    assert filled("__a__:value", {"__a__": Held("__b__:value"), "__b__": Held("x")}).value == "__b__:value"


@pytest.mark.parametrize("text", ["__gone__:value", "x __gone__:value", "__null__:value"])
def test_a_text_whose_variable_has_no_value_is_none(text: str) -> None:
    with pytest.raises(RecordError, match="has no value"):
        filled(text, {"__null__": Held(None)})


@pytest.mark.parametrize(("value", "text"), [("a", "a"), (7, "7"), (True, "true")])
def test_a_labelled_value_is_held_as_the_standard_writes_it(value: str | int | bool, text: str) -> None:
    assert Held.of(Labelled(value, Integrity.SENSOR)).value == text


def test_labels_go_with_values_from_step_to_step_into_what_is_proposed() -> None:
    steps = {
        "ask": act("block", out_args=["__x__"]),
        "block": do("disable user", "__x__:value", "fin", arguments={"why": "as __x__:value on __y__:value"}),
        "fin": end(),
    }
    book = book_of(steps, {"__x__": STRING, "__y__": {**STRING, "external": True}})
    run = Run(book, {"__y__": SENSOR}).start().done("ask", x=ENDORSED)

    work = run.work("block")
    assert work.target == Labelled("eve", Integrity.EXTERNAL, "corroboration")
    assert not work.target.is_tainted
    assert work.arguments["why"].is_tainted


def test_a_steps_own_variables_are_its_own_and_begin_anew_each_time() -> None:
    own = {"step_variables": {"__own__": {**STRING, "value": "first"}}}
    writes = act("two", out_args=["__own__"], **own)
    writes["commands"] = [{"type": "manual", "command": text} for text in ("a", "b __own__:value")]
    steps = {"one": writes, "two": act("fin", text="__own__:value", **own), "fin": end()}
    run = Run(book_of(steps)).start().done("one", own="second")

    assert run.work("one").text.value == "b second"
    assert run.done("one").work("two").text.value == "first"
    assert "__own__" not in run.machine.state.values


def test_a_steps_own_variable_is_seen_by_its_condition_and_not_by_the_steps_of_its_branch() -> None:
    steps = {"ask": either("__own__:value = 'a'", "yes", on_completion="fin"), "yes": act("y"), "y": end()}
    steps["ask"]["step_variables"] = {"__own__": {**STRING, "value": "a"}}
    assert Run(book_of({**steps, "fin": end()})).start().under_way() == ["yes"]

    with pytest.raises(ConfigurationError, match="is no variable of the playbook or of this step"):
        book_of({**steps, "yes": act("y", text="__own__:value"), "fin": end()})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"n": "many"}, 'the value of __n__ is "many", which is no "integer"'),
        ({"n": "5", "t": Held({"a": 1})}, "__t__ is of type 'string', and its value is a dictionary"),
        ({"t": "\ud800"}, 'the value of "__t__" cannot be stored'),
        ({"t": "x" * MAX_VALUE}, 'the value of "__t__" has 65,538 bytes; at most 65,536 are kept'),
        ({"t": Held({"a": float("nan")})}, 'the value of "__t__" cannot be stored'),
    ],
)
def test_answers_are_taken_all_or_none(given: dict[str, Any], reason: str) -> None:
    steps = {"one": act(on_success="fin", on_failure="bad", out_args=["__n__", "__t__"]), "fin": end(), "bad": act("b")}
    book = book_of({**steps, "b": end()}, {"__n__": {"type": "integer", "value": "1"}, "__t__": STRING})
    run = Run(book).start().done("one", **given)

    assert run.under_way() == ["bad"]
    assert run.ended[-1].reason.startswith(reason)
    assert (run.value("n").value, run.value("t").value) == ("1", None)


def test_answers_that_nobody_asked_for_are_left_out() -> None:
    steps = {"one": act("two", out_args=["__a__"]), "two": act("fin"), "fin": end()}
    run = Run(book_of(steps, {"__a__": STRING, "__b__": STRING})).start().done("one", a="x", b="y", c="z")

    assert (run.value("a").value, run.value("b").value) == ("x", None)


# --- What an action gives as a text ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"id": "T-1", "url": "u", "more": 1}', {"__id__": "T-1", "__url__": "u"}),
        ('{"id": 7}', {"__id__": "7"}),
        ('{"id": [1, true, null]}', {"__id__": "[1,true,null]"}),
        ('{"id": {"a": 1}}', {"__id__": {"a": 1}}),
        ('{"id": null}', {"__id__": None}),
        ("{}", {}),
        (" T-1\n", {"__id__": "T-1"}),
        ("[1, 2]", {"__id__": "[1, 2]"}),
        ('{"id": ', {"__id__": '{"id":'}),
        ("", {}),
    ],
)
def test_a_text_is_shared_out_by_name_or_given_to_the_first(text: str, expected: dict[str, object]) -> None:
    shared = shared_out(Held(text, Integrity.EXTERNAL, "e"), ("__id__", "__url__"))

    assert {name: held.value for name, held in shared.items()} == expected
    assert all((held.integrity, held.endorsed_by) == (Integrity.EXTERNAL, "e") for held in shared.values())


@pytest.mark.parametrize("text", ['{"id": NaN}', '{"id": [Infinity]}', '{"id": 9007199254740993}', '{"id": "\\ud800"}'])
def test_a_text_that_no_json_can_hold_fails_its_step_and_not_the_machine(text: str) -> None:
    steps = {"one": act(on_success="fin", on_failure="bad", out_args=["__id__"]), "fin": end(), "bad": act("b")}
    run = Run(book_of({**steps, "b": end()}, {"__id__": STRING})).start()
    run.done("one", output=Held(text, Integrity.EXTERNAL))

    assert (run.under_way(), run.value("id").value) == (["bad"], None)


def test_a_value_that_is_not_known_is_null_and_fails_only_what_needs_it() -> None:
    steps = {"one": act("ask", out_args=["__id__"]), "ask": either("EXISTS __id__:value", "y", on_completion="fin")}
    steps |= {"y": act("e"), "e": end(), "fin": act("f", text="__id__:value"), "f": end()}
    run = Run(book_of(steps, {"__id__": {**STRING, "value": "old"}})).start()
    run.done("one", output=Held('{"id": null}', Integrity.EXTERNAL))

    assert run.value("id").value is None
    assert run.outcomes()[:3] == ["one succeeded", "ask succeeded", "fin failed"]


# --- What is given to begin with -------------------------------------------------------------------------------------


def test_a_run_tells_of_everything_that_is_wrong_with_what_is_given() -> None:
    variables = {
        "__out__": {**STRING, "external": True},
        "__net__": {"type": "ipv4-addr", "external": True},
        "__fix__": {**STRING, "value": "x", "constant": True},
        "__set__": {**STRING, "external": True, "value": "y"},
    }
    book = book_of({"one": act("fin"), "fin": end()}, variables)
    with pytest.raises(ConfigurationError) as caught:
        new_state(book, {"__net__": Held("no address"), "__fix__": Held("z"), "__other__": Held("z")})

    assert [one.message for one in caught.value.problems] == [
        'the value of __net__ is "no address", which is no "ipv4-addr"',
        '"__fix__" is constant and cannot be given',
        '"__other__" is no variable of this playbook; it has __out__, __net__, __fix__, __set__',
        '"__out__" comes from outside and has no value; give one',
    ]
    held = new_state(book, {"__net__": Held("192.0.2.7", Integrity.SENSOR), "__out__": Held(None)}).values
    assert (held["__net__"].integrity, held["__out__"].value, held["__set__"]) == (Integrity.SENSOR, None, Held("y"))


def test_a_place_is_as_tainted_as_its_port_and_a_tool_is_named_by_the_playbook() -> None:
    place = Server(type="ssh", name="the host", address={"dname": ["__host__:value"]}, port="__port__:value")
    values = {
        "__host__": Held("edge.example", Integrity.EXTERNAL, "person:ana"),
        "__port__": Held("22", Integrity.EXTERNAL),
    }
    command = ShellCommand(type="ssh", command="uptime")
    made: dict[str, Any] = {"place": place, "purpose": "", "max_level": None}

    work = command_work(command, agent="shell", values=values, declared={}, **made)
    assert (work.target.value, work.target.is_tainted, work.named_by) == ("ssh://edge.example:22", True, ("ana",))
    fixed = {**values, "__port__": Held("22")}
    assert not command_work(command, agent="shell", values=fixed, declared={}, **made).target.is_tainted
    with pytest.raises(RecordError, match="never taken from a variable"):
        command_work(command, agent="__host__:value", values=values, declared={}, **made)
