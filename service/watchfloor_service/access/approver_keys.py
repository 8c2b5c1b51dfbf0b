"""The public halves of the keys that people sign approvals with: taken in, listed, revoked.

A person's keys are theirs in every tenant of this installation. A revoked key stays: what it signed before must stay
verifiable. Every change is in the ledger, chain ``control``, with the public key, so that an approval can be checked
against the ledger alone.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, Row, insert, select, update

from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.errors import ConflictError, NotFoundError, RefusedError
from watchfloor_core.ledger.heads import lock_heads
from watchfloor_core.ledger.record import Decision, record_decisions
from watchfloor_core.store.schema_authority import approver_key
from watchfloor_core.store.schema_identity import login_session
from watchfloor_core.telemetry.names import SpanAttribute, SpanName
from watchfloor_guardrails.assertion import ApproverKey, KeyKind, RelyingParty, verify_assertion
from watchfloor_guardrails.decision import Principal
from watchfloor_guardrails.enrolment import (
    STATEMENT_TYPE,
    Enrolment,
    EnrolmentProof,
    enrolment_proof,
    key_id_of,
    label_faults,
    possession_statement,
    vouching_statement,
)
from watchfloor_service.access.accounts import load_account
from watchfloor_service.access.caller import Caller, Via

CONTROL: Final = "control"
_KEY: Final = approver_key.c


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key with the name that its owner gave it."""

    key: ApproverKey
    label: str


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that has proved to be there."""

    kind: KeyKind
    public_key: bytes
    credential_id: bytes | None
    sign_count: int
    label: str

    @property
    def key_id(self) -> str:
        return key_id_of(self.kind, self.public_key, self.credential_id)


@dataclass(frozen=True, slots=True)
class Voucher:
    """A signature of a key that the person has, over `vouching_statement`."""

    key_id: str
    assertion: Mapping[str, JsonValue]


def proven_ed25519(principal: str, public_key: bytes, assertion: Mapping[str, JsonValue], label: str) -> NewKey:
    """The key, where its private half has signed that it is this person's. Raises `RefusedError`."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key)
    except ValueError as error:
        raise RefusedError(f"{len(public_key)} bytes are no Ed25519 public key; expected 32") from error
    new = NewKey(KeyKind.ED25519, public_key, None, 0, label)
    itself = ApproverKey(new.key_id, principal, new.kind, public_key)
    said = possession_statement(principal, new.kind, new.key_id)
    verify_assertion(said, assertion, itself, 0, payload_type=STATEMENT_TYPE)
    return new


def register_key(
    connection: Connection,
    tenant: str,
    person: Principal,
    new: NewKey,
    *,
    sign_in_age_s: int | None,
    voucher: Voucher | None = None,
    party: RelyingParty | None = None,
    owns_store: bool = False,
) -> HeldKey:
    """Take a person's own key in; one that is theirs already is returned as it is.

    ``tenant`` is where the ledger keeps it. Raises `RefusedError` where `watchfloor_guardrails.enrolment` does not
    allow it, and `ConflictError` where the key was revoked or is somebody else's.
    """
    fault = label_faults(new.label)
    if fault is not None:
        raise RefusedError(fault)
    # One after the other, or two first keys at once would both be the first.
    lock_heads(connection, tenant, {CONTROL})
    now = now_us()
    known = connection.execute(select(approver_key).where(_KEY.id == new.key_id)).one_or_none()
    if known is not None:
        return _known(known, person, new)
    held = list_keys(connection, person.name)
    proof = enrolment_proof(
        Enrolment(
            person=person,
            had_keys=bool(held),
            live_keys=sum(one.key.is_live(now) for one in held),
            sign_in_age_s=sign_in_age_s,
            has_account=load_account(connection, person.name) is not None,
            is_vouched=_is_vouched(held, person, new, voucher, party, now),
            owns_store=owns_store,
        )
    )
    connection.execute(
        insert(approver_key).values(
            id=new.key_id,
            principal=person.name,
            kind=new.kind.value,
            public_key=new.public_key,
            credential_id=new.credential_id,
            sign_count=new.sign_count,
            label=new.label,
            created_us=now,
        )
    )
    row = connection.execute(select(approver_key).where(_KEY.id == new.key_id)).one()
    fresh = _held(row)
    record_decisions(connection, tenant, [_registered(fresh, proof, voucher, now)])
    return fresh


def list_keys(connection: Connection, principal: str) -> list[HeldKey]:
    """A person's keys, revoked ones too, the oldest first."""
    rows = connection.execute(
        select(approver_key).where(_KEY.principal == principal).order_by(_KEY.created_us, _KEY.id)
    )
    return [_held(row) for row in rows]


def load_key(connection: Connection, key_id: str) -> HeldKey:
    """Any person's key. Raises `NotFoundError`."""
    row = connection.execute(select(approver_key).where(_KEY.id == key_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no approver key {key_id!r:.80}; `watchfloor keys show` lists yours")
    return _held(row)


def revoke_key(connection: Connection, tenant: str, key_id: str, *, by: str, owner: str | None) -> HeldKey:
    """End a key; what it signed stays verifiable, and to end it again changes nothing.

    Only a key of ``owner``; None lets whoever owns the store end any. Raises `NotFoundError`.
    """
    lock_heads(connection, tenant, {CONTROL})
    found = load_key(connection, key_id)
    if owner is not None and found.key.principal != owner:
        # Whether others have such a key is theirs to know.
        raise NotFoundError(f"there is no approver key {key_id!r:.80}; `watchfloor keys show` lists yours")
    if found.key.revoked_us is not None:
        return found
    now = now_us()
    connection.execute(update(approver_key).where(_KEY.id == key_id).values(revoked_us=now))
    ended = load_key(connection, key_id)
    record_decisions(connection, tenant, [_entry(ended, "revoked", by, now, {"by": by})])
    return ended


def sign_in_age_s(connection: Connection, caller: Caller) -> int | None:
    """Seconds since the sign-in behind a session; None for a token, which says nothing of when its owner was there."""
    if caller.via is not Via.SESSION:
        return None
    created_us = connection.execute(
        select(login_session.c.created_us).where(
            login_session.c.id == caller.credential_id, login_session.c.principal == caller.principal
        )
    ).scalar_one_or_none()
    # A session that is gone is as old as can be.
    return 2**31 if created_us is None else (now_us() - created_us) // MICROSECONDS


def _known(row: Row[Any], person: Principal, new: NewKey) -> HeldKey:
    found = _held(row)
    if found.key.principal != person.name or found.key.public_key != new.public_key:
        raise ConflictError(f"key {new.key_id!r} is somebody else's; make one of your own")
    if found.key.revoked_us is not None:
        raise ConflictError(f"key {new.key_id!r} was revoked, and a revoked key never comes back; make a new one")
    return found


def _is_vouched(
    held: list[HeldKey],
    person: Principal,
    new: NewKey,
    voucher: Voucher | None,
    party: RelyingParty | None,
    now: int,
) -> bool:
    """Raises `RefusedError` for a voucher that does not hold: it was meant, so it is not passed over."""
    if voucher is None:
        return False
    by = next((one.key for one in held if one.key.key_id == voucher.key_id), None)
    if by is None:
        raise RefusedError(f"{voucher.key_id!r:.80} is not a key of {person.name!r}, so it vouches for nothing")
    said = vouching_statement(person.name, new.kind, new.key_id)
    verify_assertion(said, voucher.assertion, by, now, party, payload_type=STATEMENT_TYPE)
    return True


def _registered(fresh: HeldKey, proof: EnrolmentProof, voucher: Voucher | None, now: int) -> Decision:
    about: dict[str, JsonValue] = {"proof": proof.value}
    if voucher is not None:
        about["vouched_by"] = voucher.key_id
        about["voucher"] = dict(voucher.assertion)
    return _entry(fresh, "registered", fresh.key.principal, now, about)


def _entry(held: HeldKey, act: str, actor: str, now: int, about: Mapping[str, JsonValue]) -> Decision:
    key = held.key
    return Decision(
        chain=CONTROL,
        kind="approver_key",
        body={
            "act": act,
            "key": key.key_id,
            "principal": key.principal,
            "kind": key.kind.value,
            "public_key": base64.b64encode(key.public_key).decode(),
            "credential_id": None if key.credential_id is None else base64.b64encode(key.credential_id).decode(),
            "label": held.label,
            **about,
        },
        name=SpanName.APPROVER_KEY,
        start_us=now,
        end_us=now,
        attributes={SpanAttribute.PRINCIPAL: actor},
    )


def _held(row: Row[Any]) -> HeldKey:
    key = ApproverKey(
        key_id=row.id,
        principal=row.principal,
        kind=KeyKind(row.kind),
        public_key=row.public_key,
        credential_id=row.credential_id,
        created_us=row.created_us,
        revoked_us=row.revoked_us,
    )
    return HeldKey(key, row.label)
