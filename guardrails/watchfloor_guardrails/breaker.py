"""Circuit breakers: a tool that fails again and again gets its autonomy back from a success that a person decided on.

An open breaker caps the level at L2. It needs no timer to close: what a person decides still runs, and the first
success closes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from watchfloor_core.incident import AutonomyLevel
from watchfloor_guardrails.autonomy import Cap, CapName

MAX_FAILURES: Final = 3
"""So many failures in a row open a breaker, where the caller says nothing else."""


class Outcome(StrEnum):
    """How an execution ended, as read back. Wire format: kept in the store by these names."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PastOutcome:
    """One execution that has ended."""

    outcome: Outcome
    ended_us: int


@dataclass(frozen=True, slots=True)
class Breaker:
    """Where a breaker stands."""

    is_open: bool
    reason: str

    @property
    def cap(self) -> Cap | None:
        """The bound on the level that follows; None while it is closed."""
        return Cap(CapName.BREAKER, AutonomyLevel.L2, self.reason) if self.is_open else None


def breaker_of(newest_first: Iterable[PastOutcome], max_failures: int = MAX_FAILURES) -> Breaker:
    """The breaker after these outcomes of one action class by one tool.

    Open after ``max_failures`` failures in a row (1 at least), and after an unknown outcome, until the next success.
    """
    failures = 0
    for past in newest_first:
        match past.outcome:
            case Outcome.SUCCEEDED:
                break
            case Outcome.UNKNOWN:
                return Breaker(True, "an outcome since the last success is unknown")
            case Outcome.FAILED:
                failures += 1
            case _:
                assert_never(past.outcome)
    if failures >= max(1, max_failures):
        return Breaker(True, f"the last {failures} in a row have failed; {max(1, max_failures)} open it")
    return Breaker(False, f"{failures} failures since the last success")
