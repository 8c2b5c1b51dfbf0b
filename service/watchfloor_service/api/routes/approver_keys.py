"""The caller's own keys for signing approvals: everything here is about the caller and nobody else."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from watchfloor_core.clock import to_iso
from watchfloor_core.errors import NotFoundError, RefusedError
from watchfloor_guardrails.decision import Principal
from watchfloor_guardrails.enrolment import MAX_LABEL
from watchfloor_guardrails.roles import Scope
from watchfloor_service.access.approver_keys import (
    HeldKey,
    NewKey,
    Voucher,
    list_keys,
    proven_ed25519,
    register_key,
    revoke_key,
    sign_in_age_s,
)
from watchfloor_service.access.caller import Caller
from watchfloor_service.access.passkeys import RegistrationAnswer, begin_registration, proven_passkey, take_challenge
from watchfloor_service.actions.listing import iso
from watchfloor_service.api.authentication import Requires
from watchfloor_service.api.http_json import JsonBody, StrictModel, json_answer
from watchfloor_service.api.parts import parts_of
from watchfloor_service.api.routes.approvals import AssertionBody, Base64
from watchfloor_service.api.routes.tracing import traced

router = APIRouter(prefix="/v1/approver-keys")

Approver: TypeAlias = Annotated[Caller, Depends(Requires(Scope.APPROVALS_DECIDE, is_for_people=True))]
KEY_ID: Final = r"^[0-9a-f]{32}$"
Label: TypeAlias = Annotated[str, Field(min_length=1, max_length=MAX_LABEL)]


class VoucherBody(StrictModel):
    """A signature of a key that the caller has, for the new one."""

    key_id: str = Field(pattern=KEY_ID)
    assertion: AssertionBody


class Ed25519Request(StrictModel):
    kind: Literal["ed25519"]
    public_key: Base64
    """32 raw bytes."""
    proof: AssertionBody
    """The new key's signature over its possession statement."""
    label: Label
    voucher: VoucherBody | None = None


class PasskeyRequest(StrictModel):
    challenge_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    credential_id: Base64
    client_data: Base64
    attestation: Base64
    label: Label
    voucher: VoucherBody | None = None


@dataclass(frozen=True, slots=True)
class KeyView:
    key_id: str
    kind: str
    label: str
    public_key: str
    """Base64: 32 raw bytes for Ed25519, COSE for a passkey."""
    created_at: str
    revoked_at: str | None

    @classmethod
    def of(cls, held: HeldKey) -> KeyView:
        key = held.key
        return cls(
            key_id=key.key_id,
            kind=key.kind.value,
            label=held.label,
            public_key=base64.b64encode(key.public_key).decode(),
            created_at=to_iso(key.created_us),
            revoked_at=iso(key.revoked_us),
        )


@router.get("")
def list_(caller: Approver, request: Request) -> Response:
    """The caller's keys, revoked ones too."""
    with parts_of(request).store.read() as connection:
        held = list_keys(connection, caller.principal)
    return json_answer({"keys": [KeyView.of(one) for one in held]})


@router.post("")
def register(
    caller: Approver, body: Annotated[Ed25519Request, Depends(JsonBody(Ed25519Request))], request: Request
) -> Response:
    """Add an Ed25519 key of the caller's."""
    new = proven_ed25519(
        caller.principal, _bytes(body.public_key), body.proof.model_dump(exclude_none=True), body.label
    )
    return _registered(caller, request, new, body.voucher)


@router.post("/passkey-options")
def passkey_options(caller: Approver, request: Request) -> Response:
    """Begin to add a passkey: what the browser hands to ``navigator.credentials.create()``, good once, for minutes."""
    parts = parts_of(request)
    with parts.store.write() as connection:
        held = list_keys(connection, caller.principal)
        begun = begin_registration(connection, caller.principal, held, parts.party)
    return json_answer(begun)


@router.post("/passkeys")
def register_passkey(
    caller: Approver, body: Annotated[PasskeyRequest, Depends(JsonBody(PasskeyRequest))], request: Request
) -> Response:
    """Add the passkey that answered the challenge."""
    parts = parts_of(request)
    answer = RegistrationAnswer(_bytes(body.credential_id), _bytes(body.client_data), _bytes(body.attestation))
    # A transaction of its own: a challenge that was answered wrongly is used up.
    with parts.store.write() as connection:
        challenge = take_challenge(connection, caller.principal, body.challenge_id)
    new = proven_passkey(answer, challenge, parts.party, body.label)
    return _registered(caller, request, new, body.voucher)


@router.post("/{key_id}/revoke")
def revoke(caller: Approver, key_id: str, request: Request) -> Response:
    """End one of the caller's keys. What it signed stays verifiable."""
    if re.fullmatch(KEY_ID, key_id) is None:
        raise NotFoundError(f"there is no approver key {key_id[:40]!a}; `watchfloor keys show` lists yours")
    with traced(request, caller.tenant, caller.principal), parts_of(request).store.write() as connection:
        ended = revoke_key(connection, caller.tenant, key_id, by=caller.principal, owner=caller.principal)
    return json_answer(KeyView.of(ended))


def _registered(caller: Caller, request: Request, new: NewKey, voucher: VoucherBody | None) -> Response:
    parts = parts_of(request)
    with traced(request, caller.tenant, caller.principal), parts.store.write() as connection:
        held = register_key(
            connection,
            caller.tenant,
            Principal(caller.principal, caller.kind),
            new,
            sign_in_age_s=sign_in_age_s(connection, caller),
            voucher=None
            if voucher is None
            else Voucher(voucher.key_id, voucher.assertion.model_dump(exclude_none=True)),
            party=parts.party,
        )
    return json_answer(KeyView.of(held), 201)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError("a value is no base64") from error
