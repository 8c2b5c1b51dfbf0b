"""Questions in Splunk's search processing language.

A translation finds at least what the question means: events in whose text the value stands. What that leaves open the
selection here decides. Source: https://docs.splunk.com/Documentation/Splunk/latest/SearchReference/Search.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

from watchfloor_core.logs.fields import INTEGERS, Field
from watchfloor_core.logs.query import AllOf, AnyOf, Condition, Not, Operator, Select, TimeRange, Where

_ALWAYS: Final = ""
_NOT_IN_TEXT: Final = frozenset({Field.EVENT_OUTCOME, Field.EVENT_PROVIDER, Field.CHANNEL, Field.HOST_NAME})
"""Fields that need not stand in an event's own text."""


def select_spl(query: Select, indexes: Sequence[str], limit: int) -> str:
    """The earliest first, with what the selection needs. The time range goes beside it."""
    parts = [_indexes(indexes), *(text for one in query.conditions() if (text := _text(one)) != _ALWAYS)]
    return (
        f"search {' '.join(parts)} | sort 0 _time | head {limit} "
        '| eval _watchfloor_time=strftime(_time, "%s.%6N") | fields *, _raw, _watchfloor_time'
    )


def held_spl(indexes: Sequence[str]) -> str:
    """One row with the first and the last time of the indexes."""
    names = " OR ".join(f"index={one}" for one in indexes)
    return f"| tstats min(_time) AS first max(_time) AS last WHERE {names}"


def bounds(range_: TimeRange) -> tuple[str, str]:
    """``earliest_time`` and ``latest_time``: seconds since the epoch with their fraction, the second one excluded."""
    return _seconds(range_.start_us), _seconds(range_.end_us)


def quoted(text: str) -> str:
    """A phrase that no text can end. What Splunk's search cannot say in a phrase stands for any text there."""
    kept = "".join(one if one.isascii() and (one.isalnum() or one in " ._-/:@") else "*" for one in text)
    while "**" in kept:
        kept = kept.replace("**", "*")
    return f'"*{kept.strip("*")}*"' if kept.strip("* ") else ""


def _indexes(indexes: Sequence[str]) -> str:
    return f"({' OR '.join(f'index={one}' for one in indexes)})"


def _text(condition: Condition) -> str:
    match condition:
        case Where():
            return _where(condition)
        case AllOf(conditions):
            parts = [text for one in conditions if (text := _text(one)) != _ALWAYS]
            return f"({' '.join(dict.fromkeys(parts))})" if parts else _ALWAYS
        case AnyOf(conditions):
            return _any([_text(one) for one in conditions])
        case Not():
            # The opposite of too much would be too little.
            return _ALWAYS
        case unknown:
            assert_never(unknown)


def _where(where: Where) -> str:
    is_by_size = where.operator in (Operator.EXISTS, Operator.AT_LEAST, Operator.AT_MOST, Operator.IN_NETWORK)
    if is_by_size or where.field in _NOT_IN_TEXT:
        return _ALWAYS
    if where.field in INTEGERS:
        numbers = [int(one) for one in where.values if isinstance(one, int) or one.isdecimal()]
        return _any([quoted(one) for number in numbers for one in (str(number), hex(number)) if one[:1] != "-"])
    return _any([quoted(str(one)) for one in where.values])


def _any(parts: Sequence[str]) -> str:
    if not parts or _ALWAYS in parts:
        return _ALWAYS
    different = list(dict.fromkeys(parts))
    return different[0] if len(different) == 1 else f"({' OR '.join(different)})"


def _seconds(us: int) -> str:
    return f"{us // 1_000_000}.{us % 1_000_000:06d}"
