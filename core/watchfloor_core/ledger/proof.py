"""Proof that one decision is in the ledger, which shows no other: for a court, a customer, an auditor of one incident.

The chain alone would prove it only together with every entry after it, up to a head that is signed. The tree of the
checkpoint that added the entry does it with one hash per doubling of the entries it added: 17 for 100,000.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, and_, func, select

from watchfloor_core.canonical import JsonValue, canonical, parse_canonical
from watchfloor_core.errors import ConflictError, LedgerError, NotFoundError, RefusedError
from watchfloor_core.ledger.checkpoint import Checkpoint, open_checkpoint
from watchfloor_core.ledger.checkpoint_store import in_code_points
from watchfloor_core.ledger.entry import Entry, entry_hash, is_hash, parse_entry
from watchfloor_core.ledger.merkle import audit_path, root_by_path
from watchfloor_core.store.schema import ledger_entry
from watchfloor_core.store.schema_authority import ledger_checkpoint, ledger_checkpoint_chain

VERSION: Final = 1
MAX_PROOF_BYTES: Final = 32 * 1024 * 1024
_FIELDS: Final = frozenset({"v", "entry", "index", "path", "checkpoint"})


@dataclass(frozen=True, slots=True)
class Proven:
    """What a proof shows."""

    entry: Entry
    checkpoint: Checkpoint
    """The one that added the entry: it was recorded by then."""
    key_id: str
    is_pinned: bool
    """Whether the verifier knew the key from elsewhere. If not, the proof vouches for itself."""


def prove_decision(connection: Connection, tenant: str, decision_id: str) -> bytes:
    """The proof file of one decision: one line of canonical JSON {v, entry, index, path, checkpoint}.

    Costs one pass over the hashes of the entries that its checkpoint added. Raises `NotFoundError` for an unknown
    decision, `ConflictError` where no checkpoint has it yet, and `LedgerError` where the store was changed since.
    """
    row = connection.execute(
        select(ledger_entry.c.chain, ledger_entry.c.seq, ledger_entry.c.body).where(
            ledger_entry.c.tenant == tenant, ledger_entry.c.id == decision_id
        )
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"tenant {tenant!r} has no decision {decision_id!r}; give the id of a ledger entry")
    signed = _adding_checkpoint(connection, tenant, row.chain, row.seq)
    if signed is None:
        raise ConflictError(
            f"decision {decision_id} is in no checkpoint yet; wait for the next one, or make it by "
            "`watchfloor ledger checkpoint`"
        )
    number, envelope, public_key = signed
    places, hashes = _added_entries(connection, tenant, number)
    try:
        index = places.index((row.chain, row.seq))
    except ValueError:
        raise LedgerError(f"checkpoint {number} no longer has entry {row.seq} of chain {row.chain!r}") from None
    content: dict[str, JsonValue] = {
        "v": VERSION,
        "entry": orjson.loads(row.body),
        "index": index,
        "path": [step.hex() for step in audit_path(hashes, index)],
        "checkpoint": {"envelope": orjson.loads(envelope), "key": public_key},
    }
    proof = canonical(content) + b"\n"
    try:
        verify_proof(proof)
    except RefusedError as error:
        raise LedgerError(f"decision {decision_id} cannot be proved: the store was changed: {error}") from error
    return proof


def verify_proof(data: bytes, trusted: Mapping[str, Ed25519PublicKey] | None = None) -> Proven:
    """Check a proof file with nothing besides it but the keys to trust (by id; None: any, which proves little).

    Raises `RefusedError` with what does not hold.
    """
    content = _parsed(data)
    checkpoint, key_id = open_checkpoint(content.envelope, content.public_key, trusted)
    try:
        entry = parse_entry(content.entry)
    except ValueError as error:
        raise RefusedError(f"the proof's entry {error}") from error
    if entry.tenant != checkpoint.tenant:
        raise RefusedError("the proof's entry is of another tenant than its checkpoint")
    leaf = bytes.fromhex(entry_hash(content.entry))
    try:
        root = root_by_path(leaf, content.index, checkpoint.added, content.path)
    except ValueError as error:
        raise RefusedError(f"the proof's path does not fit: {error}") from error
    if root.hex() != checkpoint.tree:
        raise RefusedError(
            f"the proof's path leads to {root.hex()}, checkpoint {checkpoint.number} has {checkpoint.tree}"
        )
    return Proven(entry, checkpoint, key_id, trusted is not None)


@dataclass(frozen=True, slots=True)
class _Content:
    entry: bytes
    index: int
    path: list[bytes]
    envelope: str
    public_key: str


def _parsed(data: bytes) -> _Content:
    if len(data) > MAX_PROOF_BYTES:
        raise RefusedError(f"the proof has {len(data)} bytes, at most {MAX_PROOF_BYTES} are read")
    if not data.endswith(b"\n"):
        raise RefusedError("the proof does not end with its line feed: it was cut or changed")
    try:
        value = parse_canonical(data[:-1])
    except ValueError as error:
        raise RefusedError(f"the proof {error}") from error
    fields = value if isinstance(value, dict) else {}
    match fields:
        case {
            "v": 1,
            "entry": dict(entry),
            "index": int(index),
            "path": [*path],
            "checkpoint": {"envelope": dict(envelope), "key": str(key), **rest},
        } if fields.keys() == _FIELDS and not rest:
            pass
        case _:
            raise RefusedError("the file is no proof of a decision, or one of a newer Watchfloor")
    steps: list[Any] = path  # checked next
    if type(index) is not int or not all(isinstance(step, str) and is_hash(step) for step in steps):
        raise RefusedError("the proof's path is no list of hashes, or its index no integer")
    return _Content(canonical(entry), index, [bytes.fromhex(step) for step in steps], canonical(envelope).decode(), key)


def _adding_checkpoint(connection: Connection, tenant: str, chain: str, seq: int) -> tuple[int, str, str] | None:
    reach, checkpoint = ledger_checkpoint_chain.c, ledger_checkpoint.c
    row = connection.execute(
        select(checkpoint.number, checkpoint.envelope, checkpoint.public_key)
        .join(ledger_checkpoint_chain, and_(reach.tenant == checkpoint.tenant, reach.number == checkpoint.number))
        .where(reach.tenant == tenant, reach.chain == chain, reach.seq >= seq)
        .order_by(reach.seq)
        .limit(1)
    ).one_or_none()
    return None if row is None else (row.number, row.envelope, row.public_key)


def _added_entries(connection: Connection, tenant: str, number: int) -> tuple[list[tuple[str, int]], list[bytes]]:
    """Place and hash of each entry that the checkpoint added, in the order of its tree."""
    reach, entry = ledger_checkpoint_chain.c, ledger_entry.c
    earlier = ledger_checkpoint_chain.alias()
    before = (
        select(func.coalesce(func.max(earlier.c.seq), 0))
        .where(earlier.c.tenant == reach.tenant, earlier.c.chain == reach.chain, earlier.c.seq < reach.seq)
        .correlate(ledger_checkpoint_chain)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(entry.chain, entry.seq, entry.hash)
        .join(ledger_checkpoint_chain, and_(reach.tenant == entry.tenant, reach.chain == entry.chain))
        .where(reach.tenant == tenant, reach.number == number, entry.seq > before, entry.seq <= reach.seq)
        .order_by(in_code_points(connection, entry.chain), entry.seq)
    ).all()
    return [(row.chain, row.seq) for row in rows], [bytes.fromhex(row.hash) for row in rows]
