"""YAML that an operator wrote, as plain data that remembers its lines.

Narrower than YAML, because a policy must say one thing to every reader: no anchors, aliases, merge keys, tags or
repeated keys; numbers in plain decimals; a date stays text until a field wants one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import yaml
from pydantic import JsonValue

from watchfloor_core.errors import ConfigurationError, Problem

MAX_BYTES: Final = 256 * 1024
"""What people write and review by hand is far smaller."""
MAX_DEPTH: Final = 12
"""The deepest policy nests 5; PyYAML's composer recurses, so depth is bounded before it runs."""

Path: TypeAlias = tuple[str | int, ...]

_DECIMAL_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_DECIMAL_FRACTION: Final = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed file. ``problems`` are mistakes beside which the rest can still be read."""

    file: str
    content: JsonValue
    lines: Mapping[Path, int]
    problems: tuple[Problem, ...]

    def problem(self, path: Path, message: str) -> Problem:
        """A mistake at a place; where the place itself is missing, at the nearest one around it."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        return Problem(message, self.file, self.lines.get(known, 1), format_path(path) or None)


def _line(part: yaml.Event | yaml.Node) -> int:
    """1-based."""
    return part.start_mark.line + 1 if part.start_mark is not None else 1


def format_path(path: Path) -> str:
    """``rows[3].level``"""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def read_yaml(text: str, file: str, *, accepts_null: bool = False) -> Document:
    """Parse a file's text; raises `ConfigurationError` where nothing of it can be read.

    A key without a value is a mistake unless ``accepts_null``: for formats in which null says something.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise ConfigurationError([Problem(f"the file is larger than {MAX_BYTES} bytes; split or shorten it", file)])
    try:
        refused, root = _composed(text)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # PyYAML lets Python's own errors through for escapes and versions with numbers out of range.
        raise ConfigurationError([Problem(*_syntax_error(error, text, file))]) from error
    if refused:
        raise ConfigurationError([Problem(message, file, line) for message, line in refused])
    if root is None:
        raise ConfigurationError([Problem("the file is empty; write its content, or remove it", file, 1)])
    reader = _Reader(file, {}, [], accepts_null)
    content = reader.read(root, ())
    return Document(file, content, reader.lines, tuple(reader.problems))


# A policy is looked at again and again and rarely differs; to parse one takes 40 ms.
@lru_cache(maxsize=4)
def _composed(text: str) -> tuple[tuple[tuple[str, int], ...], yaml.Node | None]:
    """What is refused of it, and in which line; its nodes, which nobody changes, where nothing is."""
    refused = tuple(_refused_constructs(text))
    return refused, None if refused else yaml.compose(text, Loader=yaml.SafeLoader)


def _refused_constructs(text: str) -> Iterator[tuple[str, int]]:
    """Anchors, aliases and tags, before aliases are expanded; stops at too deep a nesting."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = _line(event)
        match event:
            case yaml.AliasEvent(anchor=anchor):
                yield f"alias '*{anchor}': write the value out where it is used", line
            case yaml.NodeEvent(anchor=str(anchor)):
                yield f"anchor '&{anchor}': write the value out where it is used", line
            case yaml.ScalarEvent(tag=str(tag)) | yaml.CollectionStartEvent(tag=str(tag)):
                yield f"tag {tag!r}: write a plain value", line
            case _:
                pass
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            yield f"nested deeper than {MAX_DEPTH}", line
            return


def _syntax_error(error: Exception, text: str, file: str) -> tuple[str, str, int]:
    match error:
        case yaml.MarkedYAMLError(problem=problem, context=context, problem_mark=yaml.Mark(line=line)):
            return ", ".join(part for part in (context, problem) if part), file, line + 1
        case yaml.reader.ReaderError(position=int(position), character=int(character)):
            line = text.count("\n", 0, position) + 1
            return f"character {chr(character)!r} is not allowed in YAML; remove it", file, line
        case _:
            return f"not YAML: {error}", file, 1


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns nodes into plain data, noting lines and mistakes."""

    file: str
    lines: dict[Path, int]
    problems: list[Problem]
    accepts_null: bool

    def read(self, node: yaml.Node, path: Path) -> JsonValue:
        self.lines.setdefault(path, _line(node))
        match node:
            case yaml.MappingNode(value=pairs):
                return self._read_mapping(pairs, path)
            case yaml.SequenceNode(value=items):
                return [self.read(item, (*path, index)) for index, item in enumerate(items)]
            case _:
                return _scalar(node)

    def _read_mapping(self, pairs: list[tuple[yaml.Node, yaml.Node]], path: Path) -> dict[str, JsonValue]:
        content: dict[str, JsonValue] = {}
        for key_node, value_node in pairs:
            line = _line(key_node)
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != "tag:yaml.org,2002:str":
                message = f"key {str(key_node.value)[:60]!r} is not a plain text; put it in quotes if it is meant so"
                self.problems.append(Problem(message, self.file, line, format_path(path) or None))
                continue
            key = key_node.value
            if key in content:
                first = self.lines[(*path, key)]
                message = f"key {key!r} is repeated; it stands in line {first} already"
                self.problems.append(Problem(message, self.file, line, format_path((*path, key))))
                continue
            self.lines[(*path, key)] = line
            content[key] = self.read(value_node, (*path, key))
            if content[key] is None and not self.accepts_null:
                # Read as "not given", a forgotten value would widen a row to every tenant, family or tier.
                message = f"key {key!r} has no value; write one, or remove the key"
                self.problems.append(Problem(message, self.file, line, format_path((*path, key))))
        return content


def _scalar(node: yaml.Node) -> JsonValue:
    text = str(node.value)
    match node.tag.rpartition(":")[2]:
        case "null":
            return None
        case "bool":
            return text.lower() in ("true", "yes", "on")
        case "int" if _DECIMAL_INTEGER.fullmatch(text):
            return int(text)
        case "float" if _DECIMAL_FRACTION.fullmatch(text):
            return float(text)
        case _:
            return text
