"""Questions in the query language of Elasticsearch and OpenSearch.

A translation finds at least what the question means. Where it cannot say a part exactly it says less, never something
else; `Dsl.is_exact` tells, since the opposite of too much would be too little.

Source: https://www.elastic.co/docs/reference/query-languages/query-dsl.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address, ip_network
from typing import Any, Final, assert_never

from watchfloor_connectors.logs.windows_mapping import windows_tables
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import INTEGERS, Field
from watchfloor_core.logs.query import AllOf, AnyOf, Condition, Not, Operator, Select, TimeRange, Where

TIME: Final = "@timestamp"
ANYTHING: Final[Mapping[str, Any]] = {"match_all": {}}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ADDRESSES: Final = frozenset({Field.SOURCE_IP, Field.DESTINATION_IP, Field.HOST_IP})
_LAST_PARTS: Final = {
    Field.PROCESS_NAME: Field.PROCESS_EXECUTABLE,
    Field.PARENT_NAME: Field.PARENT_EXECUTABLE,
    Field.TARGET_PROCESS_NAME: Field.TARGET_PROCESS_EXECUTABLE,
    Field.FILE_NAME: Field.FILE_PATH,
}
"""Fields that the mapping makes of the last part of another."""
_DERIVED: Final = frozenset(
    {
        Field.EVENT_OUTCOME,
        Field.USER_DOMAIN,
        Field.USER_TARGET_DOMAIN,
        Field.PROCESS_HASH_SHA256,
        Field.FILE_HASH_SHA256,
    }
)
"""Fields that the mapping may make of what is not in the record under any name."""


@dataclass(frozen=True, slots=True)
class Dsl:
    query: Mapping[str, Any]
    is_exact: bool = False
    """It finds what is meant and nothing else."""


def search_body(query: Select, size: int) -> dict[str, Any]:
    """The body of ``_search``: the earliest first."""
    filters: list[Mapping[str, Any]] = [_range(query.range)]
    if query.types:
        filters.append(_types(query.types))
    filters += [translated(one).query for one in query.conditions()]
    return {
        "size": size,
        "query": {"bool": {"filter": filters}},
        "sort": [{TIME: {"order": "asc", "unmapped_type": "date"}}],
        "track_total_hits": False,
    }


def held_body() -> dict[str, Any]:
    """For the first and the last record's time."""
    return {"size": 0, "aggs": {"first": {"min": {"field": TIME}}, "last": {"max": {"field": TIME}}}}


def translated(condition: Condition) -> Dsl:
    match condition:
        case Where():
            return _where(condition)
        case AllOf(conditions):
            parts = [translated(one) for one in conditions]
            return Dsl({"bool": {"filter": [one.query for one in parts]}}, all(one.is_exact for one in parts))
        case AnyOf(conditions):
            parts = [translated(one) for one in conditions]
            return Dsl(_any([one.query for one in parts]), all(one.is_exact for one in parts))
        case Not(inner):
            part = translated(inner)
            # The opposite of too much would be too little.
            return Dsl({"bool": {"must_not": [part.query]}}, True) if part.is_exact else Dsl(ANYTHING)
        case unknown:
            assert_never(unknown)


def _where(where: Where) -> Dsl:
    if where.field in _DERIVED:
        return Dsl(ANYTHING)
    parts = [part for name in names_of(where.field) for part in _on(name, where)]
    for name in names_of(_LAST_PARTS[where.field]) if where.field in _LAST_PARTS else ():
        if where.operator is Operator.EXISTS:
            parts.append({"exists": {"field": name}})
        else:
            parts += [_wildcard(name, _last_part(where.operator, str(one))) for one in where.values]
    return Dsl(_any(parts))


def _on(name: str, where: Where) -> Iterator[Mapping[str, Any]]:
    is_own = name == where.field.value
    if where.operator is Operator.EXISTS:
        yield {"exists": {"field": name}}
    elif where.field in INTEGERS:
        yield from _number(name, where, is_own=is_own)
    elif where.field in _ADDRESSES:
        yield from _address(name, where, is_own=is_own)
    else:
        # The mapping takes parts of values (a user without the domain), so a part is looked for.
        yield from (_wildcard(name, f"*{escaped(str(one))}*") for one in where.values)


def _number(name: str, where: Where, *, is_own: bool) -> Iterator[Mapping[str, Any]]:
    """A field of our name is a number; Windows' event data are text, decimal or hexadecimal."""
    if where.operator is Operator.EQUALS:
        numbers = [int(one) for one in where.values if isinstance(one, int) or one.isdecimal()]
        spelled = [str(one) for one in numbers] + [hex(one) for one in numbers if one >= 0]
        yield {"terms": {name: numbers if is_own else spelled}}
    elif is_own and where.operator in (Operator.AT_LEAST, Operator.AT_MOST):
        yield {"range": {name: {"gte" if where.operator is Operator.AT_LEAST else "lte": where.values[0]}}}
    else:
        yield {"exists": {"field": name}}


def _address(name: str, where: Where, *, is_own: bool) -> Iterator[Mapping[str, Any]]:
    """A field of our name is of type ``ip``, which takes networks as well."""
    texts = [text for one in where.values if (text := _network(str(one))) is not None]
    if where.operator is Operator.EQUALS:
        yield {"terms": {name: texts if is_own else [*texts, *(f"::ffff:{one}" for one in texts)]}}
    elif is_own and where.operator is Operator.IN_NETWORK:
        yield {"terms": {name: texts}}
    else:
        yield {"exists": {"field": name}}


def _network(text: str) -> str | None:
    """What a field of type ``ip`` takes: anything else in the question would fail all of it."""
    try:
        return str(ip_network(text, strict=False)) if "/" in text else str(ip_address(text))
    except ValueError:
        return None


def _last_part(operator: Operator, text: str) -> str:
    return f"*{escaped(text)}*" if operator is not Operator.EQUALS else f"*{escaped(text)}"


def _wildcard(name: str, pattern: str) -> Mapping[str, Any]:
    return {"wildcard": {name: {"value": pattern, "case_insensitive": True}}}


def escaped(text: str) -> str:
    """Without what a wildcard pattern acts on; a NUL, which no index holds as such, stands for any character."""
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?").replace("\N{REPLACEMENT CHARACTER}", "?")


def _any(parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return {"bool": {"should": list(parts), "minimum_should_match": 1}} if parts else {"match_none": {}}


def _range(range_: TimeRange) -> Mapping[str, Any]:
    """In whole milliseconds around it: that is what a field of type ``date`` holds."""
    start, end = range_.start_us // 1_000, -(-range_.end_us // 1_000)
    return {"range": {TIME: {"gte": _iso(start), "lte": _iso(end), "format": "strict_date_optional_time"}}}


def _iso(milliseconds: int) -> str:
    return (_EPOCH + timedelta(milliseconds=milliseconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@cache
def names_of(field: Field) -> tuple[str, ...]:
    """Where a record may have it: under its own name, and as winlogbeat writes Windows' event data."""
    native = {theirs for table in windows_tables() for row in table.values() for ours, theirs in row.names.items()
              if ours is field}  # fmt: skip
    own = {Field.EVENT_CODE: ("winlog.event_id",), Field.CHANNEL: ("winlog.channel",),
           Field.HOST_NAME: ("winlog.computer_name", "host.hostname"),
           Field.EVENT_PROVIDER: ("winlog.provider_name",)}.get(field, ())  # fmt: skip
    return (field.value, *own, *sorted(f"winlog.event_data.{one}" for one in native))


def _types(types: frozenset[EventType]) -> Mapping[str, Any]:
    """By Windows' event ids, and by what the Elastic Common Schema calls categories; what neither tells stays in."""
    codes = sorted(
        {str(code) for table in windows_tables() for code, row in table.items() if row.type in types}
        | ({"4768", "4769", "4776"} if types & {EventType.LOGON, EventType.LOGON_FAILED} else set())
    )
    parts: list[Mapping[str, Any]] = [{"terms": {name: codes}} for name in ("event.code", "winlog.event_id") if codes]
    # Of records that are not of Windows the mapping decides.
    parts.append({"bool": {"must_not": [{"exists": {"field": "winlog.channel"}}]}})
    return _any(parts)
