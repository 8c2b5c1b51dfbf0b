"""Recording decisions: chains, hashes, spans, and one transaction for all of it."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
import threading
from collections.abc import Iterable

import orjson
import pytest
from sqlalchemy import func, select

from watchfloor_core.ledger import GENESIS, Decision, record_decisions, trace_id, verify_store
from watchfloor_core.ledger.entry import MAX_ENTRY_BYTES, Kind
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.schema import ledger_entry, ledger_head, span
from watchfloor_core.telemetry import SpanAttribute

TENANT = "acme"
INCIDENT = "inc-0123456789abcdef"


def decision(chain: str = INCIDENT, kind: Kind = "verdict", number: int = 0, parent: str | None = None) -> Decision:
    return Decision(
        chain=chain,
        kind=kind,
        body={"number": number, "probability": 0.25},
        name=f"watchfloor.{kind}",
        start_us=1_000_000 + number,
        end_us=2_000_000 + number,
        parent_id=parent,
        attributes={SpanAttribute.PROBABILITY: 0.25},
    )


def record(store: Store, decisions: Iterable[Decision], tenant: str = TENANT) -> list[str]:
    with store.write() as connection:
        return record_decisions(connection, tenant, list(decisions))


def test_a_chain_links_each_entry_to_the_hash_of_the_one_before(store: Store) -> None:
    record(store, [decision(number=1), decision(number=2)])
    record(store, [decision(number=3)])
    with store.read() as connection:
        rows = connection.execute(select(ledger_entry).order_by(ledger_entry.c.seq)).all()
        head = connection.execute(select(ledger_head)).one()
    previous = GENESIS
    for seq, row in enumerate(rows, start=1):
        assert row.seq == seq
        assert orjson.loads(row.body)["prev"] == previous
        previous = hashlib.sha256(b"\x00" + row.body.encode()).hexdigest()
        assert row.hash == previous
    assert tuple(head) == (TENANT, INCIDENT, 3, previous)


def test_an_entry_holds_the_decision_and_its_place(store: Store) -> None:
    (first,) = record(store, [decision(number=1)])
    (second,) = record(store, [decision(kind="ruling", number=2, parent=first)])
    with store.read() as connection:
        rows = connection.execute(select(ledger_entry).order_by(ledger_entry.c.seq)).all()
    assert orjson.loads(rows[1].body) == {
        "v": 1,
        "tenant": TENANT,
        "chain": INCIDENT,
        "seq": 2,
        "id": second,
        "kind": "ruling",
        "at": 2_000_002,
        "prev": rows[0].hash,
        "trace": trace_id(TENANT, INCIDENT),
        "parent": first,
        "body": {"number": 2, "probability": 0.25},
    }
    assert (rows[1].id, rows[1].kind, rows[1].at_us) == (second, "ruling", 2_000_002)


def test_a_span_of_the_same_id_stands_beside_each_entry(store: Store) -> None:
    ids = record(store, [decision(number=1), decision(chain="ingest", kind="ingest_batch", number=2)])
    with store.read() as connection:
        rows = {row.span_id: row for row in connection.execute(select(span))}
    assert set(rows) == set(ids)
    of_incident, of_ingest = rows[ids[0]], rows[ids[1]]
    assert (of_incident.tenant, of_incident.trace_id) == (TENANT, trace_id(TENANT, INCIDENT))
    assert (of_incident.name, of_incident.status) == ("watchfloor.verdict", "ok")
    assert (of_incident.start_us, of_incident.end_us) == (1_000_001, 2_000_001)
    assert of_incident.attributes == {"watchfloor.probability": 0.25}
    assert (of_incident.incident_id, of_ingest.incident_id) == (INCIDENT, None)


def test_decisions_of_one_call_can_name_each_other_as_parents(store: Store) -> None:
    verdict = decision()
    ruling = decision(kind="ruling", parent=verdict.id)
    assert record(store, [verdict, ruling]) == [verdict.id, ruling.id]


def test_thousands_of_decisions_over_many_chains_are_one_call(store: Store) -> None:
    chains = [f"inc-{number:016x}" for number in range(1_000)]
    ids = record(store, [decision(chain, number=number) for number in range(3) for chain in chains])
    assert len(set(ids)) == 3_000
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(ledger_head).where(ledger_head.c.seq == 3)) == 1_000
        report = verify_store(connection, TENANT)
    assert report.ok
    assert (report.entries, report.chains) == (3_000, 1_000)


def test_chains_of_two_tenants_do_not_touch(store: Store) -> None:
    record(store, [decision()], tenant="acme")
    record(store, [decision()], tenant="globex")
    with store.read() as connection:
        assert connection.execute(select(ledger_head.c.tenant, ledger_head.c.seq)).all() == [("acme", 1), ("globex", 1)]
        traces = connection.execute(select(span.c.trace_id).distinct()).all()
    assert len(traces) == 2


def test_what_is_rolled_back_was_never_decided(store: Store) -> None:
    unwritable = Decision(INCIDENT, "verdict", {"probability": math.nan}, "watchfloor.verdict", 0, 0)
    with pytest.raises(ValueError, match="is nan"), store.write() as connection:  # noqa: PT012  the whole of it fails
        record_decisions(connection, TENANT, [decision(number=1)])
        record_decisions(connection, TENANT, [decision(number=2), unwritable])
    with store.read() as connection:
        for table in (ledger_entry, ledger_head, span):
            assert connection.scalar(select(func.count()).select_from(table)) == 0


def test_nothing_to_record_is_nothing_written(store: Store) -> None:
    assert record(store, []) == []


def test_a_decision_is_recorded_once(store: Store) -> None:
    once = decision()
    record(store, [once])
    with pytest.raises(Exception, match=r"(?i)unique"):
        record(store, [once])
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(ledger_entry)) == 1


def test_text_that_a_database_may_not_take_is_kept_as_given(store: Store) -> None:
    """PostgreSQL refuses NUL in text; canonical JSON has it escaped."""
    given = 'nul \0, quote ", emoji \U0001f600, override \u202e'
    record(store, [Decision(INCIDENT, "verdict", {"text": given}, "watchfloor.verdict", 0, 0)])
    with store.read() as connection:
        row = connection.execute(select(ledger_entry.c.body)).scalar_one()
        assert verify_store(connection, TENANT).ok
    assert orjson.loads(row)["body"]["text"] == given


def test_an_entry_beyond_the_size_that_verifiers_hold_is_refused(sqlite_store: Store) -> None:
    huge = Decision(INCIDENT, "verdict", {"text": "A" * MAX_ENTRY_BYTES}, "watchfloor.verdict", 0, 0)
    with pytest.raises(ValueError, match=r"has \d+ bytes, the limit is \d+; enter the digest"):
        record(sqlite_store, [huge])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "guess"}, "kind is 'guess', expected one of approval_outcome, approval_request"),
        ({"chain": ""}, "chain is '', expected an incident id"),
        ({"chain": "inc-1\n"}, r"chain is 'inc-1\\n'"),
        ({"chain": "x" * 49}, "chain is"),
        ({"parent_id": "12"}, "parent_id is '12', expected 16 hex digits"),
        ({"parent_id": "0" * 16}, "parent_id is"),
        ({"id": "F" * 16}, "id is"),
    ],
)
def test_a_malformed_decision_cannot_be_made(changes: dict[str, str], reason: str) -> None:
    fields: dict[str, object] = {
        "chain": INCIDENT,
        "kind": "verdict",
        "body": {},
        "name": "watchfloor.verdict",
        "start_us": 0,
        "end_us": 0,
    }
    with pytest.raises(ValueError, match=reason):
        Decision(**(fields | changes))  # type: ignore[arg-type]  # wrong on purpose


APPENDERS = 4
ROUNDS = 12
SHARED = [f"inc-{number:016x}" for number in range(5)]


def append_in_rounds(store: Store, appender: int) -> None:
    """Every appender grows the same chains, and names them in an order of its own."""
    for number in range(ROUNDS):
        turn = (appender + number) % len(SHARED)
        order = SHARED[turn:] + SHARED[:turn]
        record(store, [decision(chain, number=number) for chain in (order if appender % 2 else order[::-1])])


def assert_no_chain_has_forked(store: Store) -> None:
    with store.read() as connection:
        report = verify_store(connection, TENANT)
        lengths = connection.execute(select(ledger_head.c.seq)).scalars().all()
    assert report.fault is None
    assert list(lengths) == [APPENDERS * ROUNDS] * len(SHARED)


def test_threads_that_append_to_the_same_chains_never_fork_them(store: Store) -> None:
    errors: list[Exception] = []

    def run(appender: int) -> None:
        try:
            append_in_rounds(store, appender)
        except Exception as error:  # noqa: BLE001  handed to the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(appender,)) for appender in range(APPENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert_no_chain_has_forked(store)


def test_processes_that_append_to_the_same_chains_never_fork_them(store_url: str) -> None:
    appenders = [
        subprocess.Popen(
            [sys.executable, __file__, store_url, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(APPENDERS)
    ]
    for appender in appenders:
        assert appender.stdout is not None
        assert appender.stdout.readline() == "ready\n"
    # All are there: closing their inputs lets them go together.
    for appender in appenders:
        assert appender.stdin is not None
        appender.stdin.close()
    for appender in appenders:
        with appender:
            assert appender.wait() == 0
    store = open_store(store_url)
    assert_no_chain_has_forked(store)
    store.close()


def append_in_this_process(url: str, appender: int) -> None:
    store = open_store(url)
    print("ready", flush=True)
    sys.stdin.read()
    append_in_rounds(store, appender)
    store.close()


if __name__ == "__main__":
    append_in_this_process(sys.argv[1], int(sys.argv[2]))
