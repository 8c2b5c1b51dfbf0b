"""Checking entries one after the other, chain by chain: the same for a file and for the store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from watchfloor_core.ledger.entry import GENESIS, Entry, entry_hash, parse_entry
from watchfloor_core.ledger.fault import Coverage, Fault, FaultKind, VerifyReport
from watchfloor_core.ledger.heads import EMPTY, Head
from watchfloor_core.ledger.merkle import root_of
from watchfloor_core.untrusted import escape_untrusted, quote_untrusted

_SIZE: Final = 32
"""Bytes of a hash."""


class LedgerCheck:
    """Takes a tenant's entries in the order (chain, seq).

    Holds the head of each chain, and of each entry the hash and the number behind its id, nothing else (about 100 MB
    for a million entries).
    """

    def __init__(self, tenant: str, chain: str | None = None) -> None:
        self.tenant: Final = tenant
        self.entries = 0
        self.heads: dict[str, Head] = {}
        """Of the entries found good, in the order of the chains."""
        self._only_chain: Final = chain
        self._chain = ""
        self._head = EMPTY
        self._ids: set[int] = set()
        self._starts: dict[str, int] = {}
        self._hashes: Final = bytearray()
        # One after the other, 32 bytes each: objects of their own would take four times the memory.

    def add(self, data: bytes, stated_hash: str, line: int | None = None) -> Fault | None:
        """Check the next entry: its canonical bytes and the hash that is stated for it."""
        computed = entry_hash(data)
        try:
            entry = parse_entry(data)
        except ValueError as error:
            return Fault(FaultKind.MALFORMED, "a ledger entry", escape_untrusted(str(error)), line)
        if computed != stated_hash:
            return _at(entry, line, FaultKind.ALTERED, f"the hash {stated_hash}", f"content with the hash {computed}")
        fault = self._place(entry, line)
        if fault is None:
            if entry.seq == 1:
                self._starts[entry.chain] = self.entries
            self._hashes.extend(bytes.fromhex(computed))
            self._chain = entry.chain
            self._head = self.heads[entry.chain] = Head(entry.seq, computed)
            self.entries += 1
        return fault

    def hashes(self, chain: str, after: int, to: int) -> list[bytes]:
        """The hashes of the chain's entries beyond number ``after`` and up to ``to``, all of which must be there."""
        start = self._starts[chain]
        view = self._hashes[(start + after) * _SIZE : (start + to) * _SIZE]
        return [bytes(view[at : at + _SIZE]) for at in range(0, len(view), _SIZE)]

    def _place(self, entry: Entry, line: int | None) -> Fault | None:
        """Whether the entry may stand behind those before it."""
        if entry.tenant != self.tenant:
            found = quote_untrusted(entry.tenant)
            return _at(entry, line, FaultKind.WRONG_TENANT, f"tenant {quote_untrusted(self.tenant)}", found)
        if self._only_chain is not None and entry.chain != self._only_chain:
            return _at(entry, line, FaultKind.WRONG_CHAIN, f"entries of {self._only_chain} only", entry.chain)
        if entry.chain < self._chain:
            return _at(entry, line, FaultKind.REORDERED, f"a chain that sorts after {self._chain}", entry.chain)
        head = self._head if entry.chain == self._chain else EMPTY
        if entry.seq != head.seq + 1:
            kind = FaultKind.MISSING if entry.seq > head.seq else FaultKind.REPEATED
            return _at(entry, line, kind, f"entry {head.seq + 1}", f"entry {entry.seq}")
        if entry.prev != head.hash:
            whose = "64 zeros" if head.hash == GENESIS else f"prev {head.hash}, the hash of entry {head.seq}"
            return _at(entry, line, FaultKind.UNLINKED, whose, f"prev {entry.prev}")
        number = int(entry.id, 16)
        if number in self._ids:
            return _at(entry, line, FaultKind.DUPLICATE_ID, "an id of its own", f"{entry.id} for the second time")
        self._ids.add(number)
        return None

    def compare_heads(self, stated: Iterable[tuple[int | None, str, Head]]) -> Fault | None:
        """Check the ends of the chains against (line, chain, head) in the order of the chains."""
        found = iter(self.heads.items())
        chain, head = next(found, ("", EMPTY))
        for line, stated_chain, stated_head in stated:
            if chain and chain < stated_chain:
                return _unstated(line, chain, head)
            if chain != stated_chain:
                return _cut(line, stated_chain, EMPTY, stated_head)
            if head != stated_head:
                return _cut(line, stated_chain, head, stated_head)
            chain, head = next(found, ("", EMPTY))
        return _unstated(None, chain, head) if chain else None

    def report(self, fault: Fault | None, coverage: Coverage | None = None) -> VerifyReport:
        """The result, once all is checked or at the first fault."""
        root = None if fault else root_of(self.tenant, self.heads)
        return VerifyReport(self.tenant, self.entries, len(self.heads), root, fault, coverage)


def _at(entry: Entry, line: int | None, kind: FaultKind, expected: str, found: str) -> Fault:
    return Fault(kind, expected, found, line, entry.chain, entry.seq, entry.id)


def _cut(line: int | None, chain: str, found: Head, stated: Head) -> Fault:
    fault = Fault(FaultKind.TRUNCATED, _ending(stated), _ending(found), line, chain, found.seq + 1)
    if found.seq < stated.seq:
        return fault
    return replace(fault, kind=FaultKind.TOTALS, seq=found.seq)


def _unstated(line: int | None, chain: str, found: Head) -> Fault:
    return Fault(
        FaultKind.TOTALS, "a statement of this chain's end", f"none for {_ending(found)}", line, chain, found.seq
    )


def _ending(head: Head) -> str:
    return f"{head.seq} entries that end in the hash {head.hash}" if head.seq else "no entries"
