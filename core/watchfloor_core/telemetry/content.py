"""What may stand in a span: listed attributes only, cut to size, with nothing invisible in them.

A collector is another trust zone and its dashboards show what they get. So the allow-list of
`watchfloor_core.telemetry.names` holds for every span on its way out, also for those of libraries that trace
themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Status

from watchfloor_core.telemetry.names import SpanAttribute, SpanEvent
from watchfloor_core.untrusted import escape_untrusted

Scalar: TypeAlias = "str | bool | int | float"
AttributeValue: TypeAlias = "Scalar | Sequence[str] | Sequence[int] | Sequence[float]"

MAX_TEXT: Final = 256
"""Characters of an attribute's text."""
MAX_ITEMS: Final = 32
"""Items of an attribute that is a list."""
MAX_NAME: Final = 96
"""Characters of a span's name."""

_LISTED: Final[Mapping[str, str]] = {name.value: name.value for name in SpanAttribute}
_EVENTS: Final = frozenset(event.value for event in SpanEvent)
_INT64_MAX: Final = 2**63 - 1


def safe_attributes(attributes: Mapping[str, object]) -> tuple[dict[str, Scalar | list[Scalar]], int]:
    """The listed attributes with their values made safe, and how many were withheld.

    Withheld is what is not listed, and what OpenTelemetry or JSON cannot carry (NaN, bytes, objects).
    """
    safe: dict[str, Scalar | list[Scalar]] = {}
    for name, value in attributes.items():
        listed = _LISTED.get(name)
        kept = None if listed is None else _safe_value(value)
        if listed is not None and kept is not None:
            safe[listed] = kept
    return safe, len(attributes) - len(safe)


def safe_text(text: str, limit: int = MAX_TEXT) -> str:
    """The text with invisible characters shown, cut to ``limit`` characters, an ellipsis last where it was cut."""
    shown = escape_untrusted(text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def bounded(attributes: Mapping[str, object] | None, dropped: int = 0) -> BoundedAttributes:
    """`safe_attributes` as the SDK's type, which tells a collector how many were dropped, here and before."""
    safe, withheld = safe_attributes(attributes or {})
    result = BoundedAttributes(attributes=safe, immutable=False)
    result.dropped = dropped + withheld
    return result


def safe_span(span: ReadableSpan) -> ReadableSpan:
    """The span without anything that is not listed: attributes, events, links' attributes, the status' description."""
    return ReadableSpan(
        name=safe_text(span.name, MAX_NAME),
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource,
        attributes=bounded(span.attributes, span.dropped_attributes),
        events=[
            Event(event.name, bounded(event.attributes), event.timestamp)
            for event in span.events
            if event.name in _EVENTS
        ],
        links=[Link(link.context, bounded(link.attributes)) for link in span.links],
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


class SafeSpanExporter(SpanExporter):
    """Hands each span on as `safe_span` has it."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner: Final = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._inner.export([safe_span(span) for span in spans])

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


def _safe_value(value: object) -> Scalar | list[Scalar] | None:
    if isinstance(value, (list, tuple)):
        items = [_safe_scalar(item) for item in value[:MAX_ITEMS]]
        kept = [item for item in items if item is not None]
        return kept if len({type(item) for item in kept}) <= 1 else [str(item) for item in kept]
    return _safe_scalar(value)


def _safe_scalar(value: object) -> Scalar | None:
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -_INT64_MAX <= value <= _INT64_MAX else str(int(value))
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    return None
