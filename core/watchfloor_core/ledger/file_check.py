"""Reading an exported ledger line by line, held to exactly what an export writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Final

import orjson

from watchfloor_core.canonical import canonical
from watchfloor_core.ledger.chain import LedgerCheck
from watchfloor_core.ledger.checkpoint_check import CheckpointCheck, Trust
from watchfloor_core.ledger.checkpoint_store import Reach
from watchfloor_core.ledger.entry import MAX_ENTRY_BYTES, is_hash
from watchfloor_core.ledger.export import (
    ENTRY_END,
    ENTRY_MIDDLE,
    ENTRY_START,
    FORMAT,
    REACHES,
    Totals,
    checkpoint_line,
    end_line,
    head_line,
    header_line,
    reached_lines,
)
from watchfloor_core.ledger.fault import Coverage, Fault, FaultKind, VerifyReport
from watchfloor_core.ledger.heads import Head
from watchfloor_core.ledger.merkle import root_of
from watchfloor_core.untrusted import quote_untrusted

_TAIL: Final = len(ENTRY_MIDDLE) + 64 + len(ENTRY_END)
_MAX_LINE: Final = len(ENTRY_START) + MAX_ENTRY_BYTES + _TAIL
_HEAD_START: Final = b'{"head":'
_CHECKPOINT_START: Final = b'{"checkpoint":'
_REACHED_START: Final = b'{"reached":'
_END_START: Final = b'{"end":'


class _FoundFault(Exception):
    """Leaves the reading at the first fault."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault


class FileCheck:
    """One reading of a file."""

    def __init__(self, file: IO[bytes], trust: Trust) -> None:
        self._file: Final = file
        self._trust: Final = trust
        self._number = 0
        self._line = b""

    def run(self, root: str | None) -> VerifyReport:
        try:
            self._next()
            tenant, chain, format_ = self._header()
        except _FoundFault as found:
            return VerifyReport(None, 0, 0, None, found.fault)
        check = LedgerCheck(tenant, chain)
        coverage: Coverage | None = None
        try:
            self._entries(check)
            self._raise(check.compare_heads(self._heads()))
            coverage = self._covered(check, chain, format_)
            checkpoints = 0 if coverage is None else coverage.checkpoints
            totals = Totals(check.entries, len(check.heads), checkpoints, root_of(tenant, check.heads))
            self._end(end_line(tenant, chain, totals, format_))
            if root is not None and totals.root != root:
                raise _FoundFault(Fault(FaultKind.WRONG_ROOT, f"the root {root}", totals.root))
        except _FoundFault as found:
            return check.report(found.fault, coverage)
        return check.report(None, coverage)

    def _next(self) -> None:
        """Take the next line; an empty one at the end of the file."""
        self._line = self._file.readline(_MAX_LINE + 1)
        self._number += 1
        if self._line and not self._line.endswith(b"\n"):
            if len(self._line) > _MAX_LINE:
                raise self._malformed(f"a line of at most {_MAX_LINE} bytes")
            raise _FoundFault(Fault(FaultKind.TRUNCATED, "a whole line", "the end of the file in it", self._number))

    def _raise(self, fault: Fault | None) -> None:
        if fault is not None:
            raise _FoundFault(fault)

    def _malformed(self, expected: str) -> _FoundFault:
        found = quote_untrusted(self._line[:120].decode("utf-8", "replace"))
        return _FoundFault(Fault(FaultKind.MALFORMED, expected, f"the line {found}", self._number))

    def _truncated(self, expected: str) -> _FoundFault:
        return _FoundFault(Fault(FaultKind.TRUNCATED, expected, "the end of the file", self._number))

    def _header(self) -> tuple[str, str | None, int]:
        match self._parsed():
            case {"ledger": {"format": format_, "tenant": str(tenant), "chain": None | str() as chain}}:
                pass
            case _:
                raise self._malformed("the header of a ledger export")
        if type(format_) is not int or not 1 <= format_ <= FORMAT:
            raise self._malformed(f"an export of format 1 to {FORMAT}")
        if self._line != header_line(tenant, chain, format_):
            raise self._malformed("the header as an export writes it")
        self._next()
        return tenant, chain, format_

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
        if not self._line.startswith((_CHECKPOINT_START, _END_START)):
            raise self._malformed("an entry, the end of a chain, a checkpoint, or the end of the ledger")

    def _covered(self, ledger: LedgerCheck, chain: str | None, format_: int) -> Coverage | None:
        """Read the checkpoints; None where a file of this kind has none."""
        check = CheckpointCheck(ledger, self._trust)
        if chain is not None or format_ < FORMAT:
            if self._trust.is_empty:
                return None
            what = f"chain {chain}" if chain is not None else f"format {format_}"
            expected = "an export with checkpoints, to hold against a key or a witness"
            raise _FoundFault(Fault(FaultKind.SIGNATURE, expected, f"an export of {what}, which has none"))
        while self._line.startswith(_CHECKPOINT_START):
            line = self._number
            envelope, public_key = self._checkpoint()
            self._raise(check.add(envelope, public_key, self._reached(), line))
        if not self._line:
            raise self._truncated("a checkpoint or the line that ends the ledger")
        self._raise(check.finish())
        return check.coverage()

    def _checkpoint(self) -> tuple[str, str]:
        match self._parsed():
            case {"checkpoint": {"envelope": dict(content), "key": str(key)}}:
                pass
            case _:
                raise self._malformed("a checkpoint")
        try:
            envelope = canonical(content).decode()
        except ValueError:
            raise self._malformed("a checkpoint's envelope in canonical form") from None
        if self._line != checkpoint_line(envelope, key):
            raise self._malformed("a checkpoint as an export writes it")
        self._next()
        return envelope, key

    def _reached(self) -> list[Reach]:
        reaches: list[Reach] = []
        while self._line.startswith(_REACHED_START):
            match self._parsed():
                case {"reached": [*pairs]}:
                    pass
                case _:
                    raise self._malformed("the chains that a checkpoint found longer")
            some = [(pair[0], pair[1]) for pair in pairs if _is_reach(pair)]
            # Of the lines before, each had its full number: else this one could not be as an export writes it.
            if len(reaches) % REACHES or [self._line] != list(reached_lines(some)):
                raise self._malformed("the chains that a checkpoint found longer, as an export writes them")
            reaches.extend(some)
            self._next()
        return reaches

    def _end(self, expected: bytes) -> None:
        match self._parsed():
            case {"end": dict()}:
                pass
            case _:
                raise self._malformed("a checkpoint or the end of the ledger")
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


def _is_reach(pair: object) -> bool:
    match pair:
        case [str(), int(seq)] if type(seq) is int and seq > 0:
            return True
        case _:
            return False
