"""Spans of operations: how long something took and whether it failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry.trace import Span, Status, StatusCode

from watchfloor_core.telemetry import current
from watchfloor_core.telemetry.content import AttributeValue, safe_attributes
from watchfloor_core.telemetry.names import SpanAttribute


@contextmanager
def span(name: str, attributes: Mapping[str, AttributeValue] | None = None) -> Iterator[Span]:
    """Trace the block as one span, child of the span around it.

    An exception marks the span with its class alone and passes on: messages may quote what an attacker wrote. What is
    set on the yielded span later goes through the same allow-list on its way out.
    """
    tracer = current.get().tracer
    with tracer.start_as_current_span(
        name,
        attributes=safe_attributes(attributes or {})[0],
        record_exception=False,
        set_status_on_exception=False,
    ) as started:
        try:
            yield started
        except BaseException as error:
            started.set_attribute(SpanAttribute.ERROR_TYPE.value, type(error).__qualname__)
            started.set_status(Status(StatusCode.ERROR))
            raise
