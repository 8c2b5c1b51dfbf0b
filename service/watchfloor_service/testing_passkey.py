"""A passkey in software for tests: its registrations and answers, as a browser and an authenticator make them.

WebAuthn level 3: ``authenticatorData`` (section 6.1), ``attestationObject`` with attestation ``none``, COSE ES256 keys.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import cbor2
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

PRESENT = 0x01
VERIFIED = 0x04
_ATTESTED = 0x40


@dataclass(frozen=True, slots=True)
class SoftPasskey:
    """One credential. What a broken or hostile client does otherwise is a field with another value."""

    rp_id: str = "localhost"
    origin: str = "http://localhost:8470"
    flags: int = PRESENT | VERIFIED
    cross_origin: bool = False
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    key: EllipticCurvePrivateKey = field(default_factory=lambda: generate_private_key(SECP256R1()), repr=False)

    def but(self, **changes: object) -> SoftPasskey:
        """The same credential in other hands."""
        # The fields' types hold where the caller is typed; a test that gives others means to.
        return replace(self, **changes)  # type: ignore[arg-type]

    @property
    def cose_key(self) -> bytes:
        numbers = self.key.public_key().public_numbers()
        return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})

    def register(self, challenge: bytes) -> dict[str, str]:
        """What ``navigator.credentials.create()`` gives, as the API takes it."""
        attested = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + self.cose_key
        data = self._authenticator_data(self.flags | _ATTESTED) + attested
        return {
            "credential_id": _text(self.credential_id),
            "client_data": _text(self._client_data("webauthn.create", challenge)),
            "attestation": _text(cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})),
        }

    def sign(self, challenge: bytes) -> dict[str, str]:
        """What ``navigator.credentials.get()`` gives, as an assertion."""
        data = self._authenticator_data(self.flags)
        client_data = self._client_data("webauthn.get", challenge)
        signature = self.key.sign(data + hashlib.sha256(client_data).digest(), ECDSA(SHA256()))
        return {
            "authenticator_data": _text(data),
            "client_data": _text(client_data),
            "signature": _text(signature),
        }

    def _authenticator_data(self, flags: int) -> bytes:
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + (0).to_bytes(4, "big")

    def _client_data(self, kind: str, challenge: bytes) -> bytes:
        content: Mapping[str, object] = {
            "type": kind,
            "challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "origin": self.origin,
            "crossOrigin": self.cross_origin,
        }
        return json.dumps(content).encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
