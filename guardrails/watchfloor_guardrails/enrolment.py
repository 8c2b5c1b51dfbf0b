"""Adding a key that a person signs approvals with: who may, on what proof, and the statement that is signed for it.

A stolen session or token must not become a key. The new key always proves that it is there, by signing that it belongs
to this person. Besides, one of these must hold:

- one of the person's live keys vouches for it;
- the person has signed in with a password or at their identity provider within the last five minutes;
- it is the first key ever of a person with a token and no account: there is nothing else yet that could vouch;
- whoever owns the store adds it for their own user of this machine: they could write the row by hand.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from watchfloor_core.canonical import canonical
from watchfloor_core.errors import RefusedError
from watchfloor_guardrails.assertion import KeyKind
from watchfloor_guardrails.decision import Principal, PrincipalKind

STATEMENT_TYPE: Final = "application/vnd.watchfloor.approver-key+json"
"""Payload type under which both statements are signed, so that neither is an approval."""
FRESH_S: Final = 300
"""So long a sign-in counts as just done, in seconds."""
MAX_LIVE_KEYS: Final = 20
MAX_LABEL: Final = 100
"""Characters."""


class EnrolmentProof(StrEnum):
    """On what a key was taken in, as the ledger keeps it."""

    VOUCHED = "vouched"
    FRESH_SIGN_IN = "fresh_sign_in"
    FIRST_KEY = "first_key"
    STORE_OWNER = "store_owner"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A person who wants to add a key."""

    person: Principal
    had_keys: bool
    """Ever; revoked ones count, or revoking would let a thief begin anew."""
    live_keys: int
    sign_in_age_s: int | None
    """Since the sign-in of their session; None where they came with a token."""
    has_account: bool
    """They could sign in, so a token is not the best proof that they have."""
    is_vouched: bool
    """A live key of theirs has signed for the new one, and that signature was checked."""
    owns_store: bool = False


def enrolment_proof(enrolment: Enrolment) -> EnrolmentProof:
    """On what the key is taken in. Raises `RefusedError` with the remedy where it is not."""
    person = enrolment.person
    if person.kind is not PrincipalKind.PERSON:
        raise RefusedError(f"{person.name!r} is a {person.kind}; only people approve, so only people have keys")
    if enrolment.live_keys >= MAX_LIVE_KEYS:
        raise RefusedError(f"{person.name!r} has {enrolment.live_keys} live keys; revoke one first")
    if enrolment.is_vouched:
        return EnrolmentProof.VOUCHED
    if enrolment.owns_store:
        return EnrolmentProof.STORE_OWNER
    if enrolment.sign_in_age_s is not None:
        if 0 <= enrolment.sign_in_age_s <= FRESH_S:
            return EnrolmentProof.FRESH_SIGN_IN
        raise RefusedError(
            f"a key is added within {FRESH_S // 60} minutes of signing in, or with a signature of a key that you have; "
            "sign in again"
        )
    if not enrolment.had_keys and not enrolment.has_account:
        return EnrolmentProof.FIRST_KEY
    raise RefusedError(
        "a token alone adds a first key only, and none to an account; have one of your live keys sign for the new one, "
        "or sign in and add it within five minutes (`watchfloor keys new --sign-in NAME`)"
    )


def possession_statement(principal: str, kind: KeyKind, key_id: str) -> bytes:
    """What a new Ed25519 key signs: that it is this person's. (A passkey signs the challenge of its registration.)"""
    return canonical({"v": 1, "act": "possess", "principal": principal, "kind": kind.value, "key": key_id})


def vouching_statement(principal: str, kind: KeyKind, key_id: str) -> bytes:
    """What a key that the person has signs for a new one."""
    return canonical({"v": 1, "act": "vouch", "principal": principal, "kind": kind.value, "key": key_id})


def key_id_of(kind: KeyKind, public_key: bytes, credential_id: bytes | None) -> str:
    """The first 32 hex digits of SHA-256 of the raw Ed25519 key, or of a passkey's credential id."""
    named = credential_id if kind is KeyKind.WEBAUTHN and credential_id is not None else public_key
    return hashlib.sha256(named).hexdigest()[:32]


def label_faults(label: str) -> str | None:
    """What is wrong with the name that a person gives a key; None where nothing is."""
    if not 1 <= len(label) <= MAX_LABEL:
        return f"a key's name has 1 to {MAX_LABEL} characters, this one {len(label)}"
    return None if label.isprintable() else "a key's name holds printable characters only"
