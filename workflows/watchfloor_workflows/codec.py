"""Encryption of everything that Temporal keeps: inputs, results, signals, updates, memos, heartbeats, failures.

An encrypted payload holds, in Temporal's own convention for it::

    metadata   encoding: binary/encrypted, encryption-key-id: <id>
    data       nonce (96 bits, fresh) || AES-256-GCM of the payload, protobuf-encoded, with its own metadata

The associated data binds the ciphertext to this format and its key, so that none is taken for something else. Nothing
is compressed: the length of compressed text tells about secrets beside attacker's text.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Iterable, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec

from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.keys.payload import PayloadKey, PayloadKeyRing
from watchfloor_core.keys.payload_in_use import PayloadKeys

ENCODING: Final = b"binary/encrypted"
KEY_ID: Final = "encryption-key-id"
NONCE_BYTES: Final = 12
_BOUND: Final = b"watchfloor payload v1\0" + ENCODING + b"\0"


def encrypting(keys: PayloadKeys) -> DataConverter:
    """The converter of everyone who talks to Temporal.

    Messages and stack traces of failures are moved to where the codec reaches; the names of error types stay.
    """
    return dataclasses.replace(
        DataConverter.default,
        payload_codec=EncryptionCodec(keys),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


class EncryptionCodec(PayloadCodec):
    """Encrypts with the ring's current key, decrypts with the one that the payload names.

    Both ways raise `ConfigurationError` where an operator must mend something and `UnavailableError` where the keys
    may come later; a workflow task that meets either is tried again, so nothing is lost by it.
    """

    def __init__(self, keys: PayloadKeys) -> None:
        self._keys = keys

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        key = (await self._ring()).current
        return [encrypt(payload, key) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        ring = await self._ring(needed=_key_ids(payloads))
        return [self._decoded(payload, ring) for payload in payloads]

    async def _ring(self, needed: Iterable[str] = ()) -> PayloadKeyRing:
        ring = self._keys.fresh()
        if ring is None or (not all(map(ring.find, needed)) and self._keys.may_have_more()):
            return await asyncio.to_thread(self._keys.refresh)
        return ring

    def _decoded(self, payload: Payload, ring: PayloadKeyRing) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            # Version 0.1 wrote histories in the clear. Where none of its workflows can be under way, plaintext is what
            # somebody else has put there.
            if ring.accepts_plaintext:
                return payload
            raise ConfigurationError(
                "Temporal holds a payload that is not encrypted; if workflows of version 0.1 are still under way, run "
                "`watchfloor keys accept-plaintext`, else find out who writes to this namespace"
            )
        key_id = _key_id(payload)
        key = ring.find(key_id)
        if key is None:
            held = ", ".join(each.id for each in ring.keys)
            raise UnavailableError(
                f"a payload is encrypted with key {key_id!r:.80}, and {self._keys.reference} holds {held}; "
                "give all processes the same ring, and restore the key if it was lost"
            )
        return decrypt(payload, key)


def encrypt(payload: Payload, key: PayloadKey) -> Payload:
    nonce = os.urandom(NONCE_BYTES)
    sealed = AESGCM(key.secret).encrypt(nonce, payload.SerializeToString(), _BOUND + key.id.encode())
    return Payload(metadata={"encoding": ENCODING, KEY_ID: key.id.encode()}, data=nonce + sealed)


def decrypt(payload: Payload, key: PayloadKey) -> Payload:
    """Raises `ConfigurationError` where the payload was changed or made with another key of the same id."""
    nonce, sealed = payload.data[:NONCE_BYTES], payload.data[NONCE_BYTES:]
    try:
        return Payload.FromString(AESGCM(key.secret).decrypt(nonce, sealed, _BOUND + key.id.encode()))
    except (InvalidTag, ValueError, DecodeError) as error:
        raise ConfigurationError(
            f"a payload does not decrypt with key {key.id}: it was changed in Temporal's database, or the ring holds "
            "another key under this id; restore the right one"
        ) from error


def _key_ids(payloads: Iterable[Payload]) -> set[str]:
    return {_key_id(payload) for payload in payloads if payload.metadata.get("encoding") == ENCODING}


def _key_id(payload: Payload) -> str:
    return payload.metadata.get(KEY_ID, b"").decode("ascii", "replace")
