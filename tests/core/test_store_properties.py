"""Whatever the cut into batches, and whatever their order, the store holds the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TypeAlias

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from watchfloor_core.alert import Alert, DedupKey
from watchfloor_core.errors import RecordError
from watchfloor_core.store import schema
from watchfloor_core.store.engine import Store
from watchfloor_core.store.fingerprint import fingerprint
from watchfloor_core.store.ingest import BatchResult, ParsedBatch, register_source, write_batch

Login = Callable[..., Alert]
BatchOf = Callable[..., ParsedBatch]
Kind: TypeAlias = tuple[int, str, int] | str
"""(second, host, window), or what else a record can be."""

SETTINGS = settings(
    max_examples=40,
    deadline=None,
    # A tenant of its own for every example: the store itself need not be empty.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
_tenants = itertools.count(1)

kinds = st.one_of(
    st.tuples(st.integers(0, 3), st.sampled_from(["mail", "web"]), st.sampled_from([0, 1, 2])),
    st.sampled_from(["ignored", "malformed"]),
)


def outcome(kind: Kind, login: Login) -> Alert | RecordError | None:
    match kind:
        case "ignored":
            return None
        case str():
            return RecordError("malformed on purpose")
        case second, host, window:
            fields = ("detector", "entities", "attributes")
            return login(second, host=host, dedup=DedupKey(fields, window))


def write(store: Store, batches: Sequence[ParsedBatch]) -> tuple[str, list[BatchResult]]:
    tenant = f"tenant-{next(_tenants)}"
    with store.write() as connection:
        register_source(connection, tenant, "file:1", "mail.csv", is_bounded=True)
    results = []
    for batch in batches:
        with store.write() as connection:
            results.append(write_batch(connection, tenant, batch))
    return tenant, results


def content(store: Store, tenant: str) -> tuple[set[bytes], set[tuple[int, bytes]], set[int], set[bytes], int | None]:
    with store.read() as connection:
        alerts = connection.execute(select(schema.alert.c.fingerprint).where(schema.alert.c.tenant == tenant))
        records = connection.execute(
            select(schema.record.c.position, schema.record.c.fingerprint).where(schema.record.c.tenant == tenant)
        ).all()
        dead = connection.execute(select(schema.dead_letter.c.position).where(schema.dead_letter.c.tenant == tenant))
        shapes = connection.execute(select(schema.shape.c.id).where(schema.shape.c.tenant == tenant))
        latest = connection.execute(select(schema.source.c.max_event_us).where(schema.source.c.tenant == tenant))
        return (
            {bytes(found) for found in alerts.scalars()},
            {(position, bytes(found)) for position, found in records},
            set(dead.scalars()),
            {bytes(found) for found in shapes.scalars()},
            latest.scalar_one(),
        )


@SETTINGS
@given(records=st.lists(kinds, min_size=1, max_size=40), data=st.data())
def test_any_cut_and_any_order_of_batches_give_the_same_alerts_and_records(
    store: Store, login: Login, batch_of: BatchOf, records: list[Kind], data: st.DataObject
) -> None:
    outcomes = [outcome(kind, login) for kind in records]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(records))), label="cuts") | {0, len(records)})
    pieces = [
        batch_of(outcomes[start:end], key=f"{start}-{end}", first=start + 1) for start, end in itertools.pairwise(cuts)
    ]
    shuffled = data.draw(st.permutations(pieces), label="order")
    # Some of them come again, as after a crash whose commit went unnoticed.
    again = data.draw(st.lists(st.sampled_from(pieces), max_size=3), label="again")
    whole, _ = write(store, [batch_of(outcomes, key="whole")])
    cut, results = write(store, [*shuffled, *again])

    assert content(store, cut) == content(store, whole)
    expected = {
        (position, fingerprint("acme", found)) for position, found in enumerate(outcomes, 1) if isinstance(found, Alert)
    }
    alerts, stored, dead, _, _ = content(store, cut)
    assert stored == expected
    assert alerts == {found for _, found in expected}
    assert dead == {position for position, found in enumerate(outcomes, 1) if isinstance(found, RecordError)}
    first_time = [result for result in results if not result.was_known]
    assert len(first_time) == len(pieces)
    assert sum(result.alerts for result in first_time) == len(alerts)
    assert sum(result.duplicates for result in first_time) == len(stored) - len(alerts)
    assert sum(result.ignored for result in first_time) == outcomes.count(None)


@SETTINGS
@given(records=st.lists(kinds, min_size=1, max_size=30), size=st.integers(1, 30))
def test_the_first_record_of_an_alert_gives_its_time_whatever_the_batch_size(
    store: Store, login: Login, batch_of: BatchOf, records: list[Kind], size: int
) -> None:
    outcomes = [outcome(kind, login) for kind in records]
    tenant, _ = write(
        store,
        [
            batch_of(outcomes[start : start + size], key=str(start), first=start + 1)
            for start in range(0, len(outcomes), size)
        ],
    )
    expected: dict[bytes, int] = {}
    for found in outcomes:
        if isinstance(found, Alert):
            expected.setdefault(fingerprint("acme", found), found.event_us)
    with store.read() as connection:
        rows = connection.execute(
            select(schema.alert.c.fingerprint, schema.alert.c.event_us).where(schema.alert.c.tenant == tenant)
        ).all()
    assert {bytes(row.fingerprint): row.event_us for row in rows} == expected
