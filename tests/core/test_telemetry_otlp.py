"""Decisions at a collector: real OTLP over HTTP, after commit, with the ledger's ids, and never in the way."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from watchfloor_core.ledger import Decision, record_decisions, trace_id
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.telemetry import SpanAttribute, SpanName, Telemetry, configure_telemetry, span

TENANT = "acme"
INCIDENT = "inc-0123456789abcdef"


class Collector(ThreadingHTTPServer):
    """Receives OTLP/HTTP on a port of its own and keeps what it decodes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receive)
        self.requests: list[tuple[str, ExportTraceServiceRequest]] = []
        self.bodies: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def spans(self) -> dict[str, Span]:
        return {
            span.span_id.hex(): span
            for _, request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }


class _Receive(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(body)
        self.server.requests.append((self.path, ExportTraceServiceRequest.FromString(body)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def tracing(store: Store, endpoint: str) -> Iterator[Telemetry]:
    telemetry = configure_telemetry(Settings(otlp_endpoint=endpoint), store, "watchfloor-worker")
    try:
        yield telemetry
    finally:
        telemetry.shutdown(0.2)


def decisions(count: int = 1) -> list[Decision]:
    first = Decision(
        INCIDENT,
        "verdict",
        {"text": "attacker wrote this"},
        SpanName.VERDICT,
        1_700_000_000_000_001,
        1_700_000_000_000_042,
        attributes={SpanAttribute.VERDICT: "TruePositive", SpanAttribute.PROBABILITY: 0.97, "url.full": "attacker"},
    )
    later = [
        Decision(INCIDENT, "ruling", {}, SpanName.RULING, 1_700_000_000_000_050, 1_700_000_000_000_060, first.id)
        for _ in range(count - 1)
    ]
    return [first, *later]


def values(attributes: list[KeyValue]) -> dict[str, object]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value") or "") for item in attributes}


def test_a_committed_decision_reaches_the_collector_with_its_ledger_ids(store: Store, collector: Collector) -> None:
    with tracing(store, collector.url + "/") as telemetry:
        with store.write() as connection:
            verdict_id, ruling_id = record_decisions(connection, TENANT, decisions(2))
        telemetry.flush()
    assert {path for path, _ in collector.requests} == {"/v1/traces"}
    assert set(collector.spans) == {verdict_id, ruling_id}
    verdict, ruling = collector.spans[verdict_id], collector.spans[ruling_id]
    assert verdict.trace_id.hex() == ruling.trace_id.hex() == trace_id(TENANT, INCIDENT)
    assert (verdict.parent_span_id, ruling.parent_span_id.hex()) == (b"", verdict_id)
    assert verdict.name == "watchfloor.verdict"
    assert (verdict.start_time_unix_nano, verdict.end_time_unix_nano) == (
        1_700_000_000_000_001_000,
        1_700_000_000_000_042_000,
    )
    assert values(list(verdict.attributes)) == {
        "watchfloor.verdict": "TruePositive",
        "watchfloor.probability": 0.97,
        "watchfloor.tenant": TENANT,
        "watchfloor.incident.id": INCIDENT,
        "watchfloor.ledger.chain": INCIDENT,
        "watchfloor.ledger.seq": 1,
        "watchfloor.decision.kind": "verdict",
    }
    assert verdict.dropped_attributes_count == 1
    resource = values(list(collector.requests[0][1].resource_spans[0].resource.attributes))
    assert (resource["service.name"], resource["service.namespace"]) == ("watchfloor-worker", "watchfloor")


def assess_hostile_text() -> None:
    """An operation that does everything wrong with what it reads."""
    with span(SpanName.ASSESS, {"url.full": "attacker"}) as started:
        started.set_attribute("url.query", "attacker")
        started.add_event("read", {"text": "attacker"})
        raise ValueError("attacker wrote this")


def test_what_an_attacker_wrote_does_not_leave(store: Store, collector: Collector) -> None:
    with tracing(store, collector.url) as telemetry:
        with store.write() as connection:
            record_decisions(connection, TENANT, decisions())
        with pytest.raises(ValueError, match="attacker"):
            assess_hostile_text()
        telemetry.flush()
    assert len(collector.spans) == 2
    assert b"attacker" not in b"".join(collector.bodies)


def test_a_decision_that_is_rolled_back_is_never_exported(store: Store, collector: Collector) -> None:
    with tracing(store, collector.url) as telemetry:
        with pytest.raises(ZeroDivisionError), store.write() as connection:  # noqa: PT012  the transaction as a whole
            record_decisions(connection, TENANT, decisions())
            _ = 1 / 0
        with store.write() as connection:
            (kept,) = record_decisions(connection, TENANT, decisions())
        telemetry.flush()
    assert set(collector.spans) == {kept}


def test_nothing_is_exported_before_the_commit(store: Store, collector: Collector) -> None:
    with tracing(store, collector.url) as telemetry, store.write() as connection:
        record_decisions(connection, TENANT, decisions())
        assert telemetry.exported is not None
        telemetry.exported.force_flush()
        assert collector.requests == []


def test_an_operation_reaches_the_collector_too(store: Store, collector: Collector) -> None:
    with tracing(store, collector.url) as telemetry:
        with span(SpanName.ADVANCE, {SpanAttribute.TICKS: 3}):
            pass
        telemetry.flush()
    (exported,) = collector.spans.values()
    assert (exported.name, values(list(exported.attributes))) == ("watchfloor.advance", {"watchfloor.ticks": 3})


def test_without_an_endpoint_nothing_is_exported(store: Store) -> None:
    with configure_telemetry(Settings(), store, "watchfloor-worker") as telemetry:
        with store.write() as connection:
            record_decisions(connection, TENANT, decisions())
        assert telemetry.exported is None
    assert telemetry.dropped == 0


@contextmanager
def nothing_listening() -> Iterator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def hanging() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("collector_that", [nothing_listening, hanging], ids=["is_down", "hangs"])
def test_a_collector_that_fails_neither_blocks_nor_fails_a_decision(store: Store, collector_that: type) -> None:
    with collector_that() as endpoint:
        telemetry = configure_telemetry(Settings(otlp_endpoint=endpoint), store, "watchfloor-worker")
        began = time.monotonic()
        for _ in range(5):
            with store.write() as connection:
                assert len(record_decisions(connection, TENANT, decisions(200))) == 200
        recorded = time.monotonic()
        telemetry.shutdown(0.3)
        ended = time.monotonic()
    # The exporter alone would wait five seconds.
    assert recorded - began < 4
    assert ended - recorded < 4


def test_decisions_that_a_collector_misses_are_counted(store: Store) -> None:
    with nothing_listening() as endpoint:
        telemetry = configure_telemetry(Settings(otlp_endpoint=endpoint), store, "watchfloor-worker")
        with store.write() as connection:
            record_decisions(connection, TENANT, decisions(700))
        telemetry.shutdown(0.3)
    assert telemetry.dropped == 700


def test_spans_left_when_time_runs_out_are_counted_once(sqlite_store: Store) -> None:
    """With no time at all to shut down, whatever the flusher had got to."""
    with nothing_listening() as endpoint:
        telemetry = configure_telemetry(Settings(otlp_endpoint=endpoint), sqlite_store, "watchfloor-worker")
        with sqlite_store.write() as connection:
            record_decisions(connection, TENANT, decisions(700))
        telemetry.shutdown(0)
    assert telemetry.dropped == 700
