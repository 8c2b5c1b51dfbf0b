"""A run with answers from a file, in virtual time: what would be proposed and asked, and how it would end."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from watchfloor_core.clock import MICROSECONDS
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.machine import Machine
from watchfloor_playbooks.running.state import new_state
from watchfloor_playbooks.running.values import Held, Values
from watchfloor_playbooks.running.work import (
    ActionWork,
    Begin,
    ManualWork,
    PlaybookWork,
    RunStatus,
    StepEnded,
    Turn,
    WorkEnded,
)

_MS: Final = MICROSECONDS // 1_000


class Outcome(StrEnum):
    """How a piece of work ends in a scenario."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DENIED = "denied"
    UNKNOWN = "unknown"
    """It was done, and nobody can tell what came of it."""
    UNANSWERED = "unanswered"
    """Nobody does it: a task for people ends when its time is over, all else waits on."""


_REASONS: Final[Mapping[Outcome, str]] = {
    Outcome.FAILED: "it failed",
    Outcome.DENIED: "it was denied",
    Outcome.UNKNOWN: "its outcome is not known",
    Outcome.UNANSWERED: "nobody did it in time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What comes of a step's work."""

    outcome: Outcome = Outcome.SUCCEEDED
    values: Mapping[str, Held] = field(default_factory=dict)
    """By variable: what people answer, or another playbook gives."""
    output: Held | None = None
    """What an action gives as a text."""
    reason: str = ""
    after_us: int = 0
    """So long it takes."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a run is given, and what it is answered."""

    given: Values
    answers: Mapping[str, tuple[Answer, ...]] = field(default_factory=dict)
    """By the step's id, in turn; the last one holds for every further time. All else succeeds at once."""


@dataclass(frozen=True, slots=True)
class Played:
    """What a run came to."""

    proposals: tuple[tuple[str, ActionWork], ...]
    """With the step's id, in order."""
    tasks: tuple[tuple[str, ManualWork], ...]
    calls: tuple[tuple[str, PlaybookWork], ...]
    ended: tuple[StepEnded, ...]
    status: RunStatus
    """``running`` where it would wait for something without end."""
    reason: str
    took_us: int
    unanswered: tuple[tuple[str, tuple[str, ...]], ...]
    """Steps that were done although variables that they ask for got no answer."""


def play(playbook: Playbook, scenario: Scenario) -> Played:
    """Run it to its end. Raises `ConfigurationError` where what is given does not suit the playbook."""
    return _Play(playbook, scenario).whole()


class _Play:
    def __init__(self, playbook: Playbook, scenario: Scenario) -> None:
        self._machine = Machine(playbook, new_state(playbook, scenario.given))
        self._answers = scenario.answers
        self._now_us = 0
        self._due: list[tuple[int, int, str, WorkEnded]] = []
        self._asked: Counter[str] = Counter()
        self._begun: list[Begin] = []
        self._ended: list[StepEnded] = []
        self._unanswered: list[tuple[str, tuple[str, ...]]] = []

    def whole(self) -> Played:
        self._hear(self._machine.start(self._now_us))
        while not self._machine.state.status.is_over and self._step():
            pass
        state = self._machine.state
        return Played(
            tuple((one.step, one.work) for one in self._begun if isinstance(one.work, ActionWork)),
            tuple((one.step, one.work) for one in self._begun if isinstance(one.work, ManualWork)),
            tuple((one.step, one.work) for one in self._begun if isinstance(one.work, PlaybookWork)),
            tuple(self._ended),
            state.status,
            state.reason,
            self._now_us,
            tuple(self._unanswered),
        )

    def _step(self) -> bool:
        """The next thing that happens; False where nothing ever does."""
        wakes_us = self._machine.wakes_us
        if self._machine.is_ready:
            self._hear(self._machine.go_on(self._now_us))
        elif self._due and (wakes_us is None or self._due[0][0] < wakes_us):
            self._now_us, _, key, how = heapq.heappop(self._due)
            self._hear(self._machine.ended(key, how, self._now_us))
        elif wakes_us is not None:
            self._now_us = wakes_us
            self._hear(self._machine.tick(self._now_us))
        else:
            return False
        return True

    def _hear(self, turn: Turn) -> None:
        self._ended += turn.ended
        for begin in turn.begins:
            self._begun.append(begin)
            self._answer(begin)

    def _answer(self, begin: Begin) -> None:
        answers = self._answers.get(begin.step, (Answer(),))
        answer = answers[min(self._asked[begin.step], len(answers) - 1)]
        self._asked[begin.step] += 1
        work, after_us = begin.work, answer.after_us
        is_done = answer.outcome is Outcome.SUCCEEDED
        if answer.outcome is Outcome.UNANSWERED:
            if not isinstance(work, ManualWork):
                return
            after_us = work.within_ms * _MS
        elif isinstance(work, ManualWork) and after_us >= work.within_ms * _MS:
            after_us, is_done, answer = work.within_ms * _MS, False, Answer(outcome=Outcome.UNANSWERED)
        if is_done and isinstance(work, (ManualWork, PlaybookWork)):
            wanted = work.answers if isinstance(work, ManualWork) else work.outputs
            lacking = tuple(name for name in wanted if name not in answer.values)
            if lacking:
                self._unanswered.append((begin.step, lacking))
        reason = "" if is_done else answer.reason or _REASONS[answer.outcome]
        how = WorkEnded(is_done, reason, answer.values if is_done else {}, answer.output if is_done else None)
        heapq.heappush(self._due, (self._now_us + after_us, len(self._begun), begin.key, how))
