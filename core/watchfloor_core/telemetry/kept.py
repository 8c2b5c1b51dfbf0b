"""Operational spans, kept in the store beside those of decisions: traces without any other software."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode, format_span_id, format_trace_id
from sqlalchemy import insert

from watchfloor_core.errors import WatchfloorError
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import span as span_table
from watchfloor_core.telemetry.content import MAX_NAME, safe_attributes, safe_text
from watchfloor_core.telemetry.names import SpanAttribute

_log = logging.getLogger(__name__)

_STATUS: Final = {StatusCode.UNSET: "unset", StatusCode.OK: "ok", StatusCode.ERROR: "error"}


class StoreSpanExporter(SpanExporter):
    """Writes spans to table ``span``. Runs on the queue's thread; waits there for the store's lock like any writer."""

    def __init__(self, store: Store, tenant: str) -> None:
        self._store: Final = store
        self._tenant: Final = tenant
        """Of spans that name no tenant: work that is not for one tenant alone."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        rows = [self._row(span) for span in spans]
        try:
            with self._store.write() as connection:
                connection.execute(insert(span_table), rows)
        except WatchfloorError as error:
            _log.warning("%d spans could not be kept: %s", len(rows), error)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """The store is its owner's to close."""

    def _row(self, span: ReadableSpan) -> dict[str, object]:
        context = span.get_span_context()
        attributes, _ = safe_attributes(span.attributes or {})
        tenant = attributes.pop(SpanAttribute.TENANT, self._tenant)
        return {
            "tenant": tenant,
            "trace_id": format_trace_id(context.trace_id if context else 0),
            "span_id": format_span_id(context.span_id if context else 0),
            "parent_id": format_span_id(span.parent.span_id) if span.parent else None,
            "name": safe_text(span.name, MAX_NAME),
            "incident_id": attributes.get(SpanAttribute.INCIDENT_ID),
            "start_us": (span.start_time or 0) // 1_000,
            "end_us": (span.end_time or 0) // 1_000,
            "status": _STATUS[span.status.status_code],
            "attributes": attributes,
        }
