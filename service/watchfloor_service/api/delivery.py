"""One body of records, however it came over HTTP, into the store: unpacked, framed, parsed, written in batches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from sqlalchemy import Connection, select

from watchfloor_connectors.framing import Format, Framed, read_bytes
from watchfloor_connectors.parse import parse_records
from watchfloor_connectors.registry import Registry
from watchfloor_core.errors import ConfigurationError, RecordError
from watchfloor_core.identity import digest16
from watchfloor_core.ports import Connector
from watchfloor_core.settings import Settings
from watchfloor_core.store import schema
from watchfloor_core.store.engine import Store
from watchfloor_core.store.ingest import ParsedBatch, ParsedRecord, register_source
from watchfloor_service.api.bodies import decompress
from watchfloor_service.api.problems import ProblemError, ProblemKind
from watchfloor_service.intake.door import batches, take_in

DETECT: Final = 100
"""So many of the first records are looked at to tell the format."""
EXAMPLES: Final = 5
MAX_REASON: Final = 500
MEDIA_TYPES: Final = {
    "application/x-ndjson": Format.NDJSON,
    "application/ndjson": Format.NDJSON,
    "application/jsonl": Format.NDJSON,
    "application/json": Format.JSON,
    "text/csv": Format.CSV,
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """A body and what came with it."""

    tenant: str
    source_id: str
    source_name: str
    body: bytes
    encoding: str
    layout: Format
    connector: str | None
    """None: told from the records."""
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetterExample:
    position: int
    """1-based number of the record in the body."""
    path: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a body. ``records`` is the sum of the four counts behind it."""

    known: bool
    """All of it had been taken in before; nothing was changed."""
    connector: str
    records: int
    alerts: int
    """New ones."""
    duplicates: int
    ignored: int
    """Well-formed records that are no alerts."""
    dead_letters: int
    batches: list[int]
    dead_letter_examples: list[DeadLetterExample]
    """The first few."""


class Deliveries:
    """Takes bodies in. Thread-safe; each call works on its own."""

    def __init__(self, store: Store, registry: Registry, settings: Settings) -> None:
        self._store = store
        self._registry = registry
        self._settings = settings
        self._registered: set[tuple[str, str]] = set()
        """Sources that are known to be in the store: as many as there are tokens' principals and webhooks."""

    def accept(self, delivery: Delivery, *, within: Callable[[Connection], None] | None = None) -> Receipt:
        """Take one body in, a transaction for each `Settings.batch_records` records.

        With ``within`` all of it is one batch, and ``within`` runs first in its transaction. Raises a 400 problem
        where nothing can be read, 413 where it unpacks to too much, 422 where no connector fits.
        """
        framed = self._frame(delivery)
        connector = self._connector(delivery, framed)
        body_digest = digest16("body", hashlib.sha256(delivery.body).hexdigest(), connector.name).hex()
        prefix = f"{body_digest}."
        if delivery.idempotency_key is not None:
            key_digest = digest16("key", delivery.idempotency_key).hex()
            self._refuse_other_body(delivery, key_digest, body_digest)
            prefix = f"{key_digest}.{body_digest}."
        self._register(delivery)
        size = self._settings.batch_records if within is None else 2**31
        try:
            parsed = parse_records(connector, framed)
        except ConfigurationError as error:
            # A mapping reads columns that this CSV lacks.
            raise self._no_connector(error) from None
        return self._write(
            delivery.tenant, batches(connector, parsed, delivery.source_id, size=size, key_prefix=prefix), within
        )

    def _register(self, delivery: Delivery) -> None:
        source = (delivery.tenant, delivery.source_id)
        if source in self._registered:
            return
        with self._store.write() as connection:
            register_source(connection, *source, delivery.source_name, is_bounded=False)
        self._registered.add(source)

    def _frame(self, delivery: Delivery) -> Framed:
        limit = self._settings.max_request_bytes
        data = decompress(delivery.body, delivery.encoding, limit)
        try:
            framed = read_bytes(
                data, max_record_bytes=self._settings.max_record_bytes, layout=delivery.layout, max_bytes=limit
            )
        except ConfigurationError as error:
            raise ProblemError(ProblemKind.MALFORMED_BODY, str(error)) from None
        if not framed.peek(DETECT):
            raise ProblemError(ProblemKind.MALFORMED_BODY, _why_nothing(framed))
        return framed

    def _connector(self, delivery: Delivery, framed: Framed) -> Connector:
        try:
            if delivery.connector is not None:
                return self._registry.get(delivery.connector)
            return self._registry.detect(framed.peek(DETECT), columns=framed.columns)
        except ConfigurationError as error:
            raise self._no_connector(error) from None

    def _no_connector(self, error: ConfigurationError) -> ProblemError:
        return ProblemError(
            ProblemKind.UNKNOWN_CONNECTOR,
            f"{error}; over HTTP the connector is named by the query parameter `connector`",
            extensions={"connectors": list(self._registry.names())},
        )

    def _refuse_other_body(self, delivery: Delivery, key_digest: str, body_digest: str) -> None:
        """A key that came with another body before is the sender's mistake; to answer "known" would lose alerts."""
        table = schema.batch
        with self._store.read() as connection:
            other = connection.execute(
                select(table.c.key)
                .where(
                    table.c.tenant == delivery.tenant,
                    table.c.source_id == delivery.source_id,
                    # Only hex digits are compared here, which every collation puts in the same order.
                    table.c.key >= key_digest,
                    table.c.key < f"{key_digest}g",
                    ~table.c.key.startswith(f"{key_digest}.{body_digest}."),
                )
                .limit(1)
            ).first()
        if other is not None:
            raise ProblemError(
                ProblemKind.IDEMPOTENCY_KEY_REUSED,
                "this Idempotency-Key came with another body before; nothing was taken in, send it with its own key",
            )

    def _write(
        self, tenant: str, pieces: Iterator[ParsedBatch], within: Callable[[Connection], None] | None
    ) -> Receipt:
        examples: list[DeadLetterExample] = []
        results = []
        connector = ""
        for piece in pieces:
            connector = piece.connector
            results.append(take_in(self._store, tenant, piece, within=within))
            if results[-1].dead and len(examples) < EXAMPLES:
                examples += _dead_letters(piece.records, EXAMPLES - len(examples))
        return Receipt(
            known=all(result.was_known for result in results),
            connector=connector,
            records=sum(result.records for result in results),
            alerts=sum(result.alerts for result in results),
            duplicates=sum(result.duplicates for result in results),
            ignored=sum(result.ignored for result in results),
            dead_letters=sum(result.dead for result in results),
            batches=[result.batch_id for result in results],
            dead_letter_examples=examples,
        )


def _dead_letters(records: Sequence[ParsedRecord], limit: int) -> list[DeadLetterExample]:
    dead = ((record.position, record.outcome) for record in records if isinstance(record.outcome, RecordError))
    return [
        DeadLetterExample(position, error.path, error.reason[:MAX_REASON]) for position, error in islice(dead, limit)
    ]


def _why_nothing(framed: Framed) -> str:
    reasons = [
        f"record {raw.position}: {raw.record.reason[:MAX_REASON]}"
        for raw in islice(framed, EXAMPLES)
        if isinstance(raw.record, RecordError)
    ]
    return f"no record could be read; {'; '.join(reasons)}" if reasons else "the body holds no records"
