"""NDJSON and JSON documents as raw records."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchfloor_connectors.framing import Format, RawRecord, read_bytes, read_record
from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Record


def decoded(data: bytes, limit: int = 1024 * 1024) -> list[Record]:
    return [raw.record for raw in frames(data, limit) if not isinstance(raw.record, RecordError)]


def frames(data: bytes, limit: int = 1024 * 1024) -> list[RawRecord]:
    return list(read_bytes(data, max_record_bytes=limit))


def reason(data: bytes, limit: int = 1024 * 1024) -> str:
    """Why the one bad record of the input is refused."""
    (error,) = [raw.record for raw in frames(data, limit) if isinstance(raw.record, RecordError)]
    return error.reason


def test_each_line_is_a_record_with_its_exact_bytes() -> None:
    framed = frames(b'{"a": 1}\r\n\n  {"a":2}')
    assert [(r.position, r.raw, r.record) for r in framed] == [(1, b'{"a": 1}', {"a": 1}), (2, b'  {"a":2}', {"a": 2})]


@pytest.mark.parametrize(
    "document",
    [
        '[{"a":1},{"a":2}]',
        '[\n  {"a": 1},\n  {"a": 2}\n]\n',
        '{"Records":[{"a":1},{"a":2}]}',
        '{\n "Records": [\n {"a":1},\n {"a":2}\n ]\n}',
        '{"detections": [{"a":1},{"a":2}], "meta": {"pagination": {"total": 2}}}',
        '{"meta":{"query_time":1},"resources":[{"a":1},{"a":2}],"errors":[]}',
        '{"@odata.context":"https://graph.example/$metadata","value":[{"a":1},{"a":2}]}',
        '{"took":5,"timed_out":false,"_shards":{"total":1},"hits":{"total":{"value":2},"hits":[{"a":1},{"a":2}]}}',
        '{\n"took":5,\n"hits":{"max_score":null,"hits":[{"a":1},\n{"a":2}]}}',
        '{"a":1}\n{"a":2}\n',
        '{\n  "a": 1\n}\n{\n  "a": 2\n}\n',
    ],
)
def test_arrays_envelopes_and_objects_in_a_row_give_their_records(document: str) -> None:
    framed = frames(document.encode())
    assert [(raw.position, raw.record) for raw in framed] == [(1, {"a": 1}), (2, {"a": 2})]
    assert [json.loads(raw.raw) for raw in framed] == [{"a": 1}, {"a": 2}]


def test_a_single_object_is_one_record() -> None:
    data = b'{\n  "a": {"Records": [1]},\n  "b": "}"\n}'
    assert [(raw.raw, raw.record) for raw in frames(data)] == [(data, {"a": {"Records": [1]}, "b": "}"})]


@pytest.mark.parametrize(
    "record",
    [
        {"class_uid": 2004, "resources": [{"uid": "x"}]},
        {"alerts": [{"a": 1}], "title": "an alert that counts alerts"},
        {"hits": 7},
        {"value": [1, 2]},
        {"status": "new", "count": 2},
    ],
)
def test_an_object_that_only_looks_like_an_envelope_stays_one_record(record: dict[str, Any]) -> None:
    assert decoded(json.dumps(record).encode() + b"\n") == [record]


def test_a_broken_line_is_refused_and_the_others_are_read() -> None:
    data = b'{"a":1}\n{"a":\n{"a":3}\n'
    assert decoded(data) == [{"a": 1}, {"a": 3}]
    assert reason(data).startswith("not valid JSON: ")


def test_a_broken_first_line_does_not_make_the_file_a_document() -> None:
    assert decoded(b'{"a":1,"b":"cut\n{"a":2}\n') == [{"a": 2}]


def test_a_broken_element_is_refused_and_the_rest_of_the_array_is_read() -> None:
    data = b'[{"a":1},{"a":,},7,{"a":4}]'
    assert decoded(data) == [{"a": 1}, {"a": 4}]
    assert [raw.raw for raw in frames(data)][1:3] == [b'{"a":,}', b"7"]


def test_a_document_that_ends_early_gives_what_was_whole_and_says_so() -> None:
    data = b'[{"a":1},{"a":2},{"a"'
    assert decoded(data) == [{"a": 1}, {"a": 2}]
    assert "the document ends inside a record" in reason(data)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"a":1,"a":2}', 'the name "a" stands twice in one object'),
        ('{"a":1, "a" : 2}', 'the name "a" stands twice'),
        ('{"a":1,"\\u0061":2}', 'the name "a" stands twice'),
        ('{"x":[{"b":{"c":1,"c":1}}],"t":"says \\"c\\": 1"}', 'the name "c" stands twice'),
        ('{"a":NaN}', "not valid JSON"),
        ('{"a":-Infinity}', "not valid JSON"),
        ('{"a":1e999}', "not valid JSON"),
        ('{"a":123456789012345678901}', "does not fit 64 bits"),
        ('{"a":' + "9" * 300 + "}", "does not fit 64 bits"),
        ('{"a":-9223372036854775809}', "does not fit 64 bits"),
        ('{"a":' + "9" * 5000 + "}", "number is infinity"),
        ('{"a":' + "[" * 80 + "]" * 80 + "}", "nested more than 64 deep"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "nested more than 64 deep"),
        ('{"a":"' + "[" * 10 + "", "not valid JSON"),
        ("[1]", "the record is a list of 1; a JSON object was expected"),
        ('"text"', 'the record is the text "text"; a JSON object was expected'),
        ("null", "the record is null"),
    ],
)
def test_what_two_readers_could_understand_differently_is_refused(line: str, expected: str) -> None:
    raws = list(read_bytes(f'{line}\n{{"z":1}}\n'.encode(), layout=Format.NDJSON))
    assert isinstance(raws[0].record, RecordError)
    assert expected in raws[0].record.reason
    assert raws[1].record == {"z": 1}


@pytest.mark.parametrize(
    "line",
    ['{"a":"b\\":c"}', '{"a" : 1 , "b":2}', '{"a":18446744073709551615}', '{"a":1e30}', '{"a":"\\ud83d\\ude00"}'],
)
def test_unusual_but_unambiguous_json_is_read(line: str) -> None:
    assert decoded(line.encode()) == [json.loads(line)]


@pytest.mark.parametrize("escape", ["\\ud800", "\\u0000", "\\uDFFF"])
def test_text_that_no_store_can_hold_does_not_hide_the_alert(escape: str) -> None:
    assert decoded(f'{{"file":"x{escape}y","n":[{{"a":"{escape}"}}]}}'.encode()) == [
        {"file": "x\ufffdy", "n": [{"a": "\ufffd"}]}
    ]


def test_an_unpaired_surrogate_does_not_let_a_duplicate_through() -> None:
    assert "stands twice" in reason(b'{"a":"\\ud800","b":1,"b":2}')


def test_nul_bytes_and_latin_1_are_named_with_their_offset() -> None:
    assert reason(b'{"a":"x\0"}\n{"b":1}').startswith("NUL byte at offset 7")
    assert reason(b'{"a":"caf\xe9"}\n{"b":1}').startswith("byte 0xe9 at offset 9 is not valid UTF-8")


def test_a_long_line_is_refused_with_its_length_and_the_next_is_read() -> None:
    data = b'{"a":"' + b"x" * 2_000_000 + b'"}\n{"a":1}\n'
    assert decoded(data) == [{"a": 1}]
    assert reason(data) == "the record is 2000008 bytes long; at most 1048576 are taken (setting max_record_bytes)"


def test_a_long_element_is_refused_and_the_rest_of_the_array_is_read() -> None:
    data = b'[{"a":"' + b"x" * 2_000_000 + b'"},{"a":1}]'
    assert decoded(data) == [{"a": 1}]
    assert "at most 1048576 are taken" in reason(data)


def test_an_array_in_one_long_line_is_read_record_by_record() -> None:
    data = b'{"Records":[' + b",".join([b'{"a":"' + b"x" * 1000 + b'"}'] * 3000) + b"]}"
    assert len(decoded(data)) == 3000


def test_a_dead_line_can_be_read_again_by_itself() -> None:
    assert read_record(b'{"a":1}') == {"a": 1}
    with pytest.raises(RecordError, match="not valid JSON"):
        read_record(b'{"a":')


@pytest.mark.parametrize("layout", [Format.NDJSON, Format.JSON])
@given(parts=st.lists(st.sampled_from(['{"a":1}', "{", "}", "[", "]", ",", '"', "\\", "\n", "1", ":", '"a"', " "])))
@settings(max_examples=150, deadline=None)
def test_no_input_raises(layout: Format, parts: list[str]) -> None:
    framed = list(read_bytes("".join(parts).encode(), layout=layout))
    assert [raw.position for raw in framed] == list(range(1, len(framed) + 1))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(st.lists(st.dictionaries(st.text(max_size=3).map(lambda name: f"k{name}"), JSON, max_size=4), max_size=6))
@settings(max_examples=60, deadline=None)
def test_lines_and_arrays_give_back_what_was_written(records: list[dict[str, Any]]) -> None:
    expected = json.loads(json.dumps(records).replace("\\u0000", "\\ufffd"))
    lines = "".join(json.dumps(record) + "\n" for record in records)
    assert [raw.record for raw in read_bytes(lines.encode(), layout=Format.NDJSON)] == expected
    for indent in (None, 1):
        array = json.dumps(records, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")
        assert [raw.record for raw in read_bytes(array, layout=Format.JSON)] == expected


def test_a_document_of_many_open_brackets_is_read_in_linear_time() -> None:
    started = time.process_time()
    frames(b"[" + b'{"a":[' * 300_000)
    assert time.process_time() - started < 20
