"""What holds an action class back after an unknown, what breakers look at, and what a run has touched."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import insert, select

from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConflictError, RefusedError
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import ledger_entry
from watchfloor_core.store.schema_authority import execution, run_fact
from watchfloor_guardrails.breaker import Outcome
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.sequence import TRIFECTA, Fact
from watchfloor_workflows.authority.breakers import recent_outcomes
from watchfloor_workflows.authority.freezes import freeze_class, is_frozen, lift, list_freezes
from watchfloor_workflows.authority.run_facts import facts_of, note_facts

ANA = Principal("ana", PrincipalKind.PERSON)
NOW = 1_700_000_000_000_000


def freeze(store: Store, proposal_id: str, reason: str = "no answer") -> bool:
    with store.write() as connection:
        return freeze_class(connection, "acme", "deny ip", proposal_id, reason)


def frozen(store: Store, tenant: str = "acme", action_class: str = "deny ip") -> str | None:
    with store.read() as connection:
        return is_frozen(connection, tenant, action_class)


def test_a_class_is_frozen_for_its_tenant_until_a_person_has_looked(store: Store) -> None:
    assert frozen(store) is None
    assert freeze(store, "act-1")
    assert frozen(store) == "act-1: no answer"
    assert (frozen(store, "other"), frozen(store, action_class="allow ip")) == (None, None)
    assert lift(store, "acme", "deny ip", ANA, "the rule is there") == ("act-1",)
    assert frozen(store) is None
    with store.read() as connection:
        (told,) = connection.execute(select(ledger_entry)).all()
    assert (told.tenant, told.chain, told.kind) == ("acme", "control", "freeze")
    assert "the rule is there" in told.body


def test_freezing_for_the_same_proposal_again_changes_nothing_even_after_it_was_lifted(store: Store) -> None:
    assert [freeze(store, "act-1"), freeze(store, "act-1", "again")] == [True, False]
    assert frozen(store) == "act-1: no answer"
    lift(store, "acme", "deny ip", ANA, "looked")
    assert not freeze(store, "act-1")
    assert frozen(store) is None


def test_a_person_lifts_what_they_looked_at_and_not_what_came_meanwhile(sqlite_store: Store) -> None:
    freeze(sqlite_store, "act-1")
    freeze(sqlite_store, "act-2")
    assert frozen(sqlite_store) == "act-1: no answer (and 1 more)"
    assert lift(sqlite_store, "acme", "deny ip", ANA, "looked", proposal_ids=["act-1"]) == ("act-1",)
    with sqlite_store.read() as connection:
        assert [one.proposal_id for one in list_freezes(connection, "acme")] == ["act-2"]
    with pytest.raises(ConflictError, match="is not frozen, or not for these"):
        lift(sqlite_store, "acme", "deny ip", ANA, "looked", proposal_ids=["act-1"])


@pytest.mark.parametrize("kind", [PrincipalKind.SERVICE, PrincipalKind.AGENT])
def test_no_program_lifts_a_freeze(sqlite_store: Store, kind: PrincipalKind) -> None:
    freeze(sqlite_store, "act-1")
    with pytest.raises(RefusedError, match="only a person"):
        lift(sqlite_store, "acme", "deny ip", Principal("specialist", kind), "looks fine to me")
    assert frozen(sqlite_store) is not None


def test_a_breaker_looks_at_the_latest_outcomes_of_one_class_by_one_tool(store: Store) -> None:
    def ended(number: int, outcome: str | None, tool: str = "edge", tenant: str = "acme") -> dict[str, object]:
        return {
            "tenant": tenant,
            "grant_id": f"{number:032x}",
            "proposal_id": f"act-{number}",
            "digest": f"{number:064x}",
            "action_class": "deny ip",
            "tool": tool,
            "executor": "executor-1",
            "authority": "level",
            "kill_scopes": [],
            "state_before": {},
            "phase": "acting" if outcome is None else "done",
            "outcome": outcome,
            "consumed_us": NOW + number,
            "beat_us": NOW + number,
        }

    rows = [
        ended(1, "succeeded"),
        ended(2, "failed"),
        ended(3, "unknown"),
        ended(4, "moonlight"),
        ended(5, "failed"),
        ended(6, None),
        ended(7, "failed", "other"),
        ended(8, "failed", tenant="other"),
    ]
    with store.write() as connection:
        connection.execute(insert(execution), rows)
        latest = recent_outcomes(connection, "acme", "deny ip", "edge", 4)
        assert latest == (Outcome.FAILED, Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.FAILED)
        assert len(recent_outcomes(connection, "acme", "deny ip", "edge")) == 5


def test_what_a_run_has_touched_is_kept_for_its_incident_and_adds_up(store: Store) -> None:
    with store.write() as connection:
        assert note_facts(connection, "acme", "inc-1", {Fact.UNTRUSTED_INPUT}, "alert-1", NOW) == {Fact.UNTRUSTED_INPUT}
        note_facts(connection, "acme", "inc-1", {Fact.UNTRUSTED_INPUT, Fact.OUTWARD_EFFECT}, "act-1", NOW + 1)
        note_facts(connection, "acme", "inc-2", (), "nothing", NOW)
    with store.read() as connection:
        assert facts_of(connection, "acme", "inc-1") == {Fact.UNTRUSTED_INPUT, Fact.OUTWARD_EFFECT}
        assert facts_of(connection, "acme", "inc-2") == facts_of(connection, "other", "inc-1") == frozenset()
        first = connection.execute(select(run_fact).where(run_fact.c.fact == Fact.UNTRUSTED_INPUT)).one()
    assert (first.reference, first.at_us) == ("alert-1", NOW)


def test_a_fact_of_another_version_is_kept_and_takes_no_part(sqlite_store: Store) -> None:
    with sqlite_store.write() as connection:
        row = {"tenant": "acme", "incident_id": "inc-1", "fact": "moonlight", "reference": "x", "at_us": NOW}
        connection.execute(insert(run_fact).values(row))
        assert facts_of(connection, "acme", "inc-1") == frozenset()


def test_of_steps_at_the_same_time_one_sees_that_the_three_have_come_together(store: Store) -> None:
    together = threading.Barrier(3, timeout=30)
    saw: list[frozenset[Fact]] = []

    def step(fact: Fact) -> None:
        together.wait()
        with store.write() as connection:
            saw.append(note_facts(connection, "acme", "inc-1", {fact}, fact.value, now_us()))

    for _ in range(10):
        saw.clear()
        threads = [threading.Thread(target=step, args=(fact,)) for fact in Fact]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert TRIFECTA in saw
        assert sorted(map(len, saw)) == [1, 2, 3]
        with store.write() as connection:
            connection.execute(run_fact.delete())
