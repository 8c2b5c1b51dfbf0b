"""A queue in front of an exporter that is bounded, never blocks the caller, and counts what it had to drop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

_log = logging.getLogger(__name__)

QUEUE_SPANS: Final = 16_384
"""At most so many spans wait; about 2 KB each."""
BATCH_SPANS: Final = 512
DELAY_MS: Final = 1_000
"""A span waits no longer than this for its batch to fill."""


class BoundedSpanProcessor(BatchSpanProcessor):
    """The SDK's batch processor with an account: every span is exported, waiting, or counted as dropped.

    The SDK's own queue drops the oldest span uncounted when it is full; here the newest is refused before that.
    """

    def __init__(self, exporter: SpanExporter, *, queue_spans: int = QUEUE_SPANS, delay_ms: float = DELAY_MS) -> None:
        self._lock: Final = threading.Lock()
        self._waiting = 0
        self._in_flight = 0
        self._is_given_up = False
        self._dropped = 0
        self._capacity: Final = queue_spans
        super().__init__(
            _Counted(exporter, self),
            max_queue_size=queue_spans,
            schedule_delay_millis=delay_ms,
            max_export_batch_size=min(BATCH_SPANS, queue_spans),
        )

    @property
    def dropped(self) -> int:
        """Spans that a full queue refused, that could not be delivered, or that were left when shutting down."""
        return self._dropped

    def on_end(self, span: ReadableSpan) -> None:
        """Queue an ended span, or count it as dropped."""
        with self._lock:
            is_full = self._waiting >= self._capacity
            if not is_full:
                self._waiting += 1
        if is_full:
            self.drop(1, "the queue is full")
        else:
            super().on_end(span)

    def shutdown(self, timeout_s: float = 5.0) -> None:
        """Export what waits, for at most ``timeout_s``: a collector that is down does not hold a process up."""
        # The SDK waits up to 30 s and takes no other time, so the wait is cut short from outside.
        flusher = threading.Thread(target=super().shutdown, name="watchfloor-telemetry-flush", daemon=True)
        flusher.start()
        flusher.join(timeout_s)
        if flusher.is_alive():
            # Ends the exporter's waiting between retries: what is left fails at once and is counted.
            self.span_exporter.shutdown()
            flusher.join(timeout_s)
        if flusher.is_alive():
            self._give_up()

    def _give_up(self) -> None:
        """Count what is left now: the process ends, and what the flusher may still do nobody will know."""
        with self._lock:
            left = self._waiting + self._in_flight
            self._waiting = self._in_flight = 0
            self._is_given_up = True
        if left:
            self.drop(left, "they were left at the end")

    def drop(self, spans: int, reason: str) -> None:
        """Count spans as dropped; the log tells of the first and then of each doubling, not of every one."""
        with self._lock:
            before, self._dropped = self._dropped, self._dropped + spans
        if before.bit_length() != self._dropped.bit_length():
            _log.warning("%d spans dropped so far: %s", self._dropped, reason)

    def _taken(self, spans: int) -> None:
        with self._lock:
            if not self._is_given_up:
                self._waiting -= spans
                self._in_flight += spans

    def _settled(self, spans: int, *, delivered: bool) -> None:
        with self._lock:
            if self._is_given_up:
                return  # counted already
            self._in_flight -= spans
        if not delivered:
            self.drop(spans, "they could not be delivered")


class _Counted(SpanExporter):
    """Tells the processor what has left its queue and what did not arrive."""

    def __init__(self, inner: SpanExporter, processor: BoundedSpanProcessor) -> None:
        self._inner = inner
        self._processor = processor
        self._is_shut = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._processor._taken(len(spans))
        result = SpanExportResult.FAILURE
        try:
            result = self._inner.export(spans)
        finally:
            self._processor._settled(len(spans), delivered=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        if not self._is_shut:
            self._is_shut = True
            self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)
