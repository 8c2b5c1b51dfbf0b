"""CSV as raw records."""

from __future__ import annotations

import csv
import io
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchfloor_connectors.framing import Format, Framed, RawRecord, read_bytes, read_record
from watchfloor_core.errors import ConfigurationError, RecordError
from watchfloor_core.ports import Record


def rows(data: bytes, limit: int = 1024 * 1024) -> list[RawRecord]:
    return list(read_bytes(data, layout=Format.CSV, max_record_bytes=limit))


def decoded(framed: Framed | list[RawRecord]) -> list[Record]:
    return [raw.record for raw in framed if not isinstance(raw.record, RecordError)]


def reasons(framed: list[RawRecord]) -> list[tuple[int, str]]:
    return [(raw.position, raw.record.reason) for raw in framed if isinstance(raw.record, RecordError)]


def test_each_row_is_a_dictionary_with_position_and_exact_bytes() -> None:
    framed = read_bytes(b"time,host\r\n1,web\r\n2,db\r\n")
    assert (framed.format, framed.columns) == (Format.CSV, ("time", "host"))
    assert [(r.position, r.raw, r.record) for r in framed] == [
        (1, b"1,web", {"time": "1", "host": "web"}),
        (2, b"2,db", {"time": "2", "host": "db"}),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_told_by_the_header(delimiter: str) -> None:
    data = delimiter.join(("a", "b")) + "\n" + delimiter.join(("1", '"x, ; y"')) + "\n"
    assert decoded(read_bytes(data.encode())) == [{"a": "1", "b": "x, ; y"}]


def test_a_quoted_value_may_hold_delimiters_quotes_and_line_feeds() -> None:
    data = b'a,b\n"x,""y""\nz",2\n3,4\n'
    framed = rows(data)
    assert decoded(framed) == [{"a": 'x,"y"\nz', "b": "2"}, {"a": "3", "b": "4"}]
    assert [raw.raw for raw in framed] == [b'"x,""y""\nz",2', b"3,4"]


def test_a_value_that_runs_over_lines_keeps_the_line_ends_of_its_file() -> None:
    framed = rows(b'a,b\r\n"x\r\ny",2\r\n3,4\r\n')
    assert [raw.raw for raw in framed] == [b'"x\r\ny",2', b"3,4"]
    assert decoded(framed) == [{"a": "x\r\ny", "b": "2"}, {"a": "3", "b": "4"}]


def test_a_quote_that_is_never_closed_costs_one_line_and_not_the_rest_of_the_file() -> None:
    framed = rows(b'a,b\n1,2\n3,"open\n4,5\n6,7\n')
    assert decoded(framed) == [{"a": "1", "b": "2"}, {"a": "4", "b": "5"}, {"a": "6", "b": "7"}]
    assert reasons(framed) == [(2, "a quote that is opened in this line is never closed")]


def test_a_stray_quote_does_not_join_rows_up_to_the_next_stray_quote() -> None:
    framed = rows(b'a,b\n1,"open\n2,x\n3,"closed"\n4,"multi\nline"\n')
    assert decoded(framed) == [{"a": "2", "b": "x"}, {"a": "3", "b": "closed"}, {"a": "4", "b": "multi\nline"}]
    assert [position for position, _ in reasons(framed)] == [1]


def test_lines_that_all_open_quotes_are_read_in_linear_time() -> None:
    lines = b'x",y"z,"w\n' * 40_000
    started = time.process_time()
    framed = rows(b"a,b,c\n" + lines)
    # A quadratic reader looks at 40,000 times 400 kB: minutes.
    assert time.process_time() - started < 20
    assert len(framed) == 40_000
    assert not decoded(framed)


@pytest.mark.parametrize(("row", "count"), [(b"1", 1), (b"1,2,3", 3), (b'"1","2","3"', 3)])
def test_a_row_with_another_number_of_columns_is_refused_with_both_numbers(row: bytes, count: int) -> None:
    framed = rows(b"a,b\n" + row + b"\n4,5\n")
    assert reasons(framed) == [(1, f"the row has {count} columns; the header has 2")]
    assert decoded(framed) == [{"a": "4", "b": "5"}]


def test_blank_lines_are_no_records() -> None:
    assert [(r.position, r.record) for r in rows(b"\na\n\n1\n\n2\n")] == [(1, {"a": "1"}), (2, {"a": "2"})]


def test_an_empty_file_has_no_records() -> None:
    assert list(read_bytes(b"")) == []


def test_a_header_without_rows_has_no_records_and_its_columns() -> None:
    framed = read_bytes(b"time,host\n")
    assert (list(framed), framed.columns) == ([], ("time", "host"))


def test_a_column_named_twice_is_a_mistake_of_the_file() -> None:
    with pytest.raises(ConfigurationError, match='names "a" more than once'):
        rows(b"a,b,a\n1,2,3\n")


def test_a_nul_byte_is_named_with_its_offset() -> None:
    framed = rows(b"a,b\n1,x\0y\n2,z\n")
    assert reasons(framed) == [
        (1, "NUL byte at offset 3; UTF-8 text was expected (UTF-16 needs a byte order mark)"),
    ]
    assert decoded(framed) == [{"a": "2", "b": "z"}]


@pytest.mark.parametrize("row", ["1,caf\xe9", '1,"caf\xe9"'])
def test_latin_1_in_a_utf_8_file_is_named_with_byte_and_offset(row: str) -> None:
    framed = rows(b"a,b\n" + row.encode("latin-1") + b"\n2,ok\n")
    ((position, reason),) = reasons(framed)
    offset = row.index("\xe9")
    assert position == 1
    assert reason.startswith(f"byte 0xe9 at offset {offset} is not valid UTF-8")
    assert decoded(framed) == [{"a": "2", "b": "ok"}]


def test_a_row_that_is_too_long_is_refused_and_the_next_is_read() -> None:
    framed = rows(b"a,b\n1," + b"x" * 1000 + b"\n2,y\n", limit=256)
    assert reasons(framed) == [(1, "the record is 1002 bytes long; at most 256 are taken (setting max_record_bytes)")]
    assert len(framed[0].raw) == 1002
    assert decoded(framed) == [{"a": "2", "b": "y"}]


def test_a_quoted_value_that_runs_on_too_long_is_given_back_line_by_line() -> None:
    framed = rows(b'a,b\n1,"open\n' + b"2,x\n" * 200, limit=256)
    assert len(decoded(framed)) == 200
    assert [position for position, _ in reasons(framed)] == [1]


def test_a_dead_row_can_be_read_again_with_its_preamble() -> None:
    framed = rows(b"a;b\r\n1;2\r\n")
    assert read_record(framed[0].preamble + framed[0].raw) == {"a": "1", "b": "2"}


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=20))
@settings(max_examples=100, deadline=None)
def test_whatever_the_csv_module_writes_is_read_back(table: list[tuple[str, str, str]]) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("a", "b", "c"))
    writer.writerows(table)
    data = out.getvalue().encode()
    framed = rows(data)
    assert [tuple(record.values()) for record in decoded(framed)] == table
    assert b"\n".join([b"a,b,c", *(raw.raw for raw in framed)]) == data.removesuffix(b"\n")


@given(st.lists(st.sampled_from([b'"', b",", b"\n", b"x", b"\r\n", b"\xff", b"\0", b'""', b'"\n']), max_size=60))
@settings(max_examples=250, deadline=None)
def test_no_input_raises_or_loses_a_line(parts: list[bytes]) -> None:
    framed = rows(b"a,b\n" + b"".join(parts), limit=64)
    assert [raw.position for raw in framed] == list(range(1, len(framed) + 1))
    given_lines = [line.removesuffix(b"\r") for line in b"".join(parts).split(b"\n")]
    kept_lines = [line.removesuffix(b"\r") for raw in framed for line in raw.raw.split(b"\n")]
    assert [line for line in kept_lines if line] == [line for line in given_lines if line]
