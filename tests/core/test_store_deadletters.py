"""Malformed records: listed, looked at, and driven through again exactly once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from watchfloor_core.alert import Alert
from watchfloor_core.errors import NotFoundError, RecordError
from watchfloor_core.store import schema
from watchfloor_core.store.deadletters import (
    DeadLetter,
    count_dead_letters,
    dead_letter_bytes,
    list_dead_letters,
    load_dead_letter,
    mark_attempt,
    resolve_dead_letter,
    write_retry,
)
from watchfloor_core.store.engine import Store
from watchfloor_core.store.export import export_alerts
from watchfloor_core.store.fingerprint import fingerprint
from watchfloor_core.store.ingest import BatchResult, ParsedBatch, register_source, write_batch
from watchfloor_core.store.originals import load_raw

Login = Callable[..., Alert]
BatchOf = Callable[..., ParsedBatch]


def write(store: Store, batch: ParsedBatch, tenant: str = "acme") -> BatchResult:
    with store.write() as connection:
        register_source(connection, tenant, batch.source_id, "mail.csv", is_bounded=True)
        return write_batch(connection, tenant, batch)


def letters(store: Store, **wanted: object) -> list[DeadLetter]:
    with store.read() as connection:
        return list_dead_letters(connection, "acme", **wanted)  # type: ignore[arg-type]  # passed through


def retry(store: Store, letter: DeadLetter, outcome: Alert | RecordError | None, **how: str) -> BatchResult | None:
    with store.write() as connection:
        return write_retry(connection, "acme", letter, outcome, **how)


def test_a_page_goes_on_where_the_one_before_ended(store: Store, batch_of: BatchOf) -> None:
    write(store, batch_of([RecordError(f"no {n}") for n in range(5)]))
    first = letters(store, limit=3)
    second = letters(store, limit=3, after=first[-1].id)
    assert [letter.position for letter in first] == [1, 2, 3]
    assert [letter.position for letter in second] == [4, 5]


def test_letters_are_found_by_connector_by_source_and_by_being_open(store: Store, batch_of: BatchOf) -> None:
    write(store, batch_of([RecordError("a")]))
    write(store, batch_of([RecordError("b")], source_id="file:2", connector="suricata"))
    write(store, batch_of([RecordError("c")], source_id="file:2", key="2"), tenant="globex")
    with store.write() as connection:
        resolve_dead_letter(connection, "acme", letters(store)[0].id)
    assert [letter.reason for letter in letters(store)] == ["b"]
    assert [letter.reason for letter in letters(store, is_open=False)] == ["a"]
    assert [letter.reason for letter in letters(store, is_open=None)] == ["a", "b"]
    assert [letter.reason for letter in letters(store, connector="suricata", is_open=None)] == ["b"]
    assert [letter.reason for letter in letters(store, source_id="file:1", is_open=None)] == ["a"]
    with store.read() as connection:
        assert count_dead_letters(connection, "acme") == 1
        assert count_dead_letters(connection, "acme", is_open=None) == 2
        assert count_dead_letters(connection, "acme", connector="wazuh") == 0


def test_a_letter_of_another_tenant_does_not_exist(store: Store, batch_of: BatchOf) -> None:
    write(store, batch_of([RecordError("a")]))
    (letter,) = letters(store)
    with store.write() as connection:
        for use in (load_dead_letter, dead_letter_bytes, resolve_dead_letter):
            with pytest.raises(NotFoundError, match=f"no dead letter {letter.id}"):
                use(connection, "globex", letter.id)
        mark_attempt(connection, "globex", letter.id, RecordError("b"))
        assert load_dead_letter(connection, "acme", letter.id) == letter


def test_a_record_that_is_an_alert_after_all_stands_at_its_own_place(
    store: Store, login: Login, batch_of: BatchOf
) -> None:
    write(store, batch_of([login(0), RecordError("no such severity"), login(9)], first=11))
    (letter,) = letters(store)
    result = retry(store, letter, login(5))
    assert result is not None
    assert (result.records, result.alerts, result.duplicates) == (1, 1, 0)
    (resolved,) = letters(store, is_open=None)
    assert (resolved.attempts, resolved.is_open, resolved.reason) == (1, False, "no such severity")
    with store.read() as connection:
        exported = {found.position: found.fingerprint for found in export_alerts(connection, "acme", "file:1")}
        assert load_raw(connection, "acme", result.batch_id, 12) == b"record 12 of file:1"
    assert exported[12] == fingerprint("acme", login(5)).hex()
    assert len(exported) == 13


def test_a_retry_keeps_the_connector_unless_another_is_given(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([RecordError("a"), RecordError("b")]))
    first, second = letters(store)
    retry(store, first, login(5))
    retry(store, second, login(6, connector="mapped"), connector="mapped", connector_version="7")
    batch = schema.batch.c
    with store.read() as connection:
        rows = connection.execute(
            select(batch.key, batch.connector, batch.connector_version)
            .where(batch.key.like("retry:%"))
            .order_by(batch.id)
        ).all()
    assert rows == [(f"retry:{first.id}", "wazuh", "1"), (f"retry:{second.id}", "mapped", "7")]


def test_a_record_that_is_no_alert_after_all_is_resolved_too(store: Store, batch_of: BatchOf) -> None:
    write(store, batch_of([RecordError("a")]))
    result = retry(store, letters(store)[0], None)
    assert result is not None
    assert (result.records, result.ignored) == (1, 1)
    assert letters(store) == []


def test_a_record_that_fails_again_stays_with_its_new_reason(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([RecordError("a", path="x")]))
    (letter,) = letters(store)
    assert retry(store, letter, RecordError("b")) is None
    beyond_any_calendar = login(10.0**15)
    assert retry(store, letter, beyond_any_calendar) is None
    (letter,) = letters(store)
    assert (letter.attempts, letter.path) == (2, None)
    assert "outside the years 1 to 9999" in letter.reason
    assert letter.retried_us is not None


def test_a_retry_happens_once_however_often_it_is_made(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([RecordError("a")]))
    (letter,) = letters(store)
    together = threading.Barrier(3, timeout=10)
    results: list[BatchResult | None] = []

    def retry_it() -> None:
        together.wait()
        results.append(retry(store, letter, login(5)))

    threads = [threading.Thread(target=retry_it) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.was_known for result in results if result) == [False, True, True]
    (resolved,) = letters(store, is_open=None)
    assert resolved.attempts == 1
    with store.read() as connection:
        assert connection.execute(select(func.count()).select_from(schema.record)).scalar_one() == 1


def test_a_retry_that_is_rolled_back_leaves_the_letter_open(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([RecordError("a")]))
    (letter,) = letters(store)

    def retry_and_die() -> None:
        with store.write() as connection:
            write_retry(connection, "acme", letter, login(5))
            raise KeyError("before the commit")

    with pytest.raises(KeyError):
        retry_and_die()
    assert letters(store) == [letter]
    result = retry(store, letter, login(5))
    assert result is not None
    assert not result.was_known


def test_resolving_again_does_not_move_the_time(store: Store, batch_of: BatchOf) -> None:
    write(store, batch_of([RecordError("a")]))
    (letter,) = letters(store)
    times = set()
    for _ in range(2):
        with store.write() as connection:
            resolve_dead_letter(connection, "acme", letter.id)
        times.add(letters(store, is_open=None)[0].resolved_us)
    assert len(times) == 1
    assert None not in times


def test_a_failed_attempt_does_not_open_a_resolved_letter(store: Store, batch_of: BatchOf) -> None:
    write(store, batch_of([RecordError("a")]))
    (letter,) = letters(store)
    with store.write() as connection:
        resolve_dead_letter(connection, "acme", letter.id)
        mark_attempt(connection, "acme", letter.id, RecordError("b"))
    (resolved,) = letters(store, is_open=None)
    assert (resolved.reason, resolved.attempts, resolved.is_open) == ("a", 0, False)
