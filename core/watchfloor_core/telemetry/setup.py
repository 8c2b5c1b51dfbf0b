"""Switching telemetry on for one process: spans into the store, and to a collector where one is configured."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from types import TracebackType
from typing import Final, Self

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.telemetry import current
from watchfloor_core.telemetry.content import MAX_TEXT, SafeSpanExporter
from watchfloor_core.telemetry.decisions import SCOPE, DecisionSpan
from watchfloor_core.telemetry.kept import StoreSpanExporter
from watchfloor_core.telemetry.queue import BoundedSpanProcessor

OTLP_TIMEOUT_S: Final = 5.0
"""One batch is tried for so long, retries included; then it is dropped and counted."""
OTLP_PATH: Final = "/v1/traces"


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The tracing of one process. A context manager: leaving it flushes and switches off."""

    provider: TracerProvider
    """For libraries that trace themselves; their spans pass the same allow-list."""
    kept: BoundedSpanProcessor
    exported: BoundedSpanProcessor | None
    """None where no collector is configured."""

    @property
    def dropped(self) -> int:
        """Spans lost so far, to the store or to the collector. Decisions in the store are never among them."""
        return self.kept.dropped + (self.exported.dropped if self.exported else 0)

    def flush(self) -> None:
        """Wait until what has ended so far is written and sent. Not inside `Store.write`: it is a writer itself."""
        self.kept.force_flush()
        if self.exported:
            self.exported.force_flush()

    def shutdown(self, timeout_s: float = 5.0) -> None:
        """Flush and switch off, in at most ``timeout_s`` for each destination. The store stays open."""
        current.put(current.OFF)
        self.kept.shutdown(timeout_s)
        if self.exported:
            self.exported.shutdown(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.shutdown()


def configure_telemetry(settings: Settings, store: Store, service_name: str) -> Telemetry:
    """Trace this process: operational spans into ``store``, and with decisions to ``settings.otlp_endpoint``, if set.

    ``service_name`` names the process, e.g. ``watchfloor-worker``. Headers, certificates and compression for the
    collector are given by OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_HEADERS`` and so on), which the exporter
    reads. A collector that is down or slow costs spans at the collector, never a decision and never time.
    """
    resource = Resource.create(
        {
            "service.name": service_name,
            "service.namespace": "watchfloor",
            "service.version": version("watchfloor"),
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        }
    )
    provider = TracerProvider(
        sampler=ALWAYS_ON,
        resource=resource,
        shutdown_on_exit=False,
        span_limits=SpanLimits(max_attribute_length=MAX_TEXT),
    )
    kept = BoundedSpanProcessor(StoreSpanExporter(store, settings.tenant))
    provider.add_span_processor(kept)
    exported = _otlp_processor(settings.otlp_endpoint)
    if exported is not None:
        provider.add_span_processor(exported)
    tracer = provider.get_tracer(SCOPE.name)
    current.put(current.Current(tracer, _exporting(exported, resource) if exported else None))
    return Telemetry(provider, kept, exported)


def _exporting(processor: BoundedSpanProcessor, resource: Resource) -> Callable[[Sequence[DecisionSpan]], None]:
    def export(spans: Sequence[DecisionSpan]) -> None:
        for span in spans:
            processor.on_end(span.to_readable(resource))

    return export


def _otlp_processor(endpoint: str | None) -> BoundedSpanProcessor | None:
    if endpoint is None:
        return None
    # Loaded only where it is used: it takes longer than the rest of telemetry, and every command would pay for it.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    url = endpoint.rstrip("/") + OTLP_PATH
    return BoundedSpanProcessor(SafeSpanExporter(OTLPSpanExporter(endpoint=url, timeout=OTLP_TIMEOUT_S)))
