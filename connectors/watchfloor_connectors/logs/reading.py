"""Log files of many formats as `RawEvent`s, each file's format found by what is in it.

Nothing is lost silently: what cannot be read is handed to ``complain``, whole files as well as single records, and the
rest goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Final

import orjson
from evtx import PyEvtxParser

from watchfloor_connectors.logs.files import Complain, LogFile, Unreadable, log_files
from watchfloor_connectors.logs.raw_event import LogKind, RawEvent
from watchfloor_connectors.logs.record_kind import kind_of, text_host
from watchfloor_connectors.logs.record_time import local_offset, record_time
from watchfloor_connectors.logs.tables import csv_records, parquet_records, zeek_records
from watchfloor_connectors.logs.text_lines import syslog_event
from watchfloor_connectors.logs.windows import is_windows, windows_fields, windows_kind
from watchfloor_core.canonical import MAX_DEPTH, JsonValue
from watchfloor_core.errors import RecordError

MAX_LINE: Final = 16 * 1024**2
"""Bytes of one record."""
_TRIED: Final = 50
"""Lines of which one must be a record, where the first is none."""
_LOOKED_AT: Final = 5_000
"""Records in which the collecting machine's offset from UTC is looked for."""


def read_logs(paths: Sequence[Path], complain: Complain) -> Iterator[RawEvent]:
    """Every record of every file, file after file. ``complain`` is told of each file and record that cannot be read.

    Raises `ConfigurationError` for a path that does not exist.
    """
    for file in log_files(paths, complain):
        try:
            yield from read_log(file, complain)
        except OSError as error:
            complain(Unreadable(file.name, f"cannot be read: {error}"))


def native_fields(event: RawEvent) -> dict[str, str | int]:
    """The fields as Sigma rules name them.

    Of Windows the event data beside ``EventID`` and ``Channel``; anything else as it is, nested names joined by dots.
    """
    if event.kind.product == "windows":
        return windows_fields(event.original)
    found: dict[str, str | int] = {}
    _flatten(event.original, "", found, 0)
    return found


def read_log(file: LogFile, complain: Complain) -> Iterator[RawEvent]:
    """The records of one file."""
    head = file.stream.read(4096)
    file.stream.seek(0)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text:
        complain(Unreadable(file.name, "is empty"))
    elif head.startswith(b"ElfFile\x00"):
        yield from _evtx(file, complain)
    elif head.startswith(b"PAR1"):
        yield from _json_events(file, parquet_records(file, complain), complain)
    elif text.startswith((b"#separator", b"#fields")):
        yield from _json_events(file, zeek_records(file, complain), complain)
    elif text.startswith((b"{", b"[")):
        yield from _json_events(file, _json_records(file, complain), complain)
    elif b"\x00" in head:
        complain(
            Unreadable(file.name, "is of no format that is known: expected EVTX, JSON, CSV, Parquet, Zeek or syslog")
        )
    else:
        yield from _text(file, head, complain)


def _evtx(file: LogFile, complain: Complain) -> Iterator[RawEvent]:
    try:
        records = iter(PyEvtxParser(file.stream).records_json())
    except (RuntimeError, OSError, ValueError) as error:
        complain(Unreadable(file.name, f"is no readable EVTX file: {error}"))
        return
    position = 0
    while True:
        position += 1
        try:
            record: Any = next(records)
        except StopIteration:
            return
        except (RuntimeError, OSError, ValueError) as error:
            complain(Unreadable(file.name, str(error)[:300], position))
            continue
        event = _parsed(str(record["data"]).encode("utf-8", "surrogatepass"), file, position, complain)
        if event is not None:
            yield from _json_events(file, iter([(position, event)]), complain)


def _json_records(file: LogFile, complain: Complain) -> Iterator[tuple[int, Mapping[str, JsonValue]]]:
    """JSON lines, or one document: a list of records, or an object that holds one (CloudTrail's ``Records``)."""
    first = file.stream.readline(MAX_LINE)
    file.stream.seek(0)
    try:
        is_lines = isinstance(one := _decoded(first), dict) and not _holds_list(one)
    except (ValueError, RecursionError):
        is_lines = False
    if is_lines:
        yield from _lines(file, complain)
        return
    document = file.stream.read(MAX_LINE * 32)
    try:
        content = _decoded(document)
    except (ValueError, RecursionError) as error:
        if any(_is_record(line) for line in document.split(b"\n", _TRIED)[:_TRIED]):
            # A first line cut short does not make the others unreadable.
            file.stream.seek(0)
            yield from _lines(file, complain)
        else:
            complain(Unreadable(file.name, f"is no JSON: {error}"))
        return
    records = content if isinstance(content, list) else _holds_list(content) or [content]
    for position, record in enumerate(records, 1):
        if isinstance(record, dict):
            yield position, record
        else:
            complain(Unreadable(file.name, "is no JSON object", position))


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(_decoded(line), dict)
    except (ValueError, RecursionError):
        return False


def _decoded(data: bytes) -> Any:  # Any: JSON of any shape
    """Also lone surrogates, NaN and large numbers, as some shippers write them.

    Raises ValueError and RecursionError.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data.decode("utf-8-sig", "replace"), parse_constant=str)


def _holds_list(content: Any) -> list[Any] | None:
    """The records of an object that is a list's wrapping."""
    if not isinstance(content, dict):
        return None
    for key in ("Records", "records", "events", "value"):
        held = content.get(key)
        if isinstance(held, list) and held and all(isinstance(one, dict) for one in held):
            return held
    return None


def _lines(file: LogFile, complain: Complain) -> Iterator[tuple[int, Mapping[str, JsonValue]]]:
    for position, line in enumerate(_bounded_lines(file.stream), 1):
        if len(line) > MAX_LINE:
            complain(Unreadable(file.name, f"is longer than {MAX_LINE:,} bytes", position))
        elif line.strip():
            record = _parsed(line, file, position, complain)
            if record is not None:
                yield position, record


def _bounded_lines(stream: IO[bytes]) -> Iterator[bytes]:
    while line := stream.readline(MAX_LINE + 1):
        is_long = len(line) > MAX_LINE
        yield line
        while is_long and line and not line.endswith(b"\n"):
            line = stream.readline(MAX_LINE)


def _parsed(data: bytes, file: LogFile, position: int, complain: Complain) -> Mapping[str, JsonValue] | None:
    try:
        record = _decoded(data)
    except (ValueError, RecursionError) as error:
        complain(Unreadable(file.name, f"is no JSON: {error}", position))
        return None
    if not isinstance(record, dict):
        complain(Unreadable(file.name, "is no JSON object", position))
        return None
    return record


def _json_events(
    file: LogFile, records: Iterator[tuple[int, Mapping[str, JsonValue]]], complain: Complain
) -> Iterator[RawEvent]:
    first = list(islice(records, _LOOKED_AT))
    offsets = (local_offset(record) for _, record in first if is_windows(record))
    offset_us = next((one for one in offsets if one is not None), 0)
    for position, record in chain(first, records):
        try:
            time_us, precision = record_time(record, local_offset_us=offset_us)
            kind, host = described(record, file.name)
        except RecordError as error:
            complain(Unreadable(file.name, str(error), position))
            continue
        yield RawEvent(kind, time_us, precision, host, record, position)


def described(record: Mapping[str, JsonValue], name: str) -> tuple[LogKind, str | None]:
    """What sort of log a record is of, and of which machine; ``name`` is the file's."""
    if is_windows(record):
        fields = windows_fields(record)
        return windows_kind(fields), str(fields.get("Computer") or "") or None
    return kind_of(record, name), text_host(record)


def _text(file: LogFile, head: bytes, complain: Complain) -> Iterator[RawEvent]:
    """Syslog where the first line is one, else CSV."""
    first = head.split(b"\n", 1)[0].decode("utf-8", "replace").rstrip("\r")
    if syslog_event(first, 1) is None:
        yield from _json_events(file, csv_records(file, complain), complain)
        return
    for position, line in enumerate(_bounded_lines(file.stream), 1):
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            continue
        event = syslog_event(text, position)
        if event is None:
            complain(Unreadable(file.name, "is no syslog line", position))
        else:
            yield event


def _flatten(value: Mapping[str, JsonValue], path: str, found: dict[str, str | int], depth: int) -> None:
    for name, one in value.items():
        key = f"{path}.{name}" if path else name
        if isinstance(one, Mapping):
            if depth < MAX_DEPTH:
                _flatten(one, key, found, depth + 1)
        elif isinstance(one, bool):
            found[key] = str(one).lower()
        elif isinstance(one, (str, int)):
            found[key] = one
        elif isinstance(one, float):
            found[key] = str(one)
        elif isinstance(one, list):
            found[key] = "\n".join(str(part) for part in one if isinstance(part, (str, int, float)))
