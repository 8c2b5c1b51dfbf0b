"""YAML with the line of everything in it, so that a mistake can be named with its place."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import yaml

from watchfloor_core.errors import ConfigurationError, Problem

Location = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML document as plain values."""

    value: Any  # whatever the file holds: it is validated by whoever asked for it
    lines: dict[Location, int]
    """1-based line by path."""

    def line(self, location: Location) -> int:
        """The line of a path, or of the closest part of it that the file has."""
        for length in range(len(location), -1, -1):
            if location[:length] in self.lines:
                return self.lines[location[:length]]
        return 1


def load_yaml(text: str, file: str) -> Document:
    """Raises ConfigurationError for bad syntax and for a name that stands twice in one mapping (all of them)."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        problems: list[Problem] = []
        lines: dict[Location, int] = {}
        if node is not None:
            _walk(node, (), lines, problems, file)
        if problems:
            raise ConfigurationError(problems)
        value = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else None
        raise ConfigurationError([Problem(f"not valid YAML: {error.problem}", file, line)]) from None
    except yaml.YAMLError as error:
        raise ConfigurationError([Problem(f"not valid YAML: {error}", file)]) from None
    except RecursionError:
        raise ConfigurationError([Problem("not valid YAML: nested too deep", file)]) from None
    finally:
        loader.dispose()
    return Document(value, lines)


def _walk(node: yaml.Node, at: Location, lines: dict[Location, int], problems: list[Problem], file: str) -> None:
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else str(key.start_mark.line)
            line = key.start_mark.line + 1
            if name in seen:
                problems.append(Problem(f"{name!r} stands twice: which counts is ambiguous", file, line))
            seen.add(name)
            lines[(*at, name)] = line
            _walk(value, (*at, name), lines, problems, file)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*at, index), lines, problems, file)
