"""The machine that runs a playbook: one event in, the orders that follow out. No clock, no store, no network.

::

    READY ──delay──▶ DELAYED ──▶ begun ──▶ WORKING (a piece of work) ──▶ next step, or end of the branch
                                   └─────▶ BRANCHES (one or more below) ─all ended─▶ RETURNED ─▶ next step, or round

A branch ends at an ``end`` step. A step that fails goes on at ``on_failure`` or ``on_completion``; where it has neither
of them, its branch fails, and with it the step above. What nothing catches goes to the ``workflow_exception``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from watchfloor_core.canonical import canonical
from watchfloor_core.clock import MICROSECONDS
from watchfloor_core.errors import RecordError
from watchfloor_playbooks.condition import ConditionError
from watchfloor_playbooks.condition_parser import parse_condition
from watchfloor_playbooks.evaluation import evaluate, value_of
from watchfloor_playbooks.extension import of_playbook, of_step
from watchfloor_playbooks.model import (
    ActionStep,
    EndStep,
    IfStep,
    ParallelStep,
    PlaybookActionStep,
    Step,
    SwitchStep,
    WhileStep,
)
from watchfloor_playbooks.part import Variable
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.lowering import pieces_of, work_of
from watchfloor_playbooks.running.state import Branch, Phase, RunState
from watchfloor_playbooks.running.values import Held, Values, checked
from watchfloor_playbooks.running.work import (
    Begin,
    Drop,
    ManualWork,
    PlaybookWork,
    RunStatus,
    StepEnded,
    StepOutcome,
    Turn,
    Work,
    WorkEnded,
)
from watchfloor_playbooks.variables import LOOP_BOUND
from watchfloor_playbooks.vocabulary import REFERENCE

MOST_STEPS: Final = 20_000
"""Begun in one run: loops in loops come to an end here."""
MOST_TIDYING: Final = 1_000
"""So many more for the case of failure: what ran away is handed over all the same."""
AT_ONCE: Final = 500
"""Steps begun in one call; the rest waits for `Machine.go_on`, so that no call takes long."""
_MS: Final = MICROSECONDS // 1_000


class Machine:
    """Runs one playbook. The same events in the same order give the same orders."""

    def __init__(self, playbook: Playbook, state: RunState) -> None:
        self._playbook = playbook
        self.state = state
        self._declared: Mapping[str, Variable] = playbook.head.playbook_variables
        self._turn = Turn()

    # --- Events ------------------------------------------------------------------------------------------------------

    def start(self, now_us: int) -> Turn:
        """Begin. Once, of a new state."""
        try:
            holds = self._holds(of_playbook(self._playbook).precondition, None)
            problem = None if holds else "its precondition does not hold"
        except ConditionError as error:
            problem = f"its precondition cannot be answered: {error}"
        if problem is not None:
            self._end(RunStatus.FAILED, problem)
            return self._take()
        self._branch(None, self._playbook.head.workflow_start)
        return self.go_on(now_us)

    def go_on(self, now_us: int) -> Turn:
        """Go on with what waits for nothing; again while `is_ready`."""
        for _ in range(AT_ONCE):
            branch = self._ready()
            if branch is None:
                break
            if branch.phase is Phase.RETURNED:
                self._return(branch, now_us)
            else:
                self._enter(branch, now_us)
        return self._take()

    def ended(self, key: str, how: WorkEnded, now_us: int) -> Turn:
        """A piece of work has ended. One that is not waited for any more changes nothing."""
        branch = next((one for one in self.state.branches.values() if one.work == key), None)
        if branch is None:
            return self._take()
        branch.work = None
        if self._playbook.steps[branch.step].timeout is None:
            branch.deadline_us = None  # That of a task.
        try:
            if not how.is_done:
                raise RecordError(how.reason or "it failed")
            self._write(branch, how)
            branch.piece += 1
            self._next_piece(branch, now_us)
        except RecordError as error:
            self._leave(branch, StepOutcome.FAILED, str(error), now_us)
        return self.go_on(now_us)

    def tick(self, now_us: int) -> Turn:
        """Time has passed: delays and time limits that are over."""
        for branch in list(self.state.branches.values()):
            if branch.id not in self.state.branches:
                continue  # It was below one that has just been ended.
            if branch.deadline_us is not None and branch.deadline_us <= now_us:
                self._drop_work(branch, "its time limit is over")
                self._drop_below(branch, "the time limit of a step above it is over", now_us)
                self._leave(branch, StepOutcome.FAILED, "its time limit is over", now_us)
            elif branch.phase is Phase.DELAYED and branch.resume_us is not None and branch.resume_us <= now_us:
                branch.resume_us = None
                self._begin(branch, now_us)
        return self.go_on(now_us)

    def stop(self, reason: str, now_us: int) -> Turn:
        """End it; what is under way is dropped. One that is over stays as it ended."""
        if self.state.status.is_over:
            return self._take()
        for branch in [one for one in self.state.branches.values() if one.parent is None]:
            self._drop_below(branch, reason, now_us)
            if branch.phase is not Phase.READY:
                self._record(branch, StepOutcome.DROPPED, reason, now_us)
            del self.state.branches[branch.id]
        self._end(RunStatus.STOPPED, reason)
        return self._take()

    @property
    def wakes_us(self) -> int | None:
        """When `tick` is to be called at the latest; None where no time is waited for."""
        times = [
            time
            for branch in self.state.branches.values()
            for time in (branch.resume_us if branch.phase is Phase.DELAYED else None, branch.deadline_us)
            if time is not None
        ]
        return min(times, default=None)

    @property
    def is_ready(self) -> bool:
        """`go_on` has more to do at once."""
        return self._ready() is not None

    @property
    def waited_for(self) -> frozenset[str]:
        """Keys of the work under way."""
        return frozenset(one.work for one in self.state.branches.values() if one.work is not None)

    # --- Steps -------------------------------------------------------------------------------------------------------

    def _enter(self, branch: Branch, now_us: int) -> None:
        """A branch has come to a step."""
        step = self._playbook.steps[branch.step]
        self.state.steps += 1
        branch.started_us, branch.piece, branch.rounds, branch.failure = now_us, 0, 0, None
        branch.own = {name: Held(one.value) for name, one in step.step_variables.items()}
        most = MOST_STEPS + (MOST_TIDYING if self.state.is_excepting else 0)
        if self.state.steps > most:
            branch.phase = Phase.WORKING
            self._leave(branch, StepOutcome.FAILED, f"more than {most:,} steps were begun", now_us)
        elif step.delay:
            branch.phase, branch.resume_us = Phase.DELAYED, now_us + step.delay * _MS
        else:
            self._begin(branch, now_us)

    def _begin(self, branch: Branch, now_us: int) -> None:
        step = self._playbook.steps[branch.step]
        # From here on it is no longer ready, whatever comes of it.
        branch.phase = Phase.WORKING
        if step.timeout is not None:
            branch.deadline_us = now_us + step.timeout * _MS
        try:
            if step.timeout == 0:
                raise RecordError("its time limit is over")
            if not self._holds(of_step(step).requires, branch):
                raise RecordError("the evidence that it requires is not there")
            self._begin_kind(branch, step, now_us)
        except (RecordError, ConditionError) as error:
            self._leave(branch, StepOutcome.FAILED, str(error), now_us)

    def _begin_kind(self, branch: Branch, step: Step, now_us: int) -> None:
        match step:
            case EndStep():
                self._record(branch, StepOutcome.SUCCEEDED, "", now_us)
                self._end_branch(branch, None)
            case ActionStep():
                self._next_piece(branch, now_us)
            case PlaybookActionStep(playbook_id=wanted, playbook_version=version):
                scope = self._scope(branch)
                given = {name: scope[name] for name in step.in_args or () if name in scope}
                self._order(branch, PlaybookWork(wanted, version, given, step.out_args or ()))
            case ParallelStep(next_steps=following):
                self._spread(branch, following, now_us)
            case IfStep(condition=condition, on_true=on_true, on_false=on_false):
                chosen = on_true if self._holds(condition, branch) else on_false
                self._spread(branch, () if chosen is None else (chosen,), now_us)
            case WhileStep():
                self._loop(branch, step, now_us)
            case SwitchStep():
                chosen = self._case(branch, step)
                self._spread(branch, () if chosen is None else (chosen,), now_us)
            case _:
                self._leave(branch, StepOutcome.SUCCEEDED, "", now_us)

    def _next_piece(self, branch: Branch, now_us: int) -> None:
        """The next command of an action; without one, or for another playbook that has run, the step has succeeded."""
        if isinstance(self._playbook.steps[branch.step], ActionStep):
            pieces = pieces_of(self._playbook, branch.step)
            if branch.piece < len(pieces):
                work = work_of(self._playbook, branch.step, pieces[branch.piece], self._scope(branch))
                if isinstance(work, ManualWork) and self._playbook.steps[branch.step].timeout is None:
                    branch.deadline_us = now_us + work.within_ms * _MS
                self._order(branch, work)
                return
        self._leave(branch, StepOutcome.SUCCEEDED, "", now_us)

    def _loop(self, branch: Branch, step: WhileStep, now_us: int) -> None:
        if not self._holds(step.condition, branch):
            self._leave(branch, StepOutcome.SUCCEEDED, "", now_us)
        elif branch.rounds >= LOOP_BOUND:
            message = f"its branch ran {LOOP_BOUND:,} times, and the condition still holds"
            self._leave(branch, StepOutcome.FAILED, message, now_us)
        else:
            self._spread(branch, (step.on_true,), now_us)

    def _case(self, branch: Branch, step: SwitchStep) -> str | None:
        found = REFERENCE.fullmatch(step.switch)
        name = "" if found is None else found.group(1)
        declared = self._variables(branch).get(name)
        if declared is None:
            raise RecordError(f"{name!r} is not a variable here")
        value = value_of(name, declared)
        # Two cases may be one value written in two ways; in canonical JSON the order of a file is gone.
        for case, following in sorted(step.cases.items()):
            if case != "default" and value_of("the case", declared.model_copy(update={"value": case})) == value:
                return following
        return step.cases.get("default")

    def _return(self, branch: Branch, now_us: int) -> None:
        """All branches below it have ended."""
        step = self._playbook.steps[branch.step]
        branch.phase = Phase.WORKING
        if branch.failure is not None:
            self._leave(branch, StepOutcome.FAILED, branch.failure, now_us)
        elif isinstance(step, WhileStep):
            branch.rounds += 1
            try:
                self._loop(branch, step, now_us)
            except ConditionError as error:
                self._leave(branch, StepOutcome.FAILED, str(error), now_us)
        else:
            self._leave(branch, StepOutcome.SUCCEEDED, "", now_us)

    # --- Between steps -----------------------------------------------------------------------------------------------

    def _leave(self, branch: Branch, outcome: StepOutcome, reason: str, now_us: int) -> None:
        """A step has ended; the branch goes on, or ends with it."""
        self._record(branch, outcome, reason, now_us)
        step = self._playbook.steps[branch.step]
        branch.work = branch.deadline_us = branch.resume_us = None
        is_good = outcome is StepOutcome.SUCCEEDED
        following = step.on_completion or (step.on_success if is_good else step.on_failure)
        if not is_good and following == self._playbook.head.workflow_exception:
            # Led to by name, the steps for the case of failure are no other than where nothing catches it.
            following = None
        if following is not None:
            branch.step, branch.phase = following, Phase.READY
        else:
            self._end_branch(branch, None if is_good else reason or "it failed")

    def _end_branch(self, branch: Branch, failure: str | None) -> None:
        del self.state.branches[branch.id]
        if branch.parent is None:
            self._finish(failure)
            return
        above = self.state.branches[branch.parent]
        above.children.remove(branch.id)
        above.failure = above.failure or failure
        if not above.children:
            above.phase = Phase.RETURNED

    def _finish(self, failure: str | None) -> None:
        """The first branch, or that for the case of failure, has ended."""
        exception = self._playbook.head.workflow_exception
        if failure is None:
            status = RunStatus.FAILED if self.state.is_excepting else RunStatus.SUCCEEDED
            self._end(status, self.state.reason)
        elif exception is not None and exception in self._playbook.steps and not self.state.is_excepting:
            self.state.is_excepting, self.state.reason = True, failure
            self._branch(None, exception)
        else:
            self._end(RunStatus.FAILED, self.state.reason or failure)

    def _end(self, status: RunStatus, reason: str) -> None:
        self.state.status, self.state.reason = status, reason

    def _spread(self, branch: Branch, following: tuple[str, ...], now_us: int) -> None:
        if not following:
            self._leave(branch, StepOutcome.SUCCEEDED, "", now_us)
            return
        branch.phase = Phase.BRANCHES
        branch.children = [self._branch(branch.id, one) for one in following]

    def _branch(self, parent: int | None, step: str) -> int:
        number = self.state.next_branch
        self.state.next_branch += 1
        self.state.branches[number] = Branch(number, parent, step)
        return number

    def _drop_below(self, branch: Branch, reason: str, now_us: int) -> None:
        """End what is under way in a step and below it."""
        self._drop_work(branch, reason)
        waiting = list(branch.children)
        branch.children = []
        while waiting:
            below = self.state.branches.pop(waiting.pop())
            waiting += below.children
            self._drop_work(below, reason)
            if below.phase is not Phase.READY:
                self._record(below, StepOutcome.DROPPED, reason, now_us)

    def _drop_work(self, branch: Branch, reason: str) -> None:
        if branch.work is not None:
            self._turn.drops.append(Drop(branch.work, reason))
            branch.work = None

    def _order(self, branch: Branch, work: Work) -> None:
        key = f"w{self.state.next_work}"
        self.state.next_work += 1
        branch.work = key
        self._turn.begins.append(Begin(key, branch.step, branch.id, work))

    def _record(self, branch: Branch, outcome: StepOutcome, reason: str, now_us: int) -> None:
        told = StepEnded(branch.step, branch.id, outcome, reason, branch.started_us, now_us, branch.rounds)
        self._turn.ended.append(told)

    def _take(self) -> Turn:
        turn, self._turn = self._turn, Turn()
        return turn

    def _ready(self) -> Branch | None:
        phases = (Phase.READY, Phase.RETURNED)
        return next((one for one in self.state.branches.values() if one.phase in phases), None)

    # --- Values ------------------------------------------------------------------------------------------------------

    def _scope(self, branch: Branch) -> Values:
        return {**self.state.values, **branch.own}

    def _variables(self, branch: Branch | None) -> dict[str, Variable]:
        """The variables that a step sees, with the values that they have now."""
        own = {} if branch is None else branch.own
        declared = {**self._declared, **(self._declared_in(branch) if branch else {})}
        values = {**self.state.values, **own}
        return {name: one.model_copy(update={"value": values[name].value}) for name, one in declared.items()}

    def _declared_in(self, branch: Branch) -> Mapping[str, Variable]:
        return self._playbook.steps[branch.step].step_variables

    def _holds(self, condition: str | None, branch: Branch | None) -> bool:
        return condition is None or evaluate(parse_condition(condition), self._variables(branch))

    def _write(self, branch: Branch, how: WorkEnded) -> None:
        """Give the step's variables what its work came to: all of them, or none. Raises `RecordError`."""
        step = self._playbook.steps[branch.step]
        wanted = step.out_args if isinstance(step, (ActionStep, PlaybookActionStep)) else None
        given = {name: held for name, held in how.values.items() if name in (wanted or ())}
        if how.output is not None:
            given |= shared_out(how.output, wanted or ())
        declared = self._declared_in(branch)
        own = {name: checked(name, declared[name], one) for name, one in given.items() if name in declared}
        rest = {name: checked(name, self._declared[name], one) for name, one in given.items() if name not in own}
        branch.own |= own
        self.state.values |= rest


def shared_out(output: Held, wanted: tuple[str, ...]) -> dict[str, Held]:
    """A text that an action gave, by variable: of a JSON object each takes the property of its name (``__id__`` takes
    ``id``), of anything else the first takes all of it."""
    text = output.value if isinstance(output.value, str) else ""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        named = {name: found[key] for name in wanted if (key := name.strip("_")) in found}
        return {name: Held(_as_value(one), output.integrity, output.endorsed_by) for name, one in named.items()}
    return {name: Held(text.strip(), output.integrity, output.endorsed_by) for name in wanted[:1] if text.strip()}


def _as_value(value: JsonValue) -> JsonValue:
    """As CACAO has values: texts, objects, or null. Raises `RecordError` for what JSON does not have."""
    if value is None or isinstance(value, (str, dict)):
        return value
    try:
        return canonical(value).decode()
    except ValueError as error:
        raise RecordError(f"what the action gave is no JSON: {error}") from error
