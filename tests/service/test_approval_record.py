"""The record of an approval checks itself, from the file alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_core.alert import Integrity
from watchfloor_core.errors import RecordError
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.approval import ApprovalRequirement, OpenApproval, VoteDecision, statement
from watchfloor_guardrails.assertion import KeyKind, challenge_of, message_of
from watchfloor_guardrails.blast import Blast
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.enrolment import key_id_of
from watchfloor_guardrails.proposal import ActionProposal, Proposer
from watchfloor_guardrails.view import render_view, view_digest
from watchfloor_service.actions.approval_record import check_record
from watchfloor_service.testing_passkey import SoftPasskey

Record = dict[str, Any]  # Any: JSON
ID = "act-0123456789abcdef"
REQUIREMENT: Record = {
    "quorum": 1,
    "roles": ["responder", "lead"],
    "excluded": ["agent"],
    "deadline_s": 3600,
    "remind_after_s": 60,
    "escalate_after_s": [600],
    "chain": ["lead"],
}
KEY = Ed25519PrivateKey.generate()
PASSKEY = SoftPasskey(rp_id="example.org", origin="https://soc.example.org")


def proposal(**changes: Any) -> ActionProposal:  # Any: fields of several types
    fields: Record = {
        "tenant": "default",
        "incident_id": "inc-0123456789abcdef",
        "incident_revision": 1,
        "action_class": "deny ip",
        "tool": "edge-firewall",
        "arguments": {},
        "target_kind": "ip",
        "target": Labelled("198.51.100.1", Integrity.EXTERNAL),
        "state_digest": "a" * 64,
        "evidence_root": "b" * 64,
        "blast": Blast(assets=0, users=0, fleet_ppm=0, tier=3, in_inventory=False),
        "undo_class": "allow ip",
        "lease_s": 3600,
        "tool_pin": "c" * 64,
        "policy_digest": "d" * 64,
        "kill_epoch": 0,
        "proposer": Proposer("agent", PrincipalKind.AGENT),
        "nonce": "0" * 32,
        "expires_us": 10**15,
    }
    return ActionProposal(**{**fields, **changes})


def record(principal: str = "ana") -> Record:
    sealed = proposal()
    view = render_view(sealed)
    approval = OpenApproval(
        "default", ID, sealed.digest, view_digest(view), ApprovalRequirement(1, (), (), 1, 1, (), ()), 100, ()
    )
    said = statement(approval, principal, VoteDecision.APPROVE)
    raw = KEY.public_key().public_bytes_raw()
    return {
        "format": "watchfloor-approval-record",
        "v": 1,
        "tenant": "default",
        "proposal": ID,
        "preimage": sealed.preimage().decode(),
        "view": view,
        "requirement": REQUIREMENT,
        "deadline_us": 100,
        "votes": [
            {
                "principal": principal,
                "decision": "approve",
                "roles": ["lead"],
                "decided_us": 50,
                "statement": said.decode(),
                "assertion": {"signature": base64.b64encode(KEY.sign(message_of(said))).decode()},
                "key": {
                    "id": key_id_of(KeyKind.ED25519, raw, None),
                    "principal": principal,
                    "kind": "ed25519",
                    "public_key": base64.b64encode(raw).decode(),
                    "credential_id": None,
                    "created_us": 10,
                    "revoked_us": 60,
                },
            }
        ],
    }


def with_passkey() -> Record:
    content = record()
    vote = content["votes"][0]
    vote["assertion"] = PASSKEY.sign(challenge_of(vote["statement"].encode()))
    vote["key"] = {
        **vote["key"],
        "id": key_id_of(KeyKind.WEBAUTHN, PASSKEY.cose_key, PASSKEY.credential_id),
        "kind": "webauthn",
        "public_key": base64.b64encode(PASSKEY.cose_key).decode(),
        "credential_id": base64.b64encode(PASSKEY.credential_id).decode(),
    }
    return content


def test_a_record_holds_even_after_its_key_was_revoked() -> None:
    checked = check_record(json.dumps(record()))
    assert (checked.holds, checked.is_approved, checked.is_view_ours) == (True, True, True)
    assert checked.digest == proposal().digest


def test_a_passkeys_approval_says_where_it_was_made() -> None:
    checked = check_record(json.dumps(with_passkey()))
    assert (checked.holds, checked.is_approved) == (True, True)
    assert checked.votes[0].origin == "https://soc.example.org"


def test_a_passkey_of_another_host_than_it_names_is_seen() -> None:
    content = with_passkey()
    vote = content["votes"][0]
    elsewhere = PASSKEY.but(origin="https://evil.example")
    vote["assertion"] = elsewhere.sign(challenge_of(vote["statement"].encode()))
    checked = check_record(json.dumps(content))
    assert not checked.holds
    assert not checked.is_approved


def changed(path: str, value: object) -> Callable[[Record], None]:
    def change(content: Record) -> None:
        *places, last = path.split(".")
        for place in places:
            content = content[int(place)] if place.isdigit() else content[place]  # type: ignore[index]  # a list by number
        content[last] = value

    return change


TAMPERED: dict[str, Callable[[Record], None]] = {
    "another target": changed(
        "preimage", proposal(target=Labelled("203.0.113.9", Integrity.EXTERNAL)).preimage().decode()
    ),
    "another view": changed("view", "Action nothing\n"),
    "another proposal": changed("proposal", "act-fedcba9876543210"),
    "another person": changed("votes.0.principal", "eve"),
    "the person and the key's owner": lambda content: (
        changed("votes.0.principal", "eve")(content),
        changed("votes.0.key.principal", "eve")(content),
    )[0],
    "no signature": changed("votes.0.assertion", None),
    "no key": changed("votes.0.key", None),
    "another key": changed(
        "votes.0.key.public_key",
        base64.b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode(),
    ),
    "another key id": changed("votes.0.key.id", "0" * 32),
    "before the key": changed("votes.0.decided_us", 9),
    "after the revocation": changed("votes.0.decided_us", 60),
    "a no made a yes": lambda content: changed(
        "votes.0.statement", content["votes"][0]["statement"].replace("approve", "deny")
    )(content),
}


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED)
def test_whatever_is_changed_in_a_record_is_found(tamper: Callable[[Record], None]) -> None:
    content = record()
    tamper(content)
    checked = check_record(json.dumps(content))
    assert not checked.holds
    assert not checked.is_approved


@pytest.mark.parametrize(
    "tamper",
    [
        changed("votes.0.roles", ["viewer"]),
        changed("deadline_us", 50),
        changed("requirement", {**REQUIREMENT, "quorum": 2}),
        changed("requirement", {**REQUIREMENT, "excluded": ["ANA"]}),
        changed("votes", []),
    ],
    ids=["no role", "too late", "too few", "excluded", "nobody"],
)
def test_a_valid_signature_that_is_not_enough_approves_nothing(tamper: Callable[[Record], None]) -> None:
    content = record()
    tamper(content)
    checked = check_record(json.dumps(content))
    assert checked.holds
    assert not checked.is_approved


def test_one_no_outweighs_every_yes() -> None:
    content = record()
    content["votes"].append(
        {**content["votes"][0], "principal": "ben", "decision": "deny", "key": None, "assertion": None}
    )
    assert not check_record(json.dumps(content)).is_approved


def test_one_person_with_two_spellings_is_one() -> None:
    content = record()
    content["requirement"] = {**REQUIREMENT, "quorum": 2}
    content["votes"] += record("Ana")["votes"]
    checked = check_record(json.dumps(content))
    assert checked.holds
    assert not checked.is_approved


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", json.dumps({**record(), "more": 1}), json.dumps({**record(), "preimage": "{}"})]
)
def test_what_is_no_record_is_said_to_be_none(text: str) -> None:
    with pytest.raises(RecordError):
        check_record(text)


def test_a_record_of_another_tenants_proposal_is_none() -> None:
    with pytest.raises(RecordError, match="tenant"):
        check_record(json.dumps({**record(), "tenant": "acme"}))


@given(st.integers(0, 4000), st.integers(0, 255))
def test_no_changed_byte_keeps_a_different_record_approved(position: int, byte: int) -> None:
    data = bytearray(json.dumps(record()).encode())
    data[position % len(data)] = byte
    try:
        changed_content = json.loads(bytes(data))
        checked = check_record(bytes(data))
    except (RecordError, ValueError):
        return
    if checked.is_approved and checked.holds:
        same = {"preimage", "view", "proposal", "tenant"}
        assert {k: changed_content[k] for k in same} == {k: record()[k] for k in same}
