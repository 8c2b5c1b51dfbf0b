"""A log source: whoever answers questions about telemetry, and says how much of it there was to look at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from watchfloor_core.logs.event import EventType, LogEvent, Value
from watchfloor_core.logs.query import Aggregate, Select, TimeRange


class Health(StrEnum):
    """How much an answer can be relied on where it says that there is nothing."""

    WHOLE = "whole"
    """The source holds the range."""
    PARTIAL = "partial"
    """It holds a part of it, or not every kind of event asked for, or gave up half-way."""
    DARK = "dark"
    """It holds nothing of the range, or did not answer: nothing found means nothing."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a source had to look at for one question."""

    source: str
    health: Health
    reason: str = ""
    """In words, where it is not whole."""
    held: TimeRange | None = None
    """From its first to its last event, as far as known."""
    types: frozenset[EventType] = frozenset()
    """Kinds of event that it holds any of, as far as known."""


@dataclass(frozen=True, slots=True)
class Events:
    """The answer to a `Select`."""

    events: tuple[LogEvent, ...]
    coverage: Coverage
    is_cut: bool = False
    """There are more than the limit allowed."""


@dataclass(frozen=True, slots=True)
class Group:
    """One combination of values."""

    values: tuple[Value | None, ...]
    """In the order of `Aggregate.by`."""
    count: int
    first_us: int
    last_us: int
    distinct: int | None = None


@dataclass(frozen=True, slots=True)
class Groups:
    """The answer to an `Aggregate`."""

    groups: tuple[Group, ...]
    coverage: Coverage
    is_cut: bool = False


@runtime_checkable
class LogSource(Protocol):
    """Answers questions, changes nothing. Thread-safe; calls block.

    What a source cannot answer is never an empty answer: where it does not respond or refuses, it gives a `Coverage`
    that is dark with the reason, and no events. It raises `WatchfloorError`s for nothing but wrong configuration.
    """

    name: str

    def coverage(self, range_: TimeRange) -> Coverage:
        """What it holds of a range."""
        ...

    def select(self, query: Select) -> Events: ...

    def aggregate(self, query: Aggregate) -> Groups: ...
