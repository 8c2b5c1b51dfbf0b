"""Traces and logs: kept in the store, exported by OTLP where configured, free of attacker-written text."""

from watchfloor_core.telemetry.names import Operation, SpanAttribute, SpanEvent, SpanName
from watchfloor_core.telemetry.setup import Telemetry, configure_telemetry
from watchfloor_core.telemetry.spans import span

__all__ = ["Operation", "SpanAttribute", "SpanEvent", "SpanName", "Telemetry", "configure_telemetry", "span"]
