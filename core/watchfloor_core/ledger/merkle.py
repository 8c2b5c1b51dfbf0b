"""Merkle trees of RFC 6962 (section 2.1): one hash that stands for many, and short proofs that one is among them.

A leaf's hash is SHA-256(0x00 ‖ leaf), an inner node's SHA-256(0x01 ‖ left ‖ right), that of no leaves SHA-256 of
nothing. The hash of a ledger entry is such a leaf hash already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

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
    """The tree hash of these leaves."""
    return tree_root([leaf_hash(leaf) for leaf in leaves])


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def tree_root(hashes: Sequence[bytes]) -> bytes:
    """The tree hash of leaves of which the hashes are given."""
    level = hashes
    if not level:
        return hashlib.sha256().digest()
    while len(level) > 1:
        level = _above(level)
    return level[0]


def audit_path(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The neighbours on the way from leaf ``index`` (from 0) up to the root, the lowest first (section 2.1.1).

    Raises IndexError where there is no such leaf.
    """
    if not 0 <= index < len(hashes):
        raise IndexError(f"there is no leaf {index} among {len(hashes)}")
    path: list[bytes] = []
    level = hashes
    while len(level) > 1:
        neighbour = index ^ 1
        # An odd last node goes up alone: it has no neighbour here.
        if neighbour < len(level):
            path.append(level[neighbour])
        level = _above(level)
        index //= 2
    return path


def root_by_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root of the tree of ``size`` leaves in which the leaf with the hash ``leaf`` stands at ``index``.

    Raises ValueError where the path is not of the length that such a place has.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    neighbours = iter(path)
    found, last = leaf, size - 1
    try:
        while last > 0:
            if index % 2:
                found = _node(next(neighbours), found)
            elif index < last:
                found = _node(found, next(neighbours))
            index, last = index // 2, last // 2
    except StopIteration:
        raise ValueError(f"the path has only {len(path)} hashes") from None
    if next(neighbours, None) is not None:
        raise ValueError(f"the path has {len(path)} hashes, more than it needs")
    return found


def _above(level: Sequence[bytes]) -> list[bytes]:
    # Pairing from the left and carrying an odd last node up is RFC 6962's split at the largest power of two.
    paired = [_node(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
    paired.extend(level[len(paired) * 2 :])
    return paired


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
