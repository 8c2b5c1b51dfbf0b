"""Somebody else's log source among ours: its failures are darkness, and its answers carry no more than was asked."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from watchfloor_core.logs.query import Aggregate, Select, TimeRange
from watchfloor_core.logs.source import Coverage, Events, Groups, Health, LogSource

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer", Coverage, Events, Groups)


class GuardedLogSource:
    """A `LogSource` that never raises, answers under the name that the operator gave it, and never floods."""

    def __init__(self, name: str, inner: LogSource) -> None:
        self.name = name
        self._inner = inner

    def coverage(self, range_: TimeRange) -> Coverage:
        return self._guarded(lambda: self._named(self._inner.coverage(range_)), lambda dark: dark)

    def select(self, query: Select) -> Events:
        def ask() -> Events:
            given = self._inner.select(query)
            events = tuple(replace(one, source=self.name) for one in given.events[: query.limit])
            is_cut = given.is_cut or len(given.events) > query.limit
            return Events(events, self._named(given.coverage), is_cut)

        return self._guarded(ask, lambda dark: Events((), dark))

    def aggregate(self, query: Aggregate) -> Groups:
        def ask() -> Groups:
            given = self._inner.aggregate(query)
            is_cut = given.is_cut or len(given.groups) > query.limit
            return Groups(tuple(given.groups[: query.limit]), self._named(given.coverage), is_cut)

        return self._guarded(ask, lambda dark: Groups((), dark))

    def _guarded(self, ask: Callable[[], Answer], otherwise: Callable[[Coverage], Answer]) -> Answer:
        try:
            return ask()
        except Exception as error:  # noqa: BLE001  # someone else's code: the others are asked all the same
            # The class alone: its text can quote a secret of its own, or what an attacker wrote.
            problem = f"the plug-in failed with {type(error).__qualname__}"
            logger.warning("log source %s: %s", self.name, problem)
            return otherwise(Coverage(self.name, Health.DARK, problem))

    def _named(self, coverage: Coverage) -> Coverage:
        return replace(coverage, source=self.name)
