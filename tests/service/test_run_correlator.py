"""The correlator's loop, and what a restart hands to Temporal again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from watchfloor_agents.correlation.sequencer import Advance
from watchfloor_core.errors import UnavailableError
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import incident, outbox
from watchfloor_core.store.sources import close_source, note_batch, register_source
from watchfloor_service.correlator import FINISHED_S, FIRST_BACKOFF_S, LONGEST_S, SETTLED_S, Correlator
from watchfloor_service.supervision.redelivery import deliver_again


class Sequence:
    """Answers with what each tenant is given, and remembers who was asked."""

    def __init__(self, **answers: Advance | Exception) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def advance(self, tenant: str) -> Advance:
        self.asked.append(tenant)
        answer = self.answers.get(tenant, Advance())
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def with_sources(store: Store, *tenants: str) -> None:
    with store.write() as connection:
        for tenant in tenants:
            register_source(connection, tenant, "file:1", "one", is_bounded=True)


def asked_after(correlator: Correlator, sequence: Sequence, clock: Clock, seconds: float) -> list[str]:
    sequence.asked.clear()
    clock.now += seconds
    correlator.look()
    return sorted(sequence.asked)


def test_a_tenant_that_fails_holds_up_no_other_and_is_tried_again_later(sqlite_store: Store) -> None:
    with_sources(sqlite_store, "bad", "good")
    clock, sequence = Clock(), Sequence(bad=ValueError("a defect"), good=Advance(ticks=1))
    correlator = Correlator(sqlite_store, sequence.advance, clock=clock)
    assert correlator.look()
    assert sorted(sequence.asked) == ["bad", "good"]
    assert asked_after(correlator, sequence, clock, FIRST_BACKOFF_S / 2) == ["good"]
    assert asked_after(correlator, sequence, clock, FIRST_BACKOFF_S) == ["bad", "good"]
    # Twice as long as before.
    assert asked_after(correlator, sequence, clock, FIRST_BACKOFF_S * 1.5) == ["good"]


def test_a_tenant_with_nothing_to_do_is_left_alone_until_something_comes_in(sqlite_store: Store) -> None:
    with_sources(sqlite_store, "quiet")
    clock, sequence = Clock(), Sequence()
    correlator = Correlator(sqlite_store, sequence.advance, clock=clock)
    assert not correlator.look()
    assert asked_after(correlator, sequence, clock, SETTLED_S / 2) == []
    with sqlite_store.write() as connection:
        note_batch(connection, "quiet", "file:1", 5, 5)
    assert asked_after(correlator, sequence, clock, 0) == ["quiet"]
    assert asked_after(correlator, sequence, clock, SETTLED_S) == ["quiet"]


def test_a_finished_tenant_is_seldom_looked_at(sqlite_store: Store) -> None:
    with_sources(sqlite_store, "done")
    with sqlite_store.write() as connection:
        close_source(connection, "done", "file:1")
    clock, sequence = Clock(), Sequence()
    correlator = Correlator(sqlite_store, sequence.advance, clock=clock)
    correlator.look()
    assert asked_after(correlator, sequence, clock, FINISHED_S * 0.9) == []
    assert asked_after(correlator, sequence, clock, FINISHED_S * 0.2) == ["done"]


def test_a_tenant_whose_alerts_wait_for_event_time_is_looked_at_every_second(sqlite_store: Store) -> None:
    with_sources(sqlite_store, "waiting")
    clock, sequence = Clock(), Sequence(waiting=Advance(waiting=3))
    correlator = Correlator(sqlite_store, sequence.advance, clock=clock)
    correlator.look()
    assert all(asked_after(correlator, sequence, clock, LONGEST_S) == ["waiting"] for _ in range(10))


def test_the_loop_outlives_a_store_that_is_down_and_ends_when_told(sqlite_store: Store) -> None:
    with_sources(sqlite_store, "a")
    stop = threading.Event()

    class Flaky:
        looks = 0

        def read(self) -> Any:  # the store's own context manager
            self.looks += 1
            if self.looks == 1:
                raise UnavailableError("the database is restarting")
            return sqlite_store.read()

    def advance(_: str) -> Advance:
        stop.set()
        return Advance()

    flaky = Flaky()
    Correlator(flaky, advance).run(stop)  # type: ignore[arg-type]  # a store that fails once
    assert flaky.looks == 2


@pytest.fixture
def add_incident(store: Store) -> Callable[..., None]:
    def add(incident_id: str, status: str, *, revision: int, triaged: int, handed_over: int | None = None) -> None:
        values = dict.fromkeys(("opened_us", "first_us", "last_us", "alert_count", "severity", "updated_us"), 1) | {
            "tenant": "t",
            "id": incident_id,
            "kind": "activity",
            "title": "x",
            "status": status,
            "revision": revision,
            "triaged_revision": triaged,
            "is_sealed": False,
            "features": {"fold": {"emitted": revision if handed_over is None else handed_over}},
        }
        with store.write() as connection:
            connection.execute(incident.insert().values(values))
            connection.execute(
                outbox.insert().values(
                    tenant="t", incident_id=incident_id, revision=revision, created_us=1, delivered_us=2
                )
            )

    return add


def waiting(store: Store) -> list[tuple[str, int]]:
    with store.read() as connection:
        rows = connection.execute(
            select(outbox.c.incident_id, outbox.c.revision)
            .where(outbox.c.delivered_us.is_(None))
            .order_by("incident_id")
        )
        return [(row.incident_id, row.revision) for row in rows]


@pytest.mark.parametrize(
    ("all_open", "expected"),
    [(False, [("behind", 3), ("fresh", 1)]), (True, [("asked", 2), ("behind", 3), ("fresh", 1)])],
)
def test_a_restart_hands_over_what_has_no_verdict_and_to_a_new_server_all_that_is_open(
    store: Store, add_incident: Callable[..., None], all_open: bool, expected: list[tuple[str, int]]
) -> None:
    add_incident("fresh", "new", revision=1, triaged=0)
    add_incident("behind", "queued", revision=3, triaged=2)
    add_incident("asked", "escalated", revision=2, triaged=2)
    add_incident("closed", "closed", revision=2, triaged=2)
    add_incident("running", "new", revision=9, triaged=0, handed_over=0)
    with store.write() as connection:
        assert deliver_again(connection, all_open=all_open) == len(expected)
    assert waiting(store) == expected


def test_an_incident_whose_outbox_row_is_long_gone_is_handed_over_too(
    store: Store, add_incident: Callable[..., None]
) -> None:
    add_incident("fresh", "new", revision=2, triaged=0)
    with store.write() as connection:
        connection.execute(outbox.delete())
        deliver_again(connection, all_open=False)
        connection.execute(update(incident).values(status="closed"))
    assert waiting(store) == [("fresh", 2)]
