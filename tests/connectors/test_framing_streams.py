"""Packed, transcoded and broken inputs."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from watchfloor_connectors.framing import MAX_RAW_BYTES, Format, RawRecord, read_bytes, read_file, read_record
from watchfloor_core.errors import ConfigurationError, RecordError

LINES = b"".join(b'{"n":%d,"text":"%s"}\n' % (number, str(number * 7919).encode() * 9) for number in range(20_000))
Pack = Callable[[bytes], bytes]
PACKED = pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])


def error_of(raw: RawRecord) -> RecordError:
    assert isinstance(raw.record, RecordError)
    return raw.record


def how_it_ends(data: bytes) -> str:
    """The reason of the last record, or why there is none: the header itself could not be read."""
    try:
        records = list(read_bytes(data))
    except ConfigurationError as error:
        return str(error)
    return error_of(records[-1]).reason


@PACKED
def test_packing_is_recognised_by_content_whatever_the_name(pack: Pack, tmp_path: Path) -> None:
    path = tmp_path / "alerts.csv"
    path.write_bytes(pack(LINES))
    framed = read_file(path)
    assert framed.format is Format.NDJSON
    assert [raw.record for raw in framed] == [raw.record for raw in read_bytes(LINES)]


@PACKED
def test_several_packed_parts_in_a_row_are_one_input(pack: Pack) -> None:
    assert len(list(read_bytes(pack(b'{"a":1}\n') + pack(b'{"a":2}\n') + pack(b'{"a":3}\n')))) == 3


@PACKED
def test_a_truncated_stream_gives_all_that_is_readable_and_then_says_so(pack: Pack) -> None:
    data = pack(LINES)
    *whole, last = list(read_bytes(data[: len(data) // 2]))
    assert len(whole) > 1000
    assert [raw.record for raw in whole] == [raw.record for raw in read_bytes(LINES)][: len(whole)]
    assert "stream is truncated" in error_of(last).reason
    assert last.position == len(whole) + 1


@PACKED
def test_a_stream_cut_anywhere_is_never_taken_for_whole(pack: Pack) -> None:
    data = pack(b"a,b\n1,2\n3,4\n")
    for length in range(4, len(data)):
        assert "truncated" in how_it_ends(data[:length]), length


def test_the_line_that_a_truncation_cuts_is_no_record() -> None:
    # Stored, not compressed, so that the cut falls inside the last row: 172.19.130.4 would become 172.19.1.
    data = gzip.compress(b"host,ip\nweb,10.0.0.1\nmail,172.19.130.4\n", compresslevel=0)
    first, last = read_bytes(data[: data.index(b"30.4")])
    assert first.record == {"host": "web", "ip": "10.0.0.1"}
    assert error_of(last).reason.startswith("the gzip stream is truncated")
    assert last.raw == b"mail,172.19.1"


def test_a_corrupt_gzip_stream_says_so() -> None:
    data = bytearray(gzip.compress(LINES))
    data[len(data) // 2] ^= 0xFF
    assert "gzip stream is corrupt" in error_of(list(read_bytes(bytes(data)))[-1]).reason


def test_padding_after_a_gzip_stream_is_no_error() -> None:
    assert [raw.record for raw in read_bytes(gzip.compress(b'{"a":1}') + bytes(512))] == [{"a": 1}]


@PACKED
def test_a_small_body_cannot_unfold_without_end(pack: Pack) -> None:
    records = list(read_bytes(pack(b'{"a":1}\n' * 1_000_000), max_bytes=80))
    assert [raw.record for raw in records[:10]] == [{"a": 1}] * 10
    assert "longer than 80 bytes after unpacking" in error_of(records[10]).reason
    assert len(records) == 11


@PACKED
def test_a_bomb_is_framed_in_bounded_memory(pack: Pack) -> None:
    bomb = pack(b"a,b\n" + b"x" * 150_000_000)
    tracemalloc.start()
    try:
        (record,) = read_bytes(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error_of(record).reason.startswith("the record is 150000000 bytes long")
    assert error_of(record).reason.endswith(f"the first {MAX_RAW_BYTES} bytes are kept")
    assert len(record.raw) == MAX_RAW_BYTES
    # The kept bytes, twice while they are joined, and some blocks.
    assert peak < 4 * MAX_RAW_BYTES


def test_a_line_of_50_mb_is_refused_whole_and_the_rest_is_read() -> None:
    long = b'{"a":"' + b"x" * 50_000_000 + b'"}'
    first, second, third = read_bytes(b'{"a":1}\n' + long + b'\n{"a":3}\n')
    assert (first.record, third.record) == ({"a": 1}, {"a": 3})
    assert second.raw == long
    assert error_of(second).reason.startswith("the record is 50000008 bytes long; at most 1048576 are taken")


def test_a_utf_8_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert [raw.record for raw in read_bytes(b"\xef\xbb\xbfa,b\n1,2\n")] == [{"a": "1", "b": "2"}]
    assert [raw.record for raw in read_bytes(b'\xef\xbb\xbf{"a":1}\n')] == [{"a": 1}]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_utf_16_with_a_byte_order_mark_is_read_and_its_bytes_are_kept(encoding: str) -> None:
    text = "a,b\n1,ünï\n2,😀\n"
    first, second = read_bytes(("\ufeff" + text).encode(encoding))
    assert (first.record, second.record) == ({"a": "1", "b": "ünï"}, {"a": "2", "b": "😀"})
    assert first.raw == "1,ünï".encode(encoding)
    assert read_record(second.preamble + second.raw) == {"a": "2", "b": "😀"}


def test_utf_16_without_a_byte_order_mark_says_what_is_missing() -> None:
    with pytest.raises(ConfigurationError, match="UTF-16 without a byte order mark"):
        read_bytes("a,b\n1,2\n".encode("utf-16-le"))
    record = next(read_bytes('{"a":1}\n'.encode("utf-16-le")))
    assert "UTF-16 needs a byte order mark" in error_of(record).reason


def test_an_unpaired_utf_16_surrogate_costs_its_record_only() -> None:
    data = "\ufeffa,b\n".encode("utf-16-le") + b"1\0,\0\x00\xd8\n\0" + "2,x\n".encode("utf-16-le")
    first, second = read_bytes(data)
    assert "is not valid UTF-8" in error_of(first).reason
    assert first.raw == b"1\0,\0\x00\xd8"
    assert second.record == {"a": "2", "b": "x"}


@pytest.mark.parametrize(
    ("magic", "words"),
    [
        (b"PK\x03\x04", "ZIP"),
        (b"ElfFile\0", "watchfloor investigate FILE --rules RULES"),
        (b"BZh9", "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"PAR1", "Parquet"),
    ],
)
def test_a_file_of_another_kind_is_named_for_what_it_is(magic: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "alerts"
    path.write_bytes(magic + b"x" * 100)
    with pytest.raises(ConfigurationError, match=words):
        read_file(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no-such\.csv'?: No such file"):
        read_file(tmp_path / "no-such.csv")


def test_a_file_is_closed_without_being_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n1,2\n3,4\n")
    # An unclosed file would be a ResourceWarning, which is an error here.
    assert read_file(path).columns == ("a", "b")
    assert read_file(path).peek(1) == [{"a": "1", "b": "2"}]
    framed = read_file(path)
    framed.close()
    assert list(framed) == []


def test_peeking_takes_nothing_away() -> None:
    framed = read_bytes(b'{"a":1}\nbroken\n{"a":3}\n{"a":4}\n', layout=Format.NDJSON)
    assert framed.peek(3) == [{"a": 1}, {"a": 3}]
    assert [raw.position for raw in framed] == [1, 2, 3, 4]
