"""CSV with a header (RFC 4180; comma, semicolon, tab or bar) as raw records.

A row that does not hold a quote is split by hand, which is several times faster than the `csv` module; any other goes
through that module, in its strict mode.

A quote that is opened and never closed would swallow the rest of a file. So a row that runs over its line is taken
back when it does not come out with the header's number of columns: its first line alone is refused, and reading goes
on in the next. Lines that such a failed row ran over are then read as rows of one line, which bounds the work to three
times the input whatever it holds.
"""

from __future__ import annotations

import csv
from collections import Counter, deque
from collections.abc import Iterator
from typing import Final

from watchfloor_connectors.framing.json_object import not_utf8
from watchfloor_connectors.framing.lines import BrokenLine, too_long
from watchfloor_connectors.framing.stream import PlainStream
from watchfloor_connectors.raw import RawRecord
from watchfloor_core.errors import ConfigurationError, RecordError
from watchfloor_core.untrusted import quote_untrusted

DELIMITERS: Final = (",", "\t", ";", "|")
_NO_LIMIT: Final = 2**31 - 1
# The module's own limit is global and smaller than max_record_bytes, which bounds rows here.
csv.field_size_limit(_NO_LIMIT)


class CsvRows:
    """The rows of one CSV input; ``columns`` is known before the first row is read."""

    def __init__(self, lines: Iterator[bytes | BrokenLine], stream: PlainStream, limit: int, name: str) -> None:
        self._lines = lines
        self._stream = stream
        self._limit = limit
        header = next((line for line in lines if not isinstance(line, bytes) or line.strip()), None)
        if isinstance(header, BrokenLine):
            raise ConfigurationError(f"{name} has no readable header line: {header.reason}")
        header = (header or b"").removesuffix(b"\r")
        self.delimiter, self.columns = _read_header(header, name)
        self._preamble = stream.mark + stream.original(header + b"\n")

    def __iter__(self) -> Iterator[RawRecord]:
        columns = self.columns
        width = len(columns)
        delimiter = self.delimiter
        preamble = self._preamble
        is_utf8 = self._stream.encoding is None
        original = self._stream.original
        position = 0
        # Lines that a row ran over and gave back, oldest first.
        returned: deque[bytes | BrokenLine] = deque()
        # So many of them are read as rows of one line.
        alone = 0
        lines = self._lines
        while True:
            line = returned.popleft() if returned else next(lines, None)
            if line is None:
                return
            if not isinstance(line, bytes):
                position += 1
                yield RawRecord(position, original(line.raw), RecordError(line.reason), preamble, columns)
                continue
            if not line or line == b"\r":
                # The csv module skips blank lines too, so positions agree with other readers of the file.
                alone = max(0, alone - 1)
                continue
            position += 1
            if b'"' not in line:
                if line[-1:] == b"\r":
                    line = line[:-1]
                alone = max(0, alone - 1)
                try:
                    fields = line.decode().split(delimiter)
                except UnicodeDecodeError as error:
                    yield RawRecord(
                        position, original(line), RecordError(not_utf8(line, error.start)), preamble, columns
                    )
                    continue
                if len(fields) == width and b"\0" not in line:
                    raw = line if is_utf8 else original(line)
                    yield RawRecord(position, raw, dict(zip(columns, fields, strict=True)), preamble, columns)
                else:
                    yield RawRecord(position, original(line), _refusal(line, fields, width), preamble, columns)
                continue
            if alone:
                alone -= 1
                taken, outcome = [line], self._one_line(line)
            else:
                taken, outcome = self._quoted(line, returned)
                if isinstance(outcome, RecordError) and len(taken) > 1:
                    # The last line may begin a row of its own; those before it were looked at once already.
                    returned.extendleft(reversed(taken[1:]))
                    alone = len(taken) - 2
                    taken = taken[:1]
            row = b"\n".join(taken).removesuffix(b"\r")
            yield RawRecord(position, original(row), outcome, preamble, columns)

    def _one_line(self, line: bytes) -> dict[str, str] | RecordError:
        return self._quoted(line, deque(), may_run_on=False)[1]

    def _quoted(
        self, first: bytes, returned: deque[bytes | BrokenLine], may_run_on: bool = True
    ) -> tuple[list[bytes], dict[str, str] | RecordError]:
        """The row that begins in ``first``, and every line that was read for it."""
        taken: list[bytes] = []
        size = 0
        runs_out: RecordError | None = None

        def feed() -> Iterator[str]:
            nonlocal size, runs_out
            line: bytes | BrokenLine | None = first
            while True:
                if not isinstance(line, bytes):
                    if line is not None:
                        returned.appendleft(line)
                    runs_out = RecordError("a quote that is opened in this line is never closed")
                    return
                taken.append(line)
                size += len(line) + 1
                if size - 1 > self._limit:
                    runs_out = RecordError(
                        f"a quote that is opened in this line is not closed: {too_long(size - 1, self._limit)}"
                    )
                    return
                yield line.decode() + "\n"
                if not may_run_on:
                    runs_out = RecordError("a quote that is opened in this line is not closed in it")
                    return
                line = returned.popleft() if returned else next(self._lines, None)

        try:
            fields = next(csv.reader(feed(), delimiter=self.delimiter, strict=True))
        except UnicodeDecodeError as error:
            return taken, RecordError(not_utf8(taken[-1], error.start))
        except csv.Error as error:
            return taken, runs_out or RecordError(f"the quotes of this row do not pair up: {error}")
        row = b"\n".join(taken)
        if len(fields) != len(self.columns) or b"\0" in row:
            return taken, _refusal(row, fields, len(self.columns))
        return taken, dict(zip(self.columns, fields, strict=True))


def _refusal(row: bytes, fields: list[str], width: int) -> RecordError:
    if (nul := row.find(b"\0")) >= 0:
        return RecordError(f"NUL byte at offset {nul}; UTF-8 text was expected (UTF-16 needs a byte order mark)")
    return RecordError(f"the row has {len(fields)} columns; the header has {width}")


def _read_header(line: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    if b"\0" in line:
        raise ConfigurationError(f"{name} begins with NUL bytes: it is binary, or UTF-16 without a byte order mark")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{name}, header line: {not_utf8(line, error.start)}") from None
    if not text:
        return ",", ()
    unquoted = "".join(text.split('"')[::2])
    delimiter = max(DELIMITERS, key=unquoted.count)
    try:
        columns = tuple(next(csv.reader([text], delimiter=delimiter, strict=True)))
    except csv.Error as error:
        raise ConfigurationError(
            f"{name}, header line {quote_untrusted(text)}: {error}; column names must stand in one line"
        ) from None
    columns = tuple(column.strip() for column in columns)
    twice = [column for column, times in Counter(columns).items() if times > 1]
    if twice:
        raise ConfigurationError(
            f"{name}: the header names {quote_untrusted(twice[0])} more than once: which column counts is ambiguous"
        )
    return delimiter, columns
