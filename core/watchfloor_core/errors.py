"""What can go wrong, as types that tell the catcher what to do.

::

    WatchfloorError
    ├── ConfigurationError      the operator must mend a file or setting (carries every problem at once)
    ├── RecordError             one input record is malformed: dead-letter it and go on
    ├── NotFoundError           the named thing does not exist in this tenant
    ├── ConflictError           someone else changed it first: read again and decide again
    ├── RefusedError            a guardrail says no; the reason is for the person who asked
    ├── LedgerError             the ledger does not verify: stop and look
    └── UnavailableError        a part is down: retry later
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class WatchfloorError(Exception):
    """Base of every error that Watchfloor raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in an operator's file."""

    message: str
    file: str | None = None
    line: int | None = None
    """1-based line, where known."""
    path: str | None = None
    """Where inside the document, e.g. ``rows[3].level``."""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        where = f" (at {self.path})" if self.path else ""
        return f"{place}: {self.message}{where}" if place else f"{self.message}{where}"


class ConfigurationError(WatchfloorError):
    """A file or setting is wrong; ``problems`` holds all mistakes, not only the first."""

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        self.problems: tuple[Problem, ...] = (Problem(problems),) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class RecordError(WatchfloorError):
    """One record of an input cannot become an alert."""

    def __init__(self, reason: str, *, path: str | None = None) -> None:
        self.reason = reason
        """What is wrong, what was expected and what to do, with the value quoted."""
        self.path = path
        """Field path inside the record, e.g. ``alert.signature_id``."""
        super().__init__(f"{path}: {reason}" if path else reason)


class NotFoundError(WatchfloorError):
    """The named thing does not exist, or not in this tenant: the two are not told apart on purpose."""


class ConflictError(WatchfloorError):
    """The thing changed since it was read."""


class RefusedError(WatchfloorError):
    """A guardrail refuses; the message is the reason and names the remedy where there is one."""


class LedgerError(WatchfloorError):
    """The ledger does not verify."""


class UnavailableError(WatchfloorError):
    """A part that is needed is not there now; the same call may succeed later."""
