"""Takes one file in, batch by batch, from where an earlier run of it stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from sqlalchemy import func, select

from watchfloor_connectors.framing import Framed, read_file
from watchfloor_connectors.parse import check_columns, parse_records
from watchfloor_connectors.raw import RawRecord
from watchfloor_connectors.registry import Registry
from watchfloor_core.ports import Connector
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.ingest import BatchResult, close_source
from watchfloor_core.store.schema import batch, source
from watchfloor_service.intake.door import batches, take_in
from watchfloor_service.runs.input_file import InputFile

PEEKED_RECORDS: Final = 100
"""Records by which a file's format is recognised."""


ConnectorChoice = Callable[[Framed], Connector]
"""Raises `ConfigurationError` where no single connector fits."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file gave, in this run and in earlier ones."""

    connector: str
    skipped: int
    """Records that an earlier run had taken in."""
    alerts: int
    """Records of this run that became an alert, duplicates included."""
    is_complete: bool
    """False where the run was told to stop."""


def read_in(
    store: Store,
    settings: Settings,
    tenant: str,
    file: InputFile,
    connector_for: ConnectorChoice,
    *,
    stop: threading.Event,
    on_batch: Callable[[BatchResult], None] = lambda _: None,
) -> Reading:
    """Read to the end and close the source, which must be registered; or read until ``stop``.

    Raises `ConfigurationError` where the file cannot be opened or no connector fits; then nothing of it was taken in.
    """
    framed = read_file(file.path, max_record_bytes=settings.max_record_bytes)
    connector = connector_for(framed)
    skipped = taken_up_to(store, tenant, file.source_id)
    if skipped and is_closed(store, tenant, file.source_id):
        return Reading(connector.name, skipped, 0, is_complete=True)
    fresh = _after(framed, skipped)
    parsed = parse_records(connector, takewhile(lambda _: not stop.is_set(), fresh))
    alerts = 0
    for one in batches(connector, parsed, file.source_id, size=settings.batch_records):
        if stop.is_set():
            # The batch that was cut short is left to the next run, so that batches have the same borders.
            return Reading(connector.name, skipped, alerts, is_complete=False)
        result = take_in(store, tenant, one)
        alerts += result.alerts + result.duplicates
        on_batch(result)
    if stop.is_set():
        return Reading(connector.name, skipped, alerts, is_complete=False)
    with store.write() as connection:
        close_source(connection, tenant, file.source_id)
    return Reading(connector.name, skipped, alerts, is_complete=True)


def taken_up_to(store: Store, tenant: str, source_id: str) -> int:
    """The last position of a source that is in the store; 0 where none is.

    A file's batches are written one after the other, so that all before it are in as well.
    """
    with store.read() as connection:
        last = connection.execute(
            select(func.max(batch.c.first_position + batch.c.records - 1)).where(
                batch.c.tenant == tenant, batch.c.source_id == source_id
            )
        ).scalar_one()
    return int(last or 0)


def is_closed(store: Store, tenant: str, source_id: str) -> bool:
    """True where the source was read to its end."""
    with store.read() as connection:
        closed_us = connection.execute(
            select(source.c.closed_us).where(source.c.tenant == tenant, source.c.id == source_id)
        ).scalar_one_or_none()
    return closed_us is not None


def connector_choice(registry: Registry, name: str | None) -> ConnectorChoice:
    """Chooses by name where one is given, else by what the first records look like.

    A mapping that reads columns which the file lacks does not fit it.
    """

    def choose(framed: Framed) -> Connector:
        found = registry.detect(framed.peek(PEEKED_RECORDS), hint=name, columns=framed.columns)
        check_columns(found, framed.columns, framed.name)
        return found

    return choose


def _after(framed: Iterable[RawRecord], position: int) -> Iterator[RawRecord]:
    """Later records; the earlier ones are framed, for there is no other way to their end, but not parsed."""
    return (raw for raw in framed if raw.position > position)
