"""The export of what became of every record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import event, insert, update

from watchfloor_core.alert import Alert
from watchfloor_core.errors import RecordError
from watchfloor_core.incident import ClosedBy, Verdict
from watchfloor_core.store import export, schema
from watchfloor_core.store.engine import Store
from watchfloor_core.store.export import ExportedRecord, export_alerts
from watchfloor_core.store.fingerprint import fingerprint, shape_id
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
