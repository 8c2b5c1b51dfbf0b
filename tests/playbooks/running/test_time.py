"""Delays and time limits, one inside the other."""

from __future__ import annotations

from tests.playbooks.running.runs import MS, Run, act, again, book_of, both, either, end
from watchfloor_playbooks.running.lowering import MANUAL_MS

NUMBER = {"type": "integer", "value": "0"}


def test_a_step_waits_for_its_delay_and_its_time_limit_counts_from_then_on() -> None:
    steps = {"one": act(on_success="fin", on_failure="bad", delay=1_000, timeout=500), "fin": end(), "bad": act("b")}
    run = Run(book_of({**steps, "b": end()})).start()
    began = run.now_us
    assert (run.under_way(), run.machine.wakes_us) == ([], began + 1_000 * MS)

    run.wait(999)
    assert run.under_way() == []
    run.wait(1)
    assert (run.under_way(), run.machine.wakes_us) == (["one"], began + 1_500 * MS)
    run.wait(499)
    assert run.under_way() == ["one"]
    run.wait(1)
    assert run.under_way() == ["bad"]
    [one] = [told for told in run.ended if run.name(told.step) == "one"]
    assert (one.reason, one.started_us, one.ended_us) == ("its time limit is over", began, began + 1_500 * MS)


def test_a_step_that_ends_in_time_is_not_ended_again_by_its_time_limit() -> None:
    steps = {"one": act("two", timeout=500), "two": act("fin"), "fin": end()}
    run = Run(book_of(steps)).start().done("one").wait(10_000)

    assert (run.under_way(), run.outcomes(), run.dropped) == (["two"], ["one succeeded"], [])
    assert run.machine.wakes_us == (1_000 + MANUAL_MS) * MS


def test_a_time_limit_of_nothing_fails_the_step_before_anything_is_ordered() -> None:
    run = Run(book_of({"one": act(on_success="fin", timeout=0), "fin": end()})).start()

    assert (run.begun, run.status, run.reason) == ([], "failed", "its time limit is over")


def test_the_outer_time_limit_drops_what_is_below_once_and_goes_on() -> None:
    steps = {
        "outer": either("__n__:value = 0", "fork", on_success="fin", on_failure="bad", timeout=1_000),
        "fork": both("quick", "slow", "later", on_completion="o", timeout=2_000), "o": end(),
        "quick": act("q"), "q": end(), "slow": act("s"), "s": end(), "later": act("l", delay=5_000), "l": end(),
        "fin": end(), "bad": act("b"), "b": end(),
    }  # fmt: skip
    run = Run(book_of(steps, {"__n__": NUMBER})).start().done("quick").wait(1_000)

    assert run.under_way() == ["bad"]
    assert [one.reason for one in run.dropped] == ["the time limit of a step above it is over"]
    assert run.outcomes() == [
        "quick succeeded", "q succeeded", "fork dropped", "later dropped", "slow dropped", "outer failed"
    ]  # fmt: skip
    assert run.machine.wakes_us == (2_000 + MANUAL_MS) * MS


def test_of_two_time_limits_that_are_over_together_the_outer_one_decides() -> None:
    steps = {
        "outer": either("__n__:value = 0", "inner", on_success="fin", on_failure="bad", timeout=1_000),
        "inner": act(on_success="i", on_failure="catch", timeout=1_000), "i": end(),
        "catch": act("c"), "c": end(), "fin": end(), "bad": act("b"), "b": end(),
    }  # fmt: skip
    run = Run(book_of(steps, {"__n__": NUMBER})).start().wait(5_000)

    assert (run.under_way(), run.outcomes()) == (["bad"], ["inner dropped", "outer failed"])


def test_an_inner_time_limit_is_caught_inside() -> None:
    steps = {
        "outer": either("__n__:value = 0", "inner", on_success="fin", timeout=9_000),
        "inner": act(on_success="i", on_failure="catch", timeout=1_000), "i": end(),
        "catch": act("c"), "c": end(), "fin": end(),
    }  # fmt: skip
    run = Run(book_of(steps, {"__n__": NUMBER})).start()
    began = run.now_us
    run.wait(1_000)

    assert (run.under_way(), run.machine.wakes_us) == (["catch"], began + 9_000 * MS)
    assert run.done("catch").status == "succeeded"


def test_the_time_limit_of_a_loop_is_that_of_all_its_rounds() -> None:
    steps = {
        "loop": again("__n__:value < 9", "count", on_success="fin", on_failure="bad", timeout=1_000),
        "count": act("c", out_args=["__n__"]), "c": end(), "fin": end(), "bad": act("b"), "b": end(),
    }  # fmt: skip
    run = Run(book_of(steps, {"__n__": NUMBER})).start()
    run.wait(600).done("count", n="1").wait(300).done("count", n="2").wait(100)

    assert run.under_way() == ["bad"]
    [loop] = [one for one in run.ended if run.name(one.step) == "loop"]
    assert (loop.round, loop.reason) == (2, "its time limit is over")


def test_several_delays_end_each_at_its_time() -> None:
    steps = {"fork": both("a", "b", on_completion="fin"), "fin": end()}
    steps |= {"a": act("a end", delay=200), "a end": end(), "b": act("b end", delay=100), "b end": end()}
    run = Run(book_of(steps)).start()

    assert run.wait(100).under_way() == ["b"]
    assert run.wait(100).under_way() == ["b", "a"]
    assert run.wait(100_000).under_way() == ["b", "a"]


def test_a_task_without_a_time_limit_has_the_usual_one_and_each_task_of_a_step_its_own() -> None:
    manual = {"type": "manual", "command": "Look"}
    step = {**act(on_success="fin", on_failure="bad"), "commands": [manual, manual]}
    run = Run(book_of({"ask": step, "fin": end(), "bad": act("fin")})).start().wait(MANUAL_MS - 1).done("ask")
    assert run.wait(MANUAL_MS - 1).under_way() == ["ask"]
    assert run.wait(1).under_way() == ["bad"]

    assert (run.outcomes(), run.ended[-1].reason) == (["ask failed"], "its time limit is over")
    assert [one.reason for one in run.dropped] == ["its time limit is over"]
