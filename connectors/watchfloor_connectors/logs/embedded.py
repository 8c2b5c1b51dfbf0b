"""The embedded log source: files on this machine, asked through DuckDB."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import orjson

from watchfloor_connectors.logs.files import Unreadable
from watchfloor_connectors.logs.loading import Loaded, load_into, load_once, loaded_before, quoted
from watchfloor_connectors.logs.sql import Clause
from watchfloor_core.alert import TimePrecision
from watchfloor_core.errors import UnavailableError
from watchfloor_core.logs.event import EventType, LogEvent, Value
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.query import Aggregate, Select, TimeRange
from watchfloor_core.logs.source import Coverage, Events, Group, Groups, Health

_COLUMNS = ", ".join(
    ("id", "time_us", "precision", "type", "original", *(quoted(name.value) for name in Field)),
)


def open_logs(paths: Sequence[Path], *, name: str, directory: Path | None = None) -> EmbeddedLogSource:
    """The logs at these paths as a source.

    With a ``directory`` what was loaded is kept there, and found again by the files' contents. Raises
    `ConfigurationError` for a path that does not exist, and `UnavailableError` where the directory cannot be used.
    """
    if directory is None:
        connection = duckdb.connect(":memory:")
        return EmbeddedLogSource(name, connection, load_into(connection, paths, name))
    database = load_once(paths, name, directory)
    try:
        connection = duckdb.connect(str(database), read_only=True)
        return EmbeddedLogSource(name, connection, loaded_before(connection))
    except duckdb.Error as error:
        raise UnavailableError(f"{database} cannot be opened: {error}; delete it, and it is loaded anew") from error


class EmbeddedLogSource:
    """A `LogSource` over what was loaded. Thread-safe."""

    def __init__(self, name: str, connection: duckdb.DuckDBPyConnection, loaded: Loaded) -> None:
        self.name = name
        self.loaded = loaded
        self._connection = connection
        self._lock = threading.Lock()
        first, last = self._one("SELECT min(time_us), max(time_us) FROM event", [])
        self._held = None if first is None else TimeRange(first, last + 1)
        self._types = frozenset(EventType(row[0]) for row in self._all("SELECT DISTINCT type FROM event", []))

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """What could not be read; the first of it."""
        return self.loaded.unreadable

    @property
    def held(self) -> TimeRange | None:
        """From the first to the last event; None where there is none."""
        return self._held

    def close(self) -> None:
        self._connection.close()

    def coverage(self, range_: TimeRange) -> Coverage:
        return self._coverage(range_, frozenset())

    def select(self, query: Select) -> Events:
        coverage = self._coverage(query.range, query.types)
        clause = Clause(self._values)
        where = clause.of(query)
        sql = f"SELECT {_COLUMNS} FROM event WHERE {where} ORDER BY time_us, id LIMIT ?"  # noqa: S608  # values are bound
        try:
            rows = self._all(sql, [*clause.bound, query.limit + 1])
        except duckdb.Error as error:
            return Events((), self._broken(error))
        return Events(tuple(self._event(row) for row in rows[: query.limit]), coverage, len(rows) > query.limit)

    def aggregate(self, query: Aggregate) -> Groups:
        coverage = self._coverage(query.select.range, query.select.types)
        clause = Clause(self._values)
        where = clause.of(query.select)
        names = [quoted(name.value) for name in query.by]
        distinct = "NULL" if query.distinct is None else f"count(DISTINCT {quoted(query.distinct.value)})"
        grouped = f"GROUP BY {', '.join(names)}" if names else ""
        order = ", ".join(["n DESC", *(f"{name} NULLS FIRST" for name in names)])
        sql = (
            f"SELECT count(*) AS n, min(time_us), max(time_us), {distinct}{''.join(f', {name}' for name in names)} "  # noqa: S608
            f"FROM event WHERE {where} {grouped} ORDER BY {order} LIMIT ?"
        )
        try:
            rows = self._all(sql, [*clause.bound, query.limit + 1])
        except duckdb.Error as error:
            return Groups((), self._broken(error))
        groups = tuple(
            Group(tuple(row[4:]), row[0], row[1], row[2], row[3]) for row in rows[: query.limit] if row[0] > 0
        )
        return Groups(groups, coverage, len(rows) > query.limit)

    def _coverage(self, range_: TimeRange, types: frozenset[EventType]) -> Coverage:
        held = self._held
        if held is None:
            reason = f"nothing could be read: {self.unreadable[0]}" if self.unreadable else "it holds no event"
            return Coverage(self.name, Health.DARK, reason)
        if held.end_us <= range_.start_us or held.start_us >= range_.end_us:
            return Coverage(self.name, Health.DARK, "it holds nothing of that time", held, self._types)
        reasons = []
        if held.start_us > range_.start_us or held.end_us < range_.end_us:
            reasons.append("it holds a part of that time")
        if types and not types & self._types:
            reasons.append(f"it holds no event of the kind {', '.join(sorted(types))}")
        if self.loaded.unreadable_total:
            reasons.append(f"{self.loaded.unreadable_total} of its files or records could not be read")
        health = Health.PARTIAL if reasons else Health.WHOLE
        return Coverage(self.name, health, "; ".join(reasons), held, self._types)

    def _broken(self, error: duckdb.Error) -> Coverage:
        return Coverage(self.name, Health.DARK, f"it does not answer: {type(error).__name__}", self._held, self._types)

    def _event(self, row: Sequence[Any]) -> LogEvent:  # Any: DuckDB's rows are untyped
        fields: dict[Field, Value] = {
            name: value for name, value in zip(Field, row[5:], strict=True) if value is not None
        }
        return LogEvent(
            id=row[0],
            source=self.name,
            time_us=row[1],
            precision=TimePrecision(row[2]),
            type=EventType(row[3]),
            fields=fields,
            original=orjson.loads(row[4]),
        )

    def _values(self, name: Field) -> Sequence[str]:
        column = quoted(name.value)
        rows = self._all(f"SELECT DISTINCT {column} FROM event WHERE {column} IS NOT NULL", [])  # noqa: S608
        return [str(row[0]) for row in rows]

    def _one(self, sql: str, bound: Sequence[Any]) -> tuple[Any, ...]:
        return self._all(sql, bound)[0]

    def _all(self, sql: str, bound: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(sql, list(bound)).fetchall()
