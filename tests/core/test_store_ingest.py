"""One batch into the store: nothing lost, nothing twice, every count right."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Connection, event, func, select

from watchfloor_core.alert import Alert, Attribute, DedupKey, Detector, Entity, EntityKind, EntityRole, Integrity
from watchfloor_core.errors import NotFoundError, RecordError
from watchfloor_core.store import schema
from watchfloor_core.store.deadletters import dead_letter_bytes, list_dead_letters
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.fingerprint import fingerprint, shape_id
from watchfloor_core.store.ingest import (
    BatchResult,
    ParsedBatch,
    close_source,
    pending_alerts,
    prepare,
    register_source,
    write_batch,
)
from watchfloor_core.store.interning import VALUE_BYTES, detector_id, entity_id
from watchfloor_core.store.originals import load_raw
from watchfloor_core.store.sources import list_sources, list_tenants

Login = Callable[..., Alert]
BatchOf = Callable[..., ParsedBatch]


def write(store: Store, *batches: ParsedBatch, tenant: str = "acme") -> list[BatchResult]:
    results = []
    for batch in batches:
        with store.write() as connection:
            register_source(connection, tenant, batch.source_id, "mail.csv", is_bounded=True)
            results.append(write_batch(connection, tenant, batch))
    return results


def count(store: Store, table: str) -> int:
    with store.read() as connection:
        return connection.execute(select(func.count()).select_from(schema.metadata.tables[table])).scalar_one()


def counts(result: BatchResult) -> tuple[int, int, int, int, int]:
    return result.records, result.alerts, result.duplicates, result.ignored, result.dead


def test_every_record_is_counted_as_what_it_became(store: Store, login: Login, batch_of: BatchOf) -> None:
    outcomes = [login(0), login(0.5), None, RecordError("time is 'x', expected seconds", path="time"), login(7)]
    (result,) = write(store, batch_of(outcomes))
    assert counts(result) == (5, 2, 1, 1, 1)
    assert not result.was_known
    assert result.duplicate_examples == (fingerprint("acme", login(0)).hex(),)
    assert (count(store, "alert"), count(store, "record"), count(store, "dead_letter")) == (2, 3, 1)


def test_an_alert_is_stored_with_its_shape(store: Store, login: Login, batch_of: BatchOf) -> None:
    alert = login(7.25)
    (result,) = write(store, batch_of([alert]))
    host, user = entity_id("host", "mail"), entity_id("user", "root")
    with store.read() as connection:
        row = connection.execute(select(schema.alert)).one()
        shape = connection.execute(select(schema.shape)).one()
        detector = connection.execute(select(schema.detector)).one()
        entities = connection.execute(select(schema.entity).order_by(schema.entity.c.kind)).all()
        links = connection.execute(select(schema.shape_entity).order_by(schema.shape_entity.c.role)).all()
        rule = connection.execute(select(schema.dedup_rule)).one()
    assert row[:6] == ("acme", fingerprint("acme", alert), shape_id(alert), alert.event_us, "s", row.received_us)
    assert row[6:] == (result.batch_id, None)
    assert shape == ("acme", shape_id(alert), detector.id, host, 3, [["command", "ssh root@mail", 4]])
    assert detector == (
        "acme",
        detector_id("wazuh", "5710"),
        "wazuh",
        "5710",
        alert.detector.title,
        "sshd",
        ["TA0006"],
        [],
    )
    assert entities == [("acme", host, "host", "mail"), ("acme", user, "user", "root")]
    assert links == [("acme", row.shape_id, user, "actor", 4), ("acme", row.shape_id, host, "target", 2)]
    assert rule == ("acme", row.shape_id, ["detector", "entities", "attributes"], 1)


def test_the_same_key_again_changes_nothing_and_gives_the_counts_of_then(
    store: Store, login: Login, batch_of: BatchOf
) -> None:
    batch = batch_of([login(0), login(0), None])
    first, again = write(store, batch, batch)
    assert again == replace(first, was_known=True, duplicate_examples=())
    assert counts(again) == (3, 1, 1, 1, 0)
    assert (count(store, "batch"), count(store, "record"), count(store, "alert")) == (1, 2, 1)


def test_the_same_records_under_another_key_are_duplicates_that_are_named(
    store: Store, login: Login, batch_of: BatchOf
) -> None:
    alerts = [login(second) for second in range(20)]
    _, second = write(store, batch_of(alerts), batch_of(alerts, key="2", source_id="file:2"))
    assert counts(second) == (20, 0, 20, 0, 0)
    assert len(second.duplicate_examples) == 5
    assert set(second.duplicate_examples) < {fingerprint("acme", alert).hex() for alert in alerts}
    assert (count(store, "record"), count(store, "alert")) == (40, 20)


def test_tenants_share_nothing(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([login(0)]), tenant="acme")
    (result,) = write(store, batch_of([login(0)]), tenant="globex")
    assert counts(result) == (1, 1, 0, 0, 0)
    with store.read() as connection:
        assert [pending_alerts(connection, tenant) for tenant in ("acme", "globex", "initech")] == [1, 1, 0]
        assert set(connection.execute(select(schema.shape.c.tenant)).scalars()) == {"acme", "globex"}


def test_tenants_are_those_that_have_sources(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([login(0)]), batch_of([login(1)], source_id="file:2"), tenant="globex")
    write(store, batch_of([login(0)]), tenant="acme")
    with store.read() as connection:
        assert list_tenants(connection) == ["acme", "globex"]


def test_the_original_bytes_of_every_record_come_back(store: Store, login: Login, batch_of: BatchOf) -> None:
    batch = batch_of([login(0), None, RecordError("no"), login(9)], first=101)
    raws = [b"", b"\x00\xff\n", "zürich\r\n".encode(), b"x" * 100_000]
    batch = replace(batch, records=[replace(one, raw=raw) for one, raw in zip(batch.records, raws, strict=True)])
    (result,) = write(store, batch)
    with store.read() as connection:
        assert [load_raw(connection, "acme", result.batch_id, 101 + n) for n in range(4)] == raws
        digest = connection.execute(select(schema.batch.c.raw_sha256)).scalar_one()
        assert bytes(digest) == hashlib.sha256(b"".join(raws)).digest()
        for missing in (100, 105):
            with pytest.raises(NotFoundError, match=f"holds positions 101 to 104, not {missing}"):
                load_raw(connection, "acme", result.batch_id, missing)
        with pytest.raises(NotFoundError):
            load_raw(connection, "globex", result.batch_id, 101)


def test_a_malformed_record_is_kept_with_its_reason_and_place(store: Store, batch_of: BatchOf) -> None:
    (result,) = write(store, batch_of([None, RecordError("severity is 'x'", path="rule.level")]))
    with store.read() as connection:
        (letter,) = list_dead_letters(connection, "acme")
        assert dead_letter_bytes(connection, "acme", letter.id) == b"record 2 of file:1"
    assert (letter.batch_id, letter.source_id, letter.connector) == (result.batch_id, "file:1", "wazuh")
    assert (letter.position, letter.path, letter.reason) == (2, "rule.level", "severity is 'x'")
    assert (letter.attempts, letter.is_open) == (0, True)


def test_a_source_remembers_its_latest_event_time_and_its_last_batch(
    store: Store, login: Login, batch_of: BatchOf
) -> None:
    write(store, batch_of([login(50), login(90), login(10)]), batch_of([login(30)], key="2", first=4))
    write(store, batch_of([None], key="3", first=5))
    with store.read() as connection:
        (source,) = list_sources(connection, "acme")
        received = connection.execute(select(func.max(schema.batch.c.received_us))).scalar_one()
    assert source.max_event_us == login(90).event_us
    assert source.last_received_us == received
    assert source.closed_us is None


def test_a_duplicate_moves_the_latest_event_time_as_well(store: Store, login: Login, batch_of: BatchOf) -> None:
    wide = DedupKey(("detector",), 60)
    write(store, batch_of([login(0, dedup=wide), login(59, dedup=wide)]))
    with store.read() as connection:
        assert list_sources(connection, "acme")[0].max_event_us == login(59).event_us


def test_a_source_without_alerts_has_no_event_time(store: Store, batch_of: BatchOf) -> None:
    write(store, batch_of([None, RecordError("no")]))
    with store.read() as connection:
        (source,) = list_sources(connection, "acme")
    assert source.max_event_us is None
    assert source.last_received_us is not None


def test_closing_a_source_again_does_not_move_its_end(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([login()]))
    ends = []
    for _ in range(2):
        with store.write() as connection:
            close_source(connection, "acme", "file:1")
        with store.read() as connection:
            ends.append(list_sources(connection, "acme")[0].closed_us)
    assert ends[0] is not None
    assert ends[0] == ends[1]


def test_registering_a_source_again_leaves_it_as_it_is(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([login()]))
    with store.write() as connection:
        before = list_sources(connection, "acme")
        register_source(connection, "acme", "file:1", "another name", is_bounded=False)
        assert list_sources(connection, "acme") == before


def test_a_file_name_that_is_no_unicode_can_name_a_source(store: Store) -> None:
    with store.write() as connection:
        register_source(connection, "acme", "file:1", b"caf\xe9.csv".decode(errors="surrogateescape"), is_bounded=True)
        assert list_sources(connection, "acme")[0].name == "caf\ufffd.csv"


def test_a_source_that_nobody_registered_is_refused(store: Store, login: Login, batch_of: BatchOf) -> None:
    unknown = "source 'file:1' is not known in this tenant; register it first"
    with pytest.raises(NotFoundError, match=unknown), store.write() as connection:
        write_batch(connection, "acme", batch_of([login()]))
    with pytest.raises(NotFoundError, match="'file:1'"), store.write() as connection:
        close_source(connection, "acme", "file:1")
    assert count(store, "batch") == 0


@pytest.mark.parametrize("event_us", [2**63, -(2**63) - 1, 253_402_300_800_000_000, -62_135_596_800_000_001])
def test_a_time_that_no_calendar_has_is_a_dead_letter_and_stops_nothing(
    store: Store, login: Login, batch_of: BatchOf, event_us: int
) -> None:
    (result,) = write(store, batch_of([login(0), replace(login(1), event_us=event_us), login(2)]))
    assert counts(result) == (3, 2, 0, 0, 1)
    with store.read() as connection:
        (letter,) = list_dead_letters(connection, "acme")
    assert (letter.position, str(event_us) in letter.reason) == (2, True)


HOSTILE = "\x00'; DROP TABLE alert; --\ud800 \"{},\\N\\\\ \t\n NULL %s ✓ \U0001f600"


def test_text_of_an_attacker_is_stored_as_data(store: Store, login: Login, batch_of: BatchOf) -> None:
    alert = replace(
        login(),
        detector=Detector(HOSTILE, HOSTILE, HOSTILE, HOSTILE, (HOSTILE,)),
        entities=(Entity(EntityKind.HOST, HOSTILE, EntityRole.TARGET),),
        attributes=(Attribute(HOSTILE, HOSTILE, Integrity.EXTERNAL),),
    )
    (result,) = write(store, batch_of([alert, RecordError(HOSTILE, path=HOSTILE)]))
    assert counts(result) == (2, 1, 0, 0, 1)
    # Neither database can hold NUL in a text, nor half a surrogate pair; the original bytes keep them.
    kept = HOSTILE.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    with store.read() as connection:
        assert connection.execute(select(schema.entity.c.value)).scalar_one() == kept
        assert connection.execute(select(schema.shape.c.attributes)).scalar_one() == [[kept, kept, 4]]
        assert connection.execute(select(schema.detector.c.uid, schema.detector.c.tactics)).one() == (kept, [kept])
        assert list_dead_letters(connection, "acme")[0].reason == kept


def test_values_too_long_for_an_index_are_cut_and_stay_apart(store: Store, login: Login, batch_of: BatchOf) -> None:
    long = "https://example.org/" + "ü" * 500_000
    urls = [Entity(EntityKind.URL, long + end, EntityRole.RELATED, Integrity.EXTERNAL) for end in "ab"]
    alerts = [replace(login(n), entities=(url,)) for n, url in enumerate(urls)]
    (result,) = write(store, batch_of(alerts))
    assert result.alerts == 2
    with store.read() as connection:
        values = connection.execute(select(schema.entity.c.value)).scalars().all()
    assert len(values) == 2
    assert all(len(value.encode()) <= VALUE_BYTES and value.endswith("ü…") for value in values)


def test_an_entity_named_twice_is_trusted_as_little_as_its_worst_mention(
    store: Store, login: Login, batch_of: BatchOf
) -> None:
    mentions = [
        Entity(EntityKind.USER, "root", EntityRole.ACTOR, label) for label in (Integrity.EXTERNAL, Integrity.SENSOR)
    ]
    write(store, batch_of([replace(login(), entities=tuple(mentions))]))
    with store.read() as connection:
        assert connection.execute(select(schema.shape_entity.c.integrity)).scalars().all() == [4]


@pytest.mark.parametrize("positions", [[1, 3], [1, 1], [2, 1]])
def test_positions_with_gaps_are_refused(login: Login, batch_of: BatchOf, positions: list[int]) -> None:
    batch = batch_of([login(0), login(1)])
    moved = [replace(one, position=position) for one, position in zip(batch.records, positions, strict=True)]
    with pytest.raises(ValueError, match=f"position {positions[1]} where {positions[0] + 1} was expected"):
        prepare(replace(batch, records=moved))


def test_a_batch_without_records_is_refused(batch_of: BatchOf) -> None:
    with pytest.raises(ValueError, match="holds no records"):
        prepare(batch_of([]))


def test_what_a_rolled_back_batch_interned_is_stored_by_the_next(store: Store, login: Login, batch_of: BatchOf) -> None:
    def write_and_die() -> None:
        with store.write() as connection:
            register_source(connection, "acme", "file:1", "mail.csv", is_bounded=True)
            write_batch(connection, "acme", batch_of([login()]))
            raise KeyError("after the batch, before the commit")

    with pytest.raises(KeyError):
        write_and_die()
    (result,) = write(store, batch_of([login()]))
    assert counts(result) == (1, 1, 0, 0, 0)
    assert [count(store, table) for table in ("shape", "entity", "detector", "shape_entity")] == [1, 2, 1, 2]


def test_a_savepoint_that_is_undone_poisons_nothing(store: Store, login: Login, batch_of: BatchOf) -> None:
    def write_and_undo(connection: Connection) -> None:
        with connection.begin_nested():
            write_batch(connection, "acme", batch_of([login()]))
            raise KeyError("inside the savepoint")

    with store.write() as connection:
        register_source(connection, "acme", "file:1", "mail.csv", is_bounded=True)
        with pytest.raises(KeyError):
            write_and_undo(connection)
    write(store, batch_of([login()]))
    assert count(store, "shape") == 1


def test_a_shape_that_repeats_is_not_written_again(store: Store, login: Login, batch_of: BatchOf) -> None:
    statements: list[str] = []

    @event.listens_for(store.engine, "before_cursor_execute")
    def listen(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    def interned() -> set[str]:
        tables = {"detector", "entity", "shape", "shape_entity", "dedup_rule"}
        found = {table for table in tables for one in statements if one.startswith(f"INSERT INTO {table} ")}
        statements.clear()
        return found

    write(store, batch_of([login(0), login(5)]))
    assert interned() == {"detector", "entity", "shape", "shape_entity", "dedup_rule"}
    write(store, batch_of([login(10)], key="2", first=3))
    assert interned() == set()
    write(store, batch_of([login(10, command="id")], key="3", first=4))
    assert interned() == {"shape", "shape_entity", "dedup_rule"}


def test_two_stores_of_one_process_remember_apart(
    sqlite_store: Store, login: Login, batch_of: BatchOf, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write(sqlite_store, batch_of([login()]))
    other = open_store(f"sqlite:///{tmp_path_factory.mktemp('other') / 'w.db'}")
    schema.metadata.create_all(other.engine)
    write(other, batch_of([login()]))
    assert count(other, "shape") == 1
    other.close()


def test_concurrent_writers_of_one_batch_write_it_once(store: Store, login: Login, batch_of: BatchOf) -> None:
    with store.write() as connection:
        register_source(connection, "acme", "file:1", "mail.csv", is_bounded=True)
    batch = batch_of([login(second) for second in range(200)])
    results: list[BatchResult] = []
    together = threading.Barrier(4, timeout=10)

    def write_it() -> None:
        together.wait()
        with store.write() as connection:
            results.append(write_batch(connection, "acme", batch))

    threads = [threading.Thread(target=write_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.was_known for result in results) == [False, True, True, True]
    assert {counts(result) for result in results} == {(200, 200, 0, 0, 0)}
    assert (count(store, "batch"), count(store, "record"), count(store, "alert")) == (1, 200, 200)
