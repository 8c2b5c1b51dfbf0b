"""Every connector that ships keeps the contract on its samples, and none takes another's records."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchfloor_connectors.framing import read_bytes, read_file
from watchfloor_connectors.parse import parse_record
from watchfloor_connectors.registry import Registry
from watchfloor_connectors.testing import check_connector
from watchfloor_core.alert import Alert, Integrity
from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Record
from watchfloor_core.settings import Settings

SAMPLES = Path(__file__).parent / "samples"
FILES = sorted(path for path in SAMPLES.iterdir() if path.stem != "suricata_other")
EACH_FILE = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load(Settings())


def records(path: Path) -> list[Record]:
    found = [raw.record for raw in read_file(path)]
    assert not [record for record in found if isinstance(record, RecordError)]
    return [record for record in found if not isinstance(record, RecordError)]


def test_every_connector_that_ships_has_samples(registry: Registry) -> None:
    assert {path.stem for path in FILES} == set(registry.names())


@EACH_FILE
def test_the_contract_holds_for(path: Path, registry: Registry) -> None:
    alerts = check_connector(registry.get(path.stem), records(path), has_anonymised_values=path.stem == "guide")
    assert len(alerts) >= 2


@EACH_FILE
def test_no_other_connector_recognises_a_record_of(path: Path, registry: Registry) -> None:
    for number, record in enumerate(records(path), start=1):
        takers = [name for name in registry.names() if registry.get(name).recognises(record)]
        assert takers == [path.stem], f"record {number}"


@EACH_FILE
def test_the_format_is_detected_from_the_file_of(path: Path, registry: Registry) -> None:
    framed = read_file(path)
    assert registry.detect(framed.peek(20)).name == path.stem


@EACH_FILE
def test_no_connector_breaks_on_the_records_of(path: Path, registry: Registry) -> None:
    for record in records(path):
        for name in registry.names():
            connector = registry.get(name)
            connector.recognises(record)
            outcome = parse_record(connector, record)
            assert not (isinstance(outcome, RecordError) and "defect" in outcome.reason), name


@EACH_FILE
def test_text_that_an_attacker_wrote_is_labelled_external_and_reaches_the_analyst_unchanged(
    path: Path, registry: Registry
) -> None:
    """Each sample file but those of the anonymised data sets carries markers of attacker-written text."""
    alerts = [alert for record in records(path) if isinstance(alert := registry.get(path.stem).to_alert(record), Alert)]
    markers = ("previous", "<script>", "<img", "\x1b", "\u202e", "\u2067")
    marked = [a for alert in alerts for a in alert.attributes if any(marker in a.value for marker in markers)]
    assert marked or path.suffix == ".csv"
    assert {attribute.integrity for attribute in marked} <= {Integrity.EXTERNAL}
    raw = path.read_text(encoding="utf-8")
    for attribute in marked:
        # As in the file, where JSON may have escaped a quote, a backslash or a control character.
        plain = attribute.value.split('"')[0].split("\\")[0].split("\x1b")[0]
        assert plain in raw


@pytest.mark.parametrize(
    "junk", [b'{"a":1}', b'{"time":"2024-01-01T00:00:00Z","message":"x"}', b'{"name":"x","level":"high"}']
)
def test_unknown_records_are_of_no_connector(junk: bytes, registry: Registry) -> None:
    (raw,) = read_bytes(junk)
    assert not isinstance(raw.record, RecordError)
    assert [name for name in registry.names() if registry.get(name).recognises(raw.record)] == []


def test_labels_of_the_evaluation_data_sets_are_never_read(registry: Registry) -> None:
    for name in ("ait-ads.csv", "guide.csv", "panther.ndjson"):
        path = SAMPLES / name
        assert "SECRET_LABEL" in path.read_text()
        for record in records(path):
            assert "SECRET_LABEL" not in repr(registry.get(path.stem).to_alert(record))
            if name != "panther.ndjson":
                # A row without its labels gives the same alert.
                bare = {column: value for column, value in record.items() if "SECRET_LABEL" not in str(value)}
                assert registry.get(path.stem).to_alert(bare) == registry.get(path.stem).to_alert(record)
