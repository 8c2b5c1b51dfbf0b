"""Questions read again from the JSON in which they are kept (`watchfloor_core.logs.query.query_to_json`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeGuard

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
)

_MAX_DEPTH: Final = 16
_UNLIMITED: Final = 1
"""The limit of an aggregation's selection counts for nothing, and is not kept."""


def query_from_json(content: JsonValue) -> Query:
    """The inverse of `query_to_json`. Raises `RecordError` for anything that it would not have written."""
    try:
        body = _object(content)
        select = _select(_object(body["select"]))
        if set(body) == {"select"}:
            return select
        distinct = body["distinct"]
        return Aggregate(
            select=select,
            by=tuple(Field(str(name)) for name in _list(body["by"])),
            distinct=None if distinct is None else Field(str(distinct)),
            limit=_number(body["limit"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"a kept question cannot be read: {type(error).__name__}: {error}") from error


def _select(body: Mapping[str, JsonValue]) -> Select:
    where, limit = body["where"], body["limit"]
    return Select(
        range=TimeRange(_number(body["start_us"]), _number(body["end_us"])),
        types=frozenset(EventType(str(one)) for one in _list(body["types"])),
        entities=tuple(
            EntityRef(EntityKind(str(one["kind"])), str(one["value"])) for one in map(_object, _list(body["entities"]))
        ),
        where=None if where is None else _condition(where, 0),
        limit=_UNLIMITED if limit is None else _number(limit),
    )


def _condition(content: JsonValue, depth: int) -> Condition:
    if depth > _MAX_DEPTH:
        raise ValueError(f"conditions are nested more than {_MAX_DEPTH} deep")
    body = _object(content)
    match next(iter(body), ""):
        case "all":
            return AllOf(tuple(_condition(one, depth + 1) for one in _list(body["all"])))
        case "any":
            return AnyOf(tuple(_condition(one, depth + 1) for one in _list(body["any"])))
        case "not":
            return Not(_condition(body["not"], depth + 1))
        case _:
            values = _list(body["values"])
            return Where(
                Field(str(body["field"])), Operator(str(body["operator"])), tuple(_value(value) for value in values)
            )


def _value(value: JsonValue) -> str | int:
    if isinstance(value, str) or _is_number(value):
        return value
    raise TypeError(f"{value!r} is neither text nor a whole number")


def _number(value: JsonValue) -> int:
    if not _is_number(value):
        raise TypeError(f"{value!r} is no whole number")
    return value


def _is_number(value: JsonValue) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _object(value: JsonValue) -> Mapping[str, JsonValue]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r} is no object")
    return value


def _list(value: JsonValue) -> Sequence[JsonValue]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return value
