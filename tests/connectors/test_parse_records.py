"""Raw records through a connector: each has an outcome, none stops the others."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from watchfloor_connectors.framing import RawRecord, read_bytes, read_record
from watchfloor_connectors.parse import parse_records
from watchfloor_connectors.registry import Registry
from watchfloor_connectors.template import Acme
from watchfloor_core.alert import Alert
from watchfloor_core.errors import ConfigurationError, RecordError
from watchfloor_core.ports import Connector, Record
from watchfloor_core.settings import Settings
from watchfloor_core.store.ingest import ParsedRecord

SAMPLES = Path(__file__).parent / "samples"
AIT = (SAMPLES / "ait-ads.csv").read_bytes()


def connector(name: str) -> Connector:
    return Registry.load(Settings()).get(name)


def failing(error: BaseException) -> Connector:
    class Failing(Acme):
        def to_alert(self, record: Record) -> Alert:
            raise error

    return Failing()


def outcome(made: Connector) -> Alert | RecordError | None:
    (parsed,) = parse_records(made, read_bytes(b'{"acme":1}'))
    return parsed.outcome


def test_alerts_ignored_and_dead_records_keep_their_positions_and_bytes() -> None:
    lines = (SAMPLES / "suricata.ndjson").read_bytes().splitlines()[:1]
    lines += (SAMPLES / "suricata_other.ndjson").read_bytes().splitlines()[:1]
    lines += [b'{"event_type":"alert"}', b"{broken"]
    parsed = list(parse_records(connector("suricata"), read_bytes(b"\n".join(lines))))
    assert [(record.position, record.raw) for record in parsed] == list(enumerate(lines, start=1))
    assert [type(record.outcome) for record in parsed] == [Alert, type(None), RecordError, RecordError]


@pytest.mark.parametrize(
    "error", [KeyError("host"), TypeError("x"), ValueError("x"), RecursionError("x"), AttributeError("x"), OSError("x")]
)
def test_a_defect_of_a_third_party_connector_costs_one_record_and_is_named(error: Exception) -> None:
    found = outcome(failing(error))
    assert isinstance(found, RecordError)
    assert found.reason.startswith(f"connector 'acme' failed with {type(error).__name__}: ")


def test_what_a_defect_quotes_is_shown_safely_and_cut() -> None:
    found = outcome(failing(ValueError("\x1b[2J" + "x" * 1000)))
    assert isinstance(found, RecordError)
    assert "\\u{001B}" in found.reason
    assert len(found.reason) < 400


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt(), SystemExit(1)])
def test_what_is_not_about_the_record_passes_through(error: BaseException) -> None:
    with pytest.raises(type(error)):
        outcome(failing(error))


def test_a_connector_that_gives_something_else_costs_the_record() -> None:
    class Odd(Acme):
        def to_alert(self, record: Record) -> Alert:
            return "alert"  # type: ignore[return-value]  # what a third party might do

    found = outcome(Odd())
    assert isinstance(found, RecordError)
    assert "gave str; an Alert or None was expected" in found.reason


def test_a_missing_column_is_named_before_any_record_is_parsed() -> None:
    with pytest.raises(ConfigurationError, match=r"'short'.*Its header is"):
        parse_records(connector("ait-ads"), read_bytes(AIT.replace(b",short,", b",shrt,")))


def test_a_missing_column_is_also_named_where_the_records_come_by_another_iterator() -> None:
    records = (raw for raw in read_bytes(AIT.replace(b",short,", b",shrt,")))
    with pytest.raises(ConfigurationError, match="did you mean 'shrt'"):
        next(parse_records(connector("ait-ads"), records))


def test_a_dead_csv_row_can_be_read_again_from_its_bytes_alone() -> None:
    data = AIT.replace(b"1642723349", b"not-a-time")
    dead = [record for record in parse_records(connector("ait-ads"), read_bytes(data)) if is_dead(record)]
    (record,) = dead
    assert record.position == 3
    mended = record.raw.replace(b"not-a-time", b"1642723349")
    assert isinstance(connector("ait-ads").to_alert(read_record(mended)), Alert)


def test_the_bytes_of_a_row_that_became_an_alert_are_its_own() -> None:
    parsed = list(parse_records(connector("ait-ads"), read_bytes(AIT)))
    assert [record.raw for record in parsed] == AIT.splitlines()[1:]


def is_dead(record: ParsedRecord) -> bool:
    return isinstance(record.outcome, RecordError)


def test_a_broken_stream_ends_in_one_dead_record() -> None:
    data = gzip.compress(AIT, compresslevel=0)
    parsed = list(parse_records(connector("ait-ads"), read_bytes(data[:-60])))
    assert [is_dead(record) for record in parsed][-1:] == [True]
    assert sum(map(is_dead, parsed)) == 1


def test_records_are_parsed_as_they_are_asked_for() -> None:
    taken: list[int] = []

    def counting() -> Iterator[RawRecord]:
        for number in range(1, 4):
            taken.append(number)
            yield RawRecord(number, b"{}", {"acme": 1})

    parsed = parse_records(Acme(), counting())
    next(parsed)
    assert taken == [1]
