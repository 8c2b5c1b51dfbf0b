"""Reading the autonomy matrix from its file: every mistake at once, each with file and line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

from pydantic import JsonValue, ValidationError

from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_core.incident import AutonomyLevel
from watchfloor_guardrails.closing_rule import ClosingRule
from watchfloor_guardrails.engine import is_known_engine, known_engines
from watchfloor_guardrails.matrix import AutonomyMatrix, Row, functions_without_default, same_selectors
from watchfloor_guardrails.matrix_entries import Entry, RowEntry, RuleEntry, describe, parse_level, quote, unknown_key
from watchfloor_guardrails.yaml_source import Document, Path, read_yaml

_SECTIONS: Final = ("rows", "caps", "rules")

_EntryType = TypeVar("_EntryType", bound=Entry)


def load_matrix(text: str, file: str) -> AutonomyMatrix:
    """The matrix in a file's text; ``file`` names it in messages.

    Raises `ConfigurationError` with every mistake found, in the order of lines.
    """
    document = read_yaml(text, file)
    problems = list(document.problems)
    sections = _sections(document, problems)

    rows = {
        index: entry.to_row() for index, entry in _entries(RowEntry, "rows", sections.get("rows"), document, problems)
    }
    rules = {
        index: entry.to_rule()
        for index, entry in _entries(RuleEntry, "rules", sections.get("rules"), document, problems)
    }
    caps = _engine_caps(sections.get("caps"), document, problems)

    problems += _missing_defaults(sections.get("rows"), rows, document)
    problems += _repeated_selectors(rows, document)
    problems += _repeated_rules(rules, document)
    if problems:
        raise ConfigurationError(sorted(problems, key=lambda problem: problem.line or 0))
    return AutonomyMatrix(tuple(rows.values()), caps, tuple(rules.values()))


def _sections(document: Document, problems: list[Problem]) -> dict[str, JsonValue]:
    if not isinstance(document.content, dict):
        problems.append(
            document.problem((), f"expected the keys {', '.join(_SECTIONS)}, got {_kind(document.content)}")
        )
        return {}
    for key in document.content:
        if key not in _SECTIONS:
            problems.append(document.problem((key,), unknown_key(key, _SECTIONS)))
    if "rows" not in document.content:
        problems.append(document.problem((), "missing key 'rows'"))
    return {key: value for key, value in document.content.items() if key in _SECTIONS}


def _entries(
    model: type[_EntryType], section: str, content: JsonValue, document: Document, problems: list[Problem]
) -> Iterator[tuple[int, _EntryType]]:
    """The valid entries of a list, by position; the mistakes of the others go to ``problems``."""
    if content is None:
        return
    if not isinstance(content, list):
        problems.append(document.problem((section,), f"expected a list, got {_kind(content)}"))
        return
    for index, item in enumerate(content):
        try:
            entry = model.model_validate(item)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                path: Path = (section, index, *detail["loc"])
                if detail["input"] is None and isinstance(path[-1], str):
                    continue  # The reader has already reported a key without a value.
                problems.append(document.problem(path, describe(detail, model)))
        else:
            # With a key left blank it says less than was meant, and would be compared with others as what it is not.
            if not _has_blank(item):
                yield index, entry


def _engine_caps(
    content: JsonValue, document: Document, problems: list[Problem]
) -> tuple[tuple[str, AutonomyLevel], ...]:
    if content is None:
        return ()
    if not isinstance(content, dict):
        problems.append(document.problem(("caps",), f"expected engine: level pairs, got {_kind(content)}"))
        return ()
    caps = []
    for engine, written in content.items():
        if not is_known_engine(engine):
            known = ", ".join(known_engines())
            message = f"unknown engine {quote(engine)}; known: {known}, or one of these with ':' and a model"
            problems.append(document.problem(("caps", engine), message))
        if written is None:
            continue  # The reader has already reported it.
        try:
            caps.append((engine, parse_level(written)))
        except ValueError as error:
            problems.append(document.problem(("caps", engine), str(error)))
    return tuple(caps)


def _missing_defaults(content: JsonValue, rows: Mapping[int, Row], document: Document) -> Iterator[Problem]:
    if not isinstance(content, list):
        return
    # A default row that has a mistake of its own is there: to call it missing as well would mislead.
    faulty = {
        item["function"]
        for index, item in enumerate(content)
        if index not in rows and isinstance(item, dict) and isinstance(item.get("function"), str)
    }
    for function in functions_without_default(tuple(rows.values())):
        if function.value not in faulty:
            message = f"function {function} has no default row; add one with only 'function' and 'level'"
            yield document.problem(("rows",), message)


def _repeated_selectors(rows: Mapping[int, Row], document: Document) -> Iterator[Problem]:
    indices = list(rows)
    for first, second in same_selectors(tuple(rows.values())):
        line = document.lines[("rows", indices[first])]
        message = f"same tasks as the row in line {line} ({rows[indices[second]]}); keep one of the two"
        yield document.problem(("rows", indices[second]), message)


def _repeated_rules(rules: Mapping[int, ClosingRule], document: Document) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, rule in rules.items():
        earlier = first.setdefault(rule.id, index)
        if earlier != index:
            line = document.lines[("rules", earlier)]
            yield document.problem(("rules", index, "id"), f"rule id {rule.id!r} is taken by the rule in line {line}")


def _has_blank(content: JsonValue) -> bool:
    return isinstance(content, dict) and any(value is None or _has_blank(value) for value in content.values())


def _kind(value: object) -> str:
    match value:
        case list():
            return "a list"
        case dict():
            return "keys and values"
        case _:
            return quote(value)
