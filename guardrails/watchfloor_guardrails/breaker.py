"""Circuit breakers: a tool that fails again and again gets its autonomy back from a success that a person decided on.

An open breaker caps the level at L2. It needs no timer to close: what a person decides still runs, and the first
success closes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, assert_never

MAX_FAILURES: Final = 3
"""So many failures in a row open a breaker, where the caller says nothing else."""


class Outcome(StrEnum):
    """How an execution ended, as read back. Wire format: kept in the store by these names."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


def breaker_state(newest_first: Iterable[Outcome], max_failures: int = MAX_FAILURES) -> str | None:
    """Why the breaker of one action class by one tool is open after these outcomes; None while it is closed.

    Open after ``max_failures`` failures in a row (1 at least), and after an unknown outcome, until the next success.
    """
    failures = 0
    for outcome in newest_first:
        match outcome:
            case Outcome.SUCCEEDED:
                break
            case Outcome.UNKNOWN:
                return "an outcome since the last success is unknown"
            case Outcome.FAILED:
                failures += 1
            case _:
                assert_never(outcome)
    most = max(1, max_failures)
    return f"the last {failures} in a row have failed; {most} open the breaker" if failures >= most else None
