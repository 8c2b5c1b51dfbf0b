"""Holding the signed checkpoints against the entries they speak of: the same for a file and for the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from watchfloor_core.clock import to_iso
from watchfloor_core.errors import RefusedError
from watchfloor_core.ledger.chain import LedgerCheck
from watchfloor_core.ledger.checkpoint import Checkpoint, open_checkpoint
from watchfloor_core.ledger.checkpoint_store import Reach
from watchfloor_core.ledger.fault import Coverage, Fault, FaultKind
from watchfloor_core.ledger.heads import Head
from watchfloor_core.ledger.merkle import root_of, tree_root
from watchfloor_core.ledger.witness import Witness
from watchfloor_core.untrusted import escape_untrusted, quote_untrusted


@dataclass(frozen=True, slots=True)
class Trust:
    """What a verifier knows from elsewhere; the ledger itself cannot give it."""

    keys: Mapping[str, Ed25519PublicKey] | None = None
    """By id, those that may sign checkpoints. None: any key, which proves nothing against whoever has the store."""
    witness: Witness | None = None
    """Copies of checkpoints that were taken when they were made."""

    @property
    def is_empty(self) -> bool:
        return self.keys is None and self.witness is None


NOTHING_KNOWN: Final = Trust()


class CheckpointCheck:
    """Takes a tenant's checkpoints in their order, after all its entries went through ``ledger``."""

    def __init__(self, ledger: LedgerCheck, trust: Trust) -> None:
        self._ledger: Final = ledger
        self._trust: Final = trust
        self._last: Checkpoint | None = None
        self._reach: dict[str, int] = {}
        self._key_ids: dict[str, None] = {}
        self._witnessed = 0

    def add(self, envelope: str, public_key: str, reaches: Sequence[Reach], line: int | None = None) -> Fault | None:
        """Check the next checkpoint, with the chains it found longer, in the order of their names."""
        number = 1 if self._last is None else self._last.number + 1
        try:
            checkpoint, key_id = open_checkpoint(envelope, public_key, self._trust.keys)
        except RefusedError as error:
            found = escape_untrusted(str(error))
            return Fault(FaultKind.SIGNATURE, f"checkpoint {number} with a signature that holds", found, line)
        if checkpoint.tenant != self._ledger.tenant or not checkpoint.follows(self._last):
            found = f"checkpoint {checkpoint.number} of tenant {quote_untrusted(checkpoint.tenant)}"
            return Fault(FaultKind.CHECKPOINT, f"checkpoint {number}, which follows the one before it", found, line)
        fault = self._hold_against_entries(checkpoint, reaches, line) or self._hold_against_witness(
            checkpoint, envelope, line
        )
        if fault is None:
            self._last = checkpoint
            self._key_ids[key_id] = None
        return fault

    def finish(self) -> Fault | None:
        """What can be said only after the last checkpoint."""
        last = self._last
        if last is None and self._trust.keys is not None:
            return Fault(FaultKind.SIGNATURE, "at least one checkpoint of a trusted key", "none")
        if last is not None:
            # Only of the last: the roots before it would cost all chains for each checkpoint, and the entries below
            # them are held already by their trees.
            root = root_of(last.tenant, {chain: self._head(chain, seq) for chain, seq in self._reach.items()})
            if root != last.root:
                return Fault(FaultKind.CHECKPOINT, f"the root {last.root} of checkpoint {last.number}", root)
        return self._ask_witness(0 if last is None else last.number)

    def coverage(self) -> Coverage:
        """What the checkpoints found good vouch for."""
        last = self._last
        return Coverage(
            checkpoints=0 if last is None else last.number,
            entries=0 if last is None else last.entries,
            at_us=None if last is None else last.at_us,
            digest=None if last is None else last.digest,
            key_ids=tuple(self._key_ids),
            is_pinned=self._trust.keys is not None,
            witnessed=self._witnessed if self._trust.witness is not None else None,
        )

    def _hold_against_entries(self, checkpoint: Checkpoint, reaches: Sequence[Reach], line: int | None) -> Fault | None:
        hashes: list[bytes] = []
        previous = ""
        for chain, seq in reaches:
            first = self._reach.get(chain, 0)
            head = self._ledger.heads.get(chain)
            if chain <= previous or seq <= first or head is None or seq > head.seq:
                expected = f"a chain that checkpoint {checkpoint.number} found longer, and its end then"
                found = f"chain {quote_untrusted(chain)}, entry {seq}"
                return Fault(FaultKind.CHECKPOINT, expected, found, line)
            hashes.extend(self._ledger.hashes(chain, first, seq))
            self._reach[chain] = seq
            previous = chain
        if (len(hashes), len(self._reach)) != (checkpoint.added, checkpoint.chains):
            expected = f"{checkpoint.added} entries since the checkpoint before, in {checkpoint.chains} chains so far"
            found = f"{len(hashes)} entries, {len(self._reach)} chains"
        elif tree_root(hashes).hex() != checkpoint.tree:
            when = to_iso(checkpoint.at_us)
            expected = f"the {checkpoint.added} entries that checkpoint {checkpoint.number} of {when} was signed over"
            found = f"entries that were changed since, in {len(reaches)} chains from {reaches[0][0]} on"
        else:
            return None
        return Fault(FaultKind.CHECKPOINT, expected, found, line)

    def _hold_against_witness(self, checkpoint: Checkpoint, envelope: str, line: int | None) -> Fault | None:
        if self._trust.witness is None:
            return None
        copy = self._trust.witness.read(checkpoint.tenant, checkpoint.number)
        if copy is None:
            return None
        if copy != envelope:
            expected = f"checkpoint {checkpoint.number} as the witness has it"
            return Fault(FaultKind.WITNESS, expected, "another one", line)
        self._witnessed += 1
        return None

    def _ask_witness(self, last: int) -> Fault | None:
        if self._trust.witness is None:
            return None
        newest = max(self._trust.witness.numbers(self._ledger.tenant), default=0)
        if newest > last:
            expected = f"checkpoint {newest}, which the witness has"
            return Fault(FaultKind.WITNESS, expected, f"none after {last}: an older ledger, or one that was cut")
        if self._witnessed == 0:
            return Fault(FaultKind.WITNESS, "a copy of at least one of the checkpoints with the witness", "none")
        return None

    def _head(self, chain: str, seq: int) -> Head:
        (last,) = self._ledger.hashes(chain, seq - 1, seq)
        return Head(seq, last.hex())
