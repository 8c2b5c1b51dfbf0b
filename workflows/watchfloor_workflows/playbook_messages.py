"""What goes into the workflow and activities of playbook runs, and what comes out.

All of it is stored in Temporal's history, so nothing here is large or secret: the playbook, its values and where the
run stands are in the store, and travel by id.
"""

from __future__ import annotations

from dataclasses import dataclass

from watchfloor_playbooks.running.work import RunStatus


@dataclass(frozen=True, slots=True)
class RunRef:
    """Names one run; what every activity about it takes."""

    tenant: str
    run_id: str


@dataclass(frozen=True, slots=True)
class RunPlaybookInput:
    """Starts `PlaybookWorkflow`."""

    tenant: str
    run_id: str
    executor_queue: str
    after: int = -1
    """Number of the last work whose workflow was started, where a long run starts its history anew."""


@dataclass(frozen=True, slots=True)
class RunPlaybookResult:
    """How a run ended."""

    status: RunStatus


@dataclass(frozen=True, slots=True)
class TakeTurnInput:
    ref: RunRef
    after: int


@dataclass(frozen=True, slots=True)
class TurnResult:
    """What the workflow follows."""

    status: RunStatus
    is_ready: bool
    """More is to be done at once."""
    wakes_us: int | None
    """When the next delay or time limit is over."""
    proposals: tuple[str, ...]
    """Actions to be started."""
    runs: tuple[str, ...]
    """Playbooks inside to be started."""
    tasks: tuple[str, ...]
    """Keys of tasks of which people are to be told."""
    last: int
    """Number of the last work that was begun."""


@dataclass(frozen=True, slots=True)
class TellTaskInput:
    """Tell people of a task."""

    ref: RunRef
    key: str
