"""Reads fields out of a decoded record; what is wrong with one is said with its path, its value and what was expected.

A path is dotted (``alert.signature_id``). Elastic and others also write such a path as one flat name
(``{"kibana.alert.rule.uuid": …}``): wherever an object has the rest of the path as a name of its own, that counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from watchfloor_connectors.described import describe
from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Json, Record


def look_up(record: Record, path: str) -> Json:
    """The value at a path; None where it is absent or null."""
    value: Json = record.get(path)
    if value is not None:
        return value
    for name, rest in _splits(path):
        inner = record.get(name)
        if isinstance(inner, dict):
            value = look_up(inner, rest)
            if value is not None:
                return value
    return None


@lru_cache(maxsize=4096)
def _splits(path: str) -> tuple[tuple[str, str], ...]:
    """Every way to cut a path in two: ``a.b.c`` is a and b.c, or a.b and c."""
    names = path.split(".")
    return tuple((".".join(names[:cut]), ".".join(names[cut:])) for cut in range(1, len(names)))


def source_of(record: Record) -> Record:
    """The document inside a search hit (``_index``, ``_source``); any other record is its own."""
    source = record.get("_source")
    return source if isinstance(source, dict) and "_index" in record else record


def text(record: Record, path: str) -> str | None:
    """The text or number at a path as text; None where absent, null or blank."""
    return _as_text(look_up(record, path), path)


def required_text(record: Record, path: str) -> str:
    """The text or number at a path; RecordError where there is none."""
    found = text(record, path)
    if found is None:
        raise RecordError(f"is {describe(look_up(record, path))}; a text was expected", path=path)
    return found


def first_text(record: Record, *paths: str) -> str | None:
    """The text at the first of several paths that has one."""
    for path in paths:
        found = text(record, path)
        if found is not None:
            return found
    return None


def texts(record: Record, path: str) -> tuple[str, ...]:
    """The texts at a path that may hold one or a list of them."""
    value = look_up(record, path)
    if not isinstance(value, list):
        found = _as_text(value, path)
        return () if found is None else (found,)
    each = (_as_text(item, f"{path}[{index}]") for index, item in enumerate(value))
    return tuple(item for item in each if item is not None)


def integer(record: Record, path: str) -> int | None:
    """The integer at a path, also where it is written as text; None where absent, null or blank."""
    value = look_up(record, path)
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal() and len(value) < 20:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise RecordError(f"is {describe(value)}; an integer was expected", path=path)
    return value


def number(record: Record, path: str) -> float | None:
    """The number at a path; None where absent or null."""
    value = look_up(record, path)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RecordError(f"is {describe(value)}; a number was expected", path=path)
    return float(value)


def child(record: Record, path: str) -> Record:
    """The object at a path; an empty one where absent or null."""
    value = look_up(record, path)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RecordError(f"is {describe(value)}; an object was expected", path=path)
    return value


def required_child(record: Record, path: str) -> Record:
    """The object at a path; RecordError where there is none."""
    found = child(record, path)
    if not found:
        raise RecordError(f"is {describe(look_up(record, path))}; an object with fields was expected", path=path)
    return found


def children(record: Record, path: str) -> Iterator[Record]:
    """The objects in the list at a path (or the one object there); none where absent or null."""
    value = look_up(record, path)
    if value is None:
        return
    items = value if isinstance(value, list) else [value]
    for index, item in enumerate(items):
        if item is None:
            continue
        if not isinstance(item, dict):
            raise RecordError(f"is {describe(item)}; an object was expected", path=f"{path}[{index}]")
        yield item


def _as_text(value: Json, path: str) -> str | None:
    if isinstance(value, str):
        return value if value and not value.isspace() else None
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    raise RecordError(f"is {describe(value)}; a text was expected", path=path)
