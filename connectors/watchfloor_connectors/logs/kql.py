"""Questions in the Kusto query language, as Microsoft Sentinel takes them.

A translation finds at least what the question means: rows in which some column holds the text. What that leaves open
the selection here decides. Source: https://learn.microsoft.com/kusto/query/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, assert_never

from watchfloor_core.clock import to_iso
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import INTEGERS, Field
from watchfloor_core.logs.query import AllOf, AnyOf, Condition, Not, Operator, Select, TimeRange, Where

TABLES: Final[Mapping[str, frozenset[EventType]]] = {
    "SecurityEvent": frozenset(),
    "DeviceProcessEvents": frozenset({EventType.PROCESS_START}),
    "DeviceNetworkEvents": frozenset({EventType.NETWORK_CONNECTION}),
    "DeviceFileEvents": frozenset({EventType.FILE_CHANGE}),
    "DeviceRegistryEvents": frozenset({EventType.REGISTRY_CHANGE}),
    "DeviceLogonEvents": frozenset({EventType.LOGON, EventType.LOGON_FAILED}),
    "SigninLogs": frozenset({EventType.SIGN_IN}),
    "AzureActivity": frozenset({EventType.CLOUD_API}),
}
"""Tables that are asked, and the only types of event that each holds; of any type where empty."""
_NOT_IN_ROWS: Final = frozenset({Field.EVENT_OUTCOME, Field.EVENT_PROVIDER, Field.CHANNEL, Field.EVENT_CODE})
"""Fields that the mapping sets without a column that holds their text."""
_ALWAYS: Final = "true"


def select_kql(query: Select, limit: int) -> str:
    """The earliest rows first, with the table's name as ``SourceTable``."""
    tables = [name for name, types in TABLES.items() if not query.types or not types or types & query.types]
    lines = [
        f"union isfuzzy=true withsource=SourceTable {', '.join(tables)}",
        f"| where {_within(query.range)}",
        *(f"| where {text}" for one in query.conditions() if (text := _text(one)) != _ALWAYS),
        "| sort by TimeGenerated asc",
        f"| take {limit}",
    ]
    return "\n".join(lines)


def held_kql() -> str:
    """One row with the first and the last time of all tables."""
    return f"union isfuzzy=true {', '.join(TABLES)}\n| summarize First = min(TimeGenerated), Last = max(TimeGenerated)"


def literal(text: str) -> str:
    """A string literal that no text can end: everything but letters and digits is escaped by its number."""
    return '"' + "".join(one if one.isascii() and one.isalnum() else _escaped(one) for one in text) + '"'


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _within(range_: TimeRange) -> str:
    start, end = to_iso(range_.start_us), to_iso(range_.end_us)
    return f"TimeGenerated >= datetime({start}) and TimeGenerated < datetime({end})"


def _text(condition: Condition) -> str:
    match condition:
        case Where():
            return _where(condition)
        case AllOf(conditions):
            return _joined([_text(one) for one in conditions], " and ")
        case AnyOf(conditions):
            parts = [_text(one) for one in conditions]
            return _ALWAYS if _ALWAYS in parts else _joined(parts, " or ") if parts else "false"
        case Not():
            # The opposite of too much would be too little.
            return _ALWAYS
        case unknown:
            assert_never(unknown)


def _where(where: Where) -> str:
    is_by_size = where.operator in (Operator.EXISTS, Operator.AT_LEAST, Operator.AT_MOST, Operator.IN_NETWORK)
    if is_by_size or where.field in _NOT_IN_ROWS:
        return _ALWAYS
    if where.field in INTEGERS:
        numbers = [int(one) for one in where.values if isinstance(one, int) or one.isdecimal()]
        spelled = [str(one) for one in numbers] + [hex(one) for one in numbers if one >= 0]
        return _joined([f"* contains {literal(one)}" for one in spelled], " or ") if spelled else "false"
    return _joined([f"* contains {literal(str(one))}" for one in where.values], " or ")


def _joined(parts: Sequence[str], word: str) -> str:
    needed = [one for one in dict.fromkeys(parts) if one != _ALWAYS or word == " or "]
    if not needed:
        return _ALWAYS
    return needed[0] if len(needed) == 1 else f"({word.join(needed)})"
