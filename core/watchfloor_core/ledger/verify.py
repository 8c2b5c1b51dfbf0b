"""Verification: of an exported file with nothing but the file, and of the store in place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import orjson
from sqlalchemy import Connection

from watchfloor_core.errors import ConfigurationError
from watchfloor_core.ledger.chain import LedgerCheck
from watchfloor_core.ledger.entry import MAX_ENTRY_BYTES, is_hash
from watchfloor_core.ledger.export import (
    ENTRY_END,
    ENTRY_MIDDLE,
    ENTRY_START,
    FORMAT,
    LedgerRow,
    end_line,
    head_line,
    header_line,
    read_heads,
    stream_entries,
)
from watchfloor_core.ledger.fault import Fault, FaultKind, VerifyReport
from watchfloor_core.ledger.heads import Head
from watchfloor_core.untrusted import quote_untrusted

_TAIL: Final = len(ENTRY_MIDDLE) + 64 + len(ENTRY_END)
_MAX_LINE: Final = len(ENTRY_START) + MAX_ENTRY_BYTES + _TAIL
_HEAD_START: Final = b'{"head":'
_END_START: Final = b'{"end":'


class _FoundFault(Exception):
    """Leaves the reading at the first fault."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault


def verify_file(path: Path, root: str | None = None) -> VerifyReport:
    """Verify an exported ledger offline and name the first thing that is wrong.

    Found are an edited, deleted, inserted, moved or repeated entry, a missing end of a chain, a missing chain, a
    missing end of the file, an id used twice, an entry of another tenant, and any line that is not exactly as an
    export writes it. A file whose every hash was computed anew is whole in itself: hold it against a ``root`` that was
    kept elsewhere.

    Raises `ConfigurationError` where the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _FileCheck(file).run(root)
    except OSError as error:
        raise ConfigurationError(
            f"the ledger file {str(path)!r} cannot be read ({error.strerror}); name a file that 'ledger export' wrote"
        ) from error


class _FileCheck:
    """Reads the four parts of a file in their order."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file: Final = file
        self._number = 0
        self._line = b""

    def run(self, root: str | None) -> VerifyReport:
        try:
            self._next()
            tenant, chain = self._header()
        except _FoundFault as found:
            return VerifyReport(None, 0, 0, None, found.fault)
        check = LedgerCheck(tenant, chain)
        try:
            self._entries(check)
            fault = check.compare_heads(self._heads())
            if fault is not None:
                raise _FoundFault(fault)
            report = check.report(None)
            self._end(tenant, chain, report)
            if root is not None and report.root != root:
                raise _FoundFault(Fault(FaultKind.WRONG_ROOT, f"the root {root}", f"{report.root}"))
        except _FoundFault as found:
            return check.report(found.fault)
        return report

    def _next(self) -> None:
        """Take the next line; an empty one at the end of the file."""
        self._line = self._file.readline(_MAX_LINE + 1)
        self._number += 1
        if self._line and not self._line.endswith(b"\n"):
            if len(self._line) > _MAX_LINE:
                raise self._malformed(f"a line of at most {_MAX_LINE} bytes")
            raise _FoundFault(Fault(FaultKind.TRUNCATED, "a whole line", "the end of the file in it", self._number))

    def _malformed(self, expected: str) -> _FoundFault:
        found = quote_untrusted(self._line[:120].decode("utf-8", "replace"))
        return _FoundFault(Fault(FaultKind.MALFORMED, expected, f"the line {found}", self._number))

    def _truncated(self, expected: str) -> _FoundFault:
        return _FoundFault(Fault(FaultKind.TRUNCATED, expected, "the end of the file", self._number))

    def _header(self) -> tuple[str, str | None]:
        match self._parsed():
            case {"ledger": {"format": format_, "tenant": str(tenant), "chain": None | str() as chain}}:
                pass
            case _:
                raise self._malformed("the header of a ledger export")
        if format_ != FORMAT:
            raise self._malformed(f"an export of format {FORMAT}")
        if self._line != header_line(tenant, chain):
            raise self._malformed("the header as an export writes it")
        self._next()
        return tenant, chain

    def _entries(self, check: LedgerCheck) -> None:
        while self._line.startswith(ENTRY_START):
            line = self._line
            stated = line[-64 - len(ENTRY_END) : -len(ENTRY_END)].decode("utf-8", "replace")
            if not (line.endswith(ENTRY_END) and line[-_TAIL:].startswith(ENTRY_MIDDLE) and is_hash(stated)):
                raise self._malformed("an entry and its hash")
            fault = check.add(line[len(ENTRY_START) : -_TAIL], stated, self._number)
            if fault is not None:
                raise _FoundFault(fault)
            self._next()

    def _heads(self) -> Iterator[tuple[int, str, Head]]:
        previous = ""
        while self._line.startswith(_HEAD_START):
            match self._parsed():
                case {"head": {"chain": str(chain), "seq": int(seq), "hash": str(hash_)}}:
                    pass
                case _:
                    raise self._malformed("the end of a chain")
            if self._line != head_line(chain, Head(seq, hash_)) or chain <= previous:
                raise self._malformed("the end of a chain as an export writes it, in the order of their names")
            previous = chain
            yield self._number, chain, Head(seq, hash_)
            self._next()
        # Before the chains are held against their ends: a foreign line among the entries is the first thing wrong, and
        # everything after it would only seem to be missing.
        if not self._line:
            raise self._truncated("the line that ends the ledger")
        if not self._line.startswith(_END_START):
            raise self._malformed("an entry, the end of a chain, or the end of the ledger")

    def _end(self, tenant: str, chain: str | None, report: VerifyReport) -> None:
        match self._parsed():
            case {"end": dict()}:
                pass
            case _:
                raise self._malformed("an entry, the end of a chain, or the end of the ledger")
        expected = end_line(tenant, chain, report.entries, report.chains, report.root or "")
        if self._line != expected:
            found = quote_untrusted(self._line.decode("utf-8", "replace").rstrip("\n"), 400)
            line = expected.decode().rstrip("\n")
            raise _FoundFault(Fault(FaultKind.TOTALS, line, found, self._number))
        self._next()
        if self._line:
            raise self._malformed("nothing after the end of the ledger")

    def _parsed(self) -> object:
        if not self._line:
            raise self._truncated("a line")
        try:
            value: object = orjson.loads(self._line)
        except orjson.JSONDecodeError:
            raise self._malformed("JSON") from None
        return value


def verify_store(connection: Connection, tenant: str) -> VerifyReport:
    """Verify the tenant's ledger where it is kept: entries, the columns beside them, and the ends of the chains."""
    check = LedgerCheck(tenant)
    for row in stream_entries(connection, tenant):
        fault = check.add(row.body.encode(), row.hash) or _differing_column(row)
        if fault is not None:
            return check.report(fault)
    stated = ((None, chain, head) for chain, head in read_heads(connection, tenant).items())
    return check.report(check.compare_heads(stated))


def _differing_column(row: LedgerRow) -> Fault | None:
    """Queries go by the columns, so they must say what the entry says."""
    entry = orjson.loads(row.body)
    columns = {"chain": row.chain, "seq": row.seq, "id": row.id, "kind": row.kind, "at": row.at_us}
    for name, value in columns.items():
        if entry[name] != value:
            expected, found = f"{name} {entry[name]!r} as in the entry", f"{value!r} in the column"
            return Fault(FaultKind.COLUMN, expected, found, None, row.chain, row.seq, row.id)
    return None
