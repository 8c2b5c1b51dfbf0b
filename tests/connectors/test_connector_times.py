"""Times of sensors: exact, with their precision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_connectors.times import parse_epoch, parse_format, parse_iso, parse_time
from watchfloor_core.alert import TimePrecision
from watchfloor_core.clock import from_datetime, to_iso
from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Json

S, MS, US, NS = TimePrecision.SECOND, TimePrecision.MILLISECOND, TimePrecision.MICROSECOND, TimePrecision.NANOSECOND
VIENNA = ZoneInfo("Europe/Vienna")


@pytest.mark.parametrize(
    ("text", "expected", "precision"),
    [
        ("2024-06-13T09:45:56Z", "2024-06-13T09:45:56Z", S),
        ("2024-06-13t09:45:56z", "2024-06-13T09:45:56Z", S),
        ("2024-06-13 09:45:56+00:00", "2024-06-13T09:45:56Z", S),
        ("2024-06-13 09:45:56 UTC", "2024-06-13T09:45:56Z", S),
        ("2024-06-13 09:45:56.5 +02:00", "2024-06-13T07:45:56.500000Z", MS),
        ("2022-01-24T03:01:00.123+0000", "2022-01-24T03:01:00.123000Z", MS),
        ("2022-01-24T03:01:00,123-0530", "2022-01-24T08:31:00.123000Z", MS),
        ("2024-06-13T09:45:56.1234567Z", "2024-06-13T09:45:56.123456Z", NS),
        ("2024-06-13T09:45:56.999999999Z", "2024-06-13T09:45:56.999999Z", NS),
        ("2024-06-13T09:45:56.123456+02", "2024-06-13T07:45:56.123456Z", US),
        ("2024-06-13T09:45Z", "2024-06-13T09:45:00Z", S),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", S),
        ("2024-01-01T00:30:00+01:00", "2023-12-31T23:30:00Z", S),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z", S),
    ],
)
def test_iso_8601_and_its_variants(text: str, expected: str, precision: TimePrecision) -> None:
    micros, found = parse_iso(text)
    assert (to_iso(micros), found) == (expected, precision)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2024-06-13T09:45:56", "has no zone"),
        ("2023-02-29T00:00:00Z", "is no date"),
        ("2024-06-13T24:00:00Z", "is no time of day"),
        ("2024-06-13T09:45:56+24:00", "is no offset"),
        ("13.06.2024 09:45", "is no ISO 8601 time"),
        ("2024-06-13T09:45:56Z; DROP TABLE alert", "is no ISO 8601 time"),
        ("٢٠٢٤-06-13T09:45:56Z", "is no ISO 8601 time"),
        ("1970-01-01T00:00:00Z", "not between 1990 and 2100"),
        ("9999-12-31T23:59:59Z", "not between 1990 and 2100"),
        ("", "is no ISO 8601 time"),
    ],
)
def test_what_is_no_time_is_refused(text: str, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        parse_iso(text)


def test_a_time_without_offset_is_of_the_zone_that_is_stated() -> None:
    assert to_iso(parse_iso("2024-07-01 12:00:00", VIENNA)[0]) == "2024-07-01T10:00:00Z"
    assert to_iso(parse_iso("2024-01-01 12:00:00", VIENNA)[0]) == "2024-01-01T11:00:00Z"
    assert to_iso(parse_iso("2024-01-01 12:00:00Z", VIENNA)[0]) == "2024-01-01T12:00:00Z"


def test_of_the_hour_that_runs_twice_the_first_is_meant() -> None:
    assert to_iso(parse_iso("2024-10-27 02:30:00", VIENNA)[0]) == "2024-10-27T00:30:00Z"


def test_an_hour_that_the_clock_leaps_over_is_refused() -> None:
    with pytest.raises(RecordError, match="does not exist in Europe/Vienna"):
        parse_iso("2024-03-31 02:30:00", VIENNA)


@pytest.mark.parametrize(
    ("value", "unit", "micros", "precision"),
    [
        ("1642723347", "s", 1642723347_000000, S),
        ("1642723347.25", "s", 1642723347_250000, MS),
        ("1642723347.123456789", "s", 1642723347_123456, NS),
        (1642723347.123, "s", 1642723347_123000, MS),
        (1642723347.123457, "s", 1642723347_123457, US),
        (1642723347123, "ms", 1642723347_123000, MS),
        ("1642723347123.5", "ms", 1642723347_123500, US),
        (1642723347123456, "us", 1642723347_123456, US),
        ("1642723347123456789", "ns", 1642723347_123456, NS),
        ("1642723347", None, 1642723347_000000, S),
        (1642723347123, None, 1642723347_123000, MS),
        ("1642723347123456", None, 1642723347_123456, US),
        (1642723347123456789, None, 1642723347_123456, NS),
    ],
)
def test_time_since_the_epoch(value: Json, unit: str | None, micros: int, precision: TimePrecision) -> None:
    assert parse_epoch(value, unit) == (micros, precision)


@pytest.mark.parametrize(
    "value", ["", "-5", "1e9", "12 34", "1642723347x", True, None, [], "9" * 30, "١٦٤٢٧٢٣٣٤٧", 1e300]
)
def test_what_is_no_number_of_seconds_is_refused(value: Json) -> None:
    for unit in (None, "s"):
        with pytest.raises(RecordError):
            parse_epoch(value, unit)


def test_a_number_in_the_wrong_unit_is_refused() -> None:
    with pytest.raises(RecordError, match="is its unit another"):
        parse_epoch("1642723347123", "s")


def test_numbers_and_texts_are_told_apart() -> None:
    assert parse_time("1642723347") == parse_time(1642723347) == parse_time("2022-01-21T00:02:27Z")


def test_a_pattern_of_strptime() -> None:
    assert to_iso(parse_format("13/Jun/2024:09:45:56 +0200", "%d/%b/%Y:%H:%M:%S %z")[0]) == "2024-06-13T07:45:56Z"
    assert parse_format("2024.06.13 09:45:56.5", "%Y.%m.%d %H:%M:%S.%f", VIENNA)[1] is US
    with pytest.raises(RecordError, match="is no time of the form"):
        parse_format("x", "%Y")
    with pytest.raises(RecordError, match="has no zone"):
        parse_format("2024", "%Y")


FIRST = datetime(1990, 1, 2, tzinfo=UTC)


@given(st.integers(0, 109 * 365 * 86_400 * 10**6), st.integers(-14 * 60, 14 * 60))
def test_every_moment_is_read_to_the_microsecond(micros: int, minutes: int) -> None:
    moment = FIRST + timedelta(microseconds=micros)
    assert parse_iso(moment.isoformat())[0] == from_datetime(moment)
    local = moment.astimezone(timezone(timedelta(minutes=minutes)))
    assert parse_iso(local.isoformat(" "))[0] == from_datetime(moment)
    assert parse_epoch(str(from_datetime(moment)), "us")[0] == from_datetime(moment)
