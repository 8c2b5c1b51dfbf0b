"""Reading incidents, their alerts and observations, and the export of what became of every record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import event, insert, update

from watchfloor_core.alert import Alert, Attribute, Entity, EntityKind, EntityRole, Integrity, Severity, TimePrecision
from watchfloor_core.errors import NotFoundError, RecordError
from watchfloor_core.incident import ClosedBy, IncidentKind, IncidentStatus, Verdict
from watchfloor_core.store import export, schema
from watchfloor_core.store.engine import Store
from watchfloor_core.store.fingerprint import fingerprint, shape_id
from watchfloor_core.store.incidents import (
    ExportedRecord,
    export_alerts,
    get_incident,
    incident_alerts,
    incident_observations,
    list_incidents,
)
from watchfloor_core.store.ingest import ParsedBatch, register_source, write_batch

Login = Callable[..., Alert]
BatchOf = Callable[..., ParsedBatch]


def write(store: Store, *batches: ParsedBatch) -> None:
    for batch in batches:
        with store.write() as connection:
            register_source(connection, "acme", batch.source_id, "mail.csv", is_bounded=True)
            write_batch(connection, "acme", batch)


def add_incident(store: Store, incident_id: str, **given: object) -> None:
    values: dict[str, object] = {
        "tenant": "acme", "id": incident_id, "kind": "activity", "title": "Failed logins on mail", "opened_us": 60,
        "first_us": 61, "last_us": 62, "alert_count": 1, "severity": 3, "status": "closed", "verdict": "FalsePositive",
        "probability": 0.02, "closed_by": "agent", "closed_us": 99, "level": 4, "revision": 1, "triaged_revision": 1,
        "is_sealed": True, "features": {"tactics": ["TA0006"]}, "assessment": {"reasons": []}, "ruling": None,
        "updated_us": 100, **given,
    }  # fmt: skip
    with store.write() as connection:
        connection.execute(insert(schema.incident).values(values))


def observe(store: Store, alert: Alert, incident_id: str, *, tick: int = 1, revision: int = 1) -> None:
    """What correlation would write for one alert."""
    with store.write() as connection:
        connection.execute(
            update(schema.alert).where(schema.alert.c.fingerprint == fingerprint("acme", alert)).values(tick=tick)
        )
        connection.execute(
            insert(schema.observation).values(
                tenant="acme", tick=tick, shape_id=shape_id(alert), incident_id=incident_id, revision=revision,
                alerts=1, first_us=alert.event_us, last_us=alert.event_us, is_late=False, surprise=1.5,
                reason={"rule": "entity", "text": "same host"},
            )
        )  # fmt: skip


def exported(store: Store, source_id: str = "file:1") -> list[ExportedRecord]:
    with store.read() as connection:
        return list(export_alerts(connection, "acme", source_id))


def test_an_incident_is_read_whole(store: Store) -> None:
    add_incident(store, "inc-1")
    with store.read() as connection:
        row = get_incident(connection, "acme", "inc-1")
    assert (row.id, row.kind, row.status) == ("inc-1", IncidentKind.ACTIVITY, IncidentStatus.CLOSED)
    assert (row.verdict, row.probability, row.closed_by) == (Verdict.FALSE_POSITIVE, 0.02, ClosedBy.AGENT)
    assert (row.severity, row.level, row.is_sealed) == (Severity.MEDIUM, 4, True)
    assert (row.features, row.assessment, row.ruling) == ({"tactics": ["TA0006"]}, {"reasons": []}, None)
    assert (row.revision, row.triaged_revision, row.merged_into) == (1, 1, None)


def test_an_incident_before_triage_has_no_verdict(store: Store) -> None:
    empty = dict.fromkeys(("verdict", "probability", "closed_by", "closed_us", "level", "assessment"))
    add_incident(store, "inc-1", status="new", triaged_revision=0, **empty)
    with store.read() as connection:
        row = get_incident(connection, "acme", "inc-1")
    assert (row.status, row.verdict, row.closed_by, row.assessment) == (IncidentStatus.NEW, None, None, None)


def test_an_incident_of_another_tenant_does_not_exist(store: Store) -> None:
    add_incident(store, "inc-1")
    with store.read() as connection:
        with pytest.raises(NotFoundError, match="no incident 'inc-1'"):
            get_incident(connection, "globex", "inc-1")
        assert list_incidents(connection, "globex") == []


def test_a_list_shows_the_latest_first_and_goes_on_page_by_page(store: Store) -> None:
    for number, last_us in enumerate([10, 30, 20, 20, 20]):
        add_incident(store, f"inc-{number}", last_us=last_us)
    with store.read() as connection:
        first = list_incidents(connection, "acme", limit=2)
        second = list_incidents(connection, "acme", limit=2, before=(first[-1].last_us, first[-1].id))
        third = list_incidents(connection, "acme", limit=2, before=(second[-1].last_us, second[-1].id))
    assert [[row.id for row in page] for page in (first, second, third)] == [
        ["inc-1", "inc-4"],
        ["inc-3", "inc-2"],
        ["inc-0"],
    ]


def test_a_list_shows_the_status_asked_for(store: Store) -> None:
    for number, status in enumerate(["new", "queued", "escalated", "closed"]):
        add_incident(store, f"inc-{number}", status=status)
    with store.read() as connection:
        queued = list_incidents(connection, "acme", IncidentStatus.QUEUED)
        waiting = list_incidents(connection, "acme", [status for status in IncidentStatus if status.is_open])
    assert [row.id for row in queued] == ["inc-1"]
    assert [row.id for row in waiting] == ["inc-2", "inc-1", "inc-0"]


def test_alerts_come_by_event_time_with_detector_entities_and_labels(
    store: Store, login: Login, batch_of: BatchOf
) -> None:
    web = login(3, host="web")
    write(store, batch_of([login(7), web, login(5), login(1, host="db")]))
    with store.write() as connection:
        connection.execute(update(schema.alert).values(tick=1))
    observe(store, login(7), "inc-1")  # of this shape there are two alerts
    observe(store, web, "inc-1")
    observe(store, login(1, host="db"), "inc-2")
    with store.read() as connection:
        alerts = incident_alerts(connection, "acme", "inc-1")
        pages = [incident_alerts(connection, "acme", "inc-1", limit=2, offset=offset) for offset in (0, 2)]
        assert incident_alerts(connection, "globex", "inc-1") == []
    assert [row.fingerprint for row in alerts] == [fingerprint("acme", one) for one in (web, login(5), login(7))]
    assert [row for page in pages for row in page] == alerts
    first = alerts[0]
    assert (first.event_us, first.precision, first.severity) == (web.event_us, TimePrecision.SECOND, Severity.MEDIUM)
    assert (first.product, first.detector_uid, first.title) == ("wazuh", "5710", web.detector.title)
    assert set(first.entities) == {
        Entity(EntityKind.HOST, "web", EntityRole.TARGET),
        Entity(EntityKind.USER, "root", EntityRole.ACTOR, Integrity.EXTERNAL),
    }
    assert first.attributes == (Attribute("command", "ssh root@mail", Integrity.EXTERNAL),)


def test_observations_say_why_they_are_in_the_incident(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([login(0), login(60)]))
    observe(store, login(60), "inc-1", tick=2, revision=2)
    observe(store, login(0), "inc-1", tick=1)
    with store.read() as connection:
        rows = incident_observations(connection, "acme", "inc-1")
        assert incident_observations(connection, "acme", "inc-1", limit=1, offset=1) == rows[1:]
        assert incident_observations(connection, "globex", "inc-1") == []
    assert [(row.tick, row.revision, row.shape_id) for row in rows] == [
        (1, 1, shape_id(login())),
        (2, 2, shape_id(login())),
    ]
    assert rows[0].reason == {"rule": "entity", "text": "same host"}
    assert (rows[0].alerts, rows[0].surprise, rows[0].is_late) == (1, 1.5, False)
    assert (rows[0].product, rows[0].detector_uid, rows[0].severity) == ("wazuh", "5710", Severity.MEDIUM)
    assert {entity.value for entity in rows[0].entities} == {"mail", "root"}


def test_every_position_is_exported_once_and_in_order(
    store: Store, login: Login, batch_of: BatchOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_WINDOW", 3)
    # Batches come in any order; the last two positions became nothing.
    write(store, batch_of([login(3), None, RecordError("no"), None], key="2", first=4))
    write(store, batch_of([login(0), None, login(0.4)]))
    assert exported(store) == [
        ExportedRecord(1, fingerprint("acme", login(0)).hex()),
        ExportedRecord(2),
        ExportedRecord(3, fingerprint("acme", login(0)).hex()),
        ExportedRecord(4, fingerprint("acme", login(3)).hex()),
        ExportedRecord(5),
        ExportedRecord(6),
        ExportedRecord(7),
    ]


def test_a_duplicate_is_exported_with_the_fate_of_its_alert(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([login(0)]), batch_of([login(0.5)], source_id="file:2"))
    add_incident(store, "inc-1")
    observe(store, login(0), "inc-1")
    expected = ExportedRecord(
        1, fingerprint("acme", login(0)).hex(), "inc-1", Verdict.FALSE_POSITIVE, 0.02, ClosedBy.AGENT
    )
    assert exported(store) == exported(store, "file:2") == [expected]


@pytest.mark.parametrize("status", ["new", "queued", "escalated"])
def test_an_open_incident_was_closed_by_no_one(store: Store, login: Login, batch_of: BatchOf, status: str) -> None:
    write(store, batch_of([login(0)]))
    add_incident(store, "inc-1", status=status)
    observe(store, login(0), "inc-1")
    (found,) = exported(store)
    assert (found.incident_id, found.verdict, found.closed_by) == ("inc-1", Verdict.FALSE_POSITIVE, None)


def test_a_closure_does_not_speak_of_what_came_after_it(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([login(0), login(60)]))
    add_incident(store, "inc-1", revision=2, triaged_revision=1)
    observe(store, login(0), "inc-1", tick=1, revision=1)
    observe(store, login(60), "inc-1", tick=2, revision=2)
    assert [found.closed_by for found in exported(store)] == [ClosedBy.AGENT, None]


def test_a_merged_incident_is_exported_as_the_one_that_holds_it_in_the_end(
    store: Store, login: Login, batch_of: BatchOf
) -> None:
    write(store, batch_of([login(0), login(60)]))
    add_incident(store, "inc-1", status="merged", merged_into="inc-2", closed_by=None)
    add_incident(store, "inc-2", status="merged", merged_into="inc-3", closed_by=None)
    add_incident(store, "inc-3", closed_by="person", verdict="TruePositive", probability=0.9)
    observe(store, login(0), "inc-1")
    assert exported(store)[0] == ExportedRecord(
        1, fingerprint("acme", login(0)).hex(), "inc-3", Verdict.TRUE_POSITIVE, 0.9, ClosedBy.PERSON
    )
    with store.write() as connection:
        connection.execute(update(schema.incident).where(schema.incident.c.id == "inc-3").values(revision=2))
    assert exported(store)[0].closed_by is None


def test_an_unknown_source_exports_nothing(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([login(0)]))
    assert exported(store, "file:9") == []


def test_positions_that_a_source_repeats_are_all_exported(store: Store, login: Login, batch_of: BatchOf) -> None:
    write(store, batch_of([login(0), login(60)], key="body-1"), batch_of([login(120), None], key="body-2"))
    assert [(found.position, found.fingerprint is None) for found in exported(store)] == [
        (1, False),
        (1, False),
        (2, False),
    ]


def test_an_export_reads_as_many_times_as_there_are_windows_not_alerts(
    store: Store, login: Login, batch_of: BatchOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_WINDOW", 100)
    write(store, batch_of([replace(login(0), event_us=login(second).event_us) for second in range(300)]))
    statements: list[str] = []
    with store.read() as connection:
        event.listen(connection, "before_cursor_execute", lambda *given: statements.append(given[2]))
        assert len(list(export_alerts(connection, "acme", "file:1"))) == 300
    assert len(statements) == 5  # the last position, the merged incidents, three windows
