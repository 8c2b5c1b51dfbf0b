"""One ledger entry: what it holds, its canonical bytes and its hash.

::

    body  = canonical JSON of {v, tenant, chain, seq, id, kind, at, prev, trace, parent, body}
    hash  = SHA-256(0x00 || body)                       (RFC 6962 leaf hash)
    prev  = hash of the entry before it in the chain; 64 zeros for the first

The leaf prefix keeps an entry from ever being mistaken for an inner node of a Merkle tree over entries.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

from watchfloor_core.canonical import JsonValue, canonical, parse_canonical
from watchfloor_core.identity import digest16

VERSION: Final = 1
GENESIS: Final = "0" * 64
"""``prev`` of a chain's first entry, and the head of a chain without entries."""
MAX_ENTRY_BYTES: Final = 16 * 1024 * 1024
"""Bounds what a verifier has to hold; larger facts are kept elsewhere and entered by their digest."""

Kind: TypeAlias = Literal[
    "ingest_batch",
    "correlate",
    "verdict",
    "ruling",
    "closure",
    "escalation",
    "queue",
    "human_verdict",
    "reopen",
    "shadow_seal",
    "shadow_reveal",
    "merge",
    "split",
    "dedup_undo",
    "proposal",
    "approval_request",
    "approval_vote",
    "approval_outcome",
    "grant",
    "execution",
    "receipt",
    "lease",
    "kill_switch",
    "freeze",
    "policy",
    "principal",
    "approver_key",
    "refusal",
    "investigation",
    "correction",
    "playbook",
]
"""What was decided. A verifier takes any name of the form `_KIND`, so that an older one reads a newer ledger."""

_FIELDS: Final[Mapping[str, type]] = {
    "v": int,
    "tenant": str,
    "chain": str,
    "seq": int,
    "id": str,
    "kind": str,
    "at": int,
    "prev": str,
    "trace": str,
    "parent": str,
    "body": dict,
}
_TYPE_NAMES: Final[Mapping[type, str]] = {int: "an integer", str: "text", dict: "an object"}
_KIND: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
_CHAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,47}")
_ID: Final = re.compile(r"[0-9a-f]{16}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision in its place in a chain."""

    tenant: str
    chain: str
    """An incident's id, ``ingest``, or ``control`` for switches, policies, principals and their keys."""
    seq: int
    """1 for the first entry of the chain, without gaps."""
    id: str
    """16 hex digits; the OpenTelemetry span id of the decision."""
    kind: str
    at: int
    """When the decision was made, microseconds since the Unix epoch."""
    prev: str
    parent: str | None
    """Id of the decision that led to this one."""
    body: JsonValue

    def canonical(self) -> bytes:
        """The bytes that are kept and hashed. Raises ValueError where a value has no canonical form."""
        data = canonical(
            {
                "v": VERSION,
                "tenant": self.tenant,
                "chain": self.chain,
                "seq": self.seq,
                "id": self.id,
                "kind": self.kind,
                "at": self.at,
                "prev": self.prev,
                "trace": trace_id(self.tenant, self.chain),
                "parent": self.parent,
                "body": self.body,
            }
        )
        if len(data) > MAX_ENTRY_BYTES:
            raise ValueError(
                f"a {self.kind} entry of chain {self.chain} has {len(data)} bytes, the limit is {MAX_ENTRY_BYTES}; "
                "enter the digest of what is large"
            )
        return data


def entry_hash(data: bytes) -> str:
    """64 hex digits over an entry's canonical bytes."""
    return hashlib.sha256(b"\x00" + data).hexdigest()


@lru_cache(maxsize=4096)
def trace_id(tenant: str, chain: str) -> str:
    """The OpenTelemetry trace id (32 hex digits) that all decisions of a chain share."""
    return digest16("trace", tenant, chain).hex()


def new_id() -> str:
    """A random span id: 16 hex digits, never all zero, which OpenTelemetry has for "none"."""
    while (drawn := secrets.token_hex(8)) == "0" * 16:
        pass
    return drawn


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None and text != "0" * 16


def is_chain(text: str) -> bool:
    return _CHAIN.fullmatch(text) is not None


def is_hash(text: str) -> bool:
    return _HASH.fullmatch(text) is not None


def parse_entry(data: bytes) -> Entry:
    """The entry in canonical bytes, every field of its type and form. Raises ValueError with what is wrong."""
    value = parse_canonical(data)
    if not isinstance(value, dict):
        raise ValueError(f"is a JSON {type(value).__name__}, expected an object")
    if value.keys() != _FIELDS.keys():
        missing, extra = sorted(_FIELDS.keys() - value.keys()), sorted(value.keys() - _FIELDS.keys())
        raise ValueError(f"lacks the fields {missing} and has the unknown fields {extra}")
    fields: dict[str, Any] = value  # the types of the values are checked next
    for name, kind in _FIELDS.items():
        if type(fields[name]) is not kind and not (name == "parent" and fields[name] is None):
            raise ValueError(f"{name} is {fields[name]!r:.100}, expected {_TYPE_NAMES[kind]}")
    if fields["v"] != VERSION:
        raise ValueError(
            f"v is {fields['v']}, expected {VERSION}: written by a newer Watchfloor, verify it with that one"
        )
    entry = Entry(
        tenant=fields["tenant"],
        chain=fields["chain"],
        seq=fields["seq"],
        id=fields["id"],
        kind=fields["kind"],
        at=fields["at"],
        prev=fields["prev"],
        parent=fields["parent"],
        body=fields["body"],
    )
    if not _is_well_formed(entry):
        raise ValueError("has a chain, seq, id, kind, prev or parent that is not of its form")
    if fields["trace"] != (expected := trace_id(entry.tenant, entry.chain)):
        raise ValueError(f"trace is {fields['trace']!r}, expected {expected!r}")
    return entry


def _is_well_formed(entry: Entry) -> bool:
    return (
        entry.seq > 0
        and is_chain(entry.chain)
        and is_id(entry.id)
        and is_hash(entry.prev)
        and _KIND.fullmatch(entry.kind) is not None
        and (entry.parent is None or is_id(entry.parent))
    )
