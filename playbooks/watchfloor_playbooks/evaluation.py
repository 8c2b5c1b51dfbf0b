"""What a condition says of variables, exactly or not at all.

A variable that is unknown, has no value, or whose value is not of its type makes the condition unanswerable: it is
never taken for false, for in ``NOT IN`` that would be true.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Final, TypeAlias, assert_never

from watchfloor_core.untrusted import quote_untrusted
from watchfloor_playbooks.condition import All, AnyOf, Comparison, Condition, ConditionError, Literal, Operator
from watchfloor_playbooks.part import Variable

Value: TypeAlias = "str | int | float | bool"

_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,40}")
_DECIMAL: Final = re.compile(r"[-+]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,3})?")
_FORMS: Final[Mapping[str, re.Pattern[str]]] = {
    "hexstring": re.compile(r"([0-9a-fA-F]{2})*"),
    "mac-addr": re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}"),
    "md5-hash": re.compile(r"[0-9a-fA-F]{32}"),
    "sha256-hash": re.compile(r"[0-9a-fA-F]{64}"),
    "hash": re.compile(r"[0-9a-fA-F]{32,128}"),
    "uri": re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:[^\s<>\"{}|\\^`]+"),
    "uuid": re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
}
_CASELESS: Final = frozenset({"hexstring", "md5-hash", "sha256-hash", "hash", "uuid"})
"""Compared in lower case: two ways to write one value."""


def value_of(name: str, variable: Variable) -> Value:
    """The value as its type has it. Raises `ConditionError` where there is none, or of another type."""
    value = variable.value
    if isinstance(value, dict):
        if variable.type != "dictionary":
            raise ConditionError(f"{name} is of type {variable.type!r:.40}, and its value is a dictionary")
        return json.dumps(value, sort_keys=True)
    if value is None:
        raise ConditionError(f"{name} has no value")
    if not isinstance(value, str):
        raise ConditionError(f"the value of {name} is not given as a text")
    try:
        return _read(variable.type, value)
    except (ValueError, RecursionError):
        kind = quote_untrusted(variable.type, 40)
        raise ConditionError(f"the value of {name} is {quote_untrusted(value, 60)}, which is no {kind}") from None


def _read(kind: str, value: str) -> Value:
    match kind:
        case "bool":
            if value not in ("true", "false"):
                raise ValueError(value)
            return value == "true"
        case "integer" | "long":
            if not _INTEGER.fullmatch(value):
                raise ValueError(value)
            return int(value)
        case "float":
            number = float(value) if _DECIMAL.fullmatch(value) else float("inf")
            if number in (float("inf"), float("-inf")):
                raise ValueError(value)
            return number
        case "ipv4-addr":
            return str(_network(value, 4))
        case "ipv6-addr":
            return str(_network(value, 6))
        case "dictionary":
            if not isinstance(json.loads(value), dict):
                raise ValueError(value)
            return value
        case _ if kind in _FORMS:
            if not _FORMS[kind].fullmatch(value):
                raise ValueError(value)
            return value.lower() if kind in _CASELESS else value
        case _:
            return value


def _network(text: str, version: int | None = None) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """An address counts as the network of it alone; host bits beside the mask are a mistake."""
    found = ipaddress.ip_network(text)
    if version is not None and found.version != version:
        raise ValueError(text)
    return found


def evaluate(condition: Condition, variables: Mapping[str, Variable]) -> bool:
    """Whether it holds. Raises `ConditionError` where that cannot be said.

    All of it is looked at, also behind what decides it already: a playbook that asks the impossible is wrong on every
    run, not on some.
    """
    match condition:
        case Comparison():
            return _holds(condition, variables) is not condition.is_negated
        case All(parts=parts):
            answers = [evaluate(part, variables) for part in parts]
            return all(answers)
        case AnyOf(parts=parts):
            answers = [evaluate(part, variables) for part in parts]
            return any(answers)
        case _:
            assert_never(condition)


def check_types(comparison: Comparison, variable: Variable) -> str | None:
    """Why this comparison can never be answered for a variable of this type; None where it can."""
    kind = variable.type
    is_number, is_address = kind in ("integer", "long", "float"), kind in ("ipv4-addr", "ipv6-addr")
    match comparison.operator:
        case Operator.EXISTS:
            return None
        case _ if kind == "dictionary":
            return "a dictionary is not compared; EXISTS asks whether there is one"
        case Operator.SUBSET | Operator.SUPERSET:
            if not is_address:
                return f"{comparison.operator} is for ipv4-addr and ipv6-addr"
            return _why_no_value(kind, comparison.literals)
        case Operator.LIKE | Operator.MATCHES:
            return f"{comparison.operator} is for texts" if is_number or kind == "bool" else None
        case Operator.LESS | Operator.AT_MOST | Operator.MORE | Operator.AT_LEAST if not (
            is_number or kind == "string"
        ):
            return f"{comparison.operator} is for numbers and texts"
        case _:
            return _why_no_value(kind, comparison.literals)


def _why_no_value(kind: str, literals: tuple[Literal, ...]) -> str | None:
    for literal in literals:
        try:
            _as(kind, literal)
        except (ValueError, RecursionError):
            shown = quote_untrusted(literal, 60) if isinstance(literal, str) else str(literal).lower()
            return f"{shown} is no {quote_untrusted(kind, 40)}"
    return None


def _as(kind: str, literal: Literal) -> Value:
    """A literal as a value of the variable's type. Raises ValueError."""
    match kind, literal:
        case "bool", bool():
            return literal
        case _, bool():
            raise ValueError(literal)
        case "integer" | "long" | "float", int() | float():
            return literal
        case _, int() | float():
            raise ValueError(literal)
        case "bool" | "integer" | "long" | "float", _:
            raise ValueError(literal)
        case _, str():
            return _read(kind, literal)
        case _:
            assert_never(literal)


def _holds(comparison: Comparison, variables: Mapping[str, Variable]) -> bool:
    name = comparison.variable
    variable = variables.get(name)
    if variable is None:
        raise ConditionError(f"{name} is not a variable here")
    if comparison.operator is Operator.EXISTS:
        return variable.value is not None
    wrong = check_types(comparison, variable)
    if wrong is not None:
        raise ConditionError(f"{name} is of type {quote_untrusted(variable.type, 40)}: {wrong}")
    value = value_of(name, variable)
    match comparison.operator:
        case Operator.LIKE | Operator.MATCHES:
            return comparison.pattern.search(str(value)) is not None
        case Operator.IN:
            return value in [_as(variable.type, one) for one in comparison.literals]
        case Operator.SUBSET | Operator.SUPERSET:
            inner, outer = _network(str(value)), _network(str(comparison.literals[0]))
            if comparison.operator is Operator.SUPERSET:
                inner, outer = outer, inner
            return _is_inside(inner, outer)
        case _:
            return _compared(comparison.operator, value, _as(variable.type, comparison.literals[0]))


def _is_inside(
    inner: ipaddress.IPv4Network | ipaddress.IPv6Network, outer: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> bool:
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False


def _compared(operator: Operator, value: Value, other: Value) -> bool:
    if operator is Operator.EQUAL:
        return value == other
    if operator is Operator.UNEQUAL:
        return value != other
    if isinstance(value, str) and isinstance(other, str):
        return _ordered(operator, (value > other) - (value < other))
    if isinstance(value, (int, float)) and isinstance(other, (int, float)) and not isinstance(value, bool):
        return _ordered(operator, (value > other) - (value < other))
    raise ConditionError(f"{operator} orders numbers and texts only")


def _ordered(operator: Operator, sign: int) -> bool:
    match operator:
        case Operator.LESS:
            return sign < 0
        case Operator.AT_MOST:
            return sign <= 0
        case Operator.MORE:
            return sign > 0
        case _:
            return sign >= 0
