"""What a playbook would do, told before anything of it is done: every piece of work, and under which conditions.

Nothing is evaluated: both ways of a branch are told. A value that only the run will know stands as ``<__name__>``, with
the worst label that it can get.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from watchfloor_core.alert import Integrity
from watchfloor_core.errors import RecordError
from watchfloor_playbooks.extension import of_step
from watchfloor_playbooks.model import (
    ActionStep,
    IfStep,
    ParallelStep,
    PlaybookActionStep,
    Step,
    SwitchStep,
    WhileStep,
)
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.lowering import pieces_of, work_of
from watchfloor_playbooks.running.values import WRITTEN, Held, Values
from watchfloor_playbooks.running.work import PlaybookWork, Work
from watchfloor_playbooks.variables import LOOP_BOUND


@dataclass(frozen=True, slots=True)
class Planned:
    """One piece of work that may come."""

    step: str
    name: str
    """Of the step, in the playbook's words."""
    phase: str | None
    when: tuple[str, ...]
    """All of these have to hold; nothing where it always comes."""
    requires: str | None
    """The evidence that the step demands."""
    work: Work | None
    problem: str | None = None
    """Why it cannot be told what it asks for, if so."""


def plan(playbook: Playbook, given: Values) -> list[Planned]:
    """Every piece of work in the order of the flow, each once."""
    values = _foreseen(playbook, given)
    return [planned for step_id, when in _walk(playbook) for planned in _of_step(playbook, step_id, when, values)]


def _of_step(playbook: Playbook, step_id: str, when: tuple[str, ...], values: Values) -> Iterator[Planned]:
    step = playbook.steps[step_id]
    own = of_step(step)
    scope = {**values, **{name: Held(one.value) for name, one in step.step_variables.items()}}
    name, head = step.name or step_id, (when, own.requires)
    if isinstance(step, PlaybookActionStep):
        inputs = {one: scope[one] for one in step.in_args or () if one in scope}
        work = PlaybookWork(step.playbook_id, step.playbook_version, inputs, step.out_args or ())
        yield Planned(step_id, name, own.phase, *head, work)
    elif isinstance(step, ActionStep):
        for piece in pieces_of(playbook, step_id):
            try:
                yield Planned(step_id, name, own.phase, *head, work_of(playbook, step_id, piece, scope))
            except RecordError as error:
                yield Planned(step_id, name, own.phase, *head, None, str(error))


def _foreseen(playbook: Playbook, given: Values) -> Mapping[str, Held]:
    """What is known of each variable before the run: what some step writes is not."""
    written: dict[str, Integrity] = {}
    for step_id, step in playbook.steps.items():
        if isinstance(step, (ActionStep, PlaybookActionStep)):
            kinds = {one.type for one in playbook.commands.get(step_id, ())}
            label = WRITTEN if kinds == {"manual"} else Integrity.EXTERNAL
            for name in step.out_args or ():
                written[name] = max(label, written.get(name, WRITTEN))
    found = {}
    for name, declared in playbook.head.playbook_variables.items():
        held = given.get(name, Held(declared.value))
        if name in written or held.value is None:
            label = written.get(name, Integrity.EXTERNAL)
            found[name] = Held(f"<{name}>", label if held.value is None else max(label, held.integrity))
        else:
            found[name] = held
    return found


def _walk(playbook: Playbook) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every step with the conditions under which it comes, depth first; the steps for the case of failure last."""
    seen: set[str] = set()
    exception = playbook.head.workflow_exception
    waiting: list[tuple[str, tuple[str, ...]]] = [(playbook.head.workflow_start, ())]
    if exception is not None:
        waiting.insert(0, (exception, ("where a failure is caught by nothing else",)))
    while waiting:
        step_id, when = waiting.pop()
        step = playbook.steps.get(step_id)
        if step is None or step_id in seen:
            continue
        seen.add(step_id)
        yield step_id, when
        following = [*_branches(step, when), *_ways_on(step, when)]
        waiting += reversed(following)


def _branches(step: Step, when: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    match step:
        case ParallelStep(next_steps=following):
            for one in following:
                yield one, when
        case IfStep(condition=condition, on_true=on_true, on_false=on_false):
            yield on_true, (*when, f"if {condition}")
            if on_false is not None:
                yield on_false, (*when, f"unless {condition}")
        case WhileStep(condition=condition, on_true=on_true):
            yield on_true, (*when, f"while {condition}, at most {LOOP_BOUND:,} times")
        case SwitchStep(switch=switch, cases=cases):
            for case, one in cases.items():
                told = "is none of these" if case == "default" else f"is {case!r}"
                yield one, (*when, f"where {switch.removesuffix(':value')} {told}")
        case _:
            return


def _ways_on(step: Step, when: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    if step.on_completion is not None:
        yield step.on_completion, when
    if step.on_success is not None:
        yield step.on_success, when
    if step.on_failure is not None:
        yield step.on_failure, (*when, f"where {step.name or 'the step before'} fails")
