"""Signed statements: DSSE envelopes (https://github.com/secure-systems-lab/dsse, protocol v1) with Ed25519.

::

    {"payload": base64(bytes), "payloadType": "…", "signatures": [{"keyid": "…", "sig": base64(signature)}]}
    signed bytes = "DSSEv1" SP len(type) SP type SP len(payload) SP payload

What is signed are the payload's very bytes, with their type: nothing is parsed before its signature holds, and a
signature over one kind of statement is none over another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from watchfloor_core.errors import RefusedError

MAX_ENVELOPE: Final = 4 * 1024 * 1024
"""Characters."""


@dataclass(frozen=True, slots=True)
class Signer:
    """An Ed25519 private key with the id under which others know it."""

    key: Ed25519PrivateKey = field(repr=False)

    @property
    def key_id(self) -> str:
        return key_id_of(self.key.public_key())

    @property
    def public_key(self) -> Ed25519PublicKey:
        return self.key.public_key()


def key_id_of(key: Ed25519PublicKey) -> str:
    """SHA-256 of the raw public key, its first 32 hex digits."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:32]


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """PAE of the DSSE protocol: what a signature is made over."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, *signers: Signer) -> str:
    """The envelope, as JSON text, with one signature per signer."""
    if not signers:
        raise ValueError("an envelope without a signature says nothing; give a signer")
    message = pre_authentication_encoding(payload_type, payload)
    return json.dumps(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": payload_type,
            "signatures": [
                {"keyid": signer.key_id, "sig": base64.b64encode(signer.key.sign(message)).decode()}
                for signer in signers
            ],
        },
        separators=(",", ":"),
        sort_keys=True,
    )


def verify(envelope: str, payload_type: str, trusted: Mapping[str, Ed25519PublicKey]) -> tuple[bytes, str]:
    """The payload of an envelope that a trusted key has signed, and that key's id.

    Raises `RefusedError` where the envelope is malformed, is of another type, or bears no valid signature of a key in
    ``trusted`` (by key id).
    """
    try:
        content = _parsed(envelope)
        payload = base64.b64decode(content["payload"], validate=True)
        signatures = [(one["keyid"], base64.b64decode(one["sig"], validate=True)) for one in content["signatures"]]
        found_type = content["payloadType"]
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise RefusedError(f"not a DSSE envelope: {error}") from error
    if found_type != payload_type:
        raise RefusedError(f"the envelope holds {found_type!r:.80}, expected {payload_type!r}")
    message = pre_authentication_encoding(payload_type, payload)
    for key_id, signature in signatures:
        key = trusted.get(key_id) if isinstance(key_id, str) else None
        if key is not None and _is_signed(key, signature, message):
            return payload, key_id
    raise RefusedError(f"no trusted key has signed this {payload_type}; trusted are {sorted(trusted) or 'none'}")


def _parsed(envelope: str) -> Mapping[str, Any]:  # Any: fields are looked at one by one above
    if len(envelope) > MAX_ENVELOPE:
        raise ValueError(f"{len(envelope)} characters, at most {MAX_ENVELOPE} are read")
    content = json.loads(envelope)
    if not isinstance(content, dict):
        raise ValueError(f"a JSON {type(content).__name__}, expected an object")
    return content


def _is_signed(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
