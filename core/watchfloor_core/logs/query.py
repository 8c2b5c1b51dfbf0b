"""What can be asked of telemetry: one small algebra that every source understands.

A `Select` gives events, an `Aggregate` counts them, and `follow` makes the `Select` that leads from an event to its
relatives. Text is compared without regard to case, as Windows and most search engines do.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from watchfloor_core.alert import EntityKind
from watchfloor_core.canonical import JsonValue, canonical
from watchfloor_core.logs.event import EventType, Value
from watchfloor_core.logs.fields import INTEGERS, NAMING, Field

MAX_EVENTS: Final = 10_000
"""In one answer."""
MAX_GROUPS: Final = 10_000


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From ``start_us`` up to, not including, ``end_us``; microseconds since the Unix epoch. Raises ValueError where it
    is empty."""

    start_us: int
    end_us: int

    def __post_init__(self) -> None:
        if self.start_us >= self.end_us:
            raise ValueError(f"the range ends at {self.end_us}, which is not after its start {self.start_us}")

    def widened(self, seconds: int) -> TimeRange:
        """By so much on both sides."""
        return TimeRange(self.start_us - seconds * 1_000_000, self.end_us + seconds * 1_000_000)


class Operator(StrEnum):
    EQUALS = "equals"
    """Any of the values."""
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    AT_LEAST = "at_least"
    """For numbers: the first value or more."""
    AT_MOST = "at_most"
    IN_NETWORK = "in_network"
    """For addresses: inside any of the values, which are CIDR networks."""
    EXISTS = "exists"


@dataclass(frozen=True, slots=True)
class Where:
    """A field holds this. With several values any of them is enough. Raises ValueError for values that do not fit."""

    field: Field
    operator: Operator = Operator.EQUALS
    values: tuple[Value, ...] = ()

    def __post_init__(self) -> None:
        if (self.operator is Operator.EXISTS) != (not self.values):
            raise ValueError(f"{self.field} {self.operator} takes {'no' if not self.values else 'at least one'} value")
        is_number = self.operator in (Operator.AT_LEAST, Operator.AT_MOST)
        if is_number and (self.field not in INTEGERS or not isinstance(self.values[0], int)):
            raise ValueError(f"{self.field} {self.operator} {self.values[0]!r}: only numbers are compared by size")


@dataclass(frozen=True, slots=True)
class AllOf:
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Also true where the field is absent."""

    condition: Condition


Condition: TypeAlias = Where | AllOf | AnyOf | Not


@dataclass(frozen=True, slots=True)
class EntityRef:
    """An entity that events are to name, in any of the fields of its kind (`NAMING`)."""

    kind: EntityKind
    value: str

    def as_condition(self) -> Condition:
        return AnyOf(tuple(Where(name, Operator.EQUALS, (self.value,)) for name in NAMING[self.kind]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """Events, the earliest first, ties by id."""

    range: TimeRange
    types: frozenset[EventType] = field(default_factory=frozenset)
    """Of one of these; of any where empty."""
    entities: tuple[EntityRef, ...] = ()
    """Naming all of these."""
    where: Condition | None = None
    limit: int = 1_000

    def __post_init__(self) -> None:
        if not 0 < self.limit <= MAX_EVENTS:
            raise ValueError(f"limit is {self.limit}, expected 1 to {MAX_EVENTS:,}")

    def conditions(self) -> tuple[Condition, ...]:
        """All that must hold besides range and type."""
        named = tuple(one.as_condition() for one in self.entities)
        return named if self.where is None else (*named, self.where)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """How many of the selected events there are for each combination of values, the most frequent first."""

    select: Select
    """Its limit does not count here."""
    by: tuple[Field, ...]
    """Up to four; an absent field is its own value (None). Without any the answer is one row."""
    distinct: Field | None = None
    """A field whose different values are counted in each group."""
    limit: int = 100

    def __post_init__(self) -> None:
        if len(self.by) > 4 or not 0 < self.limit <= MAX_GROUPS:
            raise ValueError(f"{len(self.by)} fields and limit {self.limit}; expected up to 4 and 1 to {MAX_GROUPS:,}")


Query: TypeAlias = Select | Aggregate


def query_digest(query: Query) -> str:
    """SHA-256 (64 hex digits) of what is asked: equal questions have equal digests."""
    return hashlib.sha256(canonical(query_to_json(query))).hexdigest()


def query_to_json(query: Query) -> JsonValue:
    """The question as JSON, for the record and for people."""
    match query:
        case Select():
            return {"select": _select_to_json(query)}
        case Aggregate():
            return {
                "select": _select_to_json(query.select) | {"limit": None},
                "by": [name.value for name in query.by],
                "distinct": None if query.distinct is None else query.distinct.value,
                "limit": query.limit,
            }


def _select_to_json(query: Select) -> dict[str, JsonValue]:
    return {
        "start_us": query.range.start_us,
        "end_us": query.range.end_us,
        "types": sorted(one.value for one in query.types),
        "entities": [{"kind": one.kind.value, "value": one.value} for one in query.entities],
        "where": None if query.where is None else _condition_to_json(query.where),
        "limit": query.limit,
    }


def _condition_to_json(condition: Condition) -> JsonValue:
    match condition:
        case Where(name, operator, values):
            return {"field": name.value, "operator": operator.value, "values": list(values)}
        case AllOf(conditions):
            return {"all": [_condition_to_json(one) for one in conditions]}
        case AnyOf(conditions):
            return {"any": [_condition_to_json(one) for one in conditions]}
        case Not(negated):
            return {"not": _condition_to_json(negated)}
