"""What a verification found: nothing wrong, or the first thing that is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from watchfloor_core.errors import LedgerError
from watchfloor_core.untrusted import quote_untrusted


class FaultKind(StrEnum):
    """How a ledger can be wrong."""

    MALFORMED = "malformed"
    """A line or entry that no Watchfloor writes."""
    ALTERED = "altered"
    """The content does not give the hash: the entry was edited."""
    MISSING = "missing"
    """One or more entries before this one are not there, or this one was moved ahead."""
    REPEATED = "repeated"
    """An entry with this number was there already: inserted or moved back."""
    UNLINKED = "unlinked"
    """It does not follow from the entry before it: that one was replaced, or this one."""
    REORDERED = "reordered"
    """A chain stands where it does not belong."""
    DUPLICATE_ID = "duplicate_id"
    WRONG_TENANT = "wrong_tenant"
    WRONG_CHAIN = "wrong_chain"
    """An entry of another chain in an export of one chain."""
    TRUNCATED = "truncated"
    """The end of a chain, a whole chain or the end of the file is not there."""
    TOTALS = "totals"
    """What the file says about itself at its end does not fit its entries."""
    COLUMN = "column"
    """In the store: a column beside the entry says something else than the entry."""
    SIGNATURE = "signature"
    """A checkpoint that no trusted key signed, or none at all where one is asked for."""
    CHECKPOINT = "checkpoint"
    """Entries or checkpoints are not those that were signed."""
    WITNESS = "witness"
    """The witness has kept another checkpoint, or a newer one."""
    WRONG_ROOT = "wrong_root"
    """The ledger is whole in itself but not the one that was expected."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing that is wrong."""

    kind: FaultKind
    expected: str
    found: str
    line: int | None = None
    """1-based line of the file; None in a store."""
    chain: str | None = None
    seq: int | None = None
    id: str | None = None

    def __str__(self) -> str:
        """One line for a person. What the file says is quoted: a forged file may hold any text."""
        place = [f"line {self.line}"] if self.line is not None else []
        if self.chain is not None:
            place.append(f"chain {quote_untrusted(self.chain)}")
        if self.seq is not None:
            place.append(f"entry {self.seq}")
        if self.id is not None:
            place.append(f"id {quote_untrusted(self.id)}")
        where = ", ".join(place) or "the ledger"
        return f"{where}: {self.kind}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True, slots=True)
class Coverage:
    """For which entries signed checkpoints vouch."""

    checkpoints: int
    """Equals the number of the last one."""
    entries: int
    """At the last one; what came after it is in no checkpoint yet."""
    at_us: int | None
    """When the last one was made."""
    digest: str | None
    """SHA-256 of the last one's payload."""
    key_ids: tuple[str, ...]
    """Of the keys that signed, in the order they first did."""
    is_pinned: bool
    """Whether the verifier knew the keys from elsewhere. If not, the ledger vouches for itself."""
    witnessed: int | None
    """Checkpoints that a witness has the same; None where none was asked."""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The result of a verification."""

    tenant: str | None
    """None where the file does not even say whose ledger it is."""
    entries: int
    """Entries found good, up to the fault where there is one."""
    chains: int
    root: str | None
    """Merkle root over the heads (`watchfloor_core.ledger.merkle`); None where there is a fault."""
    fault: Fault | None
    coverage: Coverage | None = None
    """None where the checkpoints were not reached, or an export is of one chain or of format 1 and so has none."""

    @property
    def ok(self) -> bool:
        return self.fault is None

    def raise_for_fault(self) -> None:
        """Raise `LedgerError` where there is a fault."""
        if self.fault is not None:
            raise LedgerError(str(self.fault))
