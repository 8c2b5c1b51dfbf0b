"""Conditions of if and while steps, as values: what `condition_parser` reads and `evaluation` answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from watchfloor_core.errors import WatchfloorError


class ConditionError(WatchfloorError):
    """The text is no condition, or what it asks cannot be answered; never read as true or as false."""

    def __init__(self, message: str, position: int | None = None) -> None:
        self.position = position
        """0-based character at which it went wrong, where there is one."""
        super().__init__(message if position is None else f"{message} (at character {position + 1})")


class Operator(StrEnum):
    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    IN = "IN"
    LIKE = "LIKE"
    MATCHES = "MATCHES"
    SUBSET = "ISSUBSET"
    SUPERSET = "ISSUPERSET"
    EXISTS = "EXISTS"


Literal: TypeAlias = "str | int | float | bool"


@dataclass(frozen=True, slots=True)
class Comparison:
    variable: str
    """``__name__``"""
    operator: Operator
    literals: tuple[Literal, ...]
    """One; several for ``IN``, none for ``EXISTS``."""
    is_negated: bool = False
    pattern: Any = None  # Any: the package has no types
    """Of ``MATCHES`` and ``LIKE``, compiled by RE2, whose time is linear in the text that it looks through."""


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Condition, ...]


Condition: TypeAlias = "Comparison | All | AnyOf"


def variables_of(condition: Condition) -> Iterator[str]:
    """The variables that it looks at, in order, each as often as it stands there."""
    match condition:
        case Comparison(variable=name):
            yield name
        case All(parts=parts) | AnyOf(parts=parts):
            for part in parts:
                yield from variables_of(part)


def comparisons_of(condition: Condition) -> Iterator[Comparison]:
    match condition:
        case Comparison():
            yield condition
        case All(parts=parts) | AnyOf(parts=parts):
            for part in parts:
                yield from comparisons_of(part)
