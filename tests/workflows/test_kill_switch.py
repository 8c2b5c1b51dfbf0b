"""Throwing a switch stops what it covers, for certain: on both databases, against whoever consumes at the same time."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, insert, select, text, update

from watchfloor_core.canonical import parse_canonical
from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConfigurationError, ConflictError, RefusedError, UnavailableError
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.schema import ledger_entry, span
from watchfloor_core.store.schema_authority import execution
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.switches import covering_scopes
from watchfloor_workflows.authority.kill_switch import engage, list_switches, read_switches, release
from watchfloor_workflows.authority.stillness import StillWatch, wait_until_still

ANA = Principal("ana", PrincipalKind.PERSON)
SIEM = Principal("siem", PrincipalKind.SERVICE)
AGENT = Principal("specialist", PrincipalKind.AGENT)
ACT = covering_scopes("acme", "incident_response", "deny ip", "edge-firewall", "specialist")
DENY_IP = "tenant:acme/action:deny ip"


def begin(connection: Connection, number: int, scopes: tuple[str, ...] = ACT, *, beat_us: int | None = None) -> None:
    """The row of an execution under way, as whoever consumes a grant writes it."""
    now = now_us()
    values = {
        "tenant": "acme",
        "grant_id": f"{number:032x}",
        "proposal_id": f"act-{number:016x}",
        "digest": f"{number:064x}",
        "action_class": "deny ip",
        "tool": "edge-firewall",
        "executor": "executor-1",
        "authority": "level",
        "kill_scopes": list(scopes),
        "state_before": {},
        "phase": "acting",
        "consumed_us": now,
        "beat_us": now if beat_us is None else beat_us,
    }
    connection.execute(insert(execution).values(values))


def end(store: Store, number: int) -> None:
    with store.write() as connection:
        done = update(execution).where(execution.c.grant_id == f"{number:032x}")
        connection.execute(done.values(phase="done", outcome="succeeded", ended_us=now_us()))


def read(store: Store, scopes: tuple[str, ...] = ACT) -> tuple[int, tuple[str, ...]]:
    with store.read() as connection:
        reading = read_switches(connection, scopes)
    return reading.epoch, reading.engaged


class Consumer:
    """Consumes a grant in a transaction of its own, and stands still in the middle of it until told."""

    def __init__(self, store: Store, number: int) -> None:
        self._store = store
        self._number = number
        self._has_read = threading.Event()
        self._may_go_on = threading.Event()
        self.saw: tuple[str, ...] | None = None
        self._thread = threading.Thread(target=self._consume)

    def __enter__(self) -> Consumer:
        """Returns when it has read the switches, before its end."""
        self._thread.start()
        assert self._has_read.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        self._may_go_on.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _consume(self) -> None:
        with self._store.write() as connection:
            self.saw = read_switches(connection, ACT, lock=True).engaged
            self._has_read.set()
            assert self._may_go_on.wait(20)
            if not self.saw:
                begin(connection, self._number)


@contextmanager
def in_thread(call: Callable[[], object]) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=call)
    thread.start()
    yield thread
    thread.join(20)
    assert not thread.is_alive()


def test_nothing_is_engaged_at_first_and_the_epoch_is_zero(store: Store) -> None:
    assert read(store) == (0, ())


@pytest.mark.parametrize("scope", ACT)
def test_each_covering_scope_stops_an_act_and_kills_what_was_granted_for_good(sqlite_store: Store, scope: str) -> None:
    engaged = engage(sqlite_store, "acme", scope, ANA, "looks wrong")
    assert (engaged.scope, engaged.epoch, engaged.in_flight) == (scope, 1, 0)
    assert read(sqlite_store) == (1, (scope,))
    assert release(sqlite_store, "acme", scope, ANA, "was a mistake").epoch == 2
    assert read(sqlite_store) == (2, ())


def test_other_scopes_leave_an_act_alone(store: Store) -> None:
    for scope in ("tenant:other", "tenant:other/action:deny ip", "action:allow ip", "tool:edge", "agent:ana"):
        engage(store, "acme", scope, ANA, "elsewhere")
    assert read(store) == (0, ())


def test_throwing_again_counts_and_tells_the_latest_reason(store: Store) -> None:
    engage(store, "acme", DENY_IP, ANA, "first")
    assert engage(store, "acme", DENY_IP, SIEM, "second").epoch == 2
    with store.read() as connection:
        (switch,) = [one for one in list_switches(connection, "acme") if one.is_engaged]
    assert (switch.scope, switch.changed_by, switch.reason) == (DENY_IP, "siem", "second")


def test_a_tenant_sees_its_own_switches_and_those_over_all_tenants(sqlite_store: Store) -> None:
    for scope in (DENY_IP, "tenant:other", "tenant:other/tool:edge", "tool:edge"):
        engage(sqlite_store, "acme", scope, ANA, "test")
    with sqlite_store.read() as connection:
        assert [one.scope for one in list_switches(connection, "acme")] == ["all", DENY_IP, "tool:edge"]
        assert len(list_switches(connection)) == 5


def test_each_throw_and_release_is_one_ledger_entry_and_one_span(store: Store) -> None:
    engage(store, "acme", DENY_IP, ANA, "looks wrong")
    release(store, "acme", DENY_IP, ANA, "was a mistake")
    with store.read() as connection:
        entries = connection.execute(select(ledger_entry).order_by(ledger_entry.c.seq)).all()
        names = set(connection.scalars(select(span.c.name)))
    assert [(one.tenant, one.chain, one.kind) for one in entries] == [("acme", "control", "kill_switch")] * 2
    bodies = [parse_canonical(one.body.encode()) for one in entries]
    told = [one["body"] for one in bodies if isinstance(one, dict)]
    assert [one["is_engaged"] for one in told if isinstance(one, dict)] == [True, False]
    assert names == {"watchfloor.kill_switch"}


def test_agents_stop_nothing_and_only_people_let_go(sqlite_store: Store) -> None:
    with pytest.raises(RefusedError, match="agent"):
        engage(sqlite_store, "acme", DENY_IP, AGENT, "so that nobody stops me")
    engage(sqlite_store, "acme", DENY_IP, SIEM, "too many")
    for principal in (SIEM, AGENT):
        with pytest.raises(RefusedError, match="only a person"):
            release(sqlite_store, "acme", DENY_IP, principal, "enough")
    assert read(sqlite_store) == (1, (DENY_IP,))


def test_what_is_no_scope_stops_nothing_and_says_so(sqlite_store: Store) -> None:
    with pytest.raises(ConfigurationError, match="is not a scope"):
        engage(sqlite_store, "acme", "action:deny-ip", ANA, "typo")
    with sqlite_store.read() as connection:
        assert len(list_switches(connection)) == 1


def test_only_what_is_engaged_is_let_go_and_only_the_throw_that_was_meant(store: Store) -> None:
    with pytest.raises(ConflictError, match="not engaged"):
        release(store, "acme", DENY_IP, ANA, "nothing there")
    first = engage(store, "acme", DENY_IP, ANA, "drill")
    engage(store, "acme", DENY_IP, ANA, "in earnest")
    with pytest.raises(ConflictError, match="at epoch 1"):
        release(store, "acme", DENY_IP, ANA, "end of drill", epoch=first.epoch)
    assert read(store) == (2, (DENY_IP,))


@pytest.mark.parametrize("damage", ["DELETE FROM kill_switch", "DROP TABLE kill_switch"])
def test_switches_that_cannot_be_read_stop_everything(store: Store, damage: str) -> None:
    with store.write() as connection:
        connection.execute(text(damage))
    for lock in (False, True):
        with pytest.raises(UnavailableError, match="nothing acts"), store.write() as connection:
            read_switches(connection, ACT, lock=lock)


def test_a_lock_on_an_old_snapshot_is_a_defect_and_not_taken(pg_url: str) -> None:
    store = open_store(pg_url)
    with pytest.raises(ValueError, match="repeatable read"), store.read() as connection:
        read_switches(connection, ACT, lock=True)
    store.close()


def test_whoever_consumes_after_a_throw_sees_it(store: Store) -> None:
    engage(store, "acme", DENY_IP, ANA, "stop")
    with Consumer(store, 1) as consumer:
        pass
    assert consumer.saw == (DENY_IP,)
    assert wait_until_still(store, DENY_IP, 0).is_still


def test_a_throw_is_not_held_up_by_a_consumption_and_waits_for_all_that_it_began(store: Store) -> None:
    with Consumer(store, 1) as consumer, in_thread(lambda: engage(store, "acme", DENY_IP, ANA, "stop")) as throwing:
        if store.dialect == "postgresql":
            throwing.join(20)
            assert read(store) == (1, (DENY_IP,))
            # Neither granted nor refused yet: nobody may call this still.
            watch = StillWatch(store, DENY_IP)
            looks = [watch.look(), watch.look()]
            assert [(one.is_still, one.deciding, one.acting) for one in looks] == [(False, 1, ())] * 2
            consumer.finish()
            assert [one.grant_id for one in watch.look().acting] == [f"{1:032x}"]
        else:
            # One writer at a time: the throw has its turn when the consumption has ended.
            consumer.finish()
    report = wait_until_still(store, DENY_IP, 0)
    assert (report.is_still, len(report.acting), report.deciding) == (False, 1, 0)
    end(store, 1)
    assert wait_until_still(store, DENY_IP, 0).is_still


def test_consumptions_that_come_after_the_first_look_are_not_waited_for(pg_url: str) -> None:
    store = open_store(pg_url)
    engage(store, "acme", DENY_IP, ANA, "stop")
    watch = StillWatch(store, DENY_IP)
    with Consumer(store, 1) as before:
        assert watch.look().deciding == 1
        with Consumer(store, 2):
            before.finish()
            assert watch.look().is_still
    store.close()


def test_waiting_ends_when_the_last_act_has_ended(store: Store) -> None:
    with store.write() as connection:
        begin(connection, 1)
        begin(connection, 2)
        begin(connection, 3, covering_scopes("acme", "incident_response", "allow ip", "edge-firewall", "specialist"))
    assert engage(store, "acme", DENY_IP, ANA, "stop").in_flight == 2
    ends = iter((1, 2))
    report = wait_until_still(store, DENY_IP, 60, pause=lambda _: end(store, next(ends)))
    assert report.is_still
    assert next(ends, None) is None
    assert report.waited_us > 0


def test_waiting_ends_with_its_time_and_names_what_still_acts(sqlite_store: Store) -> None:
    with sqlite_store.write() as connection:
        begin(connection, 1)
    engage(sqlite_store, "acme", "all", ANA, "stop")
    report = wait_until_still(sqlite_store, "all", 0.0)
    assert not report.is_still
    assert "still acting: act-0000000000000001 (deny ip by edge-firewall)" in report.text


def test_an_act_whose_executor_is_silent_is_unknown_and_never_still(sqlite_store: Store) -> None:
    with sqlite_store.write() as connection:
        begin(connection, 1, beat_us=now_us() - 31_000_000)
    engage(sqlite_store, "acme", "tenant:acme", ANA, "stop")
    report = wait_until_still(sqlite_store, "tenant:acme", 60, pause=lambda _: pytest.fail("nothing to wait for"))
    assert (report.is_still, report.acting, len(report.unknown)) == (False, (), 1)
    assert "look at the targets" in report.text


def test_a_scope_that_was_let_go_meanwhile_is_not_called_still(sqlite_store: Store) -> None:
    engage(sqlite_store, "acme", DENY_IP, ANA, "stop")
    release(sqlite_store, "acme", DENY_IP, ANA, "go")
    report = wait_until_still(sqlite_store, DENY_IP, 60, pause=lambda _: pytest.fail("nothing to wait for"))
    assert (report.is_still, report.is_engaged) == (False, False)


def test_the_epoch_never_goes_down_and_counts_every_throw_and_release(store: Store) -> None:
    scopes = ("all", DENY_IP, "tool:edge-firewall")
    moves: list[str] = []
    seen: list[int] = []
    is_done = threading.Event()

    def throw(scope: str) -> None:
        for _ in range(5):
            engage(store, "acme", scope, ANA, "on")
            moves.append(scope)
            try:
                release(store, "acme", scope, ANA, "off")
            except ConflictError:
                continue  # another one has let it go
            moves.append(scope)

    def watch() -> None:
        while not is_done.is_set():
            seen.append(read(store)[0])

    with in_thread(watch):
        threads = [threading.Thread(target=throw, args=(scope,)) for scope in (*scopes, *scopes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        is_done.set()
    assert seen == sorted(seen)
    assert read(store) == (len(moves), ())
    assert len(moves) >= 6 * 5 + 3 * 5


_EXECUTOR = """
import runpy, sys, time
from watchfloor_core.store.engine import open_store
made = runpy.run_path(sys.argv[2])
store, number = open_store(sys.argv[1]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
while True:
    with store.write() as connection:
        if made["read_switches"](connection, made["ACT"], lock=True).engaged:
            break
        made["begin"](connection, number)
    acted_ns = time.monotonic_ns()
    made["end"](store, number)
    print(acted_ns, flush=True)
    number += 1
store.close()
"""
"""Acts until it is stopped, and says when it last did: in the middle of each act, before it is over."""


def test_after_the_call_has_returned_no_process_in_the_scope_acts(store: Store, store_url: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _EXECUTOR, store_url, __file__, str(first)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in (0, 1_000_000, 2_000_000)
    ]
    try:
        assert [line_of(process) for process in processes] == ["ready\n"] * 3
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        acted = [int(line_of(process)) for process in processes]
        engage(store, "acme", DENY_IP, ANA, "stop")
        report = wait_until_still(store, DENY_IP, 30)
        # Monotonic time is one for all processes of a Linux machine.
        still_ns = time.monotonic_ns()
        outputs = [process.communicate(timeout=30)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert report.is_still, report.text
    assert [process.returncode for process in processes] == [0, 0, 0]
    acted += [int(line) for output in outputs for line in output.splitlines()]
    assert max(acted) < still_ns


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()
