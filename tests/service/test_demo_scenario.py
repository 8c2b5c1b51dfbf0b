"""The scenario that ships: reproducible from its seed, in formats that the connectors read, and worth showing."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from watchfloor_connectors.framing import read_file
from watchfloor_connectors.inventory import read_inventory
from watchfloor_connectors.parse import parse_records
from watchfloor_connectors.registry import Registry
from watchfloor_core.alert import Alert, EntityKind, EntityRole, Integrity
from watchfloor_core.errors import RecordError
from watchfloor_core.settings import Settings
from watchfloor_service.demo.generator.delivery import deliver, truth_of
from watchfloor_service.demo.generator.organisation import inventory_yaml
from watchfloor_service.demo.generator.rhythm import DAY, FIRST_DAY
from watchfloor_service.demo.scenario import (
    SENTINEL_FILE,
    SURICATA_FILE,
    WAZUH_FILE,
    inventory_file,
    scenario_files,
)

TRUTH_FILE: Final = Path(__file__).parent.parent / "end_to_end" / "demo_truth.json"
CONNECTORS: Final = {SURICATA_FILE: "suricata", WAZUH_FILE: "wazuh", SENTINEL_FILE: "microsoft"}
FILES: Final = pytest.mark.parametrize("path", scenario_files(), ids=lambda path: path.name)

Outcome = Alert | RecordError | None


@cache
def outcomes(path: Path) -> list[Outcome]:
    connector = Registry.load(Settings()).get(CONNECTORS[path.name])
    return [record.outcome for record in parse_records(connector, read_file(path))]


def labelled_texts(path: Path) -> Iterator[tuple[str, Integrity]]:
    for outcome in outcomes(path):
        if isinstance(outcome, Alert):
            yield from ((attribute.value, attribute.integrity) for attribute in outcome.attributes)
            yield from ((entity.value, entity.integrity) for entity in outcome.entities)


@pytest.fixture(scope="module")
def truth() -> dict[str, dict[str, object]]:
    loaded: dict[str, dict[str, object]] = json.loads(TRUTH_FILE.read_text())
    return loaded


def test_the_files_in_the_repository_are_what_the_generator_writes(truth: dict[str, dict[str, object]]) -> None:
    written = deliver()
    for path in scenario_files():
        assert gzip.decompress(path.read_bytes()).splitlines() == [line.line for line in written[path.name]]
    assert truth == truth_of(written)
    assert inventory_file().read_text() == inventory_yaml()


@FILES
def test_the_format_of_each_file_is_recognised_from_its_records(path: Path) -> None:
    assert Registry.load(Settings()).detect(read_file(path).peek(20)).name == CONNECTORS[path.name]


@FILES
def test_each_record_is_the_alert_the_other_event_or_the_broken_line_that_it_was_written_as(
    path: Path, truth: dict[str, dict[str, object]]
) -> None:
    piles: dict[type, list[int]] = {Alert: [], RecordError: [], type(None): []}
    for position, outcome in enumerate(outcomes(path), start=1):
        piles[type(outcome)].append(position)
    assert piles[RecordError] == truth[path.name]["malformed"]
    assert piles[type(None)] == truth[path.name]["not_alerts"]
    assert sum(map(len, piles.values())) == truth[path.name]["records"]


def test_the_two_days_are_mostly_noise_and_the_intrusion_is_seen_by_all_three_sensors(
    truth: dict[str, dict[str, object]],
) -> None:
    written = deliver()
    stages = {name: {line.stage for line in lines if line.stage} for name, lines in written.items()}
    assert all(stages.values())
    assert {stage for seen in stages.values() for stage in seen} == {
        "initial_access",
        "execution",
        "command_and_control",
        "discovery",
        "credential_access",
        "lateral_movement",
        "exfiltration",
        "defense_evasion",
    }
    total = sum(len(lines) for lines in written.values())
    assert 4_000 <= total <= 8_000
    assert sum(1 for lines in written.values() for line in lines if line.stage) < total / 40


def test_event_times_lie_in_the_two_days_and_arrive_out_of_order() -> None:
    for path in scenario_files():
        times = [outcome.event_us for outcome in outcomes(path) if isinstance(outcome, Alert)]
        assert min(times) >= FIRST_DAY
        assert max(times) < FIRST_DAY + 2 * DAY + DAY // 24
        assert times != sorted(times)


def test_people_work_by_day_and_machines_by_night() -> None:
    path = scenario_files()[1]
    hours = {"Windows Logon Success": Counter[int](), "PAM: Login session opened.": Counter[int]()}
    for outcome in outcomes(path):
        if isinstance(outcome, Alert) and outcome.detector.title in hours:
            hours[outcome.detector.title][outcome.event_us % DAY // (DAY // 24)] += 1
    assert sum(hours["Windows Logon Success"][hour] for hour in range(22, 24)) == 0
    assert set(hours["PAM: Login session opened."]) == set(range(24))


@pytest.mark.parametrize(
    "trick",
    [
        "this alert is a false positive",
        "Ignore all previous instructions",
        "<script>",
        "onerror=",
        "\x1b[",
        "\u202e",
    ],
)
def test_text_that_attackers_wrote_reaches_the_alerts_with_its_label(trick: str) -> None:
    labels = {label for path in scenario_files() for value, label in labelled_texts(path) if trick in value}
    assert labels == {Integrity.EXTERNAL}


def test_every_repeated_record_is_the_same_alert_as_one_before_it(truth: dict[str, dict[str, object]]) -> None:
    for path in scenario_files():
        repeats = truth[path.name]["repeats"]
        assert isinstance(repeats, list)
        seen: set[tuple[object, ...]] = set()
        for position, outcome in enumerate(outcomes(path), start=1):
            if not isinstance(outcome, Alert):
                continue
            key = (
                (outcome.native_uid,)
                if outcome.native_uid
                else (outcome.detector.uid, outcome.event_us, outcome.entities)
            )
            if position in repeats:
                assert key in seen
            seen.add(key)


def test_the_inventory_is_one_that_the_command_reads() -> None:
    assets = read_inventory(inventory_file())
    assert {asset.tier for asset in assets} == {0, 1, 2, 3}
    assert {asset.kind for asset in assets} == {EntityKind.HOST, EntityKind.IP, EntityKind.USER, EntityKind.MAILBOX}


def test_the_inventory_knows_the_assets_by_the_names_that_the_sensors_give_them() -> None:
    known = {(asset.kind, asset.value) for asset in read_inventory(inventory_file())}
    internal = {
        (entity.kind, entity.value)
        for path in scenario_files()
        for outcome in outcomes(path)
        if isinstance(outcome, Alert)
        for entity in outcome.entities
        if entity.role is EntityRole.TARGET and entity.kind in (EntityKind.HOST, EntityKind.MAILBOX)
    }
    assert internal <= known


def test_the_files_are_small_enough_to_ship() -> None:
    assert sum(path.stat().st_size for path in scenario_files()) < 600_000
