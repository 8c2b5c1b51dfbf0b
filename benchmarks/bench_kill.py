"""What stopping and holding back cost, as ratios of a bare commit measured in the same run.

The floor is one transaction of `Store.write` that inserts one row. Above it: throwing a switch (with its ledger entry
and span), reading the switches under lock as a consumption does, charging two budgets, and a whole drill. The figures
are the median and the 99th percentile of single calls, one after the other.

Usage: ``python benchmarks/bench_kill.py [--calls 300] [--store URL]``, an SQLite file of its own without ``--store``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import text

from watchfloor_core.clock import now_us
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_guardrails.budget import Charge
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.switches import covering_scopes
from watchfloor_workflows.authority.budgets import charge
from watchfloor_workflows.authority.kill_drill import drill, drill_scope
from watchfloor_workflows.authority.kill_switch import engage, read_switches

TENANT = "bench"
PERSON = Principal("bench", PrincipalKind.PERSON)
SCOPES = covering_scopes(TENANT, "incident_response", "deny ip", "edge", "specialist")
_INSERT = text(
    "INSERT INTO budget_head (tenant, budget, subject) VALUES ('floor', 'floor', :subject) ON CONFLICT DO NOTHING"
)


def seconds(call: Callable[[int], object], calls: int) -> list[float]:
    """How long each call took, the shortest first."""
    taken = []
    for number in range(calls):
        began = time.perf_counter()
        call(number)
        taken.append(time.perf_counter() - began)
    return sorted(taken)


def commit(store: Store, number: int) -> None:
    with store.write() as connection:
        connection.execute(_INSERT, {"subject": f"{number}"})


def consume(store: Store, number: int) -> None:
    with store.write() as connection:
        read_switches(connection, SCOPES, lock=True)
        connection.execute(_INSERT, {"subject": f"consumed {number}"})


def spend(store: Store, number: int) -> None:
    budgets = (("actions", "deny ip"), ("autonomous_actions", "deny ip"))
    with store.write() as connection:
        charges = [Charge(name, subject, 1, 1_000_000, 3_600, f"act-{number}") for name, subject in budgets]
        charge(connection, TENANT, charges, now_us())


def measure(store: Store, calls: int) -> None:
    commit(store, -1)
    floor = seconds(lambda number: commit(store, number), calls)
    works: dict[str, Callable[[int], object]] = {
        "throw a switch": lambda _: engage(store, TENANT, f"tenant:{TENANT}/tool:edge", PERSON, "bench"),
        "read under lock": lambda number: consume(store, number),
        "charge two budgets": lambda number: spend(store, number),
        "drill until still": lambda _: drill(store, TENANT, drill_scope(TENANT), PERSON, 5.0),
    }
    print(f"kill switch and budgets, {calls} calls each, {store.dialect}")
    p99, median = floor[calls * 99 // 100], floor[calls // 2]
    print(f"  {'bare commit':<20} {median * 1e3:8.2f} ms   p99 {p99 * 1e3:8.2f} ms")
    for name, work in works.items():
        taken = seconds(work, calls)
        middle, high = taken[calls // 2], taken[calls * 99 // 100]
        print(
            f"  {name:<20} {middle * 1e3:8.2f} ms   p99 {high * 1e3:8.2f} ms   "
            f"{middle / median:6.2f} bare commits, {(high - p99) * 1e3:+8.2f} ms at p99"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--store", metavar="URL", help="an empty database, e.g. postgresql+psycopg://…")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = arguments.store or f"sqlite:///{Path(folder) / 'bench.db'}"
        migrate(url)
        store = open_store(url)
        measure(store, arguments.calls)
        store.close()


if __name__ == "__main__":
    main()
