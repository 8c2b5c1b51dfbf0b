"""Checks that a person signed a statement: an Ed25519 key of theirs, or a passkey (WebAuthn level 3).

What is kept is enough to check it again years later with nothing else at hand: the statement, the assertion and the
public key. For a passkey the challenge is SHA-256 over the statement's DSSE pre-authentication encoding, so that the
authenticator itself signs the digest, the view and the decision.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from webauthn import verify_authentication_response
from webauthn.helpers import bytes_to_base64url, parse_client_data_json
from webauthn.helpers.exceptions import WebAuthnException

from watchfloor_core.canonical import JsonValue
from watchfloor_core.dsse import pre_authentication_encoding
from watchfloor_core.errors import RefusedError
from watchfloor_guardrails.approval import STATEMENT_TYPE

MAX_FIELD: Final = 16_384
"""Characters of one part of an assertion."""


class KeyKind(StrEnum):
    ED25519 = "ed25519"
    WEBAUTHN = "webauthn"


@dataclass(frozen=True, slots=True)
class ApproverKey:
    """The public half of what one person signs with."""

    key_id: str
    principal: str
    kind: KeyKind
    public_key: bytes
    """32 raw bytes for Ed25519, COSE for a passkey."""
    credential_id: bytes | None = None
    created_us: int = 0
    revoked_us: int | None = None

    def is_live(self, at_us: int) -> bool:
        """It could sign at that moment."""
        return self.created_us <= at_us and (self.revoked_us is None or at_us < self.revoked_us)


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """What a passkey was made for."""

    rp_id: str
    """Host name."""
    origins: tuple[str, ...]
    """``https://host[:port]``; with ``http://`` for localhost only."""


def message_of(statement: bytes, payload_type: str = STATEMENT_TYPE) -> bytes:
    """What an Ed25519 key signs."""
    return pre_authentication_encoding(payload_type, statement)


def challenge_of(statement: bytes, payload_type: str = STATEMENT_TYPE) -> bytes:
    """What a passkey is challenged with, 32 bytes."""
    return hashlib.sha256(message_of(statement, payload_type)).digest()


def verify_assertion(
    statement: bytes,
    assertion: Mapping[str, JsonValue],
    key: ApproverKey,
    at_us: int,
    party: RelyingParty | None = None,
    *,
    payload_type: str = STATEMENT_TYPE,
) -> None:
    """Return where ``key`` signed ``statement``. Raises `RefusedError` with the reason where it did not.

    ``party`` is needed for a passkey. The authenticator's counter is not relied on: synced passkeys keep none.
    """
    if not key.is_live(at_us):
        raise RefusedError(f"key {key.key_id!r} was not in force then; sign with another, or register a new one")
    match key.kind:
        case KeyKind.ED25519:
            _verify_ed25519(message_of(statement, payload_type), assertion, key)
        case KeyKind.WEBAUTHN:
            _verify_webauthn(challenge_of(statement, payload_type), assertion, key, party)


def _verify_ed25519(message: bytes, assertion: Mapping[str, JsonValue], key: ApproverKey) -> None:
    signature = _bytes(assertion, "signature")
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise RefusedError(
            f"the signature is not one of key {key.key_id!r} over this statement; look again and sign what is shown"
        ) from error


def _verify_webauthn(
    challenge: bytes, assertion: Mapping[str, JsonValue], key: ApproverKey, party: RelyingParty | None
) -> None:
    if party is None or key.credential_id is None:
        raise RefusedError("passkeys cannot be used here: no public address is set; sign with the command line's key")
    credential_id = bytes_to_base64url(key.credential_id)
    client_data = _bytes(assertion, "client_data")
    credential: dict[str, object] = {
        "id": credential_id,
        "rawId": credential_id,
        "type": "public-key",
        "response": {
            "authenticatorData": bytes_to_base64url(_bytes(assertion, "authenticator_data")),
            "clientDataJSON": bytes_to_base64url(client_data),
            "signature": bytes_to_base64url(_bytes(assertion, "signature")),
        },
    }
    try:
        verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.rp_id,
            expected_origin=list(party.origins),
            credential_public_key=key.public_key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )
        is_framed = bool(parse_client_data_json(client_data).cross_origin)
    except WebAuthnException as error:
        raise RefusedError(f"the passkey's answer does not hold: {error!s:.200}") from error
    except Exception as error:
        # Whatever parsing foreign bytes trips over is a no.
        raise RefusedError(f"the passkey's answer cannot be read ({type(error).__name__})") from error
    if is_framed:
        # A page of someone else showed ours inside of it: what the person saw is theirs to choose.
        raise RefusedError("the passkey was asked from inside another site's page; open the console itself")


def _bytes(assertion: Mapping[str, JsonValue], name: str) -> bytes:
    text = assertion.get(name)
    if not isinstance(text, str) or not 0 < len(text) <= MAX_FIELD:
        raise RefusedError(f"the assertion has no {name!r}; expected base64")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(f"the assertion's {name!r} is no base64") from error
