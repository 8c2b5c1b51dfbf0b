"""Whether an event fulfils a condition: the meaning of the algebra, in Python.

Sources translate conditions into their own language; this is what the translation has to agree with.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import assert_never

from watchfloor_core.logs.event import EventType, Value
from watchfloor_core.logs.fields import INTEGERS, Field
from watchfloor_core.logs.query import AllOf, AnyOf, Condition, Not, Operator, Select, Where


def selects(query: Select, type_: EventType, time_us: int, fields: Mapping[Field, Value]) -> bool:
    """Whether the event is among those that a selection asks for, whatever its limit."""
    is_then = query.range.start_us <= time_us < query.range.end_us
    is_type = not query.types or type_ in query.types
    return is_then and is_type and all(fulfils(one, fields) for one in query.conditions())


def fulfils(condition: Condition, fields: Mapping[Field, Value]) -> bool:
    match condition:
        case Where():
            return condition.field in fields and _holds(condition, fields[condition.field])
        case AllOf(conditions):
            return all(fulfils(one, fields) for one in conditions)
        case AnyOf(conditions):
            return any(fulfils(one, fields) for one in conditions)
        case Not(inner):
            return not fulfils(inner, fields)
        case unknown:
            assert_never(unknown)


def _holds(where: Where, value: Value) -> bool:
    text = str(value).lower()
    wanted = [str(one).lower() for one in where.values]
    match where.operator:
        case Operator.EXISTS:
            return True
        case Operator.EQUALS:
            if where.field in INTEGERS:
                return any(one.isdecimal() and int(one) == value for one in wanted)
            return text in wanted
        case Operator.CONTAINS:
            return any(one in text for one in wanted)
        case Operator.STARTS_WITH:
            return text.startswith(tuple(wanted))
        case Operator.ENDS_WITH:
            return text.endswith(tuple(wanted))
        case Operator.AT_LEAST:
            return isinstance(value, int) and value >= int(where.values[0])
        case Operator.AT_MOST:
            return isinstance(value, int) and value <= int(where.values[0])
        case Operator.IN_NETWORK:
            return any(_is_inside(text, one) for one in wanted)
        case unknown:
            assert_never(unknown)


def _is_inside(address: str, network: str) -> bool:
    try:
        found, net = ip_address(address), ip_network(network, strict=False)
    except ValueError:
        return False
    return found.version == net.version and found in net
