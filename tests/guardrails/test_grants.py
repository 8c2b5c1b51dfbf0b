"""From a ruling to the permit to act, and everything that does not get there."""

from __future__ import annotations

import base64
import copy
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, fields, replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.guardrails.actions import CONTEXT, NOW, PROPOSAL, policy
from watchfloor_core.alert import Integrity
from watchfloor_core.canonical import JsonValue, canonical, parse_canonical
from watchfloor_core.dsse import Signer, sign
from watchfloor_core.errors import RefusedError
from watchfloor_core.incident import AutonomyLevel
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.action_ruling import ActionRuling
from watchfloor_guardrails.approval import STATEMENT_TYPE, OpenApproval, Vote, VoteDecision, statement
from watchfloor_guardrails.assertion import ApproverKey, KeyKind, message_of
from watchfloor_guardrails.effect import EffectPermit
from watchfloor_guardrails.grant import (
    CLOCK_SKEW_US,
    MAX_TTL_US,
    PAYLOAD_TYPE,
    Authority,
    AuthorityKind,
    Grant,
    authorise,
    open_grant,
    permit_effect,
    seal_grant,
)
from watchfloor_guardrails.proposal import ActionProposal
from watchfloor_guardrails.ruling import rule
from watchfloor_guardrails.verified_approval import ApprovalRecord, VoteRecord
from watchfloor_guardrails.view import render_view, view_digest

L2, L4 = AutonomyLevel.L2, AutonomyLevel.L4
SIGNER = Signer(Ed25519PrivateKey.generate())
ISSUERS = {SIGNER.key_id: SIGNER.public_key}
KEYS = {name: Ed25519PrivateKey.generate() for name in ("ana", "ben", "lea")}
DEADLINE = NOW + 60_000_000


def ruling_at(level: AutonomyLevel, proposal: ActionProposal = PROPOSAL, **context: object) -> ActionRuling:
    surroundings: dict[str, object] = {"policy": policy(level), **context}
    ruling = rule(proposal, replace(CONTEXT, **surroundings))  # type: ignore[arg-type]  # by name, from tests
    assert isinstance(ruling, ActionRuling)
    return ruling


def vote_of(
    name: str,
    proposal: ActionProposal = PROPOSAL,
    *,
    decision: VoteDecision = VoteDecision.APPROVE,
    proposal_id: str = "act-1",
    by: str | None = None,
    at_us: int = NOW,
    said: bytes | None = None,
) -> VoteRecord:
    """A vote of ``name`` as it is kept, signed by the key of ``by``."""
    opened = OpenApproval(
        tenant=proposal.tenant,
        proposal_id=proposal_id,
        digest=proposal.digest,
        view_digest=view_digest(render_view(proposal)),
        requirement=ruling_at(L2).requirement or pytest.fail("nobody is asked"),
        deadline_us=DEADLINE,
        votes=(),
    )
    said = said or statement(opened, name, decision)
    key = KEYS[by or name]
    kept = ApproverKey("k", by or name, KeyKind.ED25519, key.public_key().public_bytes_raw())
    assertion = {"signature": base64.b64encode(key.sign(message_of(said))).decode()}
    return VoteRecord(Vote(name, decision, ("responder",), at_us), said, assertion, kept)


def record(*votes: VoteRecord) -> ApprovalRecord:
    return ApprovalRecord("act-1", DEADLINE, votes)


def authority(level: AutonomyLevel = L4, **values: object) -> Authority:
    asked: dict[str, object] = {
        "proposal": PROPOSAL,
        "ruling": ruling_at(level),
        "approval": None,
        "is_decoy": False,
        "veto_ends_us": None,
        "now_us": NOW,
        **values,
    }
    return authorise(**asked)  # type: ignore[arg-type]  # by name, from tests


def sealed(**values: object) -> tuple[Grant, str]:
    said: dict[str, object] = {
        "grant_id": "1" * 32,
        "proposal_id": "act-1",
        "audience": "executors",
        "now_us": NOW,
        "ttl_us": 120_000_000,
        **values,
    }
    return seal_grant(authority(), PROPOSAL, SIGNER, **said)  # type: ignore[arg-type]  # by name, from tests


def opened(envelope: str, *, audience: str = "executors", now_us: int = NOW) -> Grant:
    return open_grant(envelope, ISSUERS, audience=audience, now_us=now_us)


def test_a_level_that_allows_leads_to_a_permit_for_exactly_this_action() -> None:
    grant, envelope = sealed()
    permit = permit_effect(opened(envelope), authority(), PROPOSAL)

    assert opened(envelope) == grant
    assert (grant.authority, grant.people) == (AuthorityKind.LEVEL, ())
    assert (permit.action, permit.key) == (PROPOSAL.action, PROPOSAL.digest)
    assert permit.incident_id == PROPOSAL.incident_id


def test_peoples_signatures_lead_to_a_permit_in_their_names() -> None:
    found = authority(L2, approval=record(vote_of("ben"), vote_of("ana")))

    assert (found.kind, found.people) == (AuthorityKind.PEOPLE, ("ana", "ben"))


def test_a_stated_undo_takes_no_people() -> None:
    found = authority(L2, ruling=ruling_at(L2, undoes="ab" * 32))

    assert (found.kind, found.people) == (AuthorityKind.STATED_UNDO, ())


OTHER = replace(PROPOSAL, nonce="1" * 32)

# what is tried | with what | why not
REFUSED: list[tuple[str, Mapping[str, object], str]] = [
    ("a decoy", {"is_decoy": True}, "a decoy is never executed"),
    ("a ruling on another proposal", {"ruling": ruling_at(L4, OTHER)}, "about another proposal"),
    ("a ruling on nothing", {"ruling": replace(ruling_at(L4), digest="")}, "about another proposal"),
    ("a denial by the ruling", {"ruling": ruling_at(L4, engaged=("all",))}, "engaged for 'all'"),
    ("a denial with signatures", {"ruling": ruling_at(L4, engaged=("all",)), "approval": record(vote_of("ana"))},
     "engaged for 'all'"),
    ("a question that nobody was asked", {"level": L2}, "nobody has approved"),
    ("a question that nobody answered", {"level": L2, "approval": record()}, "0 signed approvals"),
    ("a question without a requirement", {"ruling": replace(ruling_at(L2), requirement=None),
     "approval": record(vote_of("ana"))}, "nobody has approved"),
    ("an objection at a level that allows", {"approval": record(vote_of("ana", decision=VoteDecision.DENY))},
     "denied by 'ana'"),
    ("a yes and a no", {"level": L2, "approval": record(vote_of("ana"), vote_of("ben", decision=VoteDecision.DENY))},
     "denied by 'ben'"),
    ("the author of the policy", {"level": L2, "approval": record(vote_of("lea"))}, "neither proposed it"),
    ("another's key", {"level": L2, "approval": record(vote_of("ana", by="ben"))}, "no signature of theirs"),
    ("no signature", {"level": L2, "approval": record(replace(vote_of("ana"), assertion=None))}, "no signature"),
    ("no key", {"level": L2, "approval": record(replace(vote_of("ana"), key=None))}, "no signature of theirs"),
    ("another proposal's vote", {"level": L2, "approval": record(vote_of("ana", OTHER))}, "not an approval of this"),
    ("another id's vote", {"level": L2, "approval": record(vote_of("ana", proposal_id="act-2"))},
     "not an approval of this"),
    ("a signed denial recorded as a yes", {"level": L2, "approval": record(replace(
        vote_of("ana", decision=VoteDecision.DENY), vote=Vote("ana", VoteDecision.APPROVE, ("responder",), NOW)))},
     "not an approval of this"),
    ("a rewritten statement", {"level": L2, "approval": record(replace(
        vote_of("ana", OTHER), statement=vote_of("ana").statement))}, "is not one of key"),
    ("a vote at the deadline", {"level": L2, "approval": record(vote_of("ana", at_us=DEADLINE))}, "1 signed approvals"),
    ("a revoked key", {"level": L2, "approval": record(replace(
        vote_of("ana"), key=replace(vote_of("ana").key, revoked_us=NOW)))}, "was not in force then"),  # type: ignore[type-var]  # it has one
    ("a key that was revoked after it signed", {"level": L2, "now_us": NOW + 20, "approval": record(replace(
        vote_of("ana"), key=replace(vote_of("ana").key, revoked_us=NOW + 10)))}, "was revoked since"),  # type: ignore[type-var]  # it has one
    ("a veto window that nobody opened", {"ruling": ruling_at(L4, policy=policy(veto_window_s=300))}, "still object"),
    ("a veto window that is open", {"ruling": ruling_at(L4, policy=policy(veto_window_s=300)),
     "veto_ends_us": NOW + 1}, "still object"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_gives_no_authority(values: Mapping[str, object], reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        authority(**values)  # type: ignore[arg-type]  # by name, from the table


def test_the_end_of_a_veto_window_without_an_objection_is_the_levels_authority() -> None:
    found = authority(ruling=ruling_at(L4, policy=policy(veto_window_s=300)), veto_ends_us=NOW, approval=record())
    assert found.kind is AuthorityKind.LEVEL


def test_an_authority_for_another_proposal_seals_nothing() -> None:
    with pytest.raises(RefusedError, match="for another proposal"):
        seal_grant(authority(), OTHER, SIGNER, grant_id="1" * 32, proposal_id="act-1", audience="x", now_us=1, ttl_us=1)


@pytest.mark.parametrize(
    ("ttl_us", "lives_us"),
    [(1, 1), (0, 1), (-5, 1), (MAX_TTL_US, MAX_TTL_US), (MAX_TTL_US + 1, MAX_TTL_US), (2**52, MAX_TTL_US)],
)
def test_no_grant_is_sealed_for_longer_than_five_minutes(ttl_us: int, lives_us: int) -> None:
    grant, _ = sealed(ttl_us=ttl_us)
    assert grant.expires_us - grant.issued_us == lives_us
    assert MAX_TTL_US == 5 * 60 * 1_000_000


def test_no_grant_outlives_its_proposal() -> None:
    grant, _ = sealed(now_us=PROPOSAL.expires_us - 7)
    assert grant.expires_us == PROPOSAL.expires_us


def payload_of(envelope: str) -> dict[str, JsonValue]:
    content = parse_canonical(base64.b64decode(json.loads(envelope)["payload"]))
    assert isinstance(content, dict)
    return content


def with_payload(envelope: str, **values: JsonValue) -> str:
    """The envelope over another payload, with the signature that it had."""
    content = json.loads(envelope)
    content["payload"] = base64.b64encode(canonical({**payload_of(envelope), **values})).decode()
    return json.dumps(content)


def resealed(signer: Signer = SIGNER, kind: str = PAYLOAD_TYPE, **values: JsonValue) -> str:
    """An envelope over another payload, properly signed."""
    content = {**payload_of(sealed()[1]), **values}
    return sign(kind, canonical({name: value for name, value in content.items() if value is not None}), signer)


FOREIGN = Signer(Ed25519PrivateKey.generate())
BAD_ENVELOPES: list[tuple[str, str, str]] = [
    ("nothing", "", "not a DSSE envelope"),
    ("no object", "[]", "not a DSSE envelope"),
    ("a foreign signature", resealed(FOREIGN), "no trusted key has signed"),
    ("a foreign signature under our key's name",
     resealed(FOREIGN).replace(FOREIGN.key_id, SIGNER.key_id), "no trusted key has signed"),
    ("no signature", json.dumps({**json.loads(sealed()[1]), "signatures": []}), "no trusted key has signed"),
    ("another digest", with_payload(sealed()[1], digest=OTHER.digest), "no trusted key has signed"),
    ("a later end", with_payload(sealed()[1], expires_us=2**52), "no trusted key has signed"),
    ("another kind of statement", resealed(kind=STATEMENT_TYPE), "expected"),
    ("a field more", resealed(scope="all"), "not a grant"),
    ("a field less", resealed(kill_epoch=None), "not a grant"),
    ("a text for a number", resealed(kill_epoch="4"), "not a grant"),
    ("another format", resealed(v=2), "format 2"),
    ("no known authority", resealed(authority="root"), "not a grant"),
    ("another audience", resealed(audience="executors-2"), "is for 'executors-2'"),
    ("six minutes", resealed(expires_us=NOW + 360_000_000), "longer than any may"),
    ("expired", resealed(issued_us=NOW - 120_000_000, expires_us=NOW), "not valid at this moment"),
    ("of tomorrow", resealed(issued_us=NOW + 86_400_000_000, expires_us=NOW + 86_401_000_000), "not valid"),
    ("an end before its beginning", resealed(issued_us=NOW, expires_us=NOW - 1), "not valid at this moment"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("envelope", "reason"), [row[1:] for row in BAD_ENVELOPES], ids=[row[0] for row in BAD_ENVELOPES]
)
def test_what_is_no_grant(envelope: str, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        opened(envelope)


def test_two_machines_clocks_may_differ_by_seconds_and_no_more() -> None:
    _, envelope = sealed()
    assert opened(envelope, now_us=NOW - CLOCK_SKEW_US).issued_us == NOW
    for moment in (NOW - CLOCK_SKEW_US - 1, NOW + 120_000_000):
        with pytest.raises(RefusedError, match="not valid at this moment"):
            opened(envelope, now_us=moment)


ENVELOPE = sealed()[1]


@given(st.integers(0, len(ENVELOPE) - 1), st.sampled_from('Aa0_="}{'))
@settings(max_examples=200, deadline=None)
def test_an_envelope_with_one_character_changed_is_refused_or_says_the_same(place: int, character: str) -> None:
    changed = ENVELOPE[:place] + character + ENVELOPE[place + 1 :]
    try:
        found = opened(changed)
    except RefusedError:
        return
    assert found == opened(ENVELOPE)


# what is not about the same action: grant | authority | proposal
CROSSED: list[tuple[str, Callable[[], tuple[Grant, Authority, ActionProposal]]]] = [
    ("another proposal", lambda: (sealed()[0], authority(), OTHER)),
    ("another proposal's authority", lambda: (
        sealed()[0], authority(proposal=OTHER, ruling=ruling_at(L4, OTHER)), PROPOSAL
    )),
    ("another digest granted", lambda: (replace(sealed()[0], digest=OTHER.digest), authority(), PROPOSAL)),
    ("another tenant", lambda: (replace(sealed()[0], tenant="other"), authority(), PROPOSAL)),
    ("another epoch", lambda: (replace(sealed()[0], kill_epoch=3), authority(), PROPOSAL)),
    ("other arguments", lambda: (
        sealed()[0], authority(), replace(PROPOSAL, arguments={"n": Labelled(1, Integrity.SENSOR)})
    )),
    ("another target", lambda: (
        sealed()[0], authority(), replace(PROPOSAL, target=Labelled("203.0.113.8", Integrity.SENSOR))
    )),
]  # fmt: skip


@pytest.mark.parametrize("make", [row[1] for row in CROSSED], ids=[row[0] for row in CROSSED])
def test_a_permit_takes_grant_authority_and_proposal_of_one_action(
    make: Callable[[], tuple[Grant, Authority, ActionProposal]],
) -> None:
    grant, found, proposal = make()
    with pytest.raises(RefusedError, match=r"not about the same action|another kill epoch"):
        permit_effect(grant, found, proposal)


def permit() -> EffectPermit:
    return permit_effect(sealed()[0], authority(), PROPOSAL)


def test_neither_an_authority_nor_a_permit_is_made_by_anyone_else() -> None:
    for stranger in (None, object(), True, "authority"):
        with pytest.raises(TypeError, match="comes from authorise"):
            Authority(AuthorityKind.LEVEL, PROPOSAL.digest, (), stranger)
        with pytest.raises(TypeError, match="comes from permit_effect"):
            EffectPermit(PROPOSAL.action, PROPOSAL.digest, stranger)


@pytest.mark.parametrize("make", [authority, permit], ids=["authority", "permit"])
def test_neither_an_authority_nor_a_permit_is_copied_changed_or_sent(make: Callable[[], object]) -> None:
    held = make()
    for leave in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="does not leave its process"):
            leave(held)
    with pytest.raises((TypeError, ValueError)):
        replace(held, **{fields(held)[0].name: None})  # type: ignore[type-var, arg-type]  # both are dataclasses
    for stranger in (None, object()):
        secret = "mint" if isinstance(held, Authority) else "authority"
        with pytest.raises(TypeError, match="comes from"):
            replace(held, **{secret: stranger})  # type: ignore[type-var]  # both are dataclasses
    with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
        held.key = "0" * 64  # type: ignore[attr-defined]  # that is what is tried
    with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
        held.forged = True  # type: ignore[attr-defined]  # that is what is tried


@pytest.mark.parametrize("kind", [Authority, EffectPermit])
def test_neither_has_subclasses_that_would_leave_the_check_out(kind: type) -> None:
    with pytest.raises(TypeError, match="no subclasses"):
        type("Forged", (kind,), {"__post_init__": lambda self, secret: None})


@pytest.mark.parametrize("kind", [Authority, EffectPermit])
def test_an_object_made_past_the_constructor_says_nothing(kind: type) -> None:
    hollow: object = object.__new__(kind)
    for name in kind.__slots__:  # type: ignore[attr-defined]  # both have slots
        with pytest.raises(AttributeError):
            getattr(hollow, name)
