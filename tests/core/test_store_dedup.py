"""Dedup is reversible: a person takes it back, and each record is an alert of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import select, update

from watchfloor_core.alert import Alert, DedupKey
from watchfloor_core.errors import NotFoundError
from watchfloor_core.store import schema
from watchfloor_core.store.dedup import undo
from watchfloor_core.store.engine import Store
from watchfloor_core.store.fingerprint import explain, fingerprint
from watchfloor_core.store.ingest import ParsedBatch, pending_alerts, register_source, write_batch
from watchfloor_core.store.originals import load_raw

Login = Callable[..., Alert]
BatchOf = Callable[..., ParsedBatch]


@pytest.fixture
def duplicated(store: Store, login: Login, batch_of: BatchOf) -> bytes:
    """The fingerprint of an alert with three records, two of them duplicates, that correlation has taken up."""
    wide = DedupKey(("detector", "entities", "attributes"), 60)
    with store.write() as connection:
        register_source(connection, "acme", "file:1", "mail.csv", is_bounded=True)
        register_source(connection, "acme", "file:2", "web.csv", is_bounded=True)
        write_batch(connection, "acme", batch_of([login(1, dedup=wide), None, login(7, dedup=wide)]))
    with store.write() as connection:
        write_batch(connection, "acme", batch_of([login(5, dedup=wide)], source_id="file:2"))
        connection.execute(update(schema.alert).values(tick=7))
    return fingerprint("acme", login(1, dedup=wide))


def take_back(store: Store, found: bytes, tenant: str = "acme") -> list[bytes]:
    with store.write() as connection:
        return undo(connection, tenant, found, "lena@example.org")


def test_each_duplicate_becomes_an_alert_that_waits_for_correlation(store: Store, duplicated: bytes) -> None:
    apart = take_back(store, duplicated)
    assert len(set(apart) - {duplicated}) == 2
    with store.read() as connection:
        assert pending_alerts(connection, "acme") == 2
        original = connection.execute(select(schema.alert).where(schema.alert.c.fingerprint == duplicated)).one()
        rows = connection.execute(select(schema.alert).where(schema.alert.c.tick.is_(None))).all()
    assert original.tick == 7
    assert {bytes(row.fingerprint) for row in rows} == set(apart)
    assert {(bytes(row.shape_id), row.event_us) for row in rows} == {(bytes(original.shape_id), original.event_us)}


def test_every_record_keeps_its_place_and_its_bytes(store: Store, duplicated: bytes) -> None:
    first, second = take_back(store, duplicated)
    with store.read() as connection:
        places = {found: explain(connection, "acme", found).records for found in (duplicated, first, second)}
        assert [len(records) for records in places.values()] == [1, 1, 1]
        raws = [load_raw(connection, "acme", one.batch_id, one.position) for (one,) in places.values()]
    assert raws == [b"record 1 of file:1", b"record 3 of file:1", b"record 1 of file:2"]


def test_taking_it_back_again_changes_nothing(store: Store, duplicated: bytes) -> None:
    apart = take_back(store, duplicated)
    assert take_back(store, duplicated) == []
    assert [take_back(store, one) for one in apart] == [[], []]
    with store.read() as connection:
        assert pending_alerts(connection, "acme") == 2
        entries = connection.execute(select(schema.ledger_entry.c.kind)).scalars().all()
    assert entries == ["dedup_undo"]


def test_people_who_take_it_back_at_once_do_it_once(store: Store, duplicated: bytes) -> None:
    together = threading.Barrier(3, timeout=10)
    results: list[list[bytes]] = []

    def act() -> None:
        together.wait()
        results.append(take_back(store, duplicated))

    threads = [threading.Thread(target=act) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(result) for result in results) == [0, 0, 2]


def test_the_ledger_says_who_took_what_back(store: Store, duplicated: bytes) -> None:
    apart = take_back(store, duplicated)
    with store.read() as connection:
        (body,) = connection.execute(select(schema.ledger_entry.c.body)).scalars()
    for fact in ("lena@example.org", duplicated.hex(), *(one.hex() for one in apart)):
        assert fact in body


def test_what_comes_in_later_is_a_duplicate_of_the_first_again(
    store: Store, duplicated: bytes, login: Login, batch_of: BatchOf
) -> None:
    take_back(store, duplicated)
    wide = DedupKey(("detector", "entities", "attributes"), 60)
    with store.write() as connection:
        result = write_batch(connection, "acme", batch_of([login(9, dedup=wide)], key="2", source_id="file:2", first=2))
    assert (result.alerts, result.duplicates) == (0, 1)
    assert len(take_back(store, duplicated)) == 1


def test_an_alert_without_duplicates_stays_as_it_is(store: Store, login: Login, batch_of: BatchOf) -> None:
    with store.write() as connection:
        register_source(connection, "acme", "file:1", "mail.csv", is_bounded=True)
        write_batch(connection, "acme", batch_of([login()]))
    assert take_back(store, fingerprint("acme", login())) == []


def test_an_alert_of_another_tenant_cannot_be_taken_apart(store: Store, duplicated: bytes) -> None:
    with pytest.raises(NotFoundError, match=duplicated.hex()):
        take_back(store, duplicated, tenant="globex")
