"""Signs of life of executions that are under way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, insert, select

from watchfloor_core.errors import ConflictError
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import execution
from watchfloor_workflows.authority.pulse import Pulse

BEAT_S = 0.01


@pytest.fixture
def begun(store: Store) -> Store:
    with store.write() as connection:
        for number, phase in enumerate(("acting", "acting", "done")):
            row = {
                "tenant": "acme",
                "grant_id": f"g{number}",
                "proposal_id": f"p{number}",
                "digest": f"sha256:{number}",
                "action_class": "deny ip",
                "tool": "fw",
                "executor": "one",
                "authority": "approval",
                "kill_scopes": [],
                "state_before": {},
                "phase": phase,
                "consumed_us": 1,
                "beat_us": 1,
            }
            connection.execute(insert(execution).values(**row))
    return store


def beats(store: Store) -> dict[str, int]:
    with store.read() as connection:
        return {row.grant_id: row.beat_us for row in connection.execute(select(execution))}


class Watched:
    """The store, which tells when a beat has been written, and fails the first so many."""

    def __init__(self, store: Store, failures: int = 0) -> None:
        self._store, self._failures = store, failures
        self.written = threading.Semaphore(0)
        self.thread: threading.Thread | None = None

    @contextmanager
    def write(self) -> Iterator[Connection]:
        self.thread = threading.current_thread()
        if self._failures:
            self._failures -= 1
            raise ConflictError("somebody was faster")
        with self._store.write() as connection:
            yield connection
        self.written.release()


def pulse_on(watched: Watched, *, idle_s: float = 30.0) -> Pulse:
    return Pulse(watched, beat_s=BEAT_S, idle_s=idle_s)  # type: ignore[arg-type]  # all that a pulse asks of a store


def test_every_execution_under_way_is_heard_of_and_no_other(begun: Store) -> None:
    watched = Watched(begun)
    pulse = pulse_on(watched)
    with pulse.beating("acme", "g0"), pulse.beating("acme", "g1"), pulse.beating("acme", "g2"):
        # The second beat began after the last of the three had come.
        assert watched.written.acquire(timeout=30)
        assert watched.written.acquire(timeout=30)
    heard = beats(begun)
    assert heard["g0"] > 1
    assert heard["g1"] > 1
    assert heard["g2"] == 1, "what has ended is not said to be under way"


def test_a_beat_that_fails_stops_no_other(begun: Store, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(begun, failures=2)
    with pulse_on(watched).beating("acme", "g0"):
        assert watched.written.acquire(timeout=30)
    assert beats(begun)["g0"] > 1
    assert caplog.text.count("did not take a sign of life: somebody was faster") == 2


def test_the_thread_is_used_again_and_ends_when_nothing_comes(begun: Store) -> None:
    watched = Watched(begun)
    pulse = pulse_on(watched, idle_s=0.2)
    with pulse.beating("acme", "g0"):
        assert watched.written.acquire(timeout=30)
    first = watched.thread
    with pulse.beating("acme", "g1"):
        assert watched.written.acquire(timeout=30)
    assert first is not None
    first.join(timeout=30)
    if watched.thread is not first:  # where the machine stood still for longer than the thread waits
        assert watched.thread is not None
        watched.thread.join(timeout=30)
        assert not watched.thread.is_alive()
    assert not first.is_alive()
    with pulse.beating("acme", "g0"):
        assert watched.written.acquire(timeout=30), "the next execution starts another"
