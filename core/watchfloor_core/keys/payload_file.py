"""The ring of payload keys in a file of the data directory: made at first start, changed by one process at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from watchfloor_core.keys.payload import PayloadKeyRing, format_ring, new_key, parse_ring
from watchfloor_core.keys.private_file import changing, create_private, read_private, replace_private


def ring_file(data_dir: Path) -> Path:
    """Where the ring is kept unless a setting names another place."""
    return data_dir / "keys" / "payload.json"


def ensure_ring(path: Path, *, accepts_plaintext: bool = False) -> None:
    """Make the ring where there is none yet. Of several processes that are first at once, one makes it for all.

    ``accepts_plaintext``: what a new ring says about payloads that are not encrypted. Raises `ConfigurationError`.
    """
    if not path.exists():
        create_private(path, format_ring(PayloadKeyRing(new_key(), accepts_plaintext=accepts_plaintext)))


def read_ring(path: Path) -> PayloadKeyRing:
    """Raises `ConfigurationError`."""
    return parse_ring(read_private(path), f"file:{path}")


def change_ring(path: Path, change: Callable[[PayloadKeyRing], PayloadKeyRing]) -> PayloadKeyRing:
    """Keep what ``change`` makes of the ring, and return it. Raises `ConfigurationError`.

    Under a lock: of two rotations at once neither may lose the other's key, which is in use the moment it is there.
    """
    with changing(path):
        changed = change(read_ring(path))
        replace_private(path, format_ring(changed))
    return changed
