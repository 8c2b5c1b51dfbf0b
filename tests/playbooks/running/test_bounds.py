"""However large a playbook is: every call is short, every run ends, and depth costs no stack."""

from __future__ import annotations

import sys

import pytest

from tests.playbooks.running.runs import Run, Step, act, again, book_of, both, either, end
from watchfloor_playbooks.running.machine import AT_ONCE, MOST_STEPS, Machine
from watchfloor_playbooks.running.state import new_state
from watchfloor_playbooks.running.work import StepOutcome, WorkEnded
from watchfloor_playbooks.variables import LOOP_BOUND

NUMBER = {"__n__": {"type": "integer", "value": "0"}}


def nested(depth: int) -> dict[str, Step]:
    steps = {f"if{level}": either("__n__:value = 0", f"if{level + 1}") for level in range(depth)}
    return {**steps, f"if{depth}": act(on_success="fin"), "fin": end()}


def wide(count: int) -> dict[str, Step]:
    names = [f"b{number}" for number in range(count)]
    return {"fork": both(*names, on_completion="fin"), "fin": end()} | {name: act("e") for name in names} | {"e": end()}


@pytest.mark.parametrize("is_done", [True, False])
def test_a_thousand_steps_inside_one_another_need_no_deeper_a_stack_than_one(is_done: bool) -> None:
    depth = 996
    book = book_of(nested(depth), NUMBER)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(400)
    try:
        run = Run(book).start()
        assert (run.under_way(), len(run.machine.state.branches)) == ([f"if{depth}"], depth + 1)
        (run.done if is_done else run.fail)(f"if{depth}")
    finally:
        sys.setrecursionlimit(before)

    assert (run.status, run.reason) == (("succeeded", "") if is_done else ("failed", "no luck"))
    assert len([one for one in run.outcomes() if one.endswith("failed")]) == (0 if is_done else depth + 1)


@pytest.mark.parametrize(("count", "first", "rest"), [(AT_ONCE - 2, AT_ONCE - 2, 0), (AT_ONCE + 100, AT_ONCE - 2, 102)])
def test_a_call_begins_so_many_steps_and_the_rest_when_it_is_asked_again(count: int, first: int, rest: int) -> None:
    book = book_of(wide(count))
    machine = Machine(book, new_state(book, {}))

    assert (len(machine.start(0).begins), machine.is_ready) == (first, rest > 0)
    assert len(machine.go_on(0).begins) == rest
    assert not machine.is_ready


def test_what_ends_between_two_slices_is_heard_and_what_has_not_begun_is_told_by_none() -> None:
    book = book_of(wide(AT_ONCE + 100))
    machine = Machine(book, new_state(book, {}))
    first = machine.start(0)
    machine.ended(first.begins[0].key, WorkEnded(True), 0)
    assert first.begins[0].key not in machine.waited_for

    book = book_of(wide(AT_ONCE + 100))
    machine = Machine(book, new_state(book, {}))
    begun = machine.start(0).begins
    turn = machine.stop("enough", 0)
    assert len(turn.drops) == len(begun)
    assert len(turn.ended) == len(begun) + 1  # And the parallel step.


def test_stopping_before_a_step_has_begun_tells_of_no_such_step() -> None:
    steps: dict[str, Step] = {}
    for number in range(AT_ONCE - 1):
        steps[f"s{number}"] = either("__n__:value = 1", "leaf", on_completion=f"s{number + 1}")
    steps |= {f"s{AT_ONCE - 1}": act("fin"), "fin": end(), "leaf": act("l"), "l": end()}
    book = book_of(steps, NUMBER)
    machine = Machine(book, new_state(book, {}))
    started = machine.start(0)
    assert (len(started.ended), machine.is_ready) == (AT_ONCE, True)

    assert machine.stop("enough", 5).ended == []


def test_a_loop_whose_condition_always_holds_ends_after_the_bound() -> None:
    steps = {
        "loop": again("__n__:value = 0", "ask", on_success="fin", on_failure="bad"),
        "ask": either("__n__:value = 1", "count", on_completion="e"), "count": act("c", out_args=["__n__"]), "c": end(),
        "e": end(), "fin": end(), "bad": act("b"), "b": end(),
    }  # fmt: skip
    run = Run(book_of(steps, NUMBER)).start()

    assert run.under_way() == ["bad"]
    [loop] = [one for one in run.ended if run.name(one.step) == "loop"]
    assert (loop.round, loop.reason) == (LOOP_BOUND, "its branch ran 1,000 times, and the condition still holds")


def runaway(**others: Step) -> dict[str, Step]:
    return {
        "outer": again("__n__:value = 0", "inner", on_success="fin"),
        "inner": again("__n__:value = 0", "ask", on_success="i", on_failure="j"), "i": end(), "j": end(),
        "ask": either("__n__:value = 1", "count", on_completion="e"), "count": act("c", out_args=["__n__"]), "c": end(),
        "e": end(), "fin": end(), **others,
    }  # fmt: skip


def test_loops_in_loops_come_to_an_end_and_every_step_that_was_begun_is_told() -> None:
    book = book_of(runaway(), NUMBER)
    machine = Machine(book, new_state(book, {}))
    ended, calls = list(machine.start(0).ended), 1
    while machine.is_ready:
        turn = machine.go_on(0)
        ended += turn.ended
        calls += 1

    assert (machine.state.status, machine.state.reason) == ("failed", f"more than {MOST_STEPS:,} steps were begun")
    assert len(ended) == machine.state.steps
    assert machine.state.steps < MOST_STEPS + 10
    assert calls <= 2 * MOST_STEPS // AT_ONCE + 2
    assert StepOutcome.DROPPED not in {one.outcome for one in ended}


def test_what_ran_away_is_still_tidied_up_after_and_that_ends_as_well() -> None:
    book = book_of(runaway(tidy=act(on_success="sad"), sad=end()), NUMBER, exception="tidy")
    machine = Machine(book, new_state(book, {}))
    begun = list(machine.start(0).begins)
    while machine.is_ready:
        begun += machine.go_on(0).begins
    assert [book.steps[one.step].name for one in begun] == ["tidy"]

    machine.ended(begun[0].key, WorkEnded(True), 0)
    assert (machine.state.status, machine.state.reason) == ("failed", f"more than {MOST_STEPS:,} steps were begun")
