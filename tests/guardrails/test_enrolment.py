"""Who may add a key to sign approvals with."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_core.errors import RefusedError
from watchfloor_guardrails.assertion import KeyKind
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.enrolment import (
    FRESH_S,
    MAX_LIVE_KEYS,
    Enrolment,
    EnrolmentProof,
    enrolment_proof,
    label_faults,
    possession_statement,
    vouching_statement,
)

ANA = Principal("ana", PrincipalKind.PERSON)
BY_TOKEN = Enrolment(ANA, had_keys=True, live_keys=1, sign_in_age_s=None, has_account=False, is_vouched=False)
BY_SESSION = replace(BY_TOKEN, sign_in_age_s=FRESH_S)

ENROLMENTS = st.builds(
    Enrolment,
    person=st.sampled_from([Principal("ana", kind) for kind in PrincipalKind]),
    had_keys=st.booleans(),
    live_keys=st.integers(0, MAX_LIVE_KEYS + 1),
    sign_in_age_s=st.none() | st.integers(-10, 2 * FRESH_S),
    has_account=st.booleans(),
    is_vouched=st.booleans(),
    owns_store=st.booleans(),
)


@pytest.mark.parametrize(
    ("enrolment", "proof"),
    [
        (replace(BY_TOKEN, had_keys=False, live_keys=0), EnrolmentProof.FIRST_KEY),
        (replace(BY_TOKEN, is_vouched=True), EnrolmentProof.VOUCHED),
        (BY_SESSION, EnrolmentProof.FRESH_SIGN_IN),
        (replace(BY_SESSION, sign_in_age_s=9_999, is_vouched=True), EnrolmentProof.VOUCHED),
        (replace(BY_TOKEN, owns_store=True), EnrolmentProof.STORE_OWNER),
    ],
)
def test_a_key_is_taken_in_on_a_proof(enrolment: Enrolment, proof: EnrolmentProof) -> None:
    assert enrolment_proof(enrolment) is proof


@pytest.mark.parametrize(
    ("enrolment", "reason"),
    [
        (BY_TOKEN, "token alone adds a first key only"),
        (replace(BY_TOKEN, live_keys=0), "token alone adds a first key only"),
        (replace(BY_TOKEN, live_keys=0, had_keys=False, has_account=True), "none to an account"),
        (replace(BY_SESSION, sign_in_age_s=FRESH_S + 1), "sign in again"),
        (replace(BY_SESSION, sign_in_age_s=-1), "sign in again"),
        (replace(BY_SESSION, sign_in_age_s=FRESH_S + 1, had_keys=False, live_keys=0), "sign in again"),
        (replace(BY_SESSION, live_keys=MAX_LIVE_KEYS), "revoke one"),
    ],
    ids=[
        "stolen token",
        "all revoked",
        "token of an account",
        "old session",
        "clock went back",
        "old session, no key yet",
        "too many",
    ],
)
def test_what_a_thief_holds_adds_no_key(enrolment: Enrolment, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        enrolment_proof(enrolment)


@given(ENROLMENTS)
def test_no_program_ever_gets_a_key_and_each_key_has_one_proof(enrolment: Enrolment) -> None:
    try:
        proof = enrolment_proof(enrolment)
    except RefusedError:
        return
    assert enrolment.person.kind is PrincipalKind.PERSON
    holds = {
        EnrolmentProof.VOUCHED: enrolment.is_vouched,
        EnrolmentProof.STORE_OWNER: enrolment.owns_store,
        EnrolmentProof.FRESH_SIGN_IN: enrolment.sign_in_age_s is not None and enrolment.sign_in_age_s <= FRESH_S,
        EnrolmentProof.FIRST_KEY: not enrolment.had_keys
        and not enrolment.has_account
        and enrolment.sign_in_age_s is None,
    }
    assert holds[proof]


def test_vouching_for_a_key_is_not_possessing_it() -> None:
    said = {act("ana", kind, "0" * 32) for act in (possession_statement, vouching_statement) for kind in KeyKind}
    assert len(said) == 4


@pytest.mark.parametrize("label", ["", "x" * 101, "a\nb", "a\u202eb"])
def test_a_keys_name_is_short_and_visible(label: str) -> None:
    assert label_faults(label) is not None
    assert label_faults("ana's laptop") is None
