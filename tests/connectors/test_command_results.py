"""What was started and how it ended is never told wrongly, wherever the executor dies."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from watchfloor_connectors.targets.base import Slot
from watchfloor_connectors.targets.commands.results import Outcome, Runs, ended, text_of
from watchfloor_core.errors import UnavailableError
from watchfloor_guardrails.effect import MAX_OUTPUT, Effect, NotDoneError, TargetState

STATE = TargetState({"a": 1})
CRASH = """
from watchfloor_connectors.targets.commands.results import Outcome, Runs

def prepare(place):
    (place / "data").mkdir()

def crash(place):
    def start():
        (place / "ran").touch()
        return Outcome(effect="applied", text="it ended with exit code 0")
    Runs(Slot("tool", "default", place / "data"), 90).run("a" * 64, start)
"""


def test_a_crash_at_any_step_leaves_no_wrong_answer_and_nothing_runs_twice(
    crash_everywhere: Callable[[str], list[Path]],
) -> None:
    effects = []
    for place in crash_everywhere(CRASH):
        runs, ran = Runs(Slot("tool", "default", place / "data"), 90), (place / "ran").exists()
        effect = runs.told("a" * 64, STATE).effect
        effects.append(effect)
        assert effect is not Effect.NOT_APPLIED or not ran
        assert effect is not Effect.APPLIED or ran
        if effect is Effect.UNKNOWN:
            with pytest.raises(UnavailableError, match="how it ended is open"):
                runs.run("a" * 64, lambda: pytest.fail("it runs twice"))
    assert {effects[0], effects[-1]} == {Effect.NOT_APPLIED, Effect.APPLIED}
    assert Effect.UNKNOWN in effects


@pytest.fixture
def runs(slot: Slot) -> Runs:
    return Runs(slot, 90)


def test_an_error_that_leaves_it_open_is_kept_as_open(runs: Runs) -> None:
    def fails() -> Outcome:
        raise OSError("token=s3cret was refused")

    def hangs() -> Outcome:
        raise UnavailableError("the server does not answer")

    with pytest.raises(OSError, match="s3cret"):
        runs.run("a" * 64, fails)
    with pytest.raises(UnavailableError, match="does not answer"):
        runs.run("c" * 64, hangs)
    back = runs.told("a" * 64, STATE)
    assert (back.effect, back.text) == (Effect.UNKNOWN, "it broke off with OSError")
    assert "s3cret" not in "".join(one.read_text() for one in runs.folder.iterdir())
    assert runs.told("c" * 64, STATE).text == "the server does not answer"
    with pytest.raises(UnavailableError, match="not known"):
        runs.run("b" * 64, lambda: Outcome(effect="unknown", text="what it did is not known"))


def test_of_many_at_once_under_one_key_one_runs(runs: Runs) -> None:
    count, both = [], threading.Barrier(8)

    def start() -> Outcome:
        count.append(1)
        return Outcome(effect="applied", text="done")

    def attempt() -> None:
        both.wait()
        with suppress(UnavailableError):
            runs.run("a" * 64, start)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(count) == 1
    assert runs.told("a" * 64, STATE).effect is Effect.APPLIED


def test_records_of_tenants_and_tools_are_apart(slot: Slot, runs: Runs) -> None:
    runs.run("a" * 64, lambda: Outcome(effect="applied", text="done"))
    for other in (Slot("tool", "globex", slot.data_dir), Slot("other", "default", slot.data_dir)):
        assert Runs(other, 90).told("a" * 64, STATE).effect is Effect.NOT_APPLIED


def test_old_records_are_forgotten_and_others_are_not(runs: Runs) -> None:
    for key in ("a", "b"):
        runs.run(key * 64, lambda: Outcome(effect="applied", text="done"))
    for file in runs.folder.glob("a*"):
        os.utime(file, (0, 0))
    runs.run("c" * 64, lambda: Outcome(effect="applied", text="done"))
    assert sorted(file.name[0] for file in runs.folder.iterdir()) == ["b", "b", "c", "c"]


def test_where_nothing_can_be_written_nothing_starts(slot: Slot) -> None:
    slot.data_dir.write_text("a file where the folder should be")
    with pytest.raises(NotDoneError, match="nothing was started"):
        Runs(slot, 90).run("a" * 64, lambda: pytest.fail("it starts"))


def test_what_a_program_wrote_is_kept_as_text_and_bounded() -> None:
    outcome = ended(0, "é".encode() * 20_000, b"")
    assert (len(outcome.output), outcome.text) == (MAX_OUTPUT, "it ended with exit code 0; its output is cut")
    outcome = ended(3, b"", b"\x1b[31mred\n\xff" + b"x" * 1000)
    assert "\x1b" not in outcome.text
    assert "\n" not in outcome.text
    assert len(outcome.text) < 600
    assert text_of(b"a\0b\xffc") == "a\ufffdb\ufffdc"
