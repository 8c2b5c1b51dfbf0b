"""Log files answer as the algebra says: DuckDB's answers against a list's, for generated events and questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchfloor_connectors.logs.embedded import EmbeddedLogSource
from watchfloor_connectors.logs.listed import ListLogSource
from watchfloor_connectors.logs.loading import Loaded, fill
from watchfloor_connectors.logs.mapping import clean, standard
from watchfloor_connectors.logs.testing import START_US, check_log_source
from watchfloor_core.alert import EntityKind, TimePrecision
from watchfloor_core.logs.event import EventType, LogEvent, Value
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.query import (
    Aggregate,
    AllOf,
    AnyOf,
    Condition,
    EntityRef,
    Not,
    Operator,
    Select,
    TimeRange,
    Where,
)
from watchfloor_core.logs.source import Coverage, Events, Groups, Health

TEXTS = (Field.HOST_NAME, Field.PROCESS_COMMAND_LINE, Field.USER_NAME, Field.FILE_NAME)
TYPES = (EventType.PROCESS_START, EventType.DNS_QUERY, EventType.OTHER)
NETWORKS = ("10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32", "no network", "0.0.0.0/0")

# Few characters, so that values meet: wildcards, quotes, line ends, case, and letters whose case is odd.
text = st.text(st.sampled_from("aAbB%_\\'\",;\n\r\t éÉßİK\U0001f600"), min_size=1, max_size=6)
addresses = st.sampled_from(["10.1.2.3", "10.9.9.9", "192.168.0.1", "2001:db8::1", "::1"])
ports = st.integers(-3, 70_000)


@st.composite
def events(draw: st.DrawFn) -> LogEvent:
    fields: dict[Field, Value] = {}
    for name in TEXTS:
        if draw(st.booleans()):
            fields[name] = draw(text)
    if draw(st.booleans()):
        fields[Field.SOURCE_IP] = draw(addresses)
    if draw(st.booleans()):
        fields[Field.SOURCE_PORT] = draw(ports)
    at = START_US + draw(st.integers(0, 5)) * 1_000_000
    type_ = draw(st.sampled_from(TYPES))
    id_ = f"{draw(st.integers(0, 2**64)):064x}"
    return LogEvent(id_, "mine", at, TimePrecision.SECOND, type_, standard(fields), {"x": draw(text)})


some_events = st.lists(events(), max_size=10, unique_by=lambda one: one.id)
conditions: st.SearchStrategy[Condition] = st.recursive(
    st.one_of(
        st.builds(
            lambda name, operator, values: Where(name, operator, tuple(values)),
            st.sampled_from(TEXTS),
            st.sampled_from([Operator.EQUALS, Operator.CONTAINS, Operator.STARTS_WITH, Operator.ENDS_WITH]),
            st.lists(text, min_size=1, max_size=3),
        ),
        st.builds(lambda name: Where(name, Operator.EXISTS), st.sampled_from([*TEXTS, Field.SOURCE_PORT])),
        st.builds(
            lambda operator, value: Where(Field.SOURCE_PORT, operator, (value,)),
            st.sampled_from([Operator.EQUALS, Operator.AT_LEAST, Operator.AT_MOST]),
            ports,
        ),
        st.builds(
            lambda values: Where(Field.SOURCE_IP, Operator.IN_NETWORK, tuple(values)),
            st.lists(st.sampled_from(NETWORKS), min_size=1, max_size=2),
        ),
    ),
    lambda inner: st.one_of(
        st.builds(lambda some: AllOf(tuple(some)), st.lists(inner, max_size=3)),
        st.builds(lambda some: AnyOf(tuple(some)), st.lists(inner, max_size=3)),
        st.builds(Not, inner),
    ),
    max_leaves=6,
)
selections = st.builds(
    lambda start, length, types, entity, where, limit: Select(
        range=TimeRange(START_US + start * 1_000_000, START_US + (start + length) * 1_000_000),
        types=frozenset(types),
        entities=() if entity is None else (EntityRef(EntityKind.HOST, entity),),
        where=where,
        limit=limit,
    ),
    st.integers(-1, 4),
    st.integers(1, 8),
    st.sets(st.sampled_from(TYPES)),
    st.none() | text,
    st.none() | conditions,
    st.integers(1, 8),
)


def embedded(some: Sequence[LogEvent]) -> EmbeddedLogSource:
    connection = duckdb.connect(":memory:")
    return EmbeddedLogSource("mine", connection, Loaded(fill(connection, some), (), 0))


def without_reason(answer: Events | Groups) -> Events | Groups:
    coverage: Coverage = replace(answer.coverage, reason="")
    return replace(answer, coverage=coverage)


@settings(max_examples=60, deadline=None)
@given(some_events, st.lists(selections, min_size=1, max_size=6))
def test_files_select_as_the_algebra_says(some: list[LogEvent], questions: list[Select]) -> None:
    source, meant = embedded(some), ListLogSource("mine", some)
    for question in questions:
        assert without_reason(source.select(question)) == without_reason(meant.select(question))
    source.close()


@settings(max_examples=40, deadline=None)
@given(
    some_events,
    selections,
    st.lists(st.sampled_from([*TEXTS, Field.SOURCE_PORT]), max_size=3, unique=True),
    st.none() | st.sampled_from([*TEXTS, Field.SOURCE_PORT]),
    st.integers(1, 4),
)
def test_files_count_as_the_algebra_says(
    some: list[LogEvent], select: Select, by: list[Field], distinct: Field | None, limit: int
) -> None:
    question = Aggregate(select=select, by=tuple(by), distinct=distinct, limit=limit)
    source = embedded(some)
    counted, meant = source.aggregate(question), ListLogSource("mine", some).aggregate(question)
    source.close()
    assert without_reason(counted) == without_reason(meant)


def test_both_keep_to_the_contract() -> None:
    check_log_source(lambda some: ListLogSource("list", some))
    check_log_source(embedded)


class Broken(ListLogSource):
    """Misses what is written in another case."""

    def select(self, query: Select) -> Events:
        found = super().select(query)
        return replace(found, events=tuple(one for one in found.events if one.text(Field.PROCESS_NAME) != "CMD.exe"))


class Blind(ListLogSource):
    """Says that it has seen everything."""

    def coverage(self, range_: TimeRange) -> Coverage:
        return Coverage(self.name, Health.WHOLE)


@pytest.mark.parametrize("kind", [Broken, Blind])
def test_the_contract_finds_a_source_that_breaks_it(kind: type[ListLogSource]) -> None:
    with pytest.raises(AssertionError):
        check_log_source(lambda some: kind("broken", some))


@given(st.text())
def test_what_no_database_keeps_is_made_visible(value: str) -> None:
    kept = clean(value)
    assert "\0" not in kept
    kept.encode()
