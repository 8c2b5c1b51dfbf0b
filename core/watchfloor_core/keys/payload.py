"""The ring of keys that encrypt payloads: one is current, older ones decrypt what they encrypted.

As kept, in a file or a secret store, a ring is JSON::

    {"current": "9f3a0c51d2e84b77",
     "keys": [{"id": "9f3a0c51d2e84b77", "key": "<base64 of 32 bytes>", "made_us": 1767225600000000}],
     "accepts_plaintext": false}
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from dataclasses import dataclass, field, replace
from typing import Final

from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConfigurationError

KEY_BYTES: Final = 32
"""AES-256."""
_ID: Final = re.compile(r"[0-9a-f]{8,64}")
_FIELDS: Final = frozenset({"current", "keys", "accepts_plaintext"})
_KEY_FIELDS: Final = frozenset({"id", "key", "made_us"})


@dataclass(frozen=True, slots=True)
class PayloadKey:
    """One AES-256-GCM key. With random nonces it is good for 2^32 payloads (NIST SP 800-38D, 8.3): rotate before."""

    id: str
    """8 to 64 hex digits; stands beside each payload in the clear."""
    secret: bytes = field(repr=False)
    made_us: int

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(f"id is {self.id!r:.80}, expected 8 to 64 lower-case hex digits")
        if len(self.secret) != KEY_BYTES:
            raise ValueError(f"key {self.id} has {len(self.secret)} bytes, expected {KEY_BYTES}")


@dataclass(frozen=True, slots=True)
class PayloadKeyRing:
    current: PayloadKey
    """Encrypts."""
    older: tuple[PayloadKey, ...] = ()
    """Only decrypt; the latest first."""
    accepts_plaintext: bool = False
    """Whether payloads that are not encrypted are read: where workflows that version 0.1 began are still under way."""

    def __post_init__(self) -> None:
        ids = [key.id for key in self.keys]
        if twice := sorted({each for each in ids if ids.count(each) > 1}):
            raise ValueError(f"the ids {twice} stand there more than once")

    @property
    def keys(self) -> tuple[PayloadKey, ...]:
        """All, the current one first."""
        return (self.current, *self.older)

    def find(self, key_id: str) -> PayloadKey | None:
        return next((key for key in self.keys if key.id == key_id), None)

    def rotated(self) -> PayloadKeyRing:
        """With a new current key; the old one goes on decrypting."""
        return replace(self, current=new_key(), older=self.keys)


def new_key() -> PayloadKey:
    return PayloadKey(secrets.token_hex(8), secrets.token_bytes(KEY_BYTES), now_us())


def format_ring(ring: PayloadKeyRing) -> bytes:
    """The ring as it is kept: secret."""
    keys = [
        {"id": key.id, "key": base64.b64encode(key.secret).decode(), "made_us": key.made_us}
        for key in (ring.current, *ring.older)
    ]
    document = {"current": ring.current.id, "keys": keys, "accepts_plaintext": ring.accepts_plaintext}
    return json.dumps(document, indent=1).encode() + b"\n"


def parse_ring(data: bytes, reference: str) -> PayloadKeyRing:
    """The ring in ``data``, which came from ``reference``.

    Raises `ConfigurationError` with what is wrong, and with nothing of what the keys are.
    """
    try:
        return _parsed(data)
    except ValueError as error:
        raise ConfigurationError(
            f"{reference} holds no ring of payload keys: {error}; restore it, for what its keys encrypted "
            "cannot be read without them"
        ) from error


def _parsed(data: bytes) -> PayloadKeyRing:
    try:
        document = json.loads(data)
    except ValueError:
        # What json says quotes nothing, but a chained error keeps the document, which holds keys.
        raise ValueError("it is no JSON") from None
    if not isinstance(document, dict) or not {"current", "keys"} <= document.keys() <= _FIELDS:
        raise ValueError(f"expected an object with current, keys and perhaps others of {sorted(_FIELDS)}")
    accepts = document.get("accepts_plaintext", False)
    if not isinstance(accepts, bool) or not isinstance(document["keys"], list):
        raise ValueError("accepts_plaintext is true or false, and keys is a list")
    keys = [_parsed_key(entry, index) for index, entry in enumerate(document["keys"])]
    current = [key for key in keys if key.id == document["current"]]
    if not current:
        raise ValueError(f"no key has the id of current, {document['current']!r:.80}; found {[key.id for key in keys]}")
    older = sorted((key for key in keys if key is not current[0]), key=lambda key: -key.made_us)
    return PayloadKeyRing(current[0], tuple(older), accepts)


def _parsed_key(entry: object, index: int) -> PayloadKey:
    if not isinstance(entry, dict) or entry.keys() != _KEY_FIELDS:
        raise ValueError(f"keys[{index}] is no object with exactly {sorted(_KEY_FIELDS)}")
    key_id, text, made_us = entry["id"], entry["key"], entry["made_us"]
    if not isinstance(key_id, str) or not isinstance(text, str) or type(made_us) is not int:
        raise ValueError(f"keys[{index}] has an id or key that is no text, or a made_us that is no integer")
    try:
        secret = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError(f"the key of keys[{index}] is no base64") from None
    return PayloadKey(key_id, secret, made_us)
