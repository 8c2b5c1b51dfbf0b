"""A log source over a list, which answers as the algebra is defined: for plug-ins with few events, and as the measure
of all others in tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from watchfloor_core.logs.event import EventType, LogEvent, Value
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.matching import selects
from watchfloor_core.logs.query import Aggregate, Select, TimeRange
from watchfloor_core.logs.source import Coverage, Events, Group, Groups, Health


class ListLogSource:
    """Answers from a list, as the algebra is defined."""

    def __init__(self, name: str, events: Sequence[LogEvent]) -> None:
        self.name = name
        self._events = tuple(sorted({one.id: one for one in events}.values(), key=lambda one: (one.time_us, one.id)))
        self._types = frozenset(one.type for one in self._events)

    def coverage(self, range_: TimeRange) -> Coverage:
        return self._coverage(range_, frozenset())

    def select(self, query: Select) -> Events:
        found = self._selected(query)
        coverage = self._coverage(query.range, query.types)
        return Events(tuple(found[: query.limit]), coverage, len(found) > query.limit)

    def aggregate(self, query: Aggregate) -> Groups:
        by: defaultdict[tuple[Value | None, ...], list[LogEvent]] = defaultdict(list)
        for one in self._selected(query.select):
            by[tuple(one.fields.get(name) for name in query.by)].append(one)
        groups = [_group(values, events, query.distinct) for values, events in by.items()]
        groups.sort(key=lambda one: (-one.count, [_order(value) for value in one.values]))
        coverage = self._coverage(query.select.range, query.select.types)
        return Groups(tuple(groups[: query.limit]), coverage, len(groups) > query.limit)

    def _selected(self, query: Select) -> list[LogEvent]:
        return [one for one in self._events if selects(query, one.type, one.time_us, one.fields)]

    def _coverage(self, range_: TimeRange, types: frozenset[EventType]) -> Coverage:
        if not self._events:
            return Coverage(self.name, Health.DARK, "it holds no event")
        held = TimeRange(self._events[0].time_us, self._events[-1].time_us + 1)
        if held.end_us <= range_.start_us or held.start_us >= range_.end_us:
            return Coverage(self.name, Health.DARK, "it holds nothing of that time", held, self._types)
        is_part = held.start_us > range_.start_us or held.end_us < range_.end_us
        reasons = ["it holds a part of that time"] if is_part else []
        if types and not types & self._types:
            reasons.append(f"it holds no event of the kind {', '.join(sorted(types))}")
        health = Health.PARTIAL if reasons else Health.WHOLE
        return Coverage(self.name, health, "; ".join(reasons), held, self._types)


def _group(values: tuple[Value | None, ...], events: Sequence[LogEvent], distinct: Field | None) -> Group:
    times = [one.time_us for one in events]
    different = {one.fields[distinct] for one in events if distinct in one.fields} if distinct is not None else None
    return Group(values, len(events), min(times), max(times), None if different is None else len(different))


def _order(value: Value | None) -> tuple[int, int, str]:
    """Absent first, then numbers by size, then text."""
    if value is None:
        return 0, 0, ""
    return (1, value, "") if isinstance(value, int) else (2, 0, value)
