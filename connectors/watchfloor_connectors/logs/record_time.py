"""The time of a JSON record, wherever its writer keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Final

from watchfloor_connectors.times import Moment, parse_iso, parse_time
from watchfloor_core.canonical import JsonValue
from watchfloor_core.errors import RecordError

QUARTER_US: Final = 900 * 1_000_000
"""Offsets from UTC are whole quarters of an hour."""
_KEYS: Final = ("@timestamp", "UtcTime", "timestamp", "eventTime", "EventTime", "time", "ts", "TimeCreated",
                "TimeGenerated", "_time", "published", "createdDateTime", "datetime", "date")  # fmt: skip
_LOCAL: Final = frozenset({"TimeCreated", "EventTime"})
"""Of flat Windows records: the collecting machine's clock, without its zone."""


def record_time(record: Mapping[str, JsonValue], *, local_offset_us: int = 0) -> Moment:
    """Microseconds UTC and the precision given. A time without a zone counts as UTC, or as ``local_offset_us`` after it
    where it is of the collecting machine's clock. Raises `RecordError` where there is none."""
    system = record.get("Event")
    if isinstance(system, Mapping):
        return _of_evtx(system)
    for key in _KEYS:
        value = record.get(key)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool) and value != "":
            time_us, precision = parse_time(value, UTC)
            is_local = key in _LOCAL and isinstance(value, str) and not value.endswith("Z") and "+" not in value
            return (time_us - local_offset_us if is_local else time_us), precision
    event = record.get("event")
    created = event.get("created") if isinstance(event, Mapping) else None
    if isinstance(created, str):
        return parse_iso(created, UTC)
    raise RecordError("has no time in any field that is known to hold one, e.g. '@timestamp'")


def local_offset(record: Mapping[str, JsonValue]) -> int | None:
    """By how many microseconds the collecting machine's clock is ahead of UTC; None where a record does not tell.

    Sysmon's ``UtcTime`` beside ``TimeCreated`` tells it, and holds for the records of the same file that have no other.
    """
    utc = record.get("UtcTime")
    local = record.get("TimeCreated") or record.get("EventTime")
    if not isinstance(utc, str) or not isinstance(local, str):
        return None
    try:
        difference = parse_iso(local, UTC)[0] - parse_iso(utc, UTC)[0]
    except RecordError:
        return None
    offset = round(difference / QUARTER_US) * QUARTER_US
    # Twice the largest offset there is: some exporters take the zone off a time that has none any more.
    is_plausible = abs(difference - offset) < QUARTER_US // 3 and abs(offset) <= 2 * 56 * QUARTER_US
    return offset if is_plausible else None


def _of_evtx(event: Mapping[str, JsonValue]) -> Moment:
    system = event.get("System")
    created = system.get("TimeCreated") if isinstance(system, Mapping) else None
    attributes = created.get("#attributes") if isinstance(created, Mapping) else None
    value = attributes.get("SystemTime") if isinstance(attributes, Mapping) else None
    if not isinstance(value, str):
        raise RecordError("has no System.TimeCreated")
    return parse_iso(value, UTC)
