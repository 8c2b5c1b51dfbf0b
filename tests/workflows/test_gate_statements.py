"""How often each step of the gate speaks with the store: what a step costs on PostgreSQL is what it waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from sqlalchemy import Connection, Engine, event

from tests.workflows.plane import ANA, AUDIENCE, Plane
from watchfloor_core.store.engine import Store
from watchfloor_core.store.pipelining import UNAWAITED
from watchfloor_guardrails.effect import EffectPermit
from watchfloor_workflows.authority.granting import issue_grant
from watchfloor_workflows.authority.sealing import seal_proposal
from watchfloor_workflows.testing.tools import MemoryTool

AWAITED = {"seal": 7, "vote": 5, "grant": 6, "consume": 7, "receipt": 3}
"""Statements for whose answers a step waits. Each is a round trip on PostgreSQL, and so are each transaction's begin
and commit: two transactions in consume, one in every other step."""
SENT = {
    "sqlite": {"seal": 4, "vote": 6, "grant": 5, "consume": 7, "receipt": 5},
    "postgresql": {"seal": 4, "vote": 7, "grant": 5, "consume": 11, "receipt": 5},
}
"""Those that are sent and not waited for; on PostgreSQL locks are among them, which SQLite does not need."""


@dataclass
class Counts:
    awaited: int = 0
    sent: int = 0
    transactions: int = 0


@contextmanager
def counted() -> Iterator[Counts]:
    """Counts what this thread says to any store."""
    counts, here = Counts(), threading.get_ident()

    def begin(_: Connection) -> None:
        counts.transactions += threading.get_ident() == here

    # As the events of SQLAlchemy have them.
    def execute(*event_arguments: object) -> None:
        statement, context = event_arguments[2], event_arguments[4]
        if threading.get_ident() != here or str(statement).startswith("BEGIN"):
            return
        if UNAWAITED.keys() & context.execution_options.keys():  # type: ignore[attr-defined]  # an ExecutionContext
            counts.sent += 1
        else:
            counts.awaited += 1

    listeners: dict[str, Callable[..., None]] = {"begin": begin, "before_cursor_execute": execute}
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)
    try:
        yield counts
    finally:
        for name, listener in listeners.items():
            event.remove(Engine, name, listener)


@pytest.fixture
def steps(store: Store) -> dict[str, Counts]:
    """One action through the gate, after another that has met every table empty."""
    so_far: list[Counts] = []

    def note(_: EffectPermit) -> None:
        so_far.append(Counts(counts.awaited, counts.sent, counts.transactions))

    plane = Plane(store, tool=MemoryTool(on_act=note)).furnish()
    with counted() as counts:
        first = plane.propose("203.0.113.1")
        plane.vote(ANA, first)
        plane.carry_out(first)
    taken = {}
    draft = plane.draft("203.0.113.2")
    ref, observed = plane.ref(draft), plane.executor.observe(plane.ref(draft))
    with counted() as taken["seal"]:
        seal_proposal(store, plane.policy, ref, observed)
    vote = plane.signed(ANA, draft)
    with counted() as taken["vote"]:
        plane.send(draft, vote)
    with counted() as taken["grant"]:
        granted = issue_grant(store, plane.policy, ref, plane.signer, audience=AUDIENCE, party=None)
    with counted() as counts:
        plane.execute(draft, granted.grant_id)
    before = taken["consume"] = so_far[-1]
    taken["receipt"] = Counts(
        counts.awaited - before.awaited, counts.sent - before.sent, counts.transactions - before.transactions
    )
    return taken


def test_a_step_waits_for_the_store_no_more_often_than_it_must(steps: dict[str, Counts]) -> None:
    assert {step: counts.awaited for step, counts in steps.items()} == AWAITED
    assert {step: counts.transactions for step, counts in steps.items()} == {
        "seal": 1,
        "vote": 1,
        "grant": 1,
        "consume": 2,
        "receipt": 1,
    }


def test_a_step_sends_the_store_no_more_than_it_must(steps: dict[str, Counts], store: Store) -> None:
    assert {step: counts.sent for step, counts in steps.items()} == SENT[store.dialect]
