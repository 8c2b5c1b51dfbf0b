"""What the store forgets, what it never does, and that writers beside it lose nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import func, insert, select, update

from watchfloor_core.alert import Alert
from watchfloor_core.clock import now_us
from watchfloor_core.errors import NotFoundError, RecordError
from watchfloor_core.store import schema, unused
from watchfloor_core.store.deadletters import resolve_dead_letter
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.fingerprint import explain, fingerprint, shape_id
from watchfloor_core.store.ingest import BatchResult, ParsedBatch, pending_alerts, register_source, write_batch
from watchfloor_core.store.interning import entity_id
from watchfloor_core.store.originals import load_raw
from watchfloor_core.store.retention import RetentionCounts, RetentionPolicy, apply_retention

Login = Callable[..., Alert]
BatchOf = Callable[..., ParsedBatch]

DAY_US = 86_400_000_000
POLICY = RetentionPolicy(raw_days=90, alert_days=400, span_days=90)
NEVER = RetentionPolicy(raw_days=0, alert_days=0, span_days=0)


def write(store: Store, batch: ParsedBatch, tenant: str = "acme") -> BatchResult:
    with store.write() as connection:
        register_source(connection, tenant, batch.source_id, "mail.csv", is_bounded=True)
        return write_batch(connection, tenant, batch)


def correlate(store: Store, *alerts: Alert, incident_id: str, status: str, tenant: str = "acme") -> None:
    """What correlation and triage would have left: one tick, one incident."""
    with store.write() as connection:
        for alert in alerts:
            connection.execute(
                update(schema.alert).where(schema.alert.c.fingerprint == fingerprint(tenant, alert)).values(tick=1)
            )
            connection.execute(
                insert(schema.observation).values(
                    tenant=tenant, tick=1, shape_id=shape_id(alert), incident_id=incident_id, revision=1, alerts=1,
                    first_us=alert.event_us, last_us=alert.event_us, is_late=False, surprise=0.0, reason={},
                )
            )  # fmt: skip
        connection.execute(
            insert(schema.incident).values(
                tenant=tenant, id=incident_id, kind="activity", title="", opened_us=0, first_us=0, last_us=0,
                alert_count=len(alerts), severity=3, status=status, revision=1, triaged_revision=1, is_sealed=True,
                features={}, updated_us=0,
            )
        )  # fmt: skip


def forget(store: Store, after_days: float, policy: RetentionPolicy = POLICY, **how: int) -> RetentionCounts:
    return apply_retention(store, "acme", policy, at_us=now_us() + round(after_days * DAY_US), **how)


def count(store: Store, table: str, tenant: str = "acme") -> int:
    columns = schema.metadata.tables[table].c
    with store.read() as connection:
        return connection.execute(select(func.count()).where(columns.tenant == tenant)).scalar_one()


def test_nothing_goes_before_its_time(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([login(0), RecordError("no")]))
    correlate(store, login(0), incident_id="inc-1", status="closed")
    assert forget(store, 89.9) == RetentionCounts()
    assert forget(store, 10_000, NEVER) == RetentionCounts()


def test_original_bytes_go_first_and_alerts_stay(store: Store, login: Login, batch_of: BatchOf) -> None:
    batch = write(store, batch_of([login(0)]))
    correlate(store, login(0), incident_id="inc-1", status="closed")
    assert forget(store, 91) == RetentionCounts(originals=1)
    with store.read() as connection:
        with pytest.raises(NotFoundError, match="not kept"):
            load_raw(connection, "acme", batch.batch_id, 1)
        assert len(explain(connection, "acme", fingerprint("acme", login(0))).records) == 1


def test_a_closed_alert_goes_with_all_that_hangs_on_it(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([login(0), login(0), login(5, host="web")]))
    correlate(store, login(0), login(5, host="web"), incident_id="inc-1", status="closed")
    gone = forget(store, 401)
    assert gone == RetentionCounts(originals=1, alerts=2, records=3, observations=2, batches=1, shapes=2, entities=3)
    for table in ("alert", "record", "observation", "batch", "shape", "shape_entity", "dedup_rule", "entity"):
        assert count(store, table) == 0, table
    assert count(store, "incident") == 1
    assert forget(store, 401) == RetentionCounts()


@pytest.mark.parametrize("status", ["new", "queued", "escalated"])
def test_an_open_incident_keeps_its_alerts_and_their_bytes(
    store: Store, login: Login, batch_of: BatchOf, status: str
) -> None:
    batch = write(store, batch_of([login(0), login(5, host="web")]))
    correlate(store, login(0), incident_id="inc-1", status=status)
    correlate(store, login(5, host="web"), incident_id="inc-2", status="closed")
    gone = forget(store, 10_000)
    assert (gone.originals, gone.alerts, gone.records, gone.batches, gone.shapes) == (0, 1, 1, 0, 1)
    with store.read() as connection:
        assert load_raw(connection, "acme", batch.batch_id, 1) == b"record 1 of file:1"
        why = explain(connection, "acme", fingerprint("acme", login(0)))
        assert ("entity.target.host", "mail") in why.values


def test_an_alert_that_was_never_correlated_is_not_forgotten(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([login(0)]))
    assert forget(store, 10_000) == RetentionCounts()
    with store.read() as connection:
        assert pending_alerts(connection, "acme") == 1


def test_other_tenants_and_the_ledger_are_not_touched(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([login(0)]), tenant="globex")
    correlate(store, login(0), incident_id="inc-1", status="closed", tenant="globex")
    with store.write() as connection:
        connection.execute(
            insert(schema.ledger_entry).values(
                tenant="acme",
                chain="ingest",
                seq=1,
                id="0" * 16,
                kind="ingest_batch",
                at_us=0,
                body="{}",
                hash="0" * 64,
            )
        )
    assert forget(store, 10_000) == RetentionCounts()
    assert count(store, "alert", "globex") == count(store, "batch_raw", "globex") == 1
    assert count(store, "ledger_entry") == 1


def test_resolved_letters_go_with_the_bytes_and_open_ones_with_the_alerts(store: Store, batch_of: BatchOf) -> None:
    write(store, batch_of([RecordError("a"), RecordError("b")]))
    with store.write() as connection:
        first = connection.execute(select(func.min(schema.dead_letter.c.id))).scalar_one()
        resolve_dead_letter(connection, "acme", first)
    assert forget(store, 91) == RetentionCounts(originals=1, dead_letters=1)
    assert forget(store, 401) == RetentionCounts(dead_letters=1, batches=1)


def test_spans_go_by_their_end_and_those_of_open_incidents_stay(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([login(0)]))
    correlate(store, login(0), incident_id="inc-1", status="queued")
    now = now_us()
    with store.write() as connection:
        for number, (incident_id, end_us) in enumerate(
            [("inc-1", now - 200 * DAY_US), ("ingest", now - 91 * DAY_US), ("ingest", now - 89 * DAY_US), (None, 0)]
        ):
            connection.execute(
                insert(schema.span).values(
                    tenant="acme", trace_id="0" * 32, span_id=f"{number:016}", name="n", incident_id=incident_id,
                    start_us=0, end_us=end_us, status="ok", attributes={},
                )
            )  # fmt: skip
    assert forget(store, 0, chunk=1) == RetentionCounts(spans=2)
    with store.read() as connection:
        left = connection.execute(select(schema.span.c.span_id).order_by(schema.span.c.span_id)).scalars().all()
    assert left == [f"{number:016}" for number in (0, 2)]


def test_an_alert_is_as_old_as_its_first_record(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([login(0)]))
    correlate(store, login(0), incident_id="inc-1", status="closed")
    write(store, batch_of([login(0)], key="2", first=2))
    with store.write() as connection:
        connection.execute(
            update(schema.batch).where(schema.batch.c.key == "2").values(received_us=now_us() + 300 * DAY_US)
        )
    gone = forget(store, 401)
    assert (gone.alerts, gone.records, gone.batches) == (1, 2, 1)


@pytest.mark.parametrize("chunk", [1, 2, 7])
def test_the_size_of_a_chunk_does_not_change_what_goes(
    store: Store, login: Login, batch_of: BatchOf, chunk: int
) -> None:
    alerts = [login(second, host=f"host-{second % 4}") for second in range(10)]
    write(store, batch_of([*alerts[:6], None, alerts[0]]))
    write(store, batch_of([*alerts[4:], RecordError("no")], key="2", first=9))
    firsts = {shape_id(alert): alert for alert in alerts}
    with store.write() as connection:
        connection.execute(update(schema.alert).values(tick=1))
    correlate(store, *firsts.values(), incident_id="inc-1", status="closed")
    gone = forget(store, 401, chunk=chunk)
    assert gone == RetentionCounts(
        originals=2, dead_letters=1, alerts=10, records=13, observations=4, batches=2, shapes=4, entities=5
    )


def test_what_writers_remember_of_shapes_that_are_gone_is_forgotten(
    store: Store, store_url: str, login: Login, batch_of: BatchOf
) -> None:
    other = open_store(store_url)  # remembers by itself, as another process would
    write(store, batch_of([login(0)]))
    write(other, batch_of([login(10)], key="2", first=2))
    with store.write() as connection:
        connection.execute(update(schema.alert).values(tick=1))
    assert forget(store, 401).shapes == 1
    for number, writer in enumerate((store, other)):
        write(writer, batch_of([login(100 + number)], key=f"after-{number}", first=3 + number))
        with store.read() as connection:
            values = explain(connection, "acme", fingerprint("acme", login(100 + number))).values
        assert ("entity.target.host", "mail") in values
    other.close()


def test_a_shape_that_comes_back_while_it_is_looked_for_stays(
    store: Store, login: Login, batch_of: BatchOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(store, batch_of([login(0), login(5, host="web")]))
    with store.write() as connection:
        connection.execute(update(schema.alert).values(tick=1))
    find = unused._candidates

    def find_and_be_overtaken(*arguments: object) -> list[bytes]:
        found = find(*arguments)  # type: ignore[arg-type]  # passed through
        write(store, batch_of([login(86_400)], key="2", first=3))
        return found

    monkeypatch.setattr(unused, "_candidates", find_and_be_overtaken)
    assert forget(store, 401).shapes == 1
    with store.read() as connection:
        assert explain(connection, "acme", fingerprint("acme", login(86_400))).values
        assert connection.execute(select(schema.shape.c.id)).scalars().all() == [shape_id(login())]


def test_an_entity_that_an_incident_or_the_inventory_names_stays(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([login(0), login(1, host="web"), login(2, host="db", user="admin")]))
    with store.write() as connection:
        connection.execute(update(schema.alert).values(tick=1))
        connection.execute(
            insert(schema.incident_entity).values(
                tenant="acme", incident_id="inc-1", entity_id=entity_id("host", "web"), alerts=1, is_asset=True
            )
        )
        connection.execute(
            insert(schema.asset).values(
                tenant="acme", entity_id=entity_id("host", "db"), kind="host", value="db", tier=0, groups=[]
            )
        )
    assert forget(store, 401).entities == 3
    with store.read() as connection:
        assert set(connection.execute(select(schema.entity.c.value)).scalars()) == {"web", "db"}


def test_writers_beside_retention_never_find_a_shape_missing(
    store: Store, store_url: str, login: Login, batch_of: BatchOf
) -> None:
    rounds = 15
    writer = open_store(store_url)
    done = threading.Event()

    def write_on() -> None:
        for number in range(rounds):
            # The same five shapes again and again: sometimes in use, sometimes just taken away.
            alerts = [login(number * 10 + n, host=f"host-{n}") for n in range(5)]
            write(writer, batch_of(alerts, key=str(number), first=1 + number * 5))
            with writer.write() as connection:
                connection.execute(update(schema.alert).values(tick=1))
        done.set()

    thread = threading.Thread(target=write_on)
    thread.start()
    gone = RetentionCounts()
    while not done.is_set():
        gone += forget(store, 401, chunk=2)
    thread.join()
    gone += forget(store, 401, chunk=2)
    assert gone.alerts == gone.records == rounds * 5
    write(writer, batch_of([login(9_999, host=f"host-{n}") for n in range(5)], key="last", first=1000))
    with store.read() as connection:
        joined = connection.execute(
            select(func.count())
            .select_from(schema.alert)
            .join(schema.shape, schema.shape.c.id == schema.alert.c.shape_id)
            .join(schema.shape_entity, schema.shape_entity.c.shape_id == schema.shape.c.id)
            .join(schema.entity, schema.entity.c.id == schema.shape_entity.c.entity_id)
        ).scalar_one()
    assert joined == 10
    writer.close()
