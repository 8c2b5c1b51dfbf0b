"""A dead letter read again: by its own connector, mended meanwhile, or by another one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from watchfloor_connectors.framing import read_record
from watchfloor_connectors.parse import parse_record
from watchfloor_connectors.registry import Registry
from watchfloor_core.alert import Alert
from watchfloor_core.clock import now_us
from watchfloor_core.errors import RecordError
from watchfloor_core.ledger import record_decisions
from watchfloor_core.ports import Connector
from watchfloor_core.store.deadletters import DeadLetter, dead_letter_bytes, write_retry
from watchfloor_core.store.engine import Store
from watchfloor_service.intake.door import BatchFacts, ingest_decision


class RetryOutcome(StrEnum):
    ALERT = "alert"
    """It became a new alert."""
    DUPLICATE = "duplicate"
    """It is an alert that was known."""
    IGNORED = "ignored"
    """It is well-formed and no alert."""
    SETTLED = "settled"
    """It had been settled before; nothing was changed."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of one dead letter."""

    id: int
    outcome: RetryOutcome
    detail: str

    @property
    def is_settled(self) -> bool:
        return self.outcome is not RetryOutcome.FAILED


def retry_letter(
    store: Store,
    tenant: str,
    registry: Registry,
    letter: DeadLetter,
    *,
    max_record_bytes: int,
    connector: str | None = None,
) -> Retried:
    """Read a dead letter's bytes again, in a transaction of its own; a second retry of a settled one changes nothing.

    Raises `ConfigurationError` where ``connector`` is none, and `NotFoundError` where the letter is gone.
    """
    if not letter.is_open:
        return Retried(letter.id, RetryOutcome.SETTLED, "nothing is left to do for it")
    reader = registry.get(connector or letter.connector)
    started_us = now_us()
    with store.read() as connection:
        raw = dead_letter_bytes(connection, tenant, letter.id)
    outcome = _read(reader, raw, max_record_bytes)
    with store.write() as connection:
        result = write_retry(
            connection, tenant, letter, outcome, connector=reader.name, connector_version=reader.version
        )
        if result is not None and not result.was_known:
            facts = BatchFacts(
                source_id=letter.source_id,
                key=f"retry:{letter.id}",
                connector=reader.name,
                connector_version=reader.version,
                first_position=letter.position,
                raw_sha256=hashlib.sha256(raw).digest(),
                rules=frozenset({outcome.dedup} if isinstance(outcome, Alert) else ()),
            )
            record_decisions(connection, tenant, [ingest_decision(facts, result, started_us)])
    if result is None:
        return Retried(letter.id, RetryOutcome.FAILED, str(outcome))
    if result.was_known:
        return Retried(letter.id, RetryOutcome.SETTLED, "another retry was faster")
    if result.alerts:
        return Retried(letter.id, RetryOutcome.ALERT, f"taken in with connector {reader.name}")
    if result.duplicates:
        return Retried(letter.id, RetryOutcome.DUPLICATE, f"of alert {', '.join(result.duplicate_examples)}")
    return Retried(letter.id, RetryOutcome.IGNORED, f"connector {reader.name} finds no alert in it")


def _read(connector: Connector, raw: bytes, max_record_bytes: int) -> Alert | RecordError | None:
    try:
        return parse_record(connector, read_record(raw, max_record_bytes=max_record_bytes))
    except RecordError as error:
        return error
