"""What a step asks for, and how it ended: the machine's side of everything that is not a step itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from watchfloor_core.incident import AutonomyLevel
from watchfloor_guardrails.action import Labelled
from watchfloor_playbooks.running.values import Held


class StepOutcome(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DROPPED = "dropped"
    """It was under way when a time limit above it, or a person, ended it."""


class RunStatus(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    """By a person."""
    PICKED = "picked"
    """Filled, and not started yet."""

    @property
    def is_over(self) -> bool:
        return self not in (RunStatus.RUNNING, RunStatus.PICKED)


@dataclass(frozen=True, slots=True)
class ManualWork:
    """A task for people."""

    text: Labelled
    agent: str
    """Who is meant, as the playbook calls them."""
    answers: tuple[str, ...]
    """Variables that the answer has to fill."""
    within_ms: int
    """So long they have."""


@dataclass(frozen=True, slots=True)
class ActionWork:
    """One action, to be drafted."""

    action_class: str
    target: Labelled
    arguments: Mapping[str, Labelled]
    tool: str | None
    lease_s: int | None
    purpose: str
    max_level: AutonomyLevel | None
    named_by: tuple[str, ...] = ()
    """People whose values stand in target or arguments, sorted."""


@dataclass(frozen=True, slots=True)
class PlaybookWork:
    """Another playbook, to be run inside this one."""

    playbook_id: str
    version: str | None
    """Its ``modified``; None takes the one that is loaded."""
    inputs: Mapping[str, Held]
    outputs: tuple[str, ...]


Work: TypeAlias = "ManualWork | ActionWork | PlaybookWork"


@dataclass(frozen=True, slots=True)
class WorkEnded:
    """How a piece of work ended."""

    is_done: bool
    reason: str = ""
    values: Mapping[str, Held] = field(default_factory=dict)
    """What it gave, by variable; those that the step does not ask for are left out."""
    output: Held | None = None
    """What an action gave as a text, to be shared out to the step's variables."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Order: begin this, and tell the machine by the key when it has ended."""

    key: str
    step: str
    branch: int
    work: Work


@dataclass(frozen=True, slots=True)
class Drop:
    """Order: this is not waited for any more."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class StepEnded:
    """For the record."""

    step: str
    branch: int
    outcome: StepOutcome
    reason: str
    started_us: int
    ended_us: int
    round: int
    """Of a while step: how often its branch was run."""


@dataclass(slots=True)
class Turn:
    """What one call of the machine came to."""

    begins: list[Begin] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    ended: list[StepEnded] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not (self.begins or self.drops or self.ended)
