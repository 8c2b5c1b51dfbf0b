"""A commitment binds whether a proposal is a decoy, and gives nothing away."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_core.errors import RecordError
from watchfloor_guardrails.commitment import NONCE_DIGITS, Opening, opening_from_json

OPENING = Opening("5a" * 32, "deny", "ana")
NONCES = st.text("0123456789abcdef", min_size=NONCE_DIGITS, max_size=NONCE_DIGITS)
OPENINGS = st.builds(Opening, NONCES, st.sampled_from([None, "deny", "approve"]), st.none() | st.text(max_size=20))


def test_the_commitment_is_the_hash_of_what_is_said_at_the_end() -> None:
    said = (
        '{"answer":"deny","nonce":"' + "5a" * 32 + '","planted_by":"ana","proposal":"act-1","tenant":"acme",'
        '"type":"watchfloor-proposal-opening/1"}'
    )
    assert OPENING.commitment("acme", "act-1") == hashlib.sha256(said.encode()).hexdigest()


@pytest.mark.parametrize(
    "other",
    [replace(OPENING, answer=None), replace(OPENING, planted_by=None), replace(OPENING, nonce="5b" * 32)],
)
def test_no_other_opening_fits_a_commitment(other: Opening) -> None:
    assert other.commitment("acme", "act-1") != OPENING.commitment("acme", "act-1")


def test_an_opening_fits_its_own_proposal_alone() -> None:
    mine = OPENING.commitment("acme", "act-1")
    assert OPENING.commitment("acme", "act-2") != mine
    assert OPENING.commitment("other", "act-1") != mine


@given(OPENINGS)
def test_an_opening_survives_its_way_through_the_ledger(opening: Opening) -> None:
    assert opening_from_json(opening.as_json()) == opening


@pytest.mark.parametrize(
    "content",
    [{}, {**OPENING.as_json(), "nonce": "5a"}, {**OPENING.as_json(), "answer": 1}, {"nonce": "5a" * 32, "answer": []}],
)
def test_what_is_no_opening_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(RecordError, match="not an opening"):
        opening_from_json(content)  # type: ignore[arg-type]  # what a damaged row may hold
