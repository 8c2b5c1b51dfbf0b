"""Budgets hold exactly, however many charge at once, and never by half."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from sqlalchemy import func, insert, select, update

from watchfloor_core.errors import RefusedError
from watchfloor_core.store.engine import Store
from watchfloor_core.store.interning import entity_id
from watchfloor_core.store.schema import asset
from watchfloor_core.store.schema_authority import budget_charge, lease
from watchfloor_guardrails.budget import Charge
from watchfloor_workflows.authority.budgets import charge, contained_assets, inventory_size, refund, spent

NOW = 1_700_000_000_000_000
SECOND = 1_000_000
ACTIONS = Charge("actions", "deny ip", 1, 3, 60, "act-1")
APPROVALS = Charge("approvals", "ana", 1, 10, 60, "act-1")


def make(store: Store, *charges: Charge, now: int = NOW) -> None:
    with store.write() as connection:
        charge(connection, "acme", charges, now)


def used(store: Store, one: Charge = ACTIONS, *, now: int = NOW, tenant: str = "acme") -> int:
    with store.read() as connection:
        return spent(connection, tenant, one.budget, one.subject, one.window_s, now)


def test_a_budget_takes_what_fits_and_says_when_it_has_room_again(store: Store) -> None:
    for number in range(3):
        make(store, replace(ACTIONS, reference=f"act-{number}"), now=NOW + number * SECOND)
    with pytest.raises(RefusedError) as caught:
        make(store, replace(ACTIONS, reference="act-9"), now=NOW + 3 * SECOND)
    assert str(caught.value) == (
        "budget 'actions' of 'deny ip' is exhausted: 3 of 3 used in the last 60 s, 1 more asked for; "
        "it has room at 2023-11-14T22:14:20Z"
    )
    with pytest.raises(RefusedError):
        make(store, replace(ACTIONS, reference="act-9"), now=NOW + 60 * SECOND - 1)
    make(store, replace(ACTIONS, reference="act-9"), now=NOW + 60 * SECOND)
    assert used(store, now=NOW + 60 * SECOND) == 3


def test_the_same_again_is_not_charged_again_not_even_when_nothing_is_left(store: Store) -> None:
    full = replace(ACTIONS, amount=3)
    for _ in range(3):
        make(store, full)
    make(store, full, full, now=NOW + SECOND)
    assert used(store) == 3


def test_of_several_charges_all_are_made_or_none(store: Store) -> None:
    make(store, replace(ACTIONS, amount=3, reference="act-0"))
    # Also where the caller goes on with the transaction.
    with store.write() as connection, pytest.raises(RefusedError, match="'actions'"):
        charge(connection, "acme", [replace(ACTIONS, budget="aa"), ACTIONS], NOW)
    assert used(store, replace(ACTIONS, budget="aa")) == 0


def test_charges_of_one_budget_in_one_call_count_together(sqlite_store: Store) -> None:
    two = [replace(ACTIONS, amount=2, reference=f"act-{number}") for number in range(2)]
    with pytest.raises(RefusedError, match="2 of 3 used"):
        make(sqlite_store, *two)
    assert used(sqlite_store) == 0


def test_what_a_transaction_rolls_back_was_never_charged(sqlite_store: Store) -> None:
    def charge_and_fail() -> None:
        with sqlite_store.write() as connection:
            charge(connection, "acme", [ACTIONS], NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        charge_and_fail()
    assert used(sqlite_store) == 0


def test_a_refund_gives_back_what_was_charged_for_one_thing_and_it_can_be_charged_anew(store: Store) -> None:
    other = replace(ACTIONS, reference="act-2")
    make(store, ACTIONS, APPROVALS, other)
    with store.write() as connection:
        assert refund(connection, "acme", "act-1") == 2
        assert refund(connection, "acme", "act-1") == 0
        assert refund(connection, "other", "act-2") == 0
    assert (used(store), used(store, APPROVALS)) == (1, 0)
    make(store, ACTIONS)
    assert used(store) == 2


def test_tenants_subjects_and_budgets_do_not_pay_for_each_other(sqlite_store: Store) -> None:
    make(sqlite_store, replace(ACTIONS, amount=3))
    with sqlite_store.write() as connection:
        charge(connection, "other", [replace(ACTIONS, amount=3)], NOW)
    make(sqlite_store, replace(ACTIONS, amount=3, subject="allow ip"), replace(ACTIONS, amount=3, budget="tokens"))
    assert used(sqlite_store, tenant="other") == 3
    assert used(sqlite_store, tenant="nobody") == 0


def test_a_budget_without_a_window_is_never_given_back_by_time(sqlite_store: Store) -> None:
    tokens = Charge("tokens", "inc-1", 900, 1000, None, "run-1")
    make(sqlite_store, tokens)
    with pytest.raises(RefusedError, match="900 of 1,000 used in all, 200 more asked for; it never has room"):
        make(sqlite_store, replace(tokens, amount=200, reference="run-2"), now=NOW + 10**15)


def test_what_a_faster_clock_charged_counts_already(sqlite_store: Store) -> None:
    make(sqlite_store, replace(ACTIONS, amount=3), now=NOW + 30 * SECOND)
    with pytest.raises(RefusedError):
        make(sqlite_store, replace(ACTIONS, reference="act-2"))


LIMIT = 100
WRITERS = 8
CHARGES = 50


def test_threads_that_charge_at_once_get_exactly_what_there_is(store: Store) -> None:
    passed: list[str] = []
    together = threading.Barrier(WRITERS, timeout=30)

    def charge_all(writer: int) -> None:
        together.wait()
        for number in range(CHARGES):
            one = Charge("actions", "deny ip", 1, LIMIT, 3600, f"act-{writer}-{number}")
            try:
                make(store, one, now=NOW + number)
            except RefusedError:
                continue
            passed.append(one.reference)

    threads = [threading.Thread(target=charge_all, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == LIMIT
    with store.read() as connection:
        assert set(connection.scalars(select(budget_charge.c.reference))) == set(passed)


_WRITER = """
import sys
from watchfloor_core.errors import RefusedError
from watchfloor_core.store.engine import open_store
from watchfloor_guardrails.budget import Charge
from watchfloor_workflows.authority.budgets import charge
url, writer, charges, limit = sys.argv[1], *map(int, sys.argv[2:5])
store = open_store(url)
print("ready", flush=True)
sys.stdin.readline()
passed = 0
for number in range(charges):
    try:
        with store.write() as connection:
            charge(connection, "acme", [Charge("actions", "deny ip", 1, limit, 3600, f"act-{writer}-{number}")], number)
        passed += 1
    except RefusedError:
        pass
print(passed)
store.close()
"""


def test_processes_that_charge_at_once_get_exactly_what_there_is(store: Store, store_url: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, store_url, str(writer), str(CHARGES), str(LIMIT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for writer in range(WRITERS // 2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    passed = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert sum(passed) == LIMIT
    with store.read() as connection:
        assert connection.execute(select(func.sum(budget_charge.c.amount))).scalar_one() == LIMIT


def test_charges_of_several_budgets_in_any_order_do_not_deadlock_and_stay_exact(store: Store) -> None:
    subjects = ("ana", "ben", "cleo")
    problems: list[BaseException] = []

    def charge_some(writer: int) -> None:
        chance = random.Random(writer)
        for number in range(15):
            some = chance.sample(subjects, 2)
            charges = [Charge("approvals", who, 1, 40, 3600, f"act-{writer}-{number}") for who in some]
            try:
                make(store, *charges)
            except RefusedError:
                continue
            except BaseException as error:  # noqa: BLE001 - whatever ends a thread is the test's failure
                problems.append(error)

    threads = [threading.Thread(target=charge_some, args=(writer,)) for writer in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    totals = [used(store, Charge("approvals", who, 1, 40, 3600, "x")) for who in subjects]
    assert max(totals) == 40
    assert all(total <= 40 for total in totals)


def test_only_what_is_ours_and_still_held_counts_as_contained_and_once(store: Store) -> None:
    def held(number: int, kind: str, value: str, tenant: str = "acme") -> dict[str, object]:
        return {
            "tenant": tenant,
            "proposal_id": f"act-{number}",
            "action_class": "deny ip",
            "tool": "edge",
            "target_kind": kind,
            "target_value": value,
            "opened_us": NOW,
            "state": "open",
        }

    ours = [("ip", "10.0.0.1"), ("ip", "10.0.0.2"), ("user", "ana")]
    with store.write() as connection:
        for kind, value in ours:
            row = {"tenant": "acme", "entity_id": entity_id(kind, value), "kind": kind, "value": value}
            connection.execute(insert(asset).values(**row, tier=2, groups=[]))
        leases = [
            held(1, "ip", "10.0.0.1"),
            held(2, "ip", "10.0.0.1"),
            held(3, "user", "Ana"),
            held(4, "ip", "198.51.100.9"),
            held(5, "ip", "10.0.0.2", "other"),
        ]
        connection.execute(insert(lease), leases)
    with store.write() as connection:
        assert (contained_assets(connection, "acme"), inventory_size(connection, "acme")) == (2, 3)
        assert (contained_assets(connection, "other"), inventory_size(connection, "other")) == (0, 0)
        connection.execute(update(lease).where(lease.c.proposal_id == "act-3").values(state="ending"))
        assert contained_assets(connection, "acme") == 2
        connection.execute(update(lease).where(lease.c.proposal_id == "act-3").values(state="ended"))
        assert contained_assets(connection, "acme") == 1
