"""Real data sets, read in place: every record becomes an alert or says why not."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from watchfloor_connectors.framing import read_file
from watchfloor_connectors.inventory import read_inventory
from watchfloor_connectors.parse import parse_records
from watchfloor_connectors.registry import Registry
from watchfloor_core.alert import Alert, EntityKind
from watchfloor_core.errors import RecordError
from watchfloor_core.settings import Settings

DATA = Path(__file__).parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the folder ../shared/data with the real data is absent")


@dataclass(frozen=True, slots=True)
class Parsed:
    connector: str
    alerts: tuple[Alert, ...]
    dead: tuple[RecordError, ...]
    records: int


def parsed(file: str) -> Parsed:
    """The file, with its connector detected."""
    registry = Registry.load(Settings())
    framed = read_file(DATA / file)
    connector = registry.detect(framed.peek(100), columns=framed.columns)
    outcomes = [record.outcome for record in parse_records(connector, framed)]
    return Parsed(
        connector.name,
        tuple(outcome for outcome in outcomes if isinstance(outcome, Alert)),
        tuple(outcome for outcome in outcomes if isinstance(outcome, RecordError)),
        len(outcomes),
    )


@pytest.mark.parametrize("name", ["russellmitchell", "santos"])
def test_every_row_of_ait_ads_is_an_alert(name: str) -> None:
    path = DATA / "ait_ads" / f"{name}_alerts.csv.gz"
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    found = parsed(f"ait_ads/{name}_alerts.csv.gz")
    assert (found.connector, len(found.alerts), found.dead) == ("ait-ads", len(rows), ())
    assert [alert.event_us for alert in found.alerts] == [int(row["time"]) * 1_000_000 for row in rows]
    assert [alert.detector.category for alert in found.alerts] == [row["short"] for row in rows]
    titles = [row["name"].partition(":")[2].strip().removeprefix("Alert - ") for row in rows]
    assert [alert.detector.uid for alert in found.alerts] == titles
    assert {alert.detector.product for alert in found.alerts} == {"wazuh", "suricata", "aminer"}
    assert not any(alert.detector.title.startswith(("Alert - ", " ")) for alert in found.alerts)
    labels = {row["time_label"] for row in rows} | {row["event_label"] for row in rows} - {"-"}
    assert not any(attribute.value in labels for alert in found.alerts for attribute in alert.attributes)


@pytest.mark.parametrize("name", ["russellmitchell", "santos"])
def test_every_host_of_ait_ads_is_in_its_inventory(name: str) -> None:
    known = {(item.kind, item.value) for item in read_inventory(DATA / "ait_ads" / f"{name}.servers.yaml")}
    found = parsed(f"ait_ads/{name}_alerts.csv.gz")
    hosts = {(entity.kind, entity.value) for alert in found.alerts for entity in alert.entities}
    assert {(kind, value) for kind, value in hosts if kind is EntityKind.HOST} <= known


def test_every_row_of_guide_is_an_alert_and_no_placeholder_is_an_entity() -> None:
    found = parsed("guide/guide_2000.csv")
    assert (found.connector, len(found.alerts), found.dead) == ("guide", 2000, ())
    # One entity in hundreds of rows would be a placeholder for "absent" that was taken for an id.
    assert max(Counter(entity.value for alert in found.alerts for entity in alert.entities).values()) < 60
    assert sum(bool(alert.entities) for alert in found.alerts) > 1700


def test_every_alert_of_secrl_is_read_with_its_severity_and_entities() -> None:
    found = parsed("secrl/alerts.jsonl")
    assert (found.connector, len(found.alerts), found.dead) == ("microsoft", 24, ())
    assert all(alert.entities for alert in found.alerts)
    assert Counter(alert.severity.name for alert in found.alerts) == {
        "MEDIUM": 14, "HIGH": 7, "INFORMATIONAL": 2, "LOW": 1,
    }  # fmt: skip
    assert not any(a.name == "entities_unreadable" for alert in found.alerts for a in alert.attributes)


def test_every_record_of_panther_is_an_alert_or_says_what_time_it_lacks() -> None:
    found = parsed("panther/rule_tests.jsonl")
    assert (found.connector, found.records) == ("panther", 1459)
    assert len(found.alerts) >= 1050
    reasons = Counter(
        "no time" if error.reason.startswith("the record has no time") else "no such time"
        for error in found.dead
        if "time" in error.reason
    )
    assert reasons.total() == len(found.dead)
    assert reasons["no such time"] <= 10
