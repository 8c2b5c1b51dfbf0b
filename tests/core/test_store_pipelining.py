"""Statements that nobody waits for: the same transactions on both databases, and no failure that goes unseen."""

from __future__ import annotations

import threading
from contextlib import nullcontext, suppress
from select import select as select_

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from watchfloor_core.errors import UnavailableError
from watchfloor_core.store.engine import Store, after_commit, open_store
from watchfloor_core.store.pipelining import UNAWAITED, PipelinedConnection, settle_sent
from watchfloor_core.store.schema import cursor

SEND = insert(cursor).execution_options(**UNAWAITED)
COUNT = select(func.count()).select_from(cursor)


def row(tenant: str) -> dict[str, object]:
    return {"tenant": tenant, "tick": 1, "version": 1, "watermark_us": 0}


def count(store: Store) -> int:
    with store.read() as connection:
        found: int = connection.execute(COUNT).scalar_one()
    return found


def test_what_was_sent_is_seen_by_what_comes_after_it_and_committed_with_it(store: Store) -> None:
    with store.write() as connection:
        connection.execute(SEND, row("acme"))
        connection.execute(SEND, [row("globex"), row("initech")])
        assert connection.execute(COUNT).scalar_one() == 3
        connection.execute(SEND, row("umbrella"))
    assert count(store) == 4


def test_rows_can_be_streamed_after_it(store: Store) -> None:
    with store.write() as connection:
        connection.execute(SEND, [row(str(number)) for number in range(10)])
        statement = select(cursor.c.tenant).order_by(cursor.c.tenant)
        with connection.execute(statement, execution_options={"yield_per": 3}) as rows:
            assert [tenant for (tenant,) in rows] == [str(number) for number in range(10)]


def test_it_is_there_before_anything_is_called_back(store: Store) -> None:
    seen: list[int] = []
    with store.write() as connection:
        connection.execute(SEND, row("acme"))
        after_commit(connection, lambda: seen.append(count(store)))
    assert seen == [1]


def test_a_block_that_raises_leaves_nothing_of_what_was_sent(store: Store) -> None:
    def send_and_raise() -> None:
        with store.write() as connection:
            connection.execute(SEND, row("acme"))
            raise KeyError("acme")

    with pytest.raises(KeyError):
        send_and_raise()
    assert count(store) == 0


@pytest.mark.parametrize("more", [0, 1, 50])
def test_a_transaction_with_a_failed_statement_is_not_committed(store: Store, more: int) -> None:
    """However much was sent after the failure, the failure is what is told."""

    def send() -> None:
        with store.write() as connection:
            for tenant in ("acme", "acme", *map(str, range(more))):
                connection.execute(SEND, row(tenant))

    with pytest.raises(IntegrityError, match=r"(?i)unique"):
        send()
    assert count(store) == 0


def test_a_failure_is_told_to_whoever_waits_next(store: Store) -> None:
    def send_twice_and_look() -> None:
        with store.write() as connection:
            connection.execute(SEND, row("acme"))
            connection.execute(SEND, row("acme"))
            connection.execute(COUNT)
            pytest.fail("the statement after a failed one gave an answer")

    with pytest.raises(IntegrityError):
        send_twice_and_look()
    with store.write() as connection:
        connection.execute(SEND, row("acme"))
    assert count(store) == 1


def test_a_failure_that_is_caught_does_not_let_the_rest_be_committed(pg_url: str) -> None:
    store = open_store(pg_url)

    def go_on_after_a_failure() -> None:
        with store.write() as connection:
            connection.execute(SEND, row("acme"))
            with pytest.raises(IntegrityError):
                connection.execute(insert(cursor), row("acme"))
            connection.execute(SEND, row("globex"))

    with pytest.raises(DBAPIError, match="transaction is aborted"):
        go_on_after_a_failure()
    assert count(store) == 0
    store.close()


@pytest.mark.parametrize("is_sent", [False, True])
def test_a_transaction_whose_failure_was_caught_is_not_said_to_be_committed(pg_url: str, is_sent: bool) -> None:
    """PostgreSQL answers the commit of a failed transaction with a rollback, and with no error."""
    store = open_store(pg_url)

    def swallow() -> None:
        with store.write() as connection:
            connection.execute(SEND, row("acme"))
            if is_sent:
                connection.execute(SEND, row("acme"))
            with suppress(IntegrityError), connection.begin_nested() if is_sent else nullcontext():
                connection.execute(insert(cursor), row("acme"))

    with pytest.raises(DBAPIError, match="transaction is aborted"):
        swallow()
    assert count(store) == 0
    store.close()


def test_a_failure_whose_answer_came_early_and_was_caught_fails_the_commit(pg_url: str) -> None:
    """The driver takes answers as they come: a failure that is there already is raised by the statement after it."""
    store = open_store(pg_url)

    def swallow() -> None:
        with store.write() as connection:
            connection.execute(SEND, row("acme"))
            connection.execute(SEND, row("acme"))
            driver = connection.connection.driver_connection
            assert isinstance(driver, PipelinedConnection)
            assert select_([driver.fileno()], [], [], 30)[0]
            with suppress(IntegrityError), connection.begin_nested():
                pytest.fail("the failure was not raised")

    with pytest.raises(DBAPIError, match="transaction is aborted"):
        swallow()
    assert count(store) == 0
    store.close()


def test_what_fails_inside_a_savepoint_and_is_caught_takes_nothing_from_the_rest(store: Store) -> None:
    with store.write() as connection:
        connection.execute(SEND, row("acme"))
        with suppress(IntegrityError), connection.begin_nested():
            connection.execute(SEND, row("globex"))
            connection.execute(SEND, row("acme"))
            settle_sent(connection)
        connection.execute(SEND, row("initech"))
    with store.read() as connection:
        assert connection.scalars(select(cursor.c.tenant).order_by(cursor.c.tenant)).all() == ["acme", "initech"]


def test_a_savepoint_takes_back_what_was_sent_within_it(store: Store) -> None:
    with store.write() as connection:
        connection.execute(SEND, row("acme"))
        savepoint = connection.begin_nested()
        connection.execute(SEND, row("globex"))
        savepoint.rollback()
        connection.execute(SEND, row("initech"))
    with store.read() as connection:
        assert connection.scalars(select(cursor.c.tenant).order_by(cursor.c.tenant)).all() == ["acme", "initech"]


def test_nothing_is_outstanding_once_the_transaction_has_ended(pg_url: str) -> None:
    store = open_store(pg_url)
    for raises in (False, True):
        with pytest.raises(KeyError) if raises else store.read(), store.write() as connection:
            connection.execute(SEND, row(f"tenant-{raises}"))
            raw = connection.connection.driver_connection
            assert isinstance(raw, PipelinedConnection)
            if raises:
                raise KeyError("acme")
        assert raw.info.pipeline_status == raw.info.pipeline_status.OFF
        assert raw.info.transaction_status == raw.info.transaction_status.IDLE
    store.close()


def test_a_lock_that_was_sent_for_is_had_before_anything_after_it_is_read(pg_url: str) -> None:
    store = open_store(pg_url)
    lock = text("SELECT pg_advisory_xact_lock(7)").execution_options(**UNAWAITED)
    has_lock, counts = threading.Event(), []

    def wait_and_count() -> None:
        with store.write() as connection:
            connection.execute(lock)
            has_lock.wait(10)
            counts.append(connection.execute(COUNT).scalar_one())

    with store.write() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(7)"))
        other = threading.Thread(target=wait_and_count)
        other.start()
        connection.execute(SEND, row("acme"))
        has_lock.set()
    other.join()
    store.close()
    assert counts == [1]


def test_a_server_that_ends_the_connection_meanwhile_is_unavailable(pg_url: str) -> None:
    store, killer = open_store(pg_url), open_store(pg_url)

    def be_cut_off() -> None:
        with store.write() as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            connection.execute(SEND, row("acme"))
            with killer.write() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    with pytest.raises(UnavailableError, match="cannot be reached"):
        be_cut_off()
    with store.write() as connection:
        connection.execute(SEND, row("acme"))
    assert count(store) == 1
    store.close()
    killer.close()
