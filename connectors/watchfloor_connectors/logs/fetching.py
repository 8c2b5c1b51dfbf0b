"""Log sources that are searched from afar: records are fetched by a query that finds too many rather than too few,
mapped, and then selected exactly as the algebra says.

So no vendor's idea of case, of wildcards or of a missing field decides what an investigation sees; what a vendor cannot
express is left to the selection here.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from watchfloor_connectors.logs.mapping import to_log_event
from watchfloor_connectors.logs.raw_event import RawEvent
from watchfloor_connectors.logs.reading import described
from watchfloor_connectors.logs.record_time import record_time
from watchfloor_core.canonical import JsonValue
from watchfloor_core.errors import RecordError, UnavailableError
from watchfloor_core.logs.event import LogEvent, Value
from watchfloor_core.logs.matching import selects
from watchfloor_core.logs.query import Aggregate, Select, TimeRange
from watchfloor_core.logs.source import Coverage, Events, Group, Groups, Health

HELD_FOR_S: Final = 60.0
"""So long it is believed which time a source holds."""
MAX_FETCHED: Final = 10_000
"""Records for one question; what is beyond makes the answer a cut one."""

MAX_ANSWER: Final = 64 * 1024**2
"""Bytes of one answer."""

Record = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a source gave."""

    records: tuple[Record, ...]
    is_cut: bool = False
    """There are more."""
    problem: str = ""
    """Why it is not all that there is, in our words."""


class FetchingLogSource(ABC):
    """A `LogSource` over what a subclass fetches. Thread-safe, as far as the subclass's client is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._looked_s = float("-inf")
        self._held: TimeRange | None = None

    @abstractmethod
    def fetch(self, query: Select, limit: int) -> Fetched:
        """Records that may fulfil the query, the earliest first; all that do must be among them.

        Raises `UnavailableError` where the source does not answer or refuses, with a reason that holds no secret.
        """

    @abstractmethod
    def held(self) -> TimeRange | None:
        """From its first to its last record; None where it has none. Raises `UnavailableError`."""

    def coverage(self, range_: TimeRange) -> Coverage:
        try:
            return self._coverage(range_, "")
        except UnavailableError as error:
            return self._dark(error)

    def select(self, query: Select) -> Events:
        try:
            found, is_cut, problem = self._found(query, query.limit + 1)
            coverage = self._coverage(query.range, problem)
        except UnavailableError as error:
            return Events((), self._dark(error))
        return Events(tuple(found[: query.limit]), coverage, is_cut or len(found) > query.limit)

    def aggregate(self, query: Aggregate) -> Groups:
        """Counted here, over what was fetched: an answer that is cut counts too little, and says that it is cut."""
        try:
            found, is_cut, problem = self._found(query.select, MAX_FETCHED)
            coverage = self._coverage(query.select.range, problem)
        except UnavailableError as error:
            return Groups((), self._dark(error))
        groups = grouped(query, found)
        return Groups(tuple(groups[: query.limit]), coverage, is_cut or len(groups) > query.limit)

    def _found(self, query: Select, wanted: int) -> tuple[list[LogEvent], bool, str]:
        """The events, by time; asks for more than wanted, since what does not fulfil the query is left out."""
        limit = min(MAX_FETCHED, max(2 * wanted, 100))
        fetched = self.fetch(query, limit)
        events: dict[str, LogEvent] = {}
        unreadable = 0
        for record in fetched.records:
            event = self._event(record)
            if event is None:
                unreadable += 1
            elif selects(query, event.type, event.time_us, event.fields):
                events[event.id] = event
        if fetched.is_cut and len(events) < wanted and limit < MAX_FETCHED:
            return self._found(query, MAX_FETCHED)
        told = (fetched.problem, f"{unreadable} of its records have no time" if unreadable else "")
        problem = "; ".join(part for part in told if part)
        found = sorted(events.values(), key=lambda one: (one.time_us, one.id))
        return found, fetched.is_cut, problem

    def _event(self, record: Record) -> LogEvent | None:
        try:
            time_us, precision = record_time(record)
            kind, host = described(record, self.name)
            return to_log_event(RawEvent(kind, time_us, precision, host, record, 1), self.name)
        except RecordError:
            return None

    def _coverage(self, range_: TimeRange, problem: str) -> Coverage:
        held = self._known()
        if held is None:
            return Coverage(self.name, Health.DARK, "it holds no event")
        if held.end_us <= range_.start_us or held.start_us >= range_.end_us:
            return Coverage(self.name, Health.DARK, "it holds nothing of that time", held)
        reasons = [problem] if problem else []
        if held.start_us > range_.start_us or held.end_us < range_.end_us:
            reasons.append("it holds a part of that time")
        return Coverage(self.name, Health.PARTIAL if reasons else Health.WHOLE, "; ".join(reasons), held)

    def _known(self) -> TimeRange | None:
        with self._lock:
            if time.monotonic() - self._looked_s > HELD_FOR_S:
                self._held = self.held()
                self._looked_s = time.monotonic()
            return self._held

    def _dark(self, error: UnavailableError) -> Coverage:
        return Coverage(self.name, Health.DARK, f"it does not answer: {error}")


def bounded_answer(response: httpx.Response) -> bytes:
    """The body of a streamed answer. Raises `UnavailableError` where it is larger than `MAX_ANSWER`."""
    content = bytearray()
    for part in response.iter_bytes():
        content += part
        if len(content) > MAX_ANSWER:
            raise UnavailableError(f"its answer is larger than {MAX_ANSWER // 1024**2} MiB")
    return bytes(content)


def grouped(query: Aggregate, events: Sequence[LogEvent]) -> list[Group]:
    """The groups of an aggregation, in its order."""
    by: defaultdict[tuple[Value | None, ...], list[LogEvent]] = defaultdict(list)
    for one in events:
        by[tuple(one.fields.get(name) for name in query.by)].append(one)
    groups = []
    for values, same in by.items():
        times = [one.time_us for one in same]
        distinct = None
        if query.distinct is not None:
            distinct = len({one.fields[query.distinct] for one in same if query.distinct in one.fields})
        groups.append(Group(values, len(same), min(times), max(times), distinct))
    return sorted(groups, key=lambda one: (-one.count, [_order(value) for value in one.values]))


def _order(value: Value | None) -> tuple[int, int, str]:
    """Absent first, then numbers by size, then text."""
    if value is None:
        return 0, 0, ""
    return (1, value, "") if isinstance(value, int) else (2, 0, value)
