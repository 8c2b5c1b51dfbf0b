"""Cuts a file or a request body into records: CSV, NDJSON or JSON, each plain, gzip or zstd.

What cannot be read becomes a `RecordError` in its place, with position and bytes, and the rest is read on. Memory is
bounded by the longest record (64 MiB are held at most), whatever the input's size.
"""

from __future__ import annotations

import io
import re
import weakref
from collections import deque
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final

from watchfloor_connectors.framing.csv_rows import CsvRows
from watchfloor_connectors.framing.json_document import ENVELOPE, LISTS, expand_document
from watchfloor_connectors.framing.json_lines import read_json_lines
from watchfloor_connectors.framing.lines import read_lines
from watchfloor_connectors.framing.stream import PlainStream, StreamBrokenError, open_stream
from watchfloor_connectors.raw import RawRecord
from watchfloor_core.errors import ConfigurationError, RecordError
from watchfloor_core.ports import Record

MAX_RECORD_BYTES: Final = 1024 * 1024
"""The default of the setting ``max_record_bytes``."""
_HEAD_BYTES: Final = 64 * 1024


class Format(StrEnum):
    """How records are laid out in an input."""

    CSV = "csv"
    NDJSON = "ndjson"
    JSON = "json"
    """One document: an array, an object, or an API's envelope around a list."""


class Framed(Iterator[RawRecord]):
    """The records of one input, and what is known of it before the first is read."""

    def __init__(
        self,
        records: Iterator[RawRecord],
        layout: Format,
        columns: tuple[str, ...] | None,
        name: str,
        source: BinaryIO,
    ) -> None:
        self._records = records
        # Whoever looks at the columns only, or at the first records, need not close anything.
        self._closed = weakref.finalize(self, source.close)
        self._peeked: deque[RawRecord] = deque()
        self.format = layout
        self.columns = columns
        """The CSV header; None for JSON."""
        self.name = name
        """What the operator calls the input, for messages."""

    def __iter__(self) -> Framed:
        return self

    def __next__(self) -> RawRecord:
        return self._peeked.popleft() if self._peeked else next(self._records)

    def close(self) -> None:
        """Closes the file; there are no further records."""
        self._peeked.clear()
        self._records = iter(())
        self._closed()

    def peek(self, count: int) -> list[Record]:
        """The decoded ones among the first ``count`` records, for detection; iteration still gives them all."""
        while len(self._peeked) < count and (record := next(self._records, None)) is not None:
            self._peeked.append(record)
        return [raw.record for raw in self._peeked if not isinstance(raw.record, RecordError)]


def read_file(
    path: Path,
    *,
    max_record_bytes: int = MAX_RECORD_BYTES,
    layout: Format | None = None,
) -> Framed:
    """The records of a file.

    Packing and layout are recognised by the first bytes, never by the name; ``layout`` overrides the latter. An empty
    file has no records. Raises ConfigurationError where the file cannot be opened or holds nothing that could be
    framed (a ZIP archive, a header that names a column twice).
    """
    try:
        source = path.open("rb")
    except OSError as error:
        raise ConfigurationError(f"cannot read {str(path)!r}: {error.strerror}") from None
    try:
        return _frame(source, str(path), max_record_bytes, layout, None)
    except BaseException:
        source.close()
        raise


def read_bytes(
    data: bytes,
    *,
    max_record_bytes: int = MAX_RECORD_BYTES,
    layout: Format | None = None,
    max_bytes: int | None = None,
    name: str = "the body",
) -> Framed:
    """The records of a request body, packed or plain; ``max_bytes`` limits its size after unpacking."""
    return _frame(io.BytesIO(data), name, max_record_bytes, layout, max_bytes)


def read_record(raw: bytes, *, max_record_bytes: int = MAX_RECORD_BYTES) -> Record:
    """The one record in ``preamble + raw`` of a `RawRecord`, as when a dead letter is tried again.

    Raises RecordError where it still cannot be read.
    """
    try:
        records = list(read_bytes(raw, max_record_bytes=max_record_bytes, name="the record"))
    except ConfigurationError as error:
        raise RecordError(str(error)) from None
    if len(records) != 1:
        raise RecordError(f"{len(records)} records were found; one was expected")
    if isinstance(records[0].record, RecordError):
        raise records[0].record
    return records[0].record


def _frame(source: BinaryIO, name: str, limit: int, layout: Format | None, max_bytes: int | None) -> Framed:
    stream = open_stream(source, name=name, max_bytes=max_bytes)
    head, blocks = _head(stream)
    layout = layout or _recognise(head)
    if layout is Format.JSON:
        return Framed(expand_document(blocks, stream, limit), layout, None, name, source)
    lines = read_lines(blocks, limit)
    if layout is Format.NDJSON:
        return Framed(read_json_lines(lines, stream, limit), layout, None, name, source)
    if not head.strip():
        # Also where the stream broke before its first byte: that is a record's error, no header's.
        broken = (RawRecord(1, b"", RecordError(line.reason)) for line in lines if not isinstance(line, bytes))
        return Framed(broken, layout, (), name, source)
    rows = CsvRows(lines, stream, limit, name)
    return Framed(iter(rows), layout, rows.columns, name, source)


def _head(stream: PlainStream) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, and all blocks."""
    held: list[bytes] = []
    size = 0
    broken: StreamBrokenError | None = None
    try:
        for block in stream.blocks:
            held.append(block)
            size += len(block)
            if size >= _HEAD_BYTES:
                break
    except StreamBrokenError as error:
        broken = error

    def blocks() -> Iterator[bytes]:
        yield from held
        held.clear()
        if broken is not None:
            raise broken
        yield from stream.blocks

    return b"".join(held)[:_HEAD_BYTES], blocks()


_FIRST_NAME: Final = re.compile(rb'\{\s*"([^"\\]*)"\s*:')


def _recognise(head: bytes) -> Format:
    text = head.lstrip()
    if text.startswith(b"["):
        return Format.JSON
    if not text.startswith(b"{"):
        return Format.CSV
    first, newline, _ = text.partition(b"\n")
    if newline:
        # The first line of an indented document ends where something was opened; that of NDJSON ends a record.
        return Format.JSON if first.rstrip()[-1:] in (b"{", b"[", b",", b":") else Format.NDJSON
    name = _FIRST_NAME.match(text)
    if len(head) == _HEAD_BYTES and name and name.group(1).decode("utf-8", "replace") in LISTS | ENVELOPE:
        # One long line that begins as an API's envelope does: read as a document, a record at a time.
        return Format.JSON
    return Format.NDJSON
