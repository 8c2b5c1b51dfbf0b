"""The one door by which records enter the store: HTTP bodies, webhooks, watched folders and `watchfloor run` alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from watchfloor_core.alert import DedupKey
from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConflictError
from watchfloor_core.ledger import Decision, JsonValue, record_decisions
from watchfloor_core.ports import Connector
from watchfloor_core.store.engine import Store
from watchfloor_core.store.ingest import BatchResult, ParsedBatch, ParsedRecord, PreparedBatch, prepare, write_batch
from watchfloor_core.telemetry.names import SpanAttribute, SpanName

INGEST_CHAIN: Final = "ingest"
ATTEMPTS: Final = 4
"""Writers on PostgreSQL may meet in a deadlock, of which the database ends one; a batch is safe to repeat."""


def take_in(
    store: Store, tenant: str, batch: ParsedBatch, *, within: Callable[[Connection], None] | None = None
) -> BatchResult:
    """Write a batch and the decision on it in one transaction; the same key again changes nothing.

    ``within`` runs first in that transaction, and its exception undoes all of it. Costs no work per alert beyond
    `write_batch`. Raises `NotFoundError` where the source is not registered, `UnavailableError` and, where other
    writers keep winning, `ConflictError` from the store.
    """
    started_us = now_us()
    # Before the write lock is taken: fingerprints and compression need no database.
    ready = prepare(batch)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with store.write() as connection:
                if within is not None:
                    within(connection)
                result = write_batch(connection, tenant, ready)
                if not result.was_known:
                    record_decisions(connection, tenant, [ingest_decision(_facts(ready), result, started_us)])
                return result
        except ConflictError:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("the loop returns or raises")


def batches(
    connector: Connector, records: Iterable[ParsedRecord], source_id: str, *, size: int, key_prefix: str = ""
) -> Iterator[ParsedBatch]:
    """Consecutive records as batches of ``size``.

    A batch is named by the positions that it holds, not by its number: after a change of ``size`` a source that was
    taken in half is cut anew, and what is then met twice counts as duplicates instead of being skipped.
    """
    held: list[ParsedRecord] = []
    for record in records:
        held.append(record)
        if len(held) == size:
            yield _batch(connector, held, source_id, key_prefix)
            held = []
    if held:
        yield _batch(connector, held, source_id, key_prefix)


def _batch(connector: Connector, records: list[ParsedRecord], source_id: str, key_prefix: str) -> ParsedBatch:
    return ParsedBatch(
        source_id=source_id,
        key=f"{key_prefix}{records[0].position}-{records[-1].position}",
        connector=connector.name,
        connector_version=connector.version,
        records=records,
    )


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """What the ledger holds of a batch beside its counts."""

    source_id: str
    key: str
    connector: str
    connector_version: str
    first_position: int
    raw_sha256: bytes
    rules: frozenset[DedupKey]
    """Every way in which its records were compared."""


def _facts(ready: PreparedBatch) -> BatchFacts:
    batch = ready.batch
    return BatchFacts(
        source_id=batch.source_id,
        key=batch.key,
        connector=batch.connector,
        connector_version=batch.connector_version,
        first_position=batch.records[0].position,
        raw_sha256=ready.originals.sha256,
        # The rule is part of a shape's identity, so one alert of each shape names every rule in use.
        rules=frozenset(alert.dedup for alert in ready.shapes.values()),
    )


def ingest_decision(facts: BatchFacts, result: BatchResult, started_us: int) -> Decision:
    """The decision on a batch: which of its records are alerts, which are the same, which are none."""
    rules = sorted((rule.fields, rule.window_s) for rule in facts.rules)
    body: dict[str, JsonValue] = {
        "batch": result.batch_id,
        "source": facts.source_id,
        "key": facts.key,
        "connector": {"name": facts.connector, "version": facts.connector_version},
        "first_position": facts.first_position,
        "raw_sha256": facts.raw_sha256.hex(),
        "records": result.records,
        "alerts": result.alerts,
        "duplicates": result.duplicates,
        "ignored": result.ignored,
        "dead_letters": result.dead,
        "dedup": {
            "rules": [{"fields": list(fields), "window_s": window_s} for fields, window_s in rules],
            "examples": list(result.duplicate_examples),
        },
    }
    return Decision(
        chain=INGEST_CHAIN,
        kind="ingest_batch",
        body=body,
        name=SpanName.INGEST_BATCH,
        start_us=started_us,
        end_us=now_us(),
        attributes={
            SpanAttribute.BATCH_ID: result.batch_id,
            SpanAttribute.SOURCE_ID: facts.source_id,
            SpanAttribute.CONNECTOR_NAME: facts.connector,
            SpanAttribute.CONNECTOR_VERSION: facts.connector_version,
            SpanAttribute.RECORDS: result.records,
            SpanAttribute.ALERTS: result.alerts,
            SpanAttribute.DUPLICATES: result.duplicates,
            SpanAttribute.IGNORED: result.ignored,
            SpanAttribute.DEAD_LETTERS: result.dead,
        },
    )
