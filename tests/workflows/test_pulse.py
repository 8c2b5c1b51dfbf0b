"""Signs of life of executions that are under way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, insert, select

from tests.workflows.plane import ANA, Plane
from watchfloor_core.errors import ConflictError, UnavailableError
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import execution
from watchfloor_guardrails.proposal import ProposalStatus
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


@contextmanager
def no_more_threads() -> Iterator[None]:
    """As on a machine that has as many as it may."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        yield


def test_where_no_thread_can_be_started_nothing_is_said_to_be_under_way(begun: Store) -> None:
    watched = Watched(begun)
    pulse = pulse_on(watched)
    with no_more_threads(), pytest.raises(UnavailableError, match="no sign of life can be given"):
        pulse.beating("acme", "g0").__enter__()
    with pulse.beating("acme", "g1"):
        assert watched.written.acquire(timeout=30)
        assert watched.written.acquire(timeout=30)
    heard = beats(begun)
    assert heard["g1"] > 1, "the next one finds a thread"
    assert heard["g0"] == 1, "what has not begun is not said to be under way"


def test_while_it_is_ready_the_thread_stays(begun: Store) -> None:
    watched = Watched(begun)
    pulse = pulse_on(watched, idle_s=0.01)
    before = set(threading.enumerate())
    with pulse.ready():
        [thread] = set(threading.enumerate()) - before
        thread.join(timeout=0.2)
        with no_more_threads(), pulse.beating("acme", "g0"):
            assert watched.written.acquire(timeout=30)
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert beats(begun)["g0"] > 1


def test_without_signs_of_life_no_grant_is_used_up(store: Store) -> None:
    plane = Plane(store).furnish()
    proposal_id = plane.propose()
    plane.vote(ANA, proposal_id)
    grant_id = plane.grant(proposal_id).grant_id
    with no_more_threads(), pytest.raises(UnavailableError, match="no sign of life can be given"):
        plane.execute(proposal_id, grant_id)
    assert plane.executions() == []
    assert plane.tool.effects == []

    assert plane.execute(proposal_id, grant_id).status is ProposalStatus.SUCCEEDED
    assert len(plane.tool.effects) == 1
