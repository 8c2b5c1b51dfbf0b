"""Compiles the value rules of a mapping into functions of a record: what can be decided once is decided here."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from watchfloor_connectors.described import describe
from watchfloor_connectors.mapping_load import template_paths
from watchfloor_connectors.mapping_schema import Condition, ListRule, ValueRule
from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Json, Record

Reader = Callable[[Record], Json]
"""The value at a path, None for none."""
Text = Callable[[Record], str | None]
Texts = Callable[[Record], list[str]]
NullValues = dict[str, frozenset[str]]

EXTRACT_LIMIT: Final = 4096
"""Characters that an operator's regular expression is run over: the text is an attacker's, and patterns backtrack."""


def compile_path(path: str) -> Reader:
    """A column, a dotted path, or a path through lists (``resources[].arn``: one value for each element)."""
    if "[]" in path:
        first, _, rest = path.partition("[]")
        return _through_list(compile_path(first), compile_path(rest.lstrip(".")) if rest else None)
    if "." not in path:
        return lambda record: record.get(path)
    names = path.split(".")
    # At each level the whole rest may be one name (as Elastic writes), else its first part leads on.
    levels = [(".".join(names[depth:]), names[depth]) for depth in range(len(names) - 1)]
    last = names[-1]

    def nested(record: Record) -> Json:
        at = record
        for rest, name in levels:
            value = at.get(rest)
            if value is not None:
                return value
            deeper = at.get(name)
            if not isinstance(deeper, dict):
                return None
            at = deeper
        return at.get(last)

    return nested


def _through_list(read: Reader, inner: Reader | None) -> Reader:
    def every(record: Record) -> Json:
        items = read(record)
        if not isinstance(items, list):
            return None
        if inner is None:
            return items
        found: list[Json] = []
        for item in items:
            value = inner(item) if isinstance(item, dict) else None
            found += value if isinstance(value, list) else [value]
        return found

    return every


def compile_text(rule: ValueRule, nulls: NullValues) -> Text:
    """One text; a list gives its first."""
    each = _compile_each(rule, nulls, None)

    def one(record: Record) -> str | None:
        found = each(record)
        return found[0] if found else None

    return one


def compile_texts(rule: ListRule, nulls: NullValues) -> Texts:
    """Every text of a list, or of a text that is split."""
    return _compile_each(rule, nulls, rule.split)


def compile_conditions(conditions: tuple[Condition, ...], nulls: NullValues) -> list[Callable[[Record], bool]]:
    """Tests of a record; a value that is null by ``null_values`` equals nothing."""

    def test(condition: Condition) -> Callable[[Record], bool]:
        read = compile_source(condition.path, nulls)
        wanted = frozenset(condition.equals)
        return lambda record: not wanted.isdisjoint(read(record))

    return [test(condition) for condition in conditions]


def _compile_each(rule: ValueRule, nulls: NullValues, split: str | None) -> Texts:
    if rule.constant is not None:
        constant = [rule.constant]
        return lambda _: constant
    sources = [compile_source(path, nulls) for path in rule.path or ()]
    sources += [_compile_template(template, nulls) for template in rule.template or ()]
    pattern = re.compile(rule.extract) if rule.extract is not None else None
    fallback = [] if rule.default is None else [rule.default]

    def finished(text: str) -> str | None:
        if pattern is not None:
            match = pattern.search(text[:EXTRACT_LIMIT])
            found = match.group(1) if match else None
            found = None if found is None else found.strip()
        else:
            found = text
        if found is not None and rule.lower:
            found = found.lower()
        if found is not None and rule.lookup is not None:
            found = rule.lookup.get(found)
        return found or None

    def each(record: Record) -> list[str]:
        for source in sources:
            texts = source(record)
            if texts:
                break
        else:
            return fallback
        if split is not None:
            texts = [part.strip() for text in texts for part in text.split(split)]
        return [found for text in texts if (found := finished(text)) is not None] or fallback

    return each


def compile_source(path: str, nulls: NullValues) -> Texts:
    """The texts at a path: of numbers and booleans too, without the texts that stand for none."""
    read = compile_path(path)
    null = nulls.get("*", frozenset()) | nulls.get(path, frozenset())

    def texts(record: Record) -> list[str]:
        value = read(record)
        if value is None:
            return []
        found = [_text(item, path) for item in (value if isinstance(value, list) else [value]) if item is not None]
        return [text for text in found if text and not text.isspace() and text not in null]

    return texts


def _text(value: Json, path: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    raise RecordError(f"is {describe(value)}; a text or number was expected", path=path)


def _compile_template(template: str, nulls: NullValues) -> Texts:
    # Each path's text is put in by position: str.format would give a path's dots and brackets a meaning of its own.
    paths = [compile_source(path, nulls) for path in template_paths(template)]
    pieces = re.split(r"\{[^{}]*\}", template)

    def filled(record: Record) -> list[str]:
        text = pieces[0]
        for read, piece in zip(paths, pieces[1:], strict=True):
            found = read(record)
            if not found:
                return []
            text += found[0] + piece
        return [text]

    return filled
