"""The spans of decisions: kept in the store with the ledger entry, exported once the transaction is durable.

They do not pass through a tracer: their ids are the ledger's, and a collector must never show a decision that was
rolled back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from sqlalchemy import Connection

from watchfloor_core.store.bulk import Row, insert_rows
from watchfloor_core.store.engine import after_commit, dumps
from watchfloor_core.store.schema import span as span_table
from watchfloor_core.telemetry import current
from watchfloor_core.telemetry.content import MAX_NAME, AttributeValue, bounded, safe_attributes, safe_text
from watchfloor_core.telemetry.names import SpanAttribute

SCOPE: Final = InstrumentationScope("watchfloor")
_INCIDENT_CHAIN: Final = "inc-"


@dataclass(frozen=True, slots=True)
class DecisionSpan:
    """The span of one ledger entry."""

    tenant: str
    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    chain: str
    kind: str
    seq: int
    start_us: int
    end_us: int
    attributes: Mapping[str, AttributeValue]

    @property
    def incident_id(self) -> str | None:
        """The chain, where that is an incident's."""
        return self.chain if self.chain.startswith(_INCIDENT_CHAIN) else None

    def all_attributes(self) -> dict[str, AttributeValue]:
        """The attributes given, and where the decision stands in the ledger."""
        place: dict[str, AttributeValue] = {
            SpanAttribute.TENANT: self.tenant,
            SpanAttribute.DECISION_KIND: self.kind,
            SpanAttribute.LEDGER_CHAIN: self.chain,
            SpanAttribute.LEDGER_SEQ: self.seq,
        }
        if self.incident_id is not None:
            place[SpanAttribute.INCIDENT_ID] = self.incident_id
        return {**self.attributes, **place}

    def to_row(self) -> Row:
        """The columns of table ``span`` but the tenant's; what the ledger entry says already is not said again."""
        return (
            self.trace_id,
            self.span_id,
            self.parent_id,
            safe_text(self.name, MAX_NAME),
            self.incident_id,
            self.start_us,
            self.end_us,
            "ok",
            dumps(safe_attributes(self.attributes)[0]),
        )

    def to_readable(self, resource: Resource) -> ReadableSpan:
        """The span as the SDK's exporters take it."""
        return ReadableSpan(
            name=safe_text(self.name, MAX_NAME),
            context=_context(self.trace_id, self.span_id),
            parent=_context(self.trace_id, self.parent_id) if self.parent_id else None,
            resource=resource,
            attributes=bounded(self.all_attributes()),
            kind=SpanKind.INTERNAL,
            status=Status(StatusCode.OK),
            start_time=max(self.start_us, 0) * 1_000,
            end_time=max(self.end_us, 0) * 1_000,
            instrumentation_scope=SCOPE,
        )


def write_decision_spans(connection: Connection, tenant: str, spans: Sequence[DecisionSpan]) -> None:
    """Insert the spans, all of one tenant, and hand them to the OTLP exporter, where there is one, after the commit."""
    insert_rows(connection, span_table, tenant, [span.to_row() for span in spans])
    telemetry = current.get()
    if telemetry.export_decisions is not None:
        export = telemetry.export_decisions
        after_commit(connection, lambda: export(spans))


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
