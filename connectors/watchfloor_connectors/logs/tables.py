"""Records of tabular files: CSV, Zeek's tab-separated logs, Parquet."""

from __future__ import annotations

import codecs
import csv
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from typing import Final

import duckdb

from watchfloor_connectors.logs.files import Complain, LogFile, Unreadable
from watchfloor_core.canonical import JsonValue

MAX_COLUMNS: Final = 2_000
_ROWS: Final = 2_000

Record = tuple[int, Mapping[str, JsonValue]]


def csv_records(file: LogFile, complain: Complain) -> Iterator[Record]:
    """With a header; the delimiter is the comma, semicolon, tab or bar that the header has most of."""
    text = codecs.getreader("utf-8-sig")(file.stream, "replace")
    header = text.readline(65_536)
    delimiter = max(",;\t|", key=header.count)
    names = next(csv.reader([header], delimiter=delimiter), [])
    if len(names) < 2 or len(names) > MAX_COLUMNS or any(not name.strip() for name in names):
        complain(
            Unreadable(file.name, "is of no format that is known: expected EVTX, JSON, CSV, Parquet, Zeek or syslog")
        )
        return
    reader = csv.reader((line.replace("\0", "") for line in text), delimiter=delimiter)
    position = 0
    while True:
        position += 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            complain(Unreadable(file.name, str(error), position))
            continue
        if len(row) != len(names):
            if row:
                complain(Unreadable(file.name, f"has {len(row)} columns, the header {len(names)}", position))
            continue
        yield position, {name.strip(): value for name, value in zip(names, row, strict=True) if value != ""}


def zeek_records(file: LogFile, complain: Complain) -> Iterator[Record]:
    """https://docs.zeek.org/en/current/log-formats.html: header lines with ``#``, one of which names the fields."""
    names: list[str] = []
    types: list[str] = []
    path, separator, position = "", "\t", 0
    for raw in file.stream:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if line.startswith("#"):
            keyword, _, rest = line.partition(" " if line.startswith("#separator") else separator)
            match keyword:
                case "#separator":
                    separator = rest.encode("latin-1", "replace").decode("unicode_escape", "replace")[:1] or "\t"
                case "#fields":
                    names = rest.split(separator)
                case "#types":
                    types = rest.split(separator)
                case "#path":
                    path = rest
                case _:
                    pass
            continue
        position += 1
        values = line.split(separator)
        if len(values) != len(names):
            complain(Unreadable(file.name, f"has {len(values)} fields, the header {len(names)}", position))
            continue
        known = types if len(types) == len(names) else [""] * len(names)
        record: dict[str, JsonValue] = {
            name: _zeek_value(value, type_)
            for name, value, type_ in zip(names, values, known, strict=True)
            if value not in ("-", "(empty)")
        }
        yield position, ({"_path": path} if path else {}) | record


def _zeek_value(value: str, type_: str) -> JsonValue:
    if type_ in ("count", "int", "port") and value.isdecimal() and len(value) < 16:
        return int(value)
    return value


def parquet_records(file: LogFile, complain: Complain) -> Iterator[Record]:
    """Of any schema; values that JSON has no form for are text."""
    with tempfile.NamedTemporaryFile(suffix=".parquet") as copy:
        shutil.copyfileobj(file.stream, copy)
        copy.flush()
        connection = duckdb.connect()
        try:
            found = connection.execute("SELECT * FROM read_parquet(?)", [copy.name])
            names = [column[0] for column in found.description or ()]
            position = 0
            while rows := found.fetchmany(_ROWS):
                for row in rows:
                    position += 1
                    yield (
                        position,
                        {name: _plain(value) for name, value in zip(names, row, strict=True) if value is not None},
                    )
        except duckdb.Error as error:
            complain(Unreadable(file.name, f"is no readable Parquet file: {str(error).splitlines()[0]}"))
        finally:
            connection.close()


def _plain(value: object) -> JsonValue:
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value.isoformat(" ") if hasattr(value, "isoformat") else str(value)
