"""Runs Sigma rules over log files: the events are read once, each rule asks only the events that it is about.

Events go into a temporary SQLite database, a table for each sort of event with the columns that its rules look at. A
rule is one query over the tables of its log source, so the time taken grows with the rules times the events *they are
about*, and memory does not grow with the events.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import orjson

from watchfloor_connectors.detection.conditions import FULL_TEXT, Conditions, UnsupportedRuleError, regexp
from watchfloor_connectors.detection.filters import NO_FILTERS, DetectionFilter, FilterSet
from watchfloor_connectors.detection.rules import DetectionRule, RuleSet
from watchfloor_connectors.detection.sorts import Sort, named_for_rules, sort_of
from watchfloor_connectors.logs.files import Complain
from watchfloor_connectors.logs.raw_event import RawEvent
from watchfloor_connectors.logs.reading import native_fields, read_logs
from watchfloor_core.store.storable import storable
from watchfloor_core.untrusted import escape_untrusted

MAX_MATCHES: Final = 100_000
"""Matches of one rule that become alerts; a rule that matches more is one to be tuned, and says so."""
_AT_ONCE: Final = 2_000
_MAX_VALUE: Final = 65_536
"""Characters of a value that rules look at."""


class RuleState(StrEnum):
    FIRED = "fired"
    SILENT = "silent"
    """It ran over the events of its log source, and none matched."""
    NO_EVENTS = "no events"
    """Nothing of its log source is in these logs: that it is silent says nothing."""
    CANNOT_RUN = "cannot run"


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    rule: DetectionRule
    state: RuleState
    matches: int = 0
    events: int = 0
    """That it looked at."""
    reason: str = ""
    set_aside: int = 0
    """Of the matches, those that a filter sets aside."""
    filters: tuple[str, ...] = ()
    """Ids of the filters that are for this rule and set something aside."""


@dataclass(frozen=True, slots=True)
class Match:
    """A rule and an event that it matches."""

    rule: DetectionRule
    time_us: int
    host: str | None
    event: Mapping[str, str | int]
    """By the names that rules use."""
    filtered_by: DetectionFilter | None = None
    """The filter that sets it aside: it is no alert, and it is kept."""


@dataclass(frozen=True, slots=True)
class Detections:
    outcomes: tuple[RuleOutcome, ...]
    """One for each rule, in the order of the rule set."""
    events: int
    """Read in all."""
    matched: int
    """Those set aside too."""
    set_aside: int
    broken_filters: Mapping[str, str]
    """Files of filters that cannot run here, with the reason. They hide nothing."""
    idle_filters: Mapping[str, str]
    """Files of filters that set nothing aside, with the reason."""
    matches: Callable[[], Iterator[Match]]
    """By time, then by rule; to be called while the block of `detecting` lasts."""


@contextmanager
def detecting(
    paths: Sequence[Path],
    rules: RuleSet,
    complain: Complain,
    progress: Callable[[str, int, int], None] | None = None,
    filters: FilterSet = NO_FILTERS,
) -> Iterator[Detections]:
    """Run every rule over every event; the matches can be read inside the block, those that filters set aside too.

    ``progress`` is told ``reading`` with the events so far, and ``matching`` with rules done and rules in all. Raises
    `ConfigurationError` for a path that does not exist.
    """
    tell = progress or (lambda *_: None)
    # In a folder of its own, which goes with the block whatever happens in it.
    with tempfile.TemporaryDirectory(prefix="watchfloor-detect-") as folder:
        connection = sqlite3.connect(Path(folder) / "events.db")
        try:
            run = _Run(connection, rules, filters)
            run.read(read_logs(paths, complain), tell)
            outcomes = run.match(tell)
            matched = sum(one.matches for one in outcomes)
            set_aside = sum(one.set_aside for one in outcomes)
            yield Detections(
                tuple(outcomes), run.events, matched, set_aside, run.broken_filters(), run.idle_filters(), run.matches
            )
        finally:
            connection.close()


@dataclass(slots=True)
class _Table:
    name: str
    fields: tuple[str, ...]
    rules: tuple[int, ...]
    insert: str
    waiting: list[tuple[object, ...]]
    rows: int = 0


class _Run:
    def __init__(self, connection: sqlite3.Connection, rules: RuleSet, filters: FilterSet) -> None:
        self.events = 0
        self._connection = connection
        self._rules = rules.rules
        self._filters = filters.filters
        self._filters_of: dict[int, tuple[int, ...]] = {}
        self._broken: dict[int, str] = {}
        """Filters that cannot be expressed here, by number: they hide nothing."""
        if filters.filters:
            under = {number: filters.of(rule.parsed) for number, rule in enumerate(self._rules)}
            self._filters_of = {number: found for number, found in under.items() if found}
        self._conditions = Conditions()
        self._fields: dict[int, frozenset[str]] = {}
        self._unsupported: dict[int, str] = {}
        self._tables: dict[Sort, _Table | None] = {}
        # The database is thrown away: nothing of it has to survive a crash.
        connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY;")
        connection.create_function("regexp", 2, regexp, deterministic=True)
        connection.execute(
            "CREATE TABLE match (time_us INTEGER, rule INTEGER, tab TEXT, event INTEGER, filter INTEGER)"
        )

    def read(self, events: Iterator[RawEvent], tell: Callable[[str, int, int], None]) -> None:
        for event in events:
            self.events += 1
            native = native_fields(event)
            table = self._table(sort_of(event.kind, native))
            if table is not None:
                self._put(table, event, named_for_rules(event.kind, native))
            if self.events % _AT_ONCE == 0:
                tell("reading", self.events, 0)
        for one in self._tables.values():
            if one is not None:
                self._flush(one)
        tell("reading", self.events, 0)

    def match(self, tell: Callable[[str, int, int], None]) -> list[RuleOutcome]:
        tables: defaultdict[int, list[_Table]] = defaultdict(list)
        for table in self._tables.values():
            for number in table.rules if table is not None else ():
                if table is not None:
                    tables[number].append(table)
        outcomes = []
        for number, rule in enumerate(self._rules):
            outcomes.append(self._outcome(number, rule, tables.get(number, [])))
            if number % 50 == 0:
                tell("matching", number, len(self._rules))
        tell("matching", len(self._rules), len(self._rules))
        return outcomes

    def broken_filters(self) -> dict[str, str]:
        return {self._filters[number].file: reason for number, reason in sorted(self._broken.items())}

    def idle_filters(self) -> dict[str, str]:
        meant = {number for found in self._filters_of.values() for number in found}
        rows = self._connection.execute("SELECT DISTINCT filter FROM match WHERE filter IS NOT NULL")
        used = {number for (number,) in rows}
        return {
            one.file: "it names no rule that is here, of this log source"
            if number not in meant
            else "nothing that its rules matched is what it names"
            for number, one in enumerate(self._filters)
            if number not in used and number not in self._broken
        }

    def matches(self) -> Iterator[Match]:
        rows = self._connection.execute(
            "SELECT time_us, rule, tab, event, filter FROM match ORDER BY time_us, rule, event"
        )
        for time_us, number, table, event, by in rows:
            # The table's name is ours.
            found = self._connection.execute(f"SELECT host, event FROM {table} WHERE rowid = ?", (event,)).fetchone()  # noqa: S608
            filtered_by = None if by is None else self._filters[by]
            yield Match(self._rules[number], time_us, found[0], orjson.loads(found[1]), filtered_by)

    def _table(self, sort: Sort) -> _Table | None:
        """Where events of this sort go; None where no rule is about them."""
        if sort not in self._tables:
            self._tables[sort] = self._made(sort)
        return self._tables[sort]

    def _made(self, sort: Sort) -> _Table | None:
        about = [number for number, rule in enumerate(self._rules) if sort.is_meant_by(rule)]
        fields = sorted({field for number in about for field in self._fields_of(number)})
        runnable = tuple(number for number in about if number not in self._unsupported)
        if not runnable:
            return None
        name = f"events_{len(self._tables)}"
        columns = [self._conditions.columns.of(one) for one in fields]
        declared = "".join(f", {one} TEXT COLLATE NOCASE" for one in columns)
        self._connection.execute(f"CREATE TABLE {name} (time_us INTEGER, host TEXT, event BLOB{declared})")
        places = ", ".join("?" * (3 + len(columns)))
        return _Table(name, tuple(fields), runnable, f"INSERT INTO {name} VALUES ({places})", [])  # noqa: S608

    def _fields_of(self, number: int) -> frozenset[str]:
        if number not in self._fields:
            try:
                self._fields[number] = self._conditions.fields_of(self._rules[number].parsed)
            except UnsupportedRuleError as error:
                self._unsupported[number] = str(error)
                self._fields[number] = frozenset()
            for one in self._filters_of.get(number, ()):
                self._fields[number] |= self._fields_of_filter(one)
        return self._fields[number]

    def _fields_of_filter(self, number: int) -> frozenset[str]:
        try:
            return self._conditions.fields_of(self._filters[number].condition)
        except UnsupportedRuleError as error:
            self._broken[number] = str(error)
            return frozenset()

    def _put(self, table: _Table, event: RawEvent, fields: Mapping[str, str | int]) -> None:
        try:
            content = orjson.dumps(fields, option=orjson.OPT_NON_STR_KEYS, default=str)
        except TypeError:
            # Half a surrogate pair in one value must not hide the event, nor end the run.
            fields = {
                storable(str(name)): storable(one) if isinstance(one, str) else one for name, one in fields.items()
            }
            content = orjson.dumps(fields, option=orjson.OPT_NON_STR_KEYS, default=str)
        values = (_value(one, fields) for one in table.fields)
        table.waiting.append((event.time_us, event.host, content, *values))
        if len(table.waiting) >= _AT_ONCE:
            self._flush(table)

    def _flush(self, table: _Table) -> None:
        self._connection.executemany(table.insert, table.waiting)
        table.rows += len(table.waiting)
        table.waiting.clear()

    def _outcome(self, number: int, rule: DetectionRule, tables: Sequence[_Table]) -> RuleOutcome:
        if number in self._unsupported:
            return RuleOutcome(rule, RuleState.CANNOT_RUN, reason=self._unsupported[number])
        try:
            condition = self._conditions.of(rule.parsed) if tables else self._checked(rule)
        except UnsupportedRuleError as error:
            return RuleOutcome(rule, RuleState.CANNOT_RUN, reason=escape_untrusted(str(error)))
        if not tables:
            return RuleOutcome(rule, RuleState.NO_EVENTS, reason=f"no event of its log source: {rule.log_source}")
        filters = self._conditions_of_filters(number)
        problem = ""
        try:
            found = self._matched_in(number, tables, condition, filters)
        except sqlite3.Error as error:
            if not filters:
                return RuleOutcome(rule, RuleState.CANNOT_RUN, reason=f"the database refuses its condition: {error}")
            problem = f"its filters hide nothing, as the database refuses one of them: {error}"
            try:
                found = self._matched_in(number, tables, condition, ())
            except sqlite3.Error as alone:
                return RuleOutcome(rule, RuleState.CANNOT_RUN, reason=f"the database refuses its condition: {alone}")
        aside = self._aside(number)
        events = sum(table.rows for table in tables)
        if found - sum(aside.values()) >= MAX_MATCHES:
            problem = problem or f"more than {MAX_MATCHES:,} events match; the first of them are alerts"
        return RuleOutcome(
            rule,
            RuleState.FIRED if found else RuleState.SILENT,
            found,
            events,
            problem,
            sum(aside.values()),
            tuple(sorted({self._filters[one].id for one in aside})),
        )

    def _checked(self, rule: DetectionRule) -> str:
        """Also what has nothing to look at is told whether it could run."""
        return self._conditions.of(rule.parsed)

    def _conditions_of_filters(self, number: int) -> tuple[tuple[int, str], ...]:
        """The filters that are for a rule, each with what must be true of an event for the rule to report it."""
        found = []
        for one in self._filters_of.get(number, ()):
            if one in self._broken:
                continue
            try:
                found.append((one, self._conditions.of(self._filters[one].condition)))
            except UnsupportedRuleError as error:
                self._broken[one] = str(error)
        return tuple(found)

    def _aside(self, number: int) -> dict[int, int]:
        if number not in self._filters_of:
            return {}
        rows = self._connection.execute(
            "SELECT filter, count(*) FROM match WHERE rule = ? AND filter IS NOT NULL GROUP BY filter", (number,)
        )
        return dict(rows.fetchall())

    def _matched_in(
        self, number: int, tables: Sequence[_Table], condition: str, filters: Sequence[tuple[int, str]]
    ) -> int:
        """All of it or nothing. What is set aside counts by itself, so that it cannot use up the place of alerts."""
        self._connection.execute("DELETE FROM match WHERE rule = ?", (number,))
        found = 0
        for table in tables:
            # What is unknown of an event, such as a field that it lacks, is no reason to set it aside.
            passed = "".join(f" AND (({one}) IS NOT 0)" for _, one in filters)
            found += self._insert(number, table, None, f"({condition}){passed}")
            for place, (one, unless) in enumerate(filters):
                before = "".join(f" AND (({earlier}) IS NOT 0)" for _, earlier in filters[:place])
                found += self._insert(number, table, one, f"({condition}){before} AND (({unless}) IS 0)")
        return found

    def _insert(self, number: int, table: _Table, by: int | None, condition: str) -> int:
        # Names of columns and tables are ours; what rules compare with, pySigma's backend has quoted.
        sql = (
            f"INSERT INTO match SELECT time_us, ?, ?, rowid, ? FROM {table.name} "  # noqa: S608
            f"WHERE {condition} ORDER BY rowid LIMIT ?"
        )
        return self._connection.execute(sql, (number, table.name, by, MAX_MATCHES)).rowcount


def _value(field: str, fields: Mapping[str, str | int]) -> str | None:
    if field == FULL_TEXT:
        return "\n".join(str(one) for one in fields.values())[: 4 * _MAX_VALUE]
    value = fields.get(field)
    return None if value is None else str(value)[:_MAX_VALUE].replace("\0", "\N{SYMBOL FOR NULL}")
