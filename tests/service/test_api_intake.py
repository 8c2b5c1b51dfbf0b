"""The one door into the store: a batch and the decision on it, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, func, select

from watchfloor_connectors.framing import Format, read_bytes
from watchfloor_connectors.parse import parse_records
from watchfloor_connectors.suricata import Suricata
from watchfloor_core.errors import ConflictError, NotFoundError
from watchfloor_core.ledger import verify_store
from watchfloor_core.store import schema
from watchfloor_core.store.engine import Store
from watchfloor_core.store.ingest import ParsedBatch, ParsedRecord, register_source
from watchfloor_service.intake.door import ATTEMPTS, batches, take_in
from watchfloor_service.testing import eve_lines


def records(count: int) -> Iterator[ParsedRecord]:
    return parse_records(Suricata(), read_bytes(eve_lines(count), layout=Format.NDJSON))


def batch(count: int = 10) -> ParsedBatch:
    return next(batches(Suricata(), records(count), "file:x", size=1_000))


def registered(store: Store) -> Store:
    with store.write() as connection:
        register_source(connection, "default", "file:x", "x", is_bounded=True)
    return store


def counted(store: Store) -> tuple[int, int]:
    with store.read() as connection:
        return (
            connection.execute(select(func.count()).select_from(schema.batch)).scalar_one(),
            connection.execute(select(func.count()).select_from(schema.ledger_entry)).scalar_one(),
        )


def test_a_batch_and_its_decision_stand_together(store: Store) -> None:
    result = take_in(registered(store), "default", batch())
    assert (result.alerts, result.was_known) == (10, False)
    assert counted(store) == (1, 1)
    with store.read() as connection:
        entry = json.loads(connection.execute(select(schema.ledger_entry.c.body)).scalar_one())
        span = connection.execute(select(schema.span)).one()
        assert verify_store(connection, "default").ok
    assert entry["id"] == span.span_id
    assert span.name == "watchfloor.ingest_batch"
    assert entry["body"]["batch"] == result.batch_id
    assert entry["body"]["key"] == "1-10"


def test_the_same_batch_again_is_neither_written_nor_decided_again(store: Store) -> None:
    registered(store)
    first, again = take_in(store, "default", batch()), take_in(store, "default", batch())
    assert again.was_known
    assert again.batch_id == first.batch_id
    assert counted(store) == (1, 1)


def test_what_runs_within_fails_with_all_of_it(store: Store) -> None:
    def fail(_: Connection) -> None:
        raise RuntimeError("replayed")

    with pytest.raises(RuntimeError, match="replayed"):
        take_in(registered(store), "default", batch(), within=fail)
    assert counted(store) == (0, 0)


def test_a_source_that_is_not_registered_is_an_error(sqlite_store: Store) -> None:
    with pytest.raises(NotFoundError):
        take_in(sqlite_store, "default", batch())
    assert counted(sqlite_store) == (0, 0)


class Contended(Store):
    """A store whose first transactions give way to others, as PostgreSQL ends one of two that deadlock."""

    def __init__(self, inner: Store, losses: int) -> None:
        super().__init__(inner.address)
        self.losses = losses

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with super().write() as connection:
            yield connection
            if self.losses:
                self.losses -= 1
                raise ConflictError("gave way to a concurrent change")


def test_a_batch_that_lost_against_other_writers_is_tried_again(sqlite_store: Store) -> None:
    contended = Contended(registered(sqlite_store), ATTEMPTS - 1)
    assert take_in(contended, "default", batch()).alerts == 10
    assert counted(sqlite_store) == (1, 1)
    contended.close()


def test_a_batch_that_keeps_losing_is_given_up(sqlite_store: Store) -> None:
    contended = Contended(registered(sqlite_store), ATTEMPTS)
    with pytest.raises(ConflictError):
        take_in(contended, "default", batch())
    assert counted(sqlite_store) == (0, 0)
    contended.close()


def test_batches_are_named_by_their_positions() -> None:
    cut = list(batches(Suricata(), records(7), "file:x", size=3, key_prefix="p."))
    assert [(one.key, len(one.records)) for one in cut] == [("p.1-3", 3), ("p.4-6", 3), ("p.7-7", 1)]


def test_a_source_cut_anew_after_a_change_of_size_loses_nothing(sqlite_store: Store) -> None:
    registered(sqlite_store)
    take_in(sqlite_store, "default", next(batches(Suricata(), records(20), "file:x", size=4)))
    for one in batches(Suricata(), records(20), "file:x", size=6):
        take_in(sqlite_store, "default", one)
    with sqlite_store.read() as connection:
        assert connection.execute(select(func.count()).select_from(schema.alert)).scalar_one() == 20
