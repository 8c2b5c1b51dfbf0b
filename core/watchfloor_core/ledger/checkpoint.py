"""A checkpoint: a signed statement of what a tenant's ledger was at a moment.

::

    payload  = canonical JSON of {v, tenant, number, at, entries, chains, root, added, tree, prev}
    envelope = DSSE over the payload, with Ed25519

Checkpoints are a chain of their own (`prev` is the SHA-256 of the payload before). Each commits to two things: to the
heads of all chains (`root`), and to exactly those entries that came since the checkpoint before (`tree`). Because the
hash of an entry is the RFC 6962 leaf hash of its bytes, `tree` needs nothing but the entries to be recomputed, and one
of them is proved to be in it by an audit path that shows no other.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from watchfloor_core import dsse
from watchfloor_core.canonical import canonical, parse_canonical
from watchfloor_core.dsse import Signer, key_id_of
from watchfloor_core.errors import RefusedError
from watchfloor_core.ledger.entry import GENESIS, is_hash

PAYLOAD_TYPE: Final = "application/vnd.watchfloor.checkpoint+json"
VERSION: Final = 1
_NUMBERS: Final = ("number", "at", "entries", "chains", "added")
_HASHES: Final = ("root", "tree", "prev")
_FIELDS: Final = frozenset({"v", "tenant", *_NUMBERS, *_HASHES})


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is stated."""

    tenant: str
    number: int
    """1 for the tenant's first, without gaps."""
    at_us: int
    """When it was made; the entries are those that were there then. Never before the checkpoint before."""
    entries: int
    """Of all chains."""
    chains: int
    root: str
    """`watchfloor_core.ledger.merkle.root_of` the heads of all chains."""
    added: int
    """Entries that the checkpoint before did not have; at least 1."""
    tree: str
    """RFC 6962 root over these entries, by (chain, seq)."""
    prev: str
    """`digest` of the checkpoint before; 64 zeros for the first."""

    def payload(self) -> bytes:
        return canonical(
            {
                "v": VERSION,
                "tenant": self.tenant,
                "number": self.number,
                "at": self.at_us,
                "entries": self.entries,
                "chains": self.chains,
                "root": self.root,
                "added": self.added,
                "tree": self.tree,
                "prev": self.prev,
            }
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the payload: 64 hex digits."""
        return hashlib.sha256(self.payload()).hexdigest()

    def follows(self, last: Checkpoint | None) -> bool:
        """Whether it may stand behind ``last``; what it says of the entries is another question."""
        if last is None:
            return (self.number, self.prev, self.entries) == (1, GENESIS, self.added)
        return (
            (self.tenant, self.number, self.prev) == (last.tenant, last.number + 1, last.digest)
            and self.entries == last.entries + self.added
            and self.at_us >= last.at_us
            and self.chains >= last.chains
        )


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint's envelope with the public key that is said to have signed it, as stores and files have it."""

    number: int
    envelope: str
    public_key: str
    """Raw, 64 hex digits. Which keys to trust must come from elsewhere."""


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> SignedCheckpoint:
    envelope = dsse.sign(PAYLOAD_TYPE, checkpoint.payload(), signer)
    return SignedCheckpoint(checkpoint.number, envelope, signer.public_key.public_bytes_raw().hex())


def open_checkpoint(
    envelope: str, public_key: str, trusted: Mapping[str, Ed25519PublicKey] | None = None
) -> tuple[Checkpoint, str]:
    """The statement in an envelope that ``public_key`` has signed, and that key's id.

    ``trusted`` holds by id the keys that may sign; None: any, so the caller must say that nothing vouches for the key.
    Raises `RefusedError` where the signature does not hold, its key is not trusted, or the envelope is not byte for
    byte as Watchfloor writes it.
    """
    if not is_hash(public_key):
        raise RefusedError(f"the public key is {public_key!r:.80}, expected 64 hex digits")
    stated = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
    key_id = key_id_of(stated)
    if trusted is not None and key_id not in trusted:
        raise RefusedError(f"it is signed by key {key_id}, trusted are {', '.join(sorted(trusted)) or 'none'}")
    payload, _ = dsse.verify(envelope, PAYLOAD_TYPE, {key_id: stated})
    try:
        if envelope.encode() != _as_written(payload, envelope):
            raise RefusedError("its envelope is not as Watchfloor writes it")
        return _parsed(payload), key_id
    except ValueError as error:
        raise RefusedError(f"its content {error}") from error


def _as_written(payload: bytes, envelope: str) -> bytes:
    """The one spelling of the envelope: base64 and JSON have many for the same content."""
    (signature, *_) = orjson.loads(envelope)["signatures"]
    sealed = base64.b64encode(base64.b64decode(signature["sig"])).decode()
    return canonical(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": signature["keyid"], "sig": sealed}],
        }
    )


def _parsed(payload: bytes) -> Checkpoint:
    value = parse_canonical(payload)
    if not isinstance(value, dict) or value.keys() != _FIELDS:
        raise ValueError("has not the fields of a checkpoint")
    fields: dict[str, Any] = value  # the types of the values are checked next
    if fields["v"] != VERSION:
        raise ValueError(f"is of version {fields['v']!r:.20}, expected {VERSION}: verify it with a newer Watchfloor")
    numbers = all(type(fields[name]) is int and fields[name] >= 0 for name in _NUMBERS)
    hashes = all(isinstance(fields[name], str) and is_hash(fields[name]) for name in _HASHES)
    if not (numbers and hashes and isinstance(fields["tenant"], str)):
        raise ValueError("has a field that is not of its type or form")
    return Checkpoint(
        tenant=fields["tenant"],
        number=fields["number"],
        at_us=fields["at"],
        entries=fields["entries"],
        chains=fields["chains"],
        root=fields["root"],
        added=fields["added"],
        tree=fields["tree"],
        prev=fields["prev"],
    )
