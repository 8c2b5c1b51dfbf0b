"""What this process traces with: nothing, until `watchfloor_core.telemetry.setup` says otherwise.

OpenTelemetry's own global provider can be set only once and is anyone's to set; ours belongs to Watchfloor, so that a
library that sets the global one neither gets nor loses our spans.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry.trace import NoOpTracer, Tracer

if TYPE_CHECKING:
    from watchfloor_core.telemetry.decisions import DecisionSpan


@dataclass(frozen=True, slots=True)
class Current:
    """Where spans of this process go."""

    tracer: Tracer
    export_decisions: Callable[[Sequence[DecisionSpan]], None] | None
    """Queues committed decisions for OTLP; never blocks. None where no collector is configured."""


OFF = Current(NoOpTracer(), None)
_current = OFF


def get() -> Current:
    return _current


def put(current: Current) -> None:
    global _current
    _current = current
