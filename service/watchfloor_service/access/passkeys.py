"""Adding a passkey: the registration ceremony of WebAuthn level 3, with a challenge that holds once and for minutes.

User verification is required, a discoverable credential preferred, no attestation asked for: which make of
authenticator a person uses is theirs to choose.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, update
from webauthn import generate_registration_options, verify_registration_response
from webauthn.helpers import bytes_to_base64url, options_to_json_dict, parse_client_data_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.errors import RefusedError
from watchfloor_core.store.schema_authority import webauthn_challenge
from watchfloor_guardrails.assertion import KeyKind, RelyingParty
from watchfloor_service.access.approver_keys import HeldKey, NewKey

CHALLENGE_S: Final = 300
_TABLE: Final = webauthn_challenge.c


@dataclass(frozen=True, slots=True)
class Registration:
    """What a browser hands to ``navigator.credentials.create()``."""

    challenge_id: str
    public_key: dict[str, Any]  # Any: JSON of the library, passed on as it is
    """``PublicKeyCredentialCreationOptions`` as JSON, bytes in base64url."""


@dataclass(frozen=True, slots=True)
class RegistrationAnswer:
    """What comes of it."""

    credential_id: bytes
    client_data: bytes
    attestation: bytes


def begin_registration(
    connection: Connection, principal: str, held: list[HeldKey], party: RelyingParty | None
) -> Registration:
    """A fresh challenge, which only this person can use. Raises `RefusedError` where no public address is set."""
    wanted = _required(party)
    now = now_us()
    connection.execute(delete(webauthn_challenge).where(_TABLE.expires_us < now))
    options = generate_registration_options(
        rp_id=wanted.rp_id,
        rp_name="Watchfloor",
        user_name=principal,
        # The same for each of a person's passkeys, so that an authenticator keeps one of them.
        user_id=hashlib.sha256(b"watchfloor user " + principal.encode()).digest(),
        timeout=CHALLENGE_S * 1000,
        attestation=AttestationConveyancePreference.NONE,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[
            PublicKeyCredentialDescriptor(id=one.key.credential_id)
            for one in held
            if one.key.credential_id is not None and one.key.revoked_us is None
        ],
    )
    challenge_id = secrets.token_hex(16)
    connection.execute(
        insert(webauthn_challenge).values(
            id=challenge_id,
            principal=principal,
            challenge=options.challenge,
            expires_us=now + CHALLENGE_S * MICROSECONDS,
        )
    )
    return Registration(challenge_id, options_to_json_dict(options))


def take_challenge(connection: Connection, principal: str, challenge_id: str) -> bytes:
    """The challenge, for the one time. To be committed before the answer is looked at: a wrong answer uses it up.

    Raises `RefusedError` where it was used, is too old, or was not this person's.
    """
    now = now_us()
    taken: bytes | None = connection.execute(
        update(webauthn_challenge)
        .where(
            _TABLE.id == challenge_id,
            _TABLE.principal == principal,
            _TABLE.used_us.is_(None),
            _TABLE.expires_us > now,
        )
        .values(used_us=now)
        .returning(_TABLE.challenge)
    ).scalar_one_or_none()
    if taken is None:
        raise RefusedError(
            f"the challenge was used already or older than {CHALLENGE_S // 60} minutes; begin to add the passkey anew"
        )
    return taken


def proven_passkey(answer: RegistrationAnswer, challenge: bytes, party: RelyingParty | None, label: str) -> NewKey:
    """The passkey that answered this challenge. Raises `RefusedError` with the reason where none did."""
    wanted = _required(party)
    credential_id = bytes_to_base64url(answer.credential_id)
    credential: Mapping[str, object] = {
        "id": credential_id,
        "rawId": credential_id,
        "type": "public-key",
        "response": {
            "clientDataJSON": bytes_to_base64url(answer.client_data),
            "attestationObject": bytes_to_base64url(answer.attestation),
        },
    }
    try:
        verified = verify_registration_response(
            credential=dict(credential),
            expected_challenge=challenge,
            expected_rp_id=wanted.rp_id,
            expected_origin=list(wanted.origins),
            require_user_verification=True,
        )
        is_framed = bool(parse_client_data_json(answer.client_data).cross_origin)
    except WebAuthnException as error:
        raise RefusedError(f"the passkey's answer does not hold: {error!s:.200}") from error
    except Exception as error:
        # Whatever parsing foreign bytes trips over is a no.
        raise RefusedError(f"the passkey's answer cannot be read ({type(error).__name__})") from error
    if is_framed:
        raise RefusedError("the passkey was made from inside another site's page; open the console itself")
    if verified.credential_id != answer.credential_id:
        raise RefusedError("the passkey's answer names one credential and holds another")
    return NewKey(
        kind=KeyKind.WEBAUTHN,
        public_key=verified.credential_public_key,
        credential_id=verified.credential_id,
        sign_count=verified.sign_count,
        label=label,
    )


def _required(party: RelyingParty | None) -> RelyingParty:
    if party is None:
        raise RefusedError("passkeys cannot be used here: no public address is set; set WATCHFLOOR_PUBLIC_URL")
    return party
