"""NDJSON: one JSON object a line, as raw records."""

from __future__ import annotations

from collections.abc import Iterator

from watchfloor_connectors.framing.json_document import expand_document, is_envelope
from watchfloor_connectors.framing.json_object import decode_object
from watchfloor_connectors.framing.lines import BrokenLine
from watchfloor_connectors.framing.stream import PlainStream
from watchfloor_connectors.raw import RawRecord
from watchfloor_core.errors import RecordError


def read_json_lines(lines: Iterator[bytes | BrokenLine], stream: PlainStream, limit: int) -> Iterator[RawRecord]:
    """One record a line; a line that is an API's envelope (``{"Records": […]}``) gives the records inside."""
    mark = stream.mark
    is_utf8 = stream.encoding is None
    position = 0
    for line in lines:
        if not isinstance(line, bytes):
            position += 1
            yield RawRecord(position, stream.original(line.raw), RecordError(line.reason), mark)
            continue
        if not line or line.isspace():
            continue
        if line[-1:] == b"\r":
            line = line[:-1]
        position += 1
        try:
            record = decode_object(line)
        except RecordError as error:
            yield RawRecord(position, stream.original(line), error, mark)
            continue
        if is_envelope(record):
            position -= 1
            for inner in expand_document(iter((line,)), stream, limit, position):
                position = inner.position
                yield inner
            continue
        yield RawRecord(position, line if is_utf8 else stream.original(line), record, mark)
