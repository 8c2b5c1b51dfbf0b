"""A question is read again as it was asked, and anything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_core.alert import EntityKind
from watchfloor_core.canonical import JsonValue
from watchfloor_core.errors import RecordError
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.query import (
    Aggregate,
    AllOf,
    AnyOf,
    Condition,
    EntityRef,
    Not,
    Operator,
    Query,
    Select,
    TimeRange,
    Where,
    query_digest,
    query_to_json,
)
from watchfloor_core.logs.query_json import query_from_json

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
wheres = st.one_of(
    st.builds(Where, st.sampled_from(Field), st.just(Operator.EQUALS), st.lists(texts, min_size=1).map(tuple)),
    st.builds(Where, st.sampled_from(Field), st.just(Operator.EXISTS)),
    st.builds(Where, st.just(Field.SOURCE_PORT), st.just(Operator.AT_LEAST), st.tuples(st.integers(0, 65_535))),
)
conditions: st.SearchStrategy[Condition] = st.recursive(
    wheres,
    lambda inner: st.one_of(
        st.builds(AllOf, st.lists(inner, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=5,
)
selects = st.builds(
    Select,
    range=st.builds(lambda start, length: TimeRange(start, start + length), st.integers(0, 2**50), st.integers(1, 99)),
    types=st.frozensets(st.sampled_from(EventType), max_size=3),
    entities=st.lists(st.builds(EntityRef, st.sampled_from(EntityKind), texts), max_size=2).map(tuple),
    where=st.none() | conditions,
    limit=st.integers(1, 10_000),
)
queries: st.SearchStrategy[Query] = st.one_of(
    selects,
    st.builds(
        Aggregate,
        select=selects,
        by=st.lists(st.sampled_from(Field), max_size=4).map(tuple),
        distinct=st.none() | st.sampled_from(Field),
        limit=st.integers(1, 10_000),
    ),
)


@given(queries)
def test_a_question_read_again_is_the_same_question(query: Query) -> None:
    assert query_digest(query_from_json(query_to_json(query))) == query_digest(query)


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        {"select": None},
        {"select": {"start_us": "0"}},
        {"select": {"start_us": 0, "end_us": True, "types": [], "entities": [], "where": None, "limit": 1}},
        {"select": {"start_us": 0, "end_us": 1, "types": ["no such"], "entities": [], "where": None, "limit": 1}},
        {"select": {"start_us": 0, "end_us": 1, "types": [], "entities": [], "where": {"all": [{}]}, "limit": 1}},
        {"select": {"start_us": 1, "end_us": 1, "types": [], "entities": [], "where": None, "limit": 1}},
    ],
)
def test_what_is_no_question_is_refused(content: JsonValue) -> None:
    with pytest.raises(RecordError, match="cannot be read"):
        query_from_json(content)


def test_conditions_nested_without_end_are_refused() -> None:
    nested: JsonValue = {"field": "host.name", "operator": "exists", "values": []}
    for _ in range(2_000):
        nested = {"not": nested}
    query: JsonValue = {
        "select": {"start_us": 0, "end_us": 1, "types": [], "entities": [], "where": nested, "limit": 1}
    }
    with pytest.raises(RecordError, match="16 deep"):
        query_from_json(query)
