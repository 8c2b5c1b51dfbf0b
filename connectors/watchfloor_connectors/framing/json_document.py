"""A JSON document as raw records: an array, one object, objects one after another, or an API's envelope.

The document is never decoded as a whole. A scanner finds where each record begins and ends, so memory is bounded by
the longest record, each keeps its exact bytes, and a malformed one does not spoil the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from watchfloor_connectors.framing.json_object import decode_object
from watchfloor_connectors.framing.lines import too_long
from watchfloor_connectors.framing.stream import PlainStream, StreamBrokenError
from watchfloor_connectors.raw import MAX_RAW_BYTES, RawRecord
from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Json, Record

LISTS: Final = frozenset({
    "Findings", "Records", "alerts", "detections", "findings", "hits", "records", "resources", "value",
})  # fmt: skip
"""Names under which vendors' APIs and exports wrap their list of records."""
ENVELOPE: Final = frozenset({
    "@odata.context", "@odata.count", "@odata.nextLink", "_scroll_id", "_shards", "aggregations", "count", "cursor",
    "errors", "max_score", "meta", "next", "nextLink", "NextToken", "nextToken", "pagination", "pit_id",
    "ResponseMetadata", "status", "timed_out", "took", "total",
})  # fmt: skip
"""What may stand beside that list; any other name makes the object a record itself."""

_SPAN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["{}\[\]]', re.DOTALL)
"""A whole text, or a bracket; a lone quote is a text whose end is not in the buffer."""
_SCALAR_END: Final = re.compile(rb"[\s,\]}]")
_SPACE: Final = re.compile(rb"[ \t\r\n]*+")


def is_envelope(record: Mapping[str, Json]) -> bool:
    """Whether an object is only the wrapping of a list of records."""
    if len(record) > 8 or LISTS.isdisjoint(record):
        return False
    lists = [name for name in record if name in LISTS]
    if len(lists) != 1 or any(name not in ENVELOPE for name in record if name != lists[0]):
        return False
    inner = record[lists[0]]
    if isinstance(inner, dict):
        return lists[0] == "hits" and is_envelope(inner)
    return isinstance(inner, list) and all(isinstance(item, dict) for item in inner)


def expand_document(blocks: Iterator[bytes], stream: PlainStream, limit: int, before: int = 0) -> Iterator[RawRecord]:
    """The records of a document, numbered from ``before + 1``."""
    return _Document(blocks, stream, limit, before).records()


class _UnreadableError(Exception):
    """The document cannot be followed from here on."""


class _Document:
    """Offsets are absolute, counted from the document's first byte."""

    def __init__(self, blocks: Iterator[bytes], stream: PlainStream, limit: int, before: int) -> None:
        self._blocks = blocks
        self._stream = stream
        self._limit = limit
        self._position = before
        self._buffer = b""
        self._base = 0
        # The offset of the buffer's first byte.
        self._start = 0
        # The offset before which nothing is needed any more.
        self._at = 0
        self._stream_error: StreamBrokenError | None = None

    def records(self) -> Iterator[RawRecord]:
        try:
            while byte := self._next_byte():
                self._start = self._at
                if byte == b"[":
                    yield from self._array()
                elif byte == b"{":
                    yield from self._object()
                else:
                    raise _UnreadableError("a JSON object or array was expected")
            if self._stream_error is not None:
                raise _UnreadableError("the stream is broken")
        except _UnreadableError as error:
            reason = f"{error} at byte offset {self._at} of the document; what follows cannot be told apart"
            if self._stream_error is not None:
                reason = self._stream_error.reason
            self._position += 1
            rest = self._buffer[self._start - self._base :][:MAX_RAW_BYTES]
            yield RawRecord(self._position, self._stream.original(rest), RecordError(reason), self._stream.mark)

    def _array(self) -> Iterator[RawRecord]:
        """The elements of the array that begins here, each a record."""
        self._at += 1
        if self._next_byte() == b"]":
            self._at += 1
            return
        while True:
            self._next_byte()
            self._start = self._at
            yield self._record(self._span())
            byte = self._next_byte()
            if byte not in (b",", b"]"):
                raise _UnreadableError("a comma or the end of the array was expected")
            self._at += 1
            self._start = self._at
            if byte == b"]":
                return

    def _object(self) -> Iterator[RawRecord]:
        """The object that begins here: the records of the list that it wraps, else itself."""
        begin = self._at
        depth = 1
        is_wrapped = False
        self._at += 1
        while depth:
            byte = self._next_byte()
            if byte in (b"}", b","):
                self._at += 1
                depth -= byte == b"}"
                continue
            name = self._name()
            first = self._next_byte()
            if name in LISTS and first == b"[" and not is_wrapped:
                is_wrapped = True
                yield from self._array()
            elif name == "hits" and first == b"{" and depth == 1:
                self._at += 1
                depth += 1
            elif is_wrapped or name in ENVELOPE:
                self._span()
                if is_wrapped:
                    self._start = self._at
            else:
                break
        if not is_wrapped:
            self._at = begin
            yield self._record(self._span())

    def _name(self) -> str:
        """The name that begins here, and its colon."""
        if self._next_byte() != b'"':
            raise _UnreadableError("a name in double quotes was expected")
        name = self._span()[1:-1]
        if self._next_byte() != b":":
            raise _UnreadableError("a colon was expected")
        self._at += 1
        # A name with escapes is none of the known ones.
        return name.decode("utf-8", "replace")

    def _span(self) -> bytes:
        """The bytes of the value that begins here."""
        start = self._at
        first = self._next_byte()
        if first not in (b"{", b"[", b'"'):
            while not (end := _SCALAR_END.search(self._buffer, self._at - self._base)):
                if not self._more():
                    raise _UnreadableError("the document ends inside a record")
            self._at = end.start() + self._base
            if self._at == start:
                raise _UnreadableError("a value was expected")
            return self._buffer[start - self._base : self._at - self._base]
        depth = 0
        while True:
            for match in _SPAN.finditer(self._buffer, self._at - self._base):
                token = match.group()
                if token == b'"':
                    self._at = match.start() + self._base
                    break
                self._at = match.end() + self._base
                if token in (b"{", b"["):
                    depth += 1
                elif token in (b"}", b"]"):
                    depth -= 1
                if depth <= 0:
                    return self._buffer[start - self._base : self._at - self._base]
            if not self._more():
                raise _UnreadableError("the document ends inside a record")

    def _next_byte(self) -> bytes:
        """The next byte that is no white space; empty at the end."""
        while True:
            space = _SPACE.match(self._buffer, self._at - self._base)
            if space is not None:
                self._at = space.end() + self._base
            if self._at - self._base < len(self._buffer):
                begin = self._at - self._base
                return self._buffer[begin : begin + 1]
            if not self._more():
                return b""

    def _more(self) -> bool:
        """Reads as much again as is held, so that a long record is scanned a bounded number of times."""
        held = self._buffer[self._start - self._base :]
        if len(held) > MAX_RAW_BYTES:
            raise _UnreadableError(f"a record is longer than {MAX_RAW_BYTES} bytes")
        new: list[bytes] = []
        read = 0
        try:
            while read <= len(held) and (block := next(self._blocks, b"")):
                new.append(block)
                read += len(block)
        except StreamBrokenError as error:
            self._stream_error = error
            self._blocks = iter(())
        self._buffer = held + b"".join(new)
        self._base = self._start
        return read > 0

    def _record(self, raw: bytes) -> RawRecord:
        self._position += 1
        original = self._stream.original(raw)
        record: Record | RecordError
        if len(raw) > self._limit:
            record = RecordError(too_long(len(raw), self._limit))
        else:
            try:
                record = decode_object(raw)
            except RecordError as error:
                record = error
        return RawRecord(self._position, original, record, self._stream.mark)
