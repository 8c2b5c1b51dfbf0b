"""Signatures of people: an Ed25519 key's and a passkey's, and everything that is none."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_core.canonical import JsonValue
from watchfloor_core.errors import RefusedError
from watchfloor_guardrails.assertion import (
    ApproverKey,
    KeyKind,
    RelyingParty,
    challenge_of,
    message_of,
    verify_assertion,
)
from watchfloor_service.testing_passkey import PRESENT, VERIFIED, SoftPasskey

PARTY = RelyingParty("soc.example.org", ("https://soc.example.org", "https://soc.example.org:8443"))
SAID = b'{"decision":"approve"}'
PASSKEY = SoftPasskey(rp_id="soc.example.org", origin="https://soc.example.org")
ED25519 = Ed25519PrivateKey.generate()


def key_of(passkey: SoftPasskey) -> ApproverKey:
    return ApproverKey("passkey", "ana", KeyKind.WEBAUTHN, passkey.cose_key, passkey.credential_id, 10, 20)


def ed25519_key(key: Ed25519PrivateKey = ED25519) -> ApproverKey:
    return ApproverKey("key", "ana", KeyKind.ED25519, key.public_key().public_bytes_raw(), None, 10, 20)


def signed(message: bytes, key: Ed25519PrivateKey = ED25519) -> dict[str, str]:
    return {"signature": base64.b64encode(key.sign(message)).decode()}


def test_a_passkeys_answer_to_this_statement_holds() -> None:
    verify_assertion(SAID, PASSKEY.sign(challenge_of(SAID)), key_of(PASSKEY), 10, PARTY)
    elsewhere = PASSKEY.but(origin="https://soc.example.org:8443")
    verify_assertion(SAID, elsewhere.sign(challenge_of(SAID)), key_of(PASSKEY), 10, PARTY)


def test_an_ed25519_signature_over_this_statement_holds() -> None:
    verify_assertion(SAID, signed(message_of(SAID)), ed25519_key(), 19)


@pytest.mark.parametrize(
    ("passkey", "reason"),
    [
        (PASSKEY.but(flags=PRESENT), "not verified"),
        (PASSKEY.but(flags=VERIFIED), "not present"),
        (PASSKEY.but(rp_id="evil.example.org"), "RP ID"),
        (PASSKEY.but(origin="https://soc.example.org.evil.example"), "origin"),
        (PASSKEY.but(origin="http://soc.example.org"), "origin"),
        (PASSKEY.but(cross_origin=True), "another site's page"),
        (SoftPasskey(rp_id="soc.example.org", origin="https://soc.example.org"), "signature"),
    ],
    ids=["not verified", "not present", "other rp", "other origin", "no tls", "framed", "other credential"],
)
def test_a_passkeys_answer_that_is_not_ours_is_refused(passkey: SoftPasskey, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        verify_assertion(SAID, passkey.sign(challenge_of(SAID)), key_of(PASSKEY), 10, PARTY)


def test_an_answer_to_another_statement_is_refused() -> None:
    other = b'{"decision":"deny"}'
    with pytest.raises(RefusedError, match="challenge"):
        verify_assertion(SAID, PASSKEY.sign(challenge_of(other)), key_of(PASSKEY), 10, PARTY)
    with pytest.raises(RefusedError, match="signature"):
        verify_assertion(SAID, signed(message_of(other)), ed25519_key(), 10)


def test_a_registration_is_no_approval() -> None:
    answer = PASSKEY.register(challenge_of(SAID))
    forged = {**PASSKEY.sign(challenge_of(SAID)), "client_data": answer["client_data"]}
    with pytest.raises(RefusedError, match="type"):
        verify_assertion(SAID, forged, key_of(PASSKEY), 10, PARTY)


def test_a_signature_over_another_kind_of_statement_is_refused() -> None:
    other = "application/vnd.watchfloor.other+json"
    with pytest.raises(RefusedError):
        verify_assertion(SAID, signed(message_of(SAID, other)), ed25519_key(), 10)
    with pytest.raises(RefusedError):
        verify_assertion(SAID, PASSKEY.sign(challenge_of(SAID, other)), key_of(PASSKEY), 10, PARTY)
    verify_assertion(SAID, signed(message_of(SAID, other)), ed25519_key(), 10, payload_type=other)


@pytest.mark.parametrize("at_us", [9, 20])
def test_a_key_signs_only_while_it_is_in_force(at_us: int) -> None:
    with pytest.raises(RefusedError, match="not in force"):
        verify_assertion(SAID, signed(message_of(SAID)), ed25519_key(), at_us)
    with pytest.raises(RefusedError, match="not in force"):
        verify_assertion(SAID, PASSKEY.sign(challenge_of(SAID)), key_of(PASSKEY), at_us, PARTY)


def test_without_a_public_address_a_passkey_proves_nothing() -> None:
    with pytest.raises(RefusedError, match="no public address"):
        verify_assertion(SAID, PASSKEY.sign(challenge_of(SAID)), key_of(PASSKEY), 10, None)


def test_another_persons_key_does_not_verify() -> None:
    with pytest.raises(RefusedError):
        verify_assertion(SAID, signed(message_of(SAID), Ed25519PrivateKey.generate()), ed25519_key(), 10)


BASE64 = st.binary(max_size=300).map(lambda data: base64.b64encode(data).decode())
GENUINE = PASSKEY.sign(challenge_of(SAID))
JSON_BYTES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELD = st.one_of(BASE64, st.text(max_size=40), st.none(), st.integers(), st.sampled_from(sorted(GENUINE.values())))
CLIENT_DATA = st.fixed_dictionaries(
    {},
    optional={
        "type": st.just("webauthn.get") | JSON_BYTES,
        "challenge": st.just(base64.urlsafe_b64encode(challenge_of(SAID)).rstrip(b"=").decode()) | JSON_BYTES,
        "origin": st.just("https://soc.example.org") | JSON_BYTES,
        "crossOrigin": JSON_BYTES,
        "tokenBinding": JSON_BYTES,
    },
)


@given(st.dictionaries(st.sampled_from([*GENUINE, "other"]), FIELD), st.binary(max_size=120), st.sampled_from(KeyKind))
def test_garbage_is_refused_and_breaks_nothing(
    assertion: Mapping[str, JsonValue], public_key: bytes, kind: KeyKind
) -> None:
    key = ApproverKey("k", "ana", kind, public_key, b"id")
    with pytest.raises(RefusedError):
        verify_assertion(SAID, assertion, key, 1, PARTY)


@given(CLIENT_DATA, st.sampled_from([PASSKEY.cose_key, b"", b"\x04", b"\xa0", b"\xa1\x01\x02"]), st.binary(max_size=80))
def test_garbage_where_the_rest_is_genuine_is_refused(
    client_data: Mapping[str, JsonValue], public_key: bytes, data: bytes
) -> None:
    text = base64.b64encode(json.dumps(client_data).encode()).decode()
    key = ApproverKey("k", "ana", KeyKind.WEBAUTHN, public_key, PASSKEY.credential_id)
    for assertion in (
        {**GENUINE, "client_data": text},
        {**GENUINE, "authenticator_data": base64.b64encode(data).decode()},
    ):
        with pytest.raises(RefusedError):
            verify_assertion(SAID, assertion, key, 1, PARTY)
