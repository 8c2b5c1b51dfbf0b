"""Keys of people: taken in on a proof, revoked for good, and passkeys by a ceremony of their own."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select, update

from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.errors import ConflictError, NotFoundError, RefusedError
from watchfloor_core.ledger import verify_store
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import ledger_entry
from watchfloor_core.store.schema_authority import webauthn_challenge
from watchfloor_guardrails.assertion import KeyKind, RelyingParty, challenge_of, message_of
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.enrolment import STATEMENT_TYPE, key_id_of, possession_statement, vouching_statement
from watchfloor_guardrails.roles import Role, Scope
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
from watchfloor_service.access.caller import Caller, Via
from watchfloor_service.access.passkeys import (
    CHALLENGE_S,
    Registration,
    RegistrationAnswer,
    begin_registration,
    proven_passkey,
    take_challenge,
)
from watchfloor_service.access.sessions import Method, open_session
from watchfloor_service.testing_passkey import PRESENT, SoftPasskey

ANA = Principal("ana", PrincipalKind.PERSON)
PARTY = RelyingParty("localhost", ("http://localhost:8470",))


def signature(key: Ed25519PrivateKey, said: bytes) -> dict[str, str]:
    return {"signature": base64.b64encode(key.sign(message_of(said, STATEMENT_TYPE))).decode()}


def proven(key: Ed25519PrivateKey, principal: str = "ana", label: str = "laptop") -> NewKey:
    raw = key.public_key().public_bytes_raw()
    said = possession_statement(principal, KeyKind.ED25519, key_id_of(KeyKind.ED25519, raw, None))
    return proven_ed25519(principal, raw, signature(key, said), label)


def add(store: Store, key: Ed25519PrivateKey, *, age_s: int | None = None, voucher: Voucher | None = None) -> HeldKey:
    with store.write() as connection:
        return register_key(connection, "default", ANA, proven(key), sign_in_age_s=age_s, voucher=voucher, party=PARTY)


def test_a_first_key_is_taken_in_and_kept_in_the_ledger(store: Store) -> None:
    key = Ed25519PrivateKey.generate()
    held = add(store, key)
    assert (held.key.principal, held.label, held.key.revoked_us) == ("ana", "laptop", None)
    with store.read() as connection:
        assert list_keys(connection, "ana") == [held]
        entry = connection.execute(select(ledger_entry).where(ledger_entry.c.kind == "approver_key")).one()
        verify_store(connection, "default")
    body = json.loads(entry.body)["body"]
    assert entry.chain == "control"
    assert base64.b64decode(body["public_key"]) == key.public_key().public_bytes_raw()
    assert (body["act"], body["proof"], body["principal"]) == ("registered", "first_key", "ana")


def test_the_same_key_again_is_the_same_key(store: Store) -> None:
    key = Ed25519PrivateKey.generate()
    assert add(store, key) == add(store, key)


def test_a_second_key_takes_a_fresh_sign_in_or_a_signature_of_the_first(store: Store) -> None:
    first, second = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    held = add(store, first)
    with pytest.raises(RefusedError, match="first key only"):
        add(store, second)
    said = vouching_statement("ana", KeyKind.ED25519, proven(second).key_id)
    add(store, second, voucher=Voucher(held.key.key_id, signature(first, said)))
    add(store, Ed25519PrivateKey.generate(), age_s=30)
    with pytest.raises(RefusedError, match="sign in again"):
        add(store, Ed25519PrivateKey.generate(), age_s=301)


def test_a_voucher_counts_only_where_a_live_key_of_the_person_signed_for_this_key(store: Store) -> None:
    first, second = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    held = add(store, first)
    for_second = signature(first, vouching_statement("ana", KeyKind.ED25519, proven(second).key_id))
    for voucher in (
        Voucher(held.key.key_id, signature(second, vouching_statement("ana", KeyKind.ED25519, proven(second).key_id))),
        Voucher(held.key.key_id, signature(first, possession_statement("ana", KeyKind.ED25519, proven(second).key_id))),
        Voucher("0" * 32, for_second),
    ):
        with pytest.raises(RefusedError):
            add(store, second, voucher=voucher)
    with store.write() as connection:
        revoke_key(connection, "default", held.key.key_id, by="ana", owner="ana")
    with pytest.raises(RefusedError, match="not in force"):
        add(store, second, voucher=Voucher(held.key.key_id, for_second))


def test_a_key_is_registered_only_by_whom_it_signed_for() -> None:
    key = Ed25519PrivateKey.generate()
    raw = key.public_key().public_bytes_raw()
    said = possession_statement("ana", KeyKind.ED25519, key_id_of(KeyKind.ED25519, raw, None))
    with pytest.raises(RefusedError, match="signature"):
        proven_ed25519("eve", raw, signature(key, said), "ana's")
    with pytest.raises(RefusedError):
        proven_ed25519("ana", b"short", signature(key, said), "x")


def test_a_revoked_key_stays_and_never_comes_back(store: Store) -> None:
    key = Ed25519PrivateKey.generate()
    held = add(store, key)
    with store.write() as connection:
        ended = revoke_key(connection, "default", held.key.key_id, by="ana", owner="ana")
        assert revoke_key(connection, "default", held.key.key_id, by="ana", owner="ana") == ended
    assert ended.key.revoked_us is not None
    with pytest.raises(ConflictError, match="revoked"):
        add(store, key, age_s=1)
    with store.read() as connection:
        assert list_keys(connection, "ana") == [ended]


def test_nobody_revokes_anothers_key(store: Store) -> None:
    held = add(store, Ed25519PrivateKey.generate())
    with store.write() as connection, pytest.raises(NotFoundError):
        revoke_key(connection, "default", held.key.key_id, by="eve", owner="eve")


def test_no_program_has_a_key(store: Store) -> None:
    for kind in (PrincipalKind.SERVICE, PrincipalKind.AGENT):
        new = proven(Ed25519PrivateKey.generate(), "bot")
        with store.write() as connection, pytest.raises(RefusedError, match="only people"):
            register_key(connection, "default", Principal("bot", kind), new, sign_in_age_s=None)


def test_a_sign_in_is_as_old_as_its_session(store: Store) -> None:
    at_us = now_us() - 120 * MICROSECONDS
    with store.write() as connection:
        session = open_session(connection, "ana", "default", Method.PASSWORD, at_us).session

    def caller(via: Via, credential_id: str) -> Caller:
        roles = frozenset({Role.RESPONDER})
        return Caller("default", "ana", PrincipalKind.PERSON, frozenset(Scope), roles, via, credential_id)

    with store.read() as connection:
        age_s = sign_in_age_s(connection, caller(Via.SESSION, session.id))
        assert age_s is not None
        assert 120 <= age_s < 150
        assert sign_in_age_s(connection, caller(Via.TOKEN, session.id)) is None
        gone = sign_in_age_s(connection, caller(Via.SESSION, "nowhere"))
        assert gone is not None
        assert gone > 10**9


def begin(store: Store, principal: str = "ana") -> tuple[Registration, bytes]:
    with store.write() as connection:
        begun = begin_registration(connection, principal, [], PARTY)
        challenge = connection.execute(
            select(webauthn_challenge.c.challenge).where(webauthn_challenge.c.id == begun.challenge_id)
        ).scalar_one()
    return begun, challenge


def answer_of(passkey: SoftPasskey, challenge: bytes) -> RegistrationAnswer:
    answer = {name: base64.b64decode(text) for name, text in passkey.register(challenge).items()}
    return RegistrationAnswer(**answer)


def test_a_passkey_is_added_by_the_ceremony_and_signs_like_any_key(store: Store) -> None:
    passkey = SoftPasskey()
    begun, challenge = begin(store)
    assert begun.public_key["rp"]["id"] == "localhost"
    assert begun.public_key["authenticatorSelection"]["userVerification"] == "required"
    assert begun.public_key["attestation"] == "none"
    with store.write() as connection:
        assert take_challenge(connection, "ana", begun.challenge_id) == challenge
    new = proven_passkey(answer_of(passkey, challenge), challenge, PARTY, "phone")
    with store.write() as connection:
        held = register_key(connection, "default", ANA, new, sign_in_age_s=1)
    assert (held.key.kind, held.key.credential_id) == (KeyKind.WEBAUTHN, passkey.credential_id)
    # It vouches for the next one.
    second = Ed25519PrivateKey.generate()
    said = vouching_statement("ana", KeyKind.ED25519, proven(second).key_id)
    add(store, second, voucher=Voucher(held.key.key_id, passkey.sign(challenge_of(said, STATEMENT_TYPE))))


def test_a_challenge_holds_once_for_one_person_and_five_minutes(store: Store) -> None:
    begun, _ = begin(store)
    with store.write() as connection:
        with pytest.raises(RefusedError):
            take_challenge(connection, "eve", begun.challenge_id)
        take_challenge(connection, "ana", begun.challenge_id)
        with pytest.raises(RefusedError, match="used already"):
            take_challenge(connection, "ana", begun.challenge_id)
    late, _ = begin(store)
    with store.write() as connection:
        connection.execute(
            update(webauthn_challenge)
            .where(webauthn_challenge.c.id == late.challenge_id)
            .values(expires_us=webauthn_challenge.c.expires_us - CHALLENGE_S * MICROSECONDS)
        )
        with pytest.raises(RefusedError, match="older"):
            take_challenge(connection, "ana", late.challenge_id)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda key: key.but(flags=PRESENT), "not verified"),
        (lambda key: key.but(rp_id="evil.example"), "RP ID"),
        (lambda key: key.but(origin="https://evil.example"), "origin"),
        (lambda key: key.but(cross_origin=True), "another site's page"),
    ],
    ids=["not verified", "other rp", "other origin", "framed"],
)
def test_a_registration_that_is_not_ours_is_refused(spoil: Callable[[SoftPasskey], SoftPasskey], reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        proven_passkey(answer_of(spoil(SoftPasskey()), b"c" * 32), b"c" * 32, PARTY, "x")


def test_a_registration_for_another_challenge_or_of_another_credential_is_refused() -> None:
    ours, theirs = SoftPasskey(), SoftPasskey()
    with pytest.raises(RefusedError, match="challenge"):
        proven_passkey(answer_of(ours, b"d" * 32), b"c" * 32, PARTY, "x")
    mixed = RegistrationAnswer(
        theirs.credential_id, answer_of(ours, b"c" * 32).client_data, answer_of(ours, b"c" * 32).attestation
    )
    with pytest.raises(RefusedError, match="names one credential"):
        proven_passkey(mixed, b"c" * 32, PARTY, "x")
    with pytest.raises(RefusedError, match="no public address"):
        proven_passkey(answer_of(ours, b"c" * 32), b"c" * 32, None, "x")
    with pytest.raises(RefusedError):
        proven_passkey(RegistrationAnswer(b"x", b"{}", b"\xff"), b"c" * 32, PARTY, "x")
