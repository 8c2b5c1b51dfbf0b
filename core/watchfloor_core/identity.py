"""Content-derived ids: the same input gets the same id in every process, batch and replay.

Ids are 128 bits of SHA-256, kept as 32 lower-case hex digits where people see them and as 16 bytes in the store's
large tables.
"""

from __future__ import annotations

import hashlib
from typing import Final

_SEPARATOR: Final = b"\x1f"


def digest16(*parts: str) -> bytes:
    """16 bytes that stand for a tuple of texts, whatever characters those hold.

    The parts' lengths are hashed with them, so that ("ab", "c") and ("a", "bc") differ.
    """
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    head = ",".join(str(len(part)) for part in encoded).encode()
    return hashlib.sha256(head + _SEPARATOR + b"".join(encoded)).digest()[:16]


def incident_id(tenant: str, *seed: str) -> str:
    """``inc-`` and 16 hex digits, derived from what the incident began with."""
    return "inc-" + digest16("incident", tenant, *seed).hex()[:16]
