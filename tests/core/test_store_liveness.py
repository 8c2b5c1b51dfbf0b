"""Connections that died in the pool are replaced before anyone uses them, and live ones are not asked each time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from watchfloor_core.store import liveness
from watchfloor_core.store.engine import Store, open_store

PID = text("SELECT pg_backend_pid()")


@pytest.fixture
def pg_store(pg_url: str) -> Iterator[Store]:
    opened = open_store(pg_url)
    yield opened
    opened.close()


@pytest.fixture
def pings(pg_store: Store, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every connection that is asked whether it lives, as it is asked."""
    asked: list[object] = []
    ping = pg_store.engine.dialect.do_ping

    def note(connection: object) -> bool:
        asked.append(connection)
        return ping(connection)  # type: ignore[arg-type]  # a connection of the driver's

    monkeypatch.setattr(pg_store.engine.dialect, "do_ping", note)
    return asked


def pid_of(store: Store) -> int:
    with store.read() as connection:
        found: int = connection.execute(PID).scalar_one()
    return found


def test_a_connection_that_was_just_used_is_used_again_without_being_asked(
    pg_store: Store, pings: list[object]
) -> None:
    assert len({pid_of(pg_store) for _ in range(5)}) == 1
    assert pings == []


def test_one_that_has_been_idle_for_long_is_asked(
    pg_store: Store, pings: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pid_of(pg_store)
    monkeypatch.setattr(liveness, "IDLE_S", 0.0)
    assert pid_of(pg_store) == first
    assert len(pings) == 1


def test_all_that_the_server_has_ended_meanwhile_are_replaced_unseen(pg_url: str, pg_store: Store) -> None:
    with pg_store.write() as one, pg_store.write() as another:
        pids = {one.execute(PID).scalar_one(), another.execute(PID).scalar_one()}
    killer = open_store(pg_url)
    with killer.write() as connection:
        for pid in sorted(pids):
            connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    killer.close()
    with pg_store.write() as one, pg_store.write() as another:
        fresh = {one.execute(PID).scalar_one(), another.execute(PID).scalar_one()}
    assert len(fresh) == 2
    assert not fresh & pids
