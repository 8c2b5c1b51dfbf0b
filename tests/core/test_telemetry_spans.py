"""Operational spans: kept in the store, queued without ever blocking, counted where they are lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags, get_current_span
from sqlalchemy import select

from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.schema import span as span_table
from watchfloor_core.telemetry import SpanAttribute, SpanName, Telemetry, configure_telemetry, span
from watchfloor_core.telemetry.queue import BoundedSpanProcessor


@pytest.fixture
def telemetry(store: Store) -> Iterator[Telemetry]:
    with configure_telemetry(Settings(tenant="acme"), store, "watchfloor-test") as telemetry:
        yield telemetry


def test_an_operation_is_kept_in_the_store(store: Store, telemetry: Telemetry) -> None:
    with span(SpanName.REQUEST, {SpanAttribute.HTTP_ROUTE: "/v1/alerts", "url.query": "secret"}) as outer:
        with span(SpanName.ASSESS, {SpanAttribute.INCIDENT_ID: "inc-1", SpanAttribute.TENANT: "globex"}):
            pass
        outer.set_attribute(SpanAttribute.HTTP_RESPONSE_STATUS_CODE.value, 202)
    telemetry.flush()
    with store.read() as connection:
        rows = {row.name: row for row in connection.execute(select(span_table))}
    request, assess = rows["watchfloor.request"], rows["watchfloor.assess"]
    assert request.attributes == {"http.route": "/v1/alerts", "http.response.status_code": 202}
    assert (request.tenant, request.parent_id, request.incident_id, request.status) == ("acme", None, None, "unset")
    assert (assess.tenant, assess.parent_id, assess.incident_id) == ("globex", request.span_id, "inc-1")
    assert assess.trace_id == request.trace_id
    assert request.start_us <= assess.start_us <= assess.end_us <= request.end_us


def test_a_failed_operation_says_what_failed_but_not_what_was_read(store: Store, telemetry: Telemetry) -> None:
    with pytest.raises(ValueError, match="attacker"), span(SpanName.ASSESS):
        raise ValueError("attacker wrote this")
    telemetry.flush()
    with store.read() as connection:
        row = connection.execute(select(span_table)).one()
    assert row.status == "error"
    assert row.attributes == {"error.type": "ValueError"}


def test_without_configuration_spans_cost_nothing_and_go_nowhere(store: Store) -> None:
    with span(SpanName.ASSESS, {SpanAttribute.INCIDENT_ID: "inc-1"}) as started:
        assert not started.is_recording()
    with store.read() as connection:
        assert connection.execute(select(span_table)).all() == []


def test_after_shutdown_spans_go_nowhere(store: Store) -> None:
    with configure_telemetry(Settings(), store, "watchfloor-test"), span(SpanName.ASSESS):
        assert get_current_span().is_recording()
    with span(SpanName.ASSESS):
        assert not get_current_span().is_recording()
    with store.read() as connection:
        assert len(connection.execute(select(span_table)).all()) == 1


def test_a_store_that_cannot_be_written_loses_spans_and_nothing_else(sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    telemetry = configure_telemetry(Settings(), store, "watchfloor-test")
    with store.write() as connection:
        span_table.drop(connection)
    with span(SpanName.ASSESS):
        pass
    telemetry.shutdown()
    assert telemetry.dropped == 1
    store.close()


class Gate(SpanExporter):
    """Takes spans only while it is open."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.spans = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        self.open.wait()
        self.spans += len(spans)
        return SpanExportResult.SUCCESS


def ended(number: int) -> ReadableSpan:
    sampled = TraceFlags(TraceFlags.SAMPLED)
    return ReadableSpan("test", SpanContext(1, number, is_remote=False, trace_flags=sampled), start_time=0, end_time=1)


def test_a_full_queue_drops_and_counts_but_does_not_block() -> None:
    gate = Gate()
    processor = BoundedSpanProcessor(gate, queue_spans=10, delay_ms=60_000)
    for number in range(1, 11):
        processor.on_end(ended(number))
    assert gate.entered.wait(10)
    # Ten are with the exporter, which hangs; ten more fill the queue; the rest is refused.
    for number in range(11, 26):
        processor.on_end(ended(number))
    assert processor.dropped == 5
    gate.open.set()
    processor.shutdown()
    assert (gate.spans, processor.dropped) == (20, 5)


def test_an_exporter_that_fails_is_counted() -> None:
    class Failing(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            return SpanExportResult.FAILURE

    processor = BoundedSpanProcessor(Failing())
    processor.on_end(ended(1))
    processor.on_end(ended(2))
    processor.shutdown()
    assert processor.dropped == 2
