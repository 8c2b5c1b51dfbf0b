"""Correlation on both databases: the same stream gives the same incidents, however it is cut and whoever works it."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from watchfloor_agents.correlation import revise
from watchfloor_agents.correlation.observation import MAX_LINKS
from watchfloor_agents.correlation.sequencer import Sequencer
from watchfloor_agents.correlation.shapes import other_name
from watchfloor_agents.triage.engine import load_case
from watchfloor_agents.triage.specialist import SpecialistTriage
from watchfloor_core.alert import Alert, Detector, Entity, EntityKind, EntityRole, Integrity, Severity, TimePrecision
from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.errors import ConflictError, NotFoundError
from watchfloor_core.identity import digest16
from watchfloor_core.incident import Verdict
from watchfloor_core.settings import Settings
from watchfloor_core.store import schema
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.ingest import (
    ParsedBatch,
    ParsedRecord,
    close_source,
    pending_alerts,
    register_source,
    write_batch,
)
from watchfloor_core.telemetry.names import SpanName

START = 1_767_225_600
"""2026-01-01T00:00:00Z."""
HOUR, DAY = 3_600, 86_400
TENANT = "acme"
SOURCE = "http:sensor"


def alert(
    at_s: int,
    rule: str,
    host: str,
    *,
    product: str = "sensor",
    severity: Severity = Severity.UNKNOWN,
    entities: Sequence[Entity] = (),
) -> Alert:
    return Alert(
        connector="test",
        detector=Detector(product, rule, rule),
        severity=severity,
        event_us=(START + at_s) * MICROSECONDS,
        precision=TimePrecision.SECOND,
        entities=(Entity(EntityKind.HOST, host, EntityRole.TARGET), *entities),
    )


def user(name: str) -> Entity:
    return Entity(EntityKind.USER, name, EntityRole.ACTOR)


def quiet_days(days: int) -> list[Alert]:
    """Three hosts, each with a rule that speaks every half hour, and one that speaks every four hours."""
    alerts = []
    for minute in range(0, days * 24 * 60, 30):
        for number, host in enumerate(("web01", "db01", "mail01")):
            alerts.append(alert(minute * 60 + number, "heartbeat", host))
            if minute % 240 == 0:
                alerts.append(alert(minute * 60 + 7 + number, "update", host))
    return alerts


def intrusion(at_s: int) -> list[Alert]:
    return [
        alert(at_s, "exploit attempt", "web01", product="ids", severity=Severity.HIGH),
        alert(at_s + 300, "web shell written", "web01", product="edr", severity=Severity.HIGH),
        alert(at_s + 900, "sudo to root", "web01", product="hids"),
        alert(at_s + 1500, "lateral movement by psexec", "db01", product="edr", entities=[user("svc-web")]),
        alert(at_s + 1800, "new admin account", "web01", product="edr", entities=[user("svc-web")]),
    ]


def settings(**changes: object) -> Settings:
    return Settings(idle_s=10**6, lateness_s=60, **changes)  # type: ignore[arg-type]  # settings of several types


def send(store: Store, alerts: Sequence[Alert], key: str, first: int = 1, tenant: str = TENANT) -> None:
    with store.write() as connection:
        register_source(connection, tenant, SOURCE, "sensor", is_bounded=False)
        records = [ParsedRecord(first + n, b"{}", one) for n, one in enumerate(alerts)]
        write_batch(connection, tenant, ParsedBatch(SOURCE, key, "test", "1", records))


def close(store: Store, tenant: str = TENANT) -> None:
    with store.write() as connection:
        close_source(connection, tenant, SOURCE)


def run_out(sequencer: Sequencer, tenant: str = TENANT) -> None:
    while sequencer.advance(tenant).is_behind:
        pass


@dataclass(frozen=True)
class Outcome:
    """What a run ends with; equal for equal streams."""

    incidents: list[tuple[Any, ...]]
    observations: list[tuple[Any, ...]]
    verdicts: list[tuple[str, Verdict, float]]


def outcome(store: Store) -> Outcome:
    engine = SpecialistTriage()
    seen, table = schema.observation, schema.incident
    with store.read() as connection:
        rows = connection.execute(
            select(
                table.c.id, table.c.kind, table.c.first_us, table.c.last_us, table.c.alert_count, table.c.merged_into
            )
            .where(table.c.tenant == TENANT)
            .order_by(table.c.id)
        ).all()
        observations = connection.execute(
            select(seen.c.tick, seen.c.shape_id, seen.c.incident_id, seen.c.alerts, seen.c.surprise)
            .where(seen.c.tenant == TENANT)
            .order_by(seen.c.tick, seen.c.shape_id)
        ).all()
        verdicts = []
        for row in rows:
            if row.merged_into is None:
                assessment = engine.assess(load_case(connection, TENANT, row.id))
                verdicts.append((row.id, assessment.verdict, assessment.probability))
    return Outcome([tuple(row) for row in rows], [(row[0], bytes(row[1]), *row[2:]) for row in observations], verdicts)


@pytest.fixture(scope="module")
def stream() -> list[Alert]:
    # The host speaks once after midnight, just before the attack: all that is routine of its day becomes context.
    hosts = [one for one in quiet_days(5) if one.asset.value != "web01" or one.event_us < (START + 4 * DAY) * 10**6]  # type: ignore[union-attr]
    last = alert(4 * DAY + 10 * HOUR - 60, "heartbeat", "web01")
    return sorted([*hosts, last, *intrusion(4 * DAY + 10 * HOUR)], key=lambda one: one.event_us)


@pytest.fixture(scope="module")
def reference_store(
    migrated_sqlite_file: Path, tmp_path_factory: pytest.TempPathFactory, stream: list[Alert]
) -> Iterator[Store]:
    """The stream as one file, by one process."""
    path = tmp_path_factory.mktemp("reference") / "store.db"
    shutil.copyfile(migrated_sqlite_file, path)
    opened = open_store(f"sqlite:///{path}")
    send(opened, stream, "all")
    close(opened)
    run_out(Sequencer(opened, settings()))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def reference(reference_store: Store) -> Outcome:
    return outcome(reference_store)


def test_the_intrusion_is_one_incident_and_the_rest_is_routine(reference: Outcome) -> None:
    attacks = [found for found in reference.verdicts if found[1] is Verdict.TRUE_POSITIVE]
    assert len(attacks) == 1
    held = {row[3] for row in reference.observations if row[2] == attacks[0][0]}
    assert held == {1}
    assert len(reference.verdicts) < 60


@pytest.mark.parametrize(("batch", "workers"), [(7, 1), (50, 3)])
def test_live_in_small_batches_by_several_workers_gives_the_same_as_one_file(
    store: Store, stream: list[Alert], reference: Outcome, batch: int, workers: int
) -> None:
    """Out of order within the allowed lateness, correlated as it comes, workers taking turns and restarting."""
    choice = random.Random(batch)
    arrival = sorted(stream, key=lambda one: one.event_us + choice.randrange(50) * MICROSECONDS)
    sequencers = [Sequencer(store, settings()) for _ in range(workers)]
    for start in range(0, len(arrival), batch):
        send(store, arrival[start : start + batch], str(start), start + 1)
        turn = choice.randrange(workers)
        if choice.random() < 0.1:
            sequencers[turn] = Sequencer(store, settings())
        sequencers[turn].advance(TENANT)
    close(store)
    run_out(sequencers[0])
    assert outcome(store) == reference


def test_workers_at_the_same_time_take_each_tick_once(store_url: str, stream: list[Alert], reference: Outcome) -> None:
    stores = [open_store(store_url) for _ in range(3)]
    for start in range(0, len(stream), 400):
        send(stores[0], stream[start : start + 400], str(start), start + 1)
    close(stores[0])
    failures: list[BaseException] = []

    def work(one: Store) -> None:
        try:
            run_out(Sequencer(one, settings()))
        except BaseException as error:  # noqa: BLE001 - handed to the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(one,)) for one in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = outcome(stores[0])
    for one in stores:
        one.close()
    assert failures == []
    assert found == reference


def test_a_step_that_fails_leaves_nothing_and_the_next_one_makes_it_good(
    sqlite_store: Store, stream: list[Alert], reference: Outcome
) -> None:
    send(sqlite_store, stream, "all")
    close(sqlite_store)
    sequencer = Sequencer(sqlite_store, settings())
    with sqlite_store.write() as connection:
        connection.exec_driver_sql("CREATE TRIGGER broken BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(Exception, match="no"):
        sequencer.advance(TENANT)
    with sqlite_store.write() as connection:
        assert connection.execute(select(func.count()).select_from(schema.observation)).scalar_one() == 0
        connection.exec_driver_sql("DROP TRIGGER broken")
    run_out(sequencer)
    assert outcome(sqlite_store) == reference


def test_a_flood_of_equal_alerts_costs_one_incident_and_few_revisions(store: Store) -> None:
    """Four times the alerts in the same minutes: the same incidents, and no more handed to workflows."""
    handed = []
    for tenant, repeat in (("small", 1), ("large", 4)):
        flood = [
            replace(alert(3 * DAY + n // 20, "scan", "web01"), native_uid=str(n), dedup=replace(_BY_UID))
            for n in range(500 * repeat)
        ]
        send(store, quiet_days(3) + flood, "all", tenant=tenant)
        close(store, tenant)
        run_out(Sequencer(store, settings()), tenant)
        with store.read() as connection:
            handed.append(
                connection.execute(
                    select(func.count()).select_from(schema.outbox).where(schema.outbox.c.tenant == tenant)
                ).scalar_one()
            )
    assert handed[0] == handed[1]


_BY_UID = replace(alert(0, "x", "x").dedup, fields=("native_uid",), window_s=0)


def test_more_entities_than_an_incident_remembers_stop_nothing(store: Store) -> None:
    """Whoever types user names at a log-in page must not bring correlation to a halt."""
    guesses = [
        alert(3 * DAY + minute * 60 + n % 60, "log-in failed", "web01", entities=[user(f"guess-{n}")])
        for minute in range(3)
        for n in range(MAX_LINKS + 50)
    ]
    send(store, quiet_days(3) + guesses, "all")
    close(store)
    run_out(Sequencer(store, settings()))
    with store.read() as connection:
        held = connection.execute(
            select(func.count(func.distinct(schema.observation.c.incident_id))).where(
                schema.observation.c.tick >= (START + 3 * DAY) // 60
            )
        ).scalar_one()
        assert pending_alerts(connection, TENANT) == 0
    assert held == 1


def test_a_shared_proxy_does_not_glue_unrelated_hosts_together(store: Store) -> None:
    proxy = Entity(EntityKind.IP, "10.0.0.1", EntityRole.RELATED)
    strange = [
        alert(3 * DAY + n * 120, f"strange {n}", f"host{n:02}", severity=Severity.HIGH, entities=[proxy])
        for n in range(24)
    ]
    send(store, quiet_days(3) + strange, "all")
    close(store)
    run_out(Sequencer(store, settings()))
    sizes = [row[4] for row in outcome(store).incidents if row[1] == "activity" and row[5] is None]
    assert max(sizes) < 16


def test_a_user_who_shows_up_on_two_hosts_joins_them_and_says_why(store: Store) -> None:
    strange = [
        alert(3 * DAY, "odd logon", "ws07", severity=Severity.HIGH, entities=[user("eve")]),
        alert(3 * DAY + 600, "odd service", "db09", severity=Severity.HIGH, entities=[user("eve")]),
    ]
    send(store, quiet_days(3) + strange, "all")
    close(store)
    run_out(Sequencer(store, settings()))
    with store.read() as connection:
        reasons = connection.execute(
            text("SELECT reason FROM observation WHERE CAST(reason AS TEXT) LIKE '%eve%'")
        ).all()
        joined = connection.execute(
            select(func.count(func.distinct(schema.observation.c.incident_id))).where(
                schema.observation.c.tick >= (START + 3 * DAY) // 60
            )
        ).scalar_one()
    assert len(reasons) == 1
    assert joined == 1


def test_a_host_is_one_host_by_its_full_and_by_its_short_name(store: Store) -> None:
    strange = [
        alert(3 * DAY, "odd logon", "ws07.corp.example", severity=Severity.HIGH),
        alert(3 * DAY + 600, "odd service", "ws07", product="other", severity=Severity.HIGH),
    ]
    send(store, quiet_days(3) + strange, "all")
    close(store)
    run_out(Sequencer(store, settings()))
    recent = [row for row in outcome(store).incidents if row[1] == "activity" and row[3] >= (START + 3 * DAY) * 10**6]
    assert [row[4] for row in recent if row[5] is None] == [2]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("host", "ws07.corp.example", "ws07"),
        ("host", "ws07", None),
        ("host", "10.1.2.3", None),
        ("user", "ann@corp.example", "ann"),
        ("user", "corp\\ann", "ann"),
        ("user", "ann", None),
        ("domain", "a.b.example", None),
    ],
)
def test_other_names(kind: str, value: str, expected: str | None) -> None:
    assert other_name(kind, value) == expected


def test_a_name_that_the_attacker_wrote_joins_nothing_by_itself(store: Store) -> None:
    forged = Entity(EntityKind.USER, "ceo", EntityRole.ACTOR, Integrity.EXTERNAL)
    strange = [
        alert(3 * DAY, "odd logon", "ws07", severity=Severity.HIGH, entities=[forged]),
        alert(3 * DAY + 600, "odd service", "db09", severity=Severity.HIGH, entities=[forged]),
    ]
    send(store, quiet_days(3) + strange, "all")
    close(store)
    run_out(Sequencer(store, settings()))
    recent = [row for row in outcome(store).incidents if row[1] == "activity" and row[3] >= (START + 3 * DAY) * 10**6]
    assert len(recent) == 2


def test_repeating_a_name_that_the_attacker_chose_does_not_make_it_routine(store: Store) -> None:
    """Failed logons whose only target is the typed name, every hour for days: never routine, nothing lowered."""
    typed = Entity(EntityKind.USER, "ceo", EntityRole.TARGET, Integrity.EXTERNAL)
    logons = [replace(alert(hour * HOUR, "failed logon", "x"), entities=(typed,)) for hour in range(72)]
    send(store, [*quiet_days(3), *logons], "all")
    close(store)
    run_out(Sequencer(store, settings()))
    with store.read() as connection:
        rules = connection.execute(
            select(schema.observation.c.reason)
            .join(schema.shape, schema.shape.c.id == schema.observation.c.shape_id)
            .where(schema.shape.c.detector_id == digest16("detector", "sensor", "failed logon"))
        ).scalars()
        assert {reason["rule"] for reason in rules} <= {"opened", "shared_entity"}
        incidents = connection.execute(select(schema.incident.c.id).where(schema.incident.c.merged_into.is_(None)))
        for incident_id in incidents.scalars().all():
            case = load_case(connection, TENANT, incident_id)
            if any(held.title == "failed logon" for held in case.features.detectors.values()):
                lowered = [r for r in SpecialistTriage().assess(case).reasons if r.log_odds < 0 and r.code != "prior"]
                assert lowered == []


def test_late_alerts_are_kept_counted_and_marked(store: Store, stream: list[Alert]) -> None:
    send(store, stream, "all")
    close(store)
    sequencer = Sequencer(store, settings())
    run_out(sequencer)
    before = sum(row[3] for row in outcome(store).observations)
    again = replace(stream[100], event_us=stream[100].event_us + 1, dedup=replace(stream[100].dedup, window_s=0))
    unseen = alert(DAY + 120, "never seen", "web01")
    send(store, [again, unseen], "late", len(stream) + 1)
    run_out(sequencer)
    after = outcome(store)
    assert sum(row[3] for row in after.observations) == before + 2
    with store.read() as connection:
        late = connection.execute(
            select(func.count()).select_from(schema.observation).where(schema.observation.c.is_late.is_(True))
        ).scalar_one()
        waiting = connection.execute(
            select(func.count()).select_from(schema.alert).where(schema.alert.c.tick.is_(None))
        ).scalar_one()
    assert late == 2
    assert waiting == 0


def test_an_alert_dated_years_ahead_is_taken_at_its_receipt_and_makes_nobody_late(store: Store) -> None:
    now_s = now_us() // MICROSECONDS - START
    send(store, [alert(now_s + 10 * 365 * DAY, "wrong clock", "web01"), alert(now_s, "right clock", "web01")], "all")
    close(store)
    run_out(Sequencer(store, settings()))
    with store.read() as connection:
        ticks = connection.execute(select(schema.alert.c.tick)).scalars().all()
    assert all(abs(int(tick or 0) * 60 - (now_s + START)) < 300 for tick in ticks)


def test_in_a_new_organisation_the_first_alert_is_handed_over_as_soon_as_its_tick_is_over(store: Store) -> None:
    send(store, [alert(0, "odd logon", "ws07"), alert(180, "odd logon", "ws07")], "all")
    Sequencer(store, settings()).advance(TENANT)
    with store.read() as connection:
        handed = connection.execute(select(schema.outbox.c.incident_id)).scalars().all()
        incidents = connection.execute(select(schema.incident.c.id)).scalars().all()
    assert handed == incidents != []


def test_no_incident_is_left_without_a_decision_to_come(reference_store: Store) -> None:
    """Each incident was handed over at its last revision, or was taken up whole by another."""
    handed, table = schema.outbox, schema.incident
    with reference_store.read() as connection:
        left = connection.execute(
            select(table.c.id, table.c.kind, table.c.alert_count)
            .outerjoin(handed, (handed.c.incident_id == table.c.id) & (handed.c.revision == table.c.revision))
            .where(table.c.merged_into.is_(None), handed.c.id.is_(None))
        ).all()
    assert left == []


def test_every_join_is_in_the_ledger_and_in_the_trace(reference_store: Store, reference: Outcome) -> None:
    with reference_store.read() as connection:
        entries = connection.execute(
            select(func.count()).select_from(schema.ledger_entry).where(schema.ledger_entry.c.kind == "correlate")
        ).scalar_one()
        spans = connection.execute(
            select(func.count()).select_from(schema.span).where(schema.span.c.name == SpanName.CORRELATE)
        ).scalar_one()
    places = {(row[0], row[2]) for row in reference.observations}
    assert entries == spans
    assert entries >= len(places) - len(reference.incidents)


def test_a_baseline_of_another_version_is_learned_anew(store: Store) -> None:
    send(store, quiet_days(2), "all")
    run_out(Sequencer(store, settings()))
    with store.write() as connection:
        table = schema.baseline
        row = connection.execute(select(table.c.data).where(table.c.kind == "tenant")).scalar_one()
        connection.execute(table.update().where(table.c.kind == "tenant").values(data={**row, "version": "0"}))
    send(store, [alert(3 * DAY, "heartbeat", "web01"), alert(4 * DAY, "heartbeat", "web01")], "more", 1_000)
    run_out(Sequencer(store, settings()))
    with store.read() as connection:
        data = connection.execute(select(table.c.data).where(table.c.kind == "tenant")).scalar_one()
        pairs = connection.execute(select(func.count()).select_from(table).where(table.c.kind == "pair")).scalar_one()
    # Only what event time had not reached before is in it: the last half hour's heartbeats of three hosts.
    assert data["start_hour"] == (START + 2 * DAY) // HOUR - 1
    assert pairs == 3


def test_another_tenant_sees_nothing_of_it(store: Store, stream: list[Alert]) -> None:
    send(store, stream, "all")
    close(store)
    assert Sequencer(store, settings()).advance("other").ticks == 0


def two_incidents(store: Store) -> tuple[str, str]:
    strange = [
        alert(3 * DAY, "odd logon", "ws07", severity=Severity.CRITICAL),
        alert(3 * DAY + 8 * HOUR, "odd service", "db09", severity=Severity.CRITICAL),
    ]
    send(store, quiet_days(4) + strange, "all")
    close(store)
    run_out(Sequencer(store, settings()))
    with store.read() as connection:
        found = connection.execute(
            select(schema.incident.c.id)
            .where(schema.incident.c.severity == int(Severity.CRITICAL))
            .order_by(schema.incident.c.first_us)
        ).scalars()
        first, second = found.all()
    return str(first), str(second)


def test_a_person_merges_two_incidents_and_splits_them_again(store: Store) -> None:
    first, second = two_incidents(store)
    with store.write() as connection:
        revise.merge(connection, TENANT, first, second, principal="local:ann", reason="one intruder")
    with store.read() as connection:
        case = load_case(connection, TENANT, first)
        detectors = {held.title for held in case.features.detectors.values()}
    assert detectors >= {"odd logon", "odd service"}
    shape = _shape_of(store, "odd service")
    with store.write() as connection:
        new = revise.split(connection, TENANT, first, [shape], principal="local:ann", reason="two after all")
    with store.read() as connection:
        assert {held.title for held in load_case(connection, TENANT, new).features.detectors.values()} == {
            "odd service"
        }
        in_hand = connection.execute(select(schema.human_verdict.c.incident_id, schema.human_verdict.c.principal)).all()
        assert [tuple(row) for row in in_hand] == [(new, "local:ann")]
        kinds = connection.execute(
            select(schema.ledger_entry.c.kind).where(schema.ledger_entry.c.kind.in_(["merge", "split"]))
        ).scalars()
        assert sorted(kinds) == ["merge", "merge", "split", "split"]


def _shape_of(store: Store, rule: str) -> bytes:
    with store.read() as connection:
        return bytes(
            connection.execute(
                select(schema.shape.c.id).where(schema.shape.c.detector_id == digest16("detector", "sensor", rule))
            ).scalar_one()
        )


def test_impossible_merges_and_splits_are_refused_and_change_nothing(store: Store) -> None:
    first, second = two_incidents(store)
    shape = _shape_of(store, "odd logon")
    before = outcome(store)
    for attempt, expected in (
        (lambda c: revise.merge(c, TENANT, first, first, principal="p", reason=""), ConflictError),
        (lambda c: revise.merge(c, TENANT, first, "inc-0000000000000000", principal="p", reason=""), NotFoundError),
        (lambda c: revise.merge(c, "other", first, second, principal="p", reason=""), NotFoundError),
        (lambda c: revise.split(c, TENANT, second, [shape], principal="p", reason=""), ConflictError),
        (lambda c: revise.split(c, TENANT, first, [shape], principal="p", reason=""), ConflictError),
    ):
        with pytest.raises(expected), store.write() as connection:
            attempt(connection)
    assert outcome(store) == before


def test_what_a_person_merged_or_split_ends_quietly_when_its_time_is_over(store: Store) -> None:
    """Each revision is handed to the workflow once, whoever made it."""
    odd = [alert(2 * DAY, "odd logon", "web01"), alert(2 * DAY + 60, "odd service", "web01")]
    other = [alert(2 * DAY + 90, "odd task", "db01", severity=Severity.CRITICAL)]
    send(store, quiet_days(2) + odd + other, "first")
    sequencer = Sequencer(store, settings())
    send(store, [alert(2 * DAY + 600, "heartbeat", "mail01")], "later", 10_000)
    run_out(sequencer)
    first, second = _incident_of(store, "odd logon"), _incident_of(store, "odd task")
    assert first != second
    with store.write() as connection:
        revise.split(connection, TENANT, first, [_shape_of(store, "odd service")], principal="p", reason="apart")
        revise.merge(connection, TENANT, first, second, principal="p", reason="one intruder")
    send(store, [alert(6 * DAY, "heartbeat", "mail01")], "last", 20_000)
    close(store)
    run_out(sequencer)

    with store.read() as connection:
        assert pending_alerts(connection, TENANT) == 0


def test_a_window_of_routine_alerts_is_neither_merged_nor_split_before_it_is_over(store: Store) -> None:
    send(store, quiet_days(3), "all")
    run_out(Sequencer(store, settings()))
    table = schema.incident
    with store.read() as connection:
        open_windows = connection.execute(
            select(table.c.id).where(table.c.kind == "routine", table.c.is_sealed.is_(False)).order_by(table.c.id)
        ).scalars()
        one, two = list(open_windows)[:2]
    with pytest.raises(ConflictError, match="until its window is over"), store.write() as connection:
        revise.merge(connection, TENANT, one, two, principal="p", reason="")
    with pytest.raises(ConflictError, match="until its window is over"), store.write() as connection:
        revise.split(connection, TENANT, one, [b"any"], principal="p", reason="")


def _incident_of(store: Store, rule: str) -> str:
    seen, shape = schema.observation, schema.shape
    with store.read() as connection:
        found: str = connection.execute(
            select(seen.c.incident_id)
            .join(shape, (shape.c.tenant == seen.c.tenant) & (shape.c.id == seen.c.shape_id))
            .where(shape.c.detector_id == digest16("detector", "sensor", rule))
        ).scalar_one()
    return found


def test_correlation_goes_on_after_a_person_merged(store: Store) -> None:
    first, second = two_incidents(store)
    with store.write() as connection:
        revise.merge(connection, TENANT, first, second, principal="local:ann", reason="one intruder")
    sequencer = Sequencer(store, settings())
    send(store, [alert(5 * DAY, "odd logon", "ws07")], "more", 10_000)
    run_out(sequencer)
    counted = sum(row[4] for row in outcome(store).incidents if row[5] is None)
    with store.read() as connection:
        alerts = connection.execute(select(func.count()).select_from(schema.alert)).scalar_one()
    assert counted == alerts
