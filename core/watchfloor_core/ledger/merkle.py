"""The Merkle tree hash of RFC 6962 (section 2.1) over the heads of all chains: one value that stands for a ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from watchfloor_core.canonical import canonical
from watchfloor_core.ledger.heads import Head


def root_of(tenant: str, heads: Mapping[str, Head]) -> str:
    """64 hex digits over the heads, in the order of their chains' names.

    A leaf is the canonical JSON of {tenant, chain, seq, hash}. Written down elsewhere (a ticket, a signed checkpoint),
    the root proves later that no entry up to then was changed, not even by someone who recomputed every hash.
    """
    ordered = sorted(heads.items())
    return merkle_root(
        canonical({"tenant": tenant, "chain": chain, "seq": head.seq, "hash": head.hash}) for chain, head in ordered
    ).hex()


def merkle_root(leaves: Iterable[bytes]) -> bytes:
    """SHA-256 tree hash: leaves behind 0x00, inner nodes behind 0x01, the hash of nothing for no leaves."""
    level = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]
    if not level:
        return hashlib.sha256().digest()
    while len(level) > 1:
        # Pairing from the left and carrying an odd last node up is RFC 6962's split at the largest power of two.
        paired = [hashlib.sha256(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = paired + level[len(paired) * 2 :]
    return level[0]
