"""Where a run stands, as plain data: it is stored as JSON, and a run goes on from it in another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import cast

from pydantic import JsonValue, TypeAdapter

from watchfloor_core.errors import ConfigurationError, Problem, RecordError
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.values import Held, Values, checked
from watchfloor_playbooks.running.work import RunStatus


class Phase(StrEnum):
    """What a branch waits for."""

    READY = "ready"
    """Nothing: its step is to be begun."""
    DELAYED = "delayed"
    WORKING = "working"
    """A piece of work."""
    BRANCHES = "branches"
    """The branches below it."""
    RETURNED = "returned"
    """Nothing: all branches below it have ended."""


@dataclass(slots=True)
class Branch:
    """One line of execution. A step that branches stands still until the branches below it have ended."""

    id: int
    parent: int | None
    step: str
    phase: Phase = Phase.READY
    started_us: int = 0
    """When the step began."""
    resume_us: int | None = None
    """End of the step's delay."""
    deadline_us: int | None = None
    """End of the step's time limit."""
    piece: int = 0
    """Which of an action's pieces of work is under way."""
    work: str | None = None
    """Its key."""
    children: list[int] = field(default_factory=list)
    rounds: int = 0
    failure: str | None = None
    """Why a branch below it failed."""
    own: dict[str, Held] = field(default_factory=dict)
    """The step's own variables."""


@dataclass(slots=True)
class RunState:
    """All of a run that the playbook does not say."""

    values: dict[str, Held]
    """The playbook's variables."""
    branches: dict[int, Branch] = field(default_factory=dict)
    next_branch: int = 0
    next_work: int = 0
    steps: int = 0
    """How many were begun."""
    status: RunStatus = RunStatus.RUNNING
    reason: str = ""
    is_excepting: bool = False
    """The steps for the case of failure are under way, or were."""


def new_state(playbook: Playbook, given: Values) -> RunState:
    """Before the first step, with what is given from outside.

    Raises `ConfigurationError` with every value that is unknown, constant, of the wrong type, or missing.
    """
    declared = playbook.head.playbook_variables
    problems, values = [], {}
    for name, held in given.items():
        if name not in declared:
            names = ", ".join(declared) or "none"
            problems.append(f"{quote_untrusted(name, 60)} is no variable of this playbook; it has {names}")
        elif declared[name].constant:
            problems.append(f"{quote_untrusted(name, 60)} is constant and cannot be given")
        elif held.value is not None:
            try:
                values[name] = checked(name, declared[name], held)
            except RecordError as error:
                problems.append(str(error))
    for name, one in declared.items():
        if one.external and one.value is None and name not in given:
            problems.append(f"{quote_untrusted(name, 60)} comes from outside and has no value; give one")
        values.setdefault(name, Held(one.value))
    if problems:
        raise ConfigurationError([Problem(one) for one in problems])
    return RunState({name: values[name] for name in declared})


_ADAPTER: TypeAdapter[RunState] = TypeAdapter(RunState)


def state_to_json(state: RunState) -> dict[str, JsonValue]:
    return cast("dict[str, JsonValue]", _ADAPTER.dump_python(state, mode="json"))


def state_from_json(content: Mapping[str, JsonValue]) -> RunState:
    state = _ADAPTER.validate_python(dict(content))
    # Branches go on in the order in which they began; JSON that was sorted has 10 before 2.
    state.branches = dict(sorted(state.branches.items()))
    return state
