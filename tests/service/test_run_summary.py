"""The numbers that a run ends with."""

from __future__ import annotations

from watchfloor_core.alert import Alert, Detector, Severity, TimePrecision
from watchfloor_core.errors import RecordError
from watchfloor_core.store.deadletters import list_dead_letters, write_retry
from watchfloor_core.store.engine import Store
from watchfloor_core.store.ingest import ParsedBatch, ParsedRecord, register_source, write_batch
from watchfloor_service.runs.summary import summarise

TENANT = "acme"


def test_a_record_that_was_read_on_the_second_try_is_counted_once(store: Store) -> None:
    mended = Alert(
        connector="test",
        detector=Detector("sensor", "rule", "rule"),
        severity=Severity.LOW,
        event_us=1_767_225_600_000_000,
        precision=TimePrecision.SECOND,
        entities=(),
    )
    records = [ParsedRecord(n, b"{}", RecordError("unreadable")) for n in (1, 2)]
    with store.write() as connection:
        register_source(connection, TENANT, "file:1", "one", is_bounded=True)
        write_batch(connection, TENANT, ParsedBatch("file:1", "1-2", "test", "1", records))
    with store.write() as connection:
        first, _ = list_dead_letters(connection, TENANT)
        write_retry(connection, TENANT, first, mended)

    with store.read() as connection:
        found = summarise(connection, TENANT)
    assert (found.records, found.alerts, found.dead_letters) == (2, 1, 1)
