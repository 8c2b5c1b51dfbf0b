"""A log source that cannot be asked: it answers everything with darkness and the reason."""

from __future__ import annotations

from watchfloor_core.logs.query import Aggregate, Select, TimeRange
from watchfloor_core.logs.source import Coverage, Events, Groups, Health


class DarkLogSource:
    """Stands in for a configured source that could not be opened, so that its absence shows in every answer."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self._coverage = Coverage(name, Health.DARK, reason)

    def coverage(self, range_: TimeRange) -> Coverage:  # noqa: ARG002  # whatever is asked
        return self._coverage

    def select(self, query: Select) -> Events:  # noqa: ARG002  # whatever is asked
        return Events((), self._coverage)

    def aggregate(self, query: Aggregate) -> Groups:  # noqa: ARG002  # whatever is asked
        return Groups((), self._coverage)
