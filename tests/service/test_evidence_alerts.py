"""The alerts behind evidence, on both databases."""

from __future__ import annotations

from pathlib import Path

import orjson

from tests.service.reports import investigated
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.evidence import find_evidence, uses_of
from watchfloor_service.incidents.evidence_alerts import alerts_behind
from watchfloor_service.testing import eve_alert, plant_incidents


def test_they_are_counted_and_lead_to_the_first_record_of_their_tenant(store: Store, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    lines = [orjson.dumps(eve_alert(0) | {"timestamp": f"2024-06-13T00:{minute}:00+0000"}) for minute in (10, 30)]
    [incident_id] = plant_incidents(store, settings, "acme", b"\n".join(lines))
    evidence_id = investigated(store, settings, "acme", incident_id)
    with store.read() as connection:
        found, uses = find_evidence(connection, "acme", evidence_id), uses_of(connection, "acme", evidence_id)
        [behind] = alerts_behind(connection, "acme", found, uses)
        elsewhere = alerts_behind(connection, "other", found, uses)

    assert (behind.incident_id, behind.count) == (incident_id, 2)
    assert behind.last_us - behind.first_us == 20 * 60 * 1_000_000
    assert behind.original == lines[0]
    assert elsewhere == ()
