"""One event as a file holds it, before any mapping: what readers give, and what Sigma rules are matched against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from watchfloor_core.alert import TimePrecision
from watchfloor_core.canonical import JsonValue


@dataclass(frozen=True, slots=True)
class LogKind:
    """What sort of log an event is of, in Sigma's terms (https://sigmahq.io/sigma-specification/)."""

    product: str
    """``windows``, ``zeek``, ``linux``, ``aws``, ``suricata`` …"""
    service: str | None = None
    """``security``, ``sysmon``, ``powershell``, ``cloudtrail``, ``conn``, ``auth`` …"""
    category: str | None = None
    """``process_creation``, ``network_connection``, ``dns_query`` … where the event itself tells."""


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One record of a log."""

    kind: LogKind
    time_us: int
    """Microseconds since the Unix epoch, UTC."""
    precision: TimePrecision
    host: str | None
    """The machine that the log is of, as the record names it."""
    original: Mapping[str, JsonValue]
    """The record, nested as it came; for Windows ``{System, EventData|UserData}`` flattened by one level is what Sigma
    rules name: `native_fields` of the reader's module gives that form."""
    position: int
    """1-based number of the record in its file."""
