"""Questions in DuckDB's SQL. Values are bound, never spliced; names come from the closed list of fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final, TypeAlias, assert_never

from watchfloor_connectors.logs.loading import quoted
from watchfloor_core.logs.event import Value
from watchfloor_core.logs.fields import INTEGERS, Field
from watchfloor_core.logs.query import AllOf, AnyOf, Condition, Not, Operator, Select, Where

Values: TypeAlias = Callable[[Field], Sequence[str]]
"""The different values of a field, from which those inside a network are picked."""
NEVER: Final = "false"


@dataclass(slots=True)
class Clause:
    """A condition with what is bound in it."""

    values: Values
    bound: list[Any] = field(default_factory=list)

    def of(self, query: Select) -> str:
        """Range, types and conditions of a selection."""
        parts = ["time_us >= ?", "time_us < ?"]
        self.bound += [query.range.start_us, query.range.end_us]
        if query.types:
            parts.append("list_contains(?, type)")
            self.bound.append(sorted(one.value for one in query.types))
        parts += [self._condition(one) for one in query.conditions()]
        return " AND ".join(parts)

    def _condition(self, condition: Condition) -> str:
        match condition:
            case Where():
                return self._where(condition)
            case AllOf(conditions):
                return self._joined(conditions, " AND ", "true")
            case AnyOf(conditions):
                return self._joined(conditions, " OR ", NEVER)
            case Not(inner):
                # An absent field makes the inner condition unknown, which counts as not true.
                return f"NOT coalesce({self._condition(inner)}, false)"
            case unknown:
                assert_never(unknown)

    def _joined(self, conditions: Sequence[Condition], word: str, empty: str) -> str:
        parts = [self._condition(one) for one in conditions]
        return f"({word.join(parts)})" if parts else empty

    def _where(self, where: Where) -> str:
        column = quoted(where.field.value)
        match where.operator:
            case Operator.EXISTS:
                return f"{column} IS NOT NULL"
            case Operator.AT_LEAST | Operator.AT_MOST:
                self.bound.append(where.values[0])
                return f"{column} {'>=' if where.operator is Operator.AT_LEAST else '<='} ?"
            case Operator.IN_NETWORK:
                return self._one_of(column, _inside(where.values, self.values(where.field)))
            case Operator.EQUALS:
                return self._equal(where.field, column, where.values)
            case Operator.CONTAINS | Operator.STARTS_WITH | Operator.ENDS_WITH:
                return self._text(where.operator, column, where.values)
            case unknown:
                assert_never(unknown)

    def _equal(self, name: Field, column: str, values: Sequence[Value]) -> str:
        if name in INTEGERS:
            numbers = [int(one) for one in values if isinstance(one, int) or one.isdecimal()]
            return self._one_of(column, numbers)
        return self._one_of(f"lower({column})", [str(one).lower() for one in values])

    def _one_of(self, expression: str, values: Sequence[Value]) -> str:
        if not values:
            return NEVER
        self.bound.append(list(values))
        return f"list_contains(?, {expression})"

    def _text(self, operator: Operator, column: str, values: Sequence[Value]) -> str:
        function = {Operator.CONTAINS: "contains", Operator.STARTS_WITH: "starts_with"}.get(operator, "suffix")
        self.bound += [str(one).lower() for one in values]
        return "(" + " OR ".join(f"{function}(lower(CAST({column} AS VARCHAR)), ?)" for _ in values) + ")"


def _inside(networks: Sequence[Value], addresses: Sequence[str]) -> list[str]:
    """Those in any of the networks. What is no network holds nothing, and what is no address is in none."""
    parsed: list[IPv4Network | IPv6Network] = []
    for one in networks:
        try:
            parsed.append(ip_network(str(one), strict=False))
        except ValueError:
            continue
    found = []
    for text in addresses:
        try:
            address = ip_address(text)
        except ValueError:
            continue
        if any(address in network for network in parsed if network.version == address.version):
            found.append(text)
    return found
