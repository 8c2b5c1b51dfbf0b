"""What follows what: every type of step, and where a failure goes."""

from __future__ import annotations

import pytest

from tests.playbooks.running.runs import Run, act, again, book_of, both, by_value, do, either, end, other
from watchfloor_core.incident import AutonomyLevel
from watchfloor_playbooks.running.values import Held
from watchfloor_playbooks.running.work import ActionWork, ManualWork, PlaybookWork, WorkEnded

TEXT = {"type": "string", "value": "a"}
NUMBER = {"type": "integer", "value": "0"}
CALLED = "playbook--00000000-0000-4000-8000-000000000777"


def test_steps_run_one_after_the_other_and_the_run_succeeds() -> None:
    run = Run(book_of({"one": act("two"), "two": act("fin"), "fin": end()})).start()
    assert run.under_way() == ["one"]

    run.done("one")
    assert run.under_way() == ["two"]

    run.done("two")
    assert run.outcomes() == ["one succeeded", "two succeeded", "fin succeeded"]
    assert (run.status, run.reason, run.machine.wakes_us) == ("succeeded", "", None)


@pytest.mark.parametrize(
    ("ways", "is_done", "next_step"),
    [
        ({"on_completion": "other"}, True, "other"),
        ({"on_completion": "other"}, False, "other"),
        ({"on_success": "good", "on_failure": "other"}, True, "good"),
        ({"on_success": "good", "on_failure": "other"}, False, "other"),
    ],
)
def test_what_follows_depends_on_how_a_step_ended(ways: dict[str, str], is_done: bool, next_step: str) -> None:
    steps = {"fork": both("one", "rest", on_completion="fin"), "one": act(**ways), "rest": act("rest end")}
    steps |= {"good": act("g end"), "other": act("o end")}
    named = {name for name in steps if name in ("fork", "one", "rest", *ways.values())}
    steps = {name: step for name, step in steps.items() if name in named}
    ends = {name: end() for name in ("rest end", "g end", "o end", "fin")}
    used = {step.get("on_completion") for step in steps.values()}
    run = Run(book_of(steps | {name: one for name, one in ends.items() if name in used})).start()

    (run.done if is_done else run.fail)("one")

    assert run.under_way() == ["rest", next_step]


def test_an_action_runs_its_commands_in_turn_and_fails_at_the_first_that_fails() -> None:
    step = act("fin")
    step["commands"] = [{"type": "manual", "command": text} for text in ("first", "second", "third")]
    run = Run(book_of({"one": step, "fin": end()})).start()
    told = []
    for _ in range(2):
        told.append(run.work("one").text.value)
        run.done("one")
    told.append(run.work("one").text.value)
    run.fail("one")

    assert told == ["first", "second", "third"]
    assert run.outcomes() == ["one failed", "fin succeeded"]
    assert len(run.begun) == 3


def test_an_action_of_ours_is_drafted_with_what_playbook_and_step_allow() -> None:
    step = do("deny ip", "__a__:value", "fin", arguments={"note": "for __b__:value"}, tool="edge", lease_s=3600)
    variables = {"__a__": {"type": "ipv4-addr", "value": "192.0.2.7"}, "__b__": TEXT}
    ours = {"max_level": "L3"}
    book = book_of({"block": step, "fin": end()}, variables, ours=ours, steps_ours={"block": {"max_level": "L2"}})

    work = Run(book).start().work("block")

    assert isinstance(work, ActionWork)
    assert (work.action_class, work.target.value, work.tool, work.lease_s) == ("deny ip", "192.0.2.7", "edge", 3600)
    assert work.arguments["note"].value == "for a"
    assert work.max_level is AutonomyLevel.L2
    assert work.purpose == "In short: block"


def test_a_task_for_people_says_who_what_and_what_is_to_be_answered() -> None:
    step = act("fin", text="Look at __a__:value", out_args=["__a__"], timeout=5_000)
    work = Run(book_of({"look": step, "fin": end()}, {"__a__": TEXT})).start().work("look")

    assert isinstance(work, ManualWork)
    assert (work.text.value, work.agent, work.answers, work.within_ms) == ("Look at a", "Analyst", ("__a__",), 5_000)


@pytest.mark.parametrize(("value", "under_way"), [("3", ["yes"]), ("0", ["no"])])
def test_an_if_takes_one_of_its_branches_and_goes_on_after_it(value: str, under_way: list[str]) -> None:
    steps = {
        "ask": either("__n__:value > 1", "yes", on_false="no", on_completion="after"),
        "yes": act("yes end"), "yes end": end(), "no": act("no end"), "no end": end(),
        "after": act("fin"), "fin": end(),
    }  # fmt: skip
    run = Run(book_of(steps, {"__n__": {**NUMBER, "value": value}})).start()
    assert run.under_way() == under_way

    run.done(under_way[0])
    assert run.under_way() == ["after"]
    assert run.outcomes()[-1] == "ask succeeded"


def test_an_if_without_a_branch_for_no_goes_on_at_once() -> None:
    steps = {"ask": either("__n__:value > 1", "yes", on_completion="after"), "yes": act("yes end"), "yes end": end()}
    run = Run(book_of({**steps, "after": act("fin"), "fin": end()}, {"__n__": NUMBER})).start()

    assert run.under_way() == ["after"]


@pytest.mark.parametrize(
    ("value", "under_way"), [("high", ["page"]), ("low", ["log"]), ("other", ["think"]), ("default", ["think"])]
)
def test_a_switch_takes_the_case_of_the_value_or_the_default(value: str, under_way: list[str]) -> None:
    steps = {
        "sort": by_value("__v__", {"high": "page", "low": "log", "default": "think"}, on_completion="fin"),
        "page": act("p"), "p": end(), "log": act("l"), "l": end(), "think": act("t"), "t": end(), "fin": end(),
    }  # fmt: skip
    assert Run(book_of(steps, {"__v__": {**TEXT, "value": value}})).start().under_way() == under_way


def test_a_switch_without_a_fitting_case_goes_on_and_one_without_a_value_fails() -> None:
    steps = {"sort": by_value("__v__", {"7": "seven"}, on_success="fin", on_failure="bad")}
    steps |= {"seven": act("s"), "s": end(), "fin": act("f"), "f": end(), "bad": act("b"), "b": end()}
    given = {"type": "integer", "external": True}

    assert Run(book_of(steps, {"__v__": {**given, "value": "8"}})).start().under_way() == ["fin"]
    assert Run(book_of(steps, {"__v__": {**given, "value": "07"}})).start().under_way() == ["seven"]
    unknown = Run(book_of(steps, {"__v__": given}), {"__v__": Held(None)}).start()
    assert (unknown.under_way(), unknown.ended[-1].reason) == (["bad"], "__v__ has no value")


def test_two_ways_to_write_one_case_mean_the_same_whatever_the_order_in_the_file() -> None:
    ends = {"x": act("x end"), "x end": end(), "y": act("y end"), "y end": end(), "fin": end()}
    for cases in ({"7": "x", "07": "y"}, {"07": "y", "7": "x"}):
        steps = {"sort": by_value("__v__", cases, on_completion="fin"), **ends}
        assert Run(book_of(steps, {"__v__": {"type": "integer", "value": "7"}})).start().under_way() == ["y"]


def test_all_branches_of_a_parallel_step_are_under_way_at_once_and_it_waits_for_the_last() -> None:
    names = [f"b{number}" for number in range(5)]
    steps = {"fork": both(*names, on_completion="after")}
    steps |= {name: act(f"{name} end") for name in names} | {f"{name} end": end() for name in names}
    run = Run(book_of({**steps, "after": act("fin"), "fin": end()})).start()
    assert run.under_way() == names

    for name in reversed(names[1:]):
        run.done(name)
        assert "after" not in run.under_way()
    run.done("b0")
    assert run.under_way() == ["after"]


def test_one_branch_that_fails_leaves_the_others_be_and_fails_the_parallel_step_in_the_end() -> None:
    steps = {
        "fork": both("left", "right", on_success="good", on_failure="bad"),
        "left": act(on_success="left end"), "left end": end(), "right": act("right end"), "right end": end(),
        "good": act("g"), "g": end(), "bad": act("b"), "b": end(),
    }  # fmt: skip
    run = Run(book_of(steps)).start().fail("left", "it burnt")
    assert (run.under_way(), run.dropped) == (["right"], [])

    run.done("right")
    assert run.under_way() == ["bad"]
    assert run.outcomes()[:4] == ["left failed", "right succeeded", "right end succeeded", "fork failed"]
    assert run.ended[-1].reason == "it burnt"

    run.done("bad")
    assert run.status == "succeeded"  # What was caught is no failure of the run.


def test_a_while_repeats_its_branch_until_its_condition_fails() -> None:
    steps = {
        "loop": again("__n__:value < 3", "count", on_completion="fin"),
        "count": act("count end", out_args=["__n__"]), "count end": end(), "fin": end(),
    }  # fmt: skip
    run = Run(book_of(steps, {"__n__": NUMBER})).start()
    for number in ("1", "2", "3"):
        assert run.under_way() == ["count"]
        run.done("count", n=number)

    assert run.status == "succeeded"
    [loop] = [one for one in run.ended if run.name(one.step) == "loop"]
    assert loop.round == 3


def test_a_while_fails_with_its_branch_and_when_its_condition_cannot_be_answered_any_more() -> None:
    steps = {
        "loop": again("__n__:value < 3", "count", on_success="fin", on_failure="bad"),
        "count": act(on_success="count end", out_args=["__n__"]), "count end": end(),
        "fin": end(), "bad": act("b"), "b": end(),
    }  # fmt: skip
    book = book_of(steps, {"__n__": NUMBER})

    failed = Run(book).start().done("count", n="1").fail("count")
    assert (failed.under_way(), failed.ended[-1].round) == (["bad"], 1)

    unknown = Run(book).start().done("count", n=Held(None))
    assert (unknown.under_way(), unknown.ended[-1].reason) == (["bad"], "__n__ has no value")


def test_another_playbook_gets_what_it_is_to_get_and_gives_what_it_is_asked_for() -> None:
    call = other(
        CALLED,
        playbook_version="2026-11-28T08:30:00.000Z",
        in_args=["__a__"],
        out_args=["__n__"],
        on_success="fin",
        on_failure="bad",
    )
    steps = {"call": call, "fin": end(), "bad": act("b"), "b": end()}
    book = book_of(steps, {"__a__": TEXT, "__n__": NUMBER})
    run = Run(book).start()

    assert run.work("call") == PlaybookWork(CALLED, "2026-11-28T08:30:00.000Z", {"__a__": Held("a")}, ("__n__",))
    run.done("call", n="4", a="not asked for")
    assert (run.status, run.value("n").value, run.value("a").value) == ("succeeded", "4", "a")
    assert Run(book).start().fail("call").under_way() == ["bad"]


def test_a_failure_that_nothing_catches_goes_up_and_ends_the_run() -> None:
    steps = {
        "fork": both("deep", "side", on_success="fin"),
        "deep": either("__n__:value = 0", "leaf", on_success="d"), "leaf": act(on_success="l"), "l": end(), "d": end(),
        "side": act("s"), "s": end(), "fin": end(),
    }  # fmt: skip
    run = Run(book_of(steps, {"__n__": NUMBER})).start().fail("leaf", "no luck").done("side")

    assert (run.status, run.reason) == ("failed", "no luck")
    assert [one for one in run.outcomes() if one.endswith("failed")] == ["leaf failed", "deep failed", "fork failed"]


EXCEPTING = {"one": act(on_success="fin"), "fin": end(), "tidy": act("sad"), "sad": end()}


def test_a_failure_that_nothing_catches_is_tidied_up_after_by_the_exception_once() -> None:
    book = book_of(EXCEPTING, exception="tidy")
    run = Run(book).start().fail("one", "it burnt")
    assert (run.under_way(), run.status) == (["tidy"], "running")
    assert (run.done("tidy").status, run.reason) == ("failed", "it burnt")

    twice = Run(book_of({**EXCEPTING, "tidy": act(on_success="sad")}, exception="tidy")).start()
    twice.fail("one", "it burnt").fail("tidy", "so did the bucket")
    assert (twice.status, twice.reason, twice.under_way()) == ("failed", "it burnt", [])


def test_a_step_that_names_the_exception_as_its_way_on_failure_has_failed_the_run() -> None:
    steps = {"one": act(on_success="fin", on_failure="sad"), "fin": end(), "sad": end()}
    run = Run(book_of(steps, exception="sad")).start().fail("one", "it burnt")

    assert (run.status, run.reason) == ("failed", "it burnt")
    assert run.outcomes() == ["one failed", "sad succeeded"]


def test_an_exception_that_is_missing_and_would_be_an_end_ends_the_run() -> None:
    missing = "end--00000000-0000-4000-8000-000000000999"
    run = Run(book_of({"one": act(on_success="fin"), "fin": end()}, exception=missing)).start().fail("one")

    assert (run.status, run.reason) == ("failed", "no luck")


@pytest.mark.parametrize(
    ("precondition", "status", "reason"),
    [
        ("__v__:value = 'a'", "running", ""),
        ("__v__:value = 'b'", "failed", "its precondition does not hold"),
        ("__w__:value = 'b'", "failed", "its precondition cannot be answered: __w__ has no value"),
    ],
)
def test_a_playbook_whose_precondition_does_not_hold_does_not_begin(
    precondition: str, status: str, reason: str
) -> None:
    variables = {"__v__": TEXT, "__w__": {"type": "string"}}
    run = Run(book_of(EXCEPTING, variables, exception="tidy", ours={"precondition": precondition})).start()

    assert (run.status, run.reason) == (status, reason)
    assert bool(run.begun) is (status == "running")


@pytest.mark.parametrize(
    ("requires", "reason"),
    [("EXISTS __w__:value", "the evidence that it requires is not there"), ("__w__:value = 'x'", "__w__ has no value")],
)
def test_a_step_without_the_evidence_that_it_requires_fails_before_it_does_anything(requires: str, reason: str) -> None:
    steps = {"one": act(on_success="fin", on_failure="bad"), "fin": end(), "bad": act("b"), "b": end()}
    book = book_of(steps, {"__w__": {"type": "string"}}, steps_ours={"one": {"requires": requires}})
    run = Run(book).start()

    assert (run.under_way(), run.ended[-1].reason) == (["bad"], reason)
    assert len(run.begun) == 1


def test_a_command_whose_variable_has_no_value_fails_its_step_before_anything_is_ordered() -> None:
    steps = {"one": do("disable user", "__w__:value", on_success="fin", on_failure="bad"), "fin": end()}
    run = Run(book_of({**steps, "bad": act("b"), "b": end()}, {"__w__": {"type": "string"}})).start()

    assert (run.under_way(), run.ended[-1].reason) == (["bad"], '"__w__" has no value')


# --- Stopping, and what comes too late -------------------------------------------------------------------------------


def test_stopping_drops_all_that_is_under_way_and_tells_each_once() -> None:
    steps = {"fork": both("left", "right", on_completion="fin"), "fin": end()}
    steps |= {"left": act("l"), "l": end(), "right": act("r", delay=1_000), "r": end()}
    run = Run(book_of(steps)).start().stop("no more")

    assert (run.status, run.reason) == ("stopped", "no more")
    assert [one.reason for one in run.dropped] == ["no more"]
    assert sorted(run.outcomes()) == ["fork dropped", "left dropped", "right dropped"]
    assert (run.machine.waited_for, run.machine.wakes_us) == (frozenset(), None)


def test_after_the_end_nothing_is_ordered_and_nothing_changes_how_it_ended() -> None:
    run = Run(book_of({"one": act("fin"), "fin": end()})).start()
    key = run.key("one")
    run.done("one")
    before = len(run.ended)
    run.stop("too late").wait(10_000)
    run.tell(key, run_done())

    assert (run.status, run.reason, len(run.ended)) == ("succeeded", "", before)
    assert all(turn.is_empty for turn in run.turns[-3:])


def test_work_that_was_dropped_changes_nothing_when_it_ends_all_the_same() -> None:
    steps = {"one": act(on_success="fin", on_failure="two", timeout=1_000, out_args=["__v__"]), "fin": end()}
    run = Run(book_of({**steps, "two": act("b"), "b": end()}, {"__v__": TEXT})).start()
    key = run.key("one")
    run.wait(1_000)
    run.tell(key, run_done(v="late"))

    assert (run.under_way(), run.value("v").value) == (["two"], "a")
    assert [one.key for one in run.dropped] == [key]


def run_done(**values: str) -> WorkEnded:
    return WorkEnded(True, values={f"__{name}__": Held(value) for name, value in values.items()})
