"""Who may decide on a proposal and when it is enough: as a table, as properties, and as a machine of states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from watchfloor_core.canonical import canonical, parse_canonical
from watchfloor_guardrails.approval import (
    ApprovalOutcome,
    ApprovalRequirement,
    OpenApproval,
    Vote,
    VoteDecision,
    Voter,
    excluded_people,
    is_enough,
    refusals,
    statement,
    states,
)
from watchfloor_guardrails.decision import MAX_COMMENT, MAX_PRINCIPAL, PrincipalKind

APPROVE, DENY = VoteDecision
PENDING, APPROVED, DENIED, EXPIRED, VOIDED = ApprovalOutcome
DEADLINE = 1_000
DIGEST, OTHER = "ab" * 32, "cd" * 32
REQUIREMENT = ApprovalRequirement(
    quorum=2,
    roles=("responder", "lead"),
    excluded=("lea", "Specialist:response"),
    deadline_s=1,
    remind_after_s=0,
    escalate_after_s=(),
    chain=("responder",),
)
APPROVAL = OpenApproval(
    tenant="acme",
    proposal_id="act-1",
    digest=DIGEST,
    view_digest="12" * 32,
    requirement=REQUIREMENT,
    deadline_us=DEADLINE,
    votes=(),
)
ANA = Voter("ana", PrincipalKind.PERSON, ("responder",), "acme")


def yes(principal: str, at_us: int = 10, *roles: str) -> Vote:
    return Vote(principal, APPROVE, roles or ("responder",), at_us)


def no(principal: str, at_us: int = 10) -> Vote:
    return Vote(principal, DENY, ("responder",), at_us)


# what is wrong | in the voter | in the call | in the approval | the reason, by its words
ROWS: list[tuple[str, Mapping[str, object], Mapping[str, object], Mapping[str, object], str | None]] = [
    ("nothing", {}, {}, {}, None),
    ("a denial with its reason", {}, {"decision": DENY, "comment": "our scanner"}, {}, None),
    ("the second of two", {}, {}, {"votes": (yes("ben"),)}, None),
    ("a service", {"kind": PrincipalKind.SERVICE}, {}, {}, "only a person"),
    ("an agent", {"kind": PrincipalKind.AGENT}, {}, {}, "only a person"),
    ("an agent that denies", {"kind": PrincipalKind.AGENT}, {"decision": DENY, "comment": "no"}, {}, "only a person"),
    ("no name", {"principal": ""}, {}, {}, "characters; 1 to"),
    ("too long a name", {"principal": "a" * (MAX_PRINCIPAL + 1)}, {}, {}, "characters; 1 to"),
    ("another tenant", {"tenant": "other"}, {}, {}, "not of tenant"),
    ("whoever is excluded", {"principal": "lea"}, {}, {}, "another person decides"),
    ("whoever is excluded, in capitals", {"principal": "LEA"}, {}, {}, "another person decides"),
    ("the proposer, in small letters", {"principal": "specialist:response"}, {}, {}, "another person decides"),
    ("no role", {"roles": ()}, {}, {}, "this takes role responder or lead"),
    ("a role too small", {"roles": ("viewer", "analyst")}, {}, {}, "this takes role responder or lead"),
    ("an administrator", {"roles": ("admin",)}, {}, {}, "this takes role responder or lead"),
    ("another digest", {}, {"digest": OTHER}, {}, "another digest"),
    ("twice", {}, {}, {"votes": (yes("ana"),)}, "nobody decides twice"),
    ("twice, in capitals", {"principal": "ANA"}, {}, {"votes": (yes("ana"),)}, "nobody decides twice"),
    ("a change of mind", {}, {"decision": DENY, "comment": "no"}, {"votes": (yes("ana"),)}, "nobody decides twice"),
    ("at the deadline", {}, {"now_us": DEADLINE}, {}, "the approval is expired"),
    ("a denial at the deadline", {}, {"decision": DENY, "comment": "no", "now_us": DEADLINE}, {}, "is expired"),
    ("after a denial", {}, {}, {"votes": (no("ben"),)}, "the approval is denied"),
    ("after it was enough", {}, {}, {"votes": (yes("ben"), yes("cid"))}, "the approval is approved"),
    ("voided", {}, {}, {"voided": "the incident is closed"}, "voided: the incident is closed"),
    ("too long a comment", {}, {"comment": "x" * (MAX_COMMENT + 1)}, {}, "at most 4,000 are kept"),
    ("a NUL in the comment", {}, {"comment": "a\0b"}, {}, "NUL or half a surrogate"),
    ("half a surrogate pair", {}, {"comment": "\ud800"}, {}, "NUL or half a surrogate"),
    ("a denial without a word", {}, {"decision": DENY, "comment": " "}, {}, "a denial says why"),
]


@pytest.mark.parametrize(
    ("voter", "call", "approval", "reason"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_who_is_refused_and_why(
    voter: Mapping[str, object], call: Mapping[str, object], approval: Mapping[str, object], reason: str | None
) -> None:
    asked: dict[str, object] = {"decision": APPROVE, "digest": DIGEST, "comment": "", "now_us": 10, **call}
    found = refusals(
        replace(ANA, **voter),  # type: ignore[arg-type]  # by name, from the table
        approval=replace(APPROVAL, **approval),  # type: ignore[arg-type]  # as above
        **asked,  # type: ignore[arg-type]  # as above
    )

    assert len(found) == (reason is not None)
    assert reason is None or reason in found[0]


def test_every_reason_is_given_at_once() -> None:
    agent = Voter("Lea", PrincipalKind.AGENT, (), "other")
    found = refusals(agent, DENY, OTHER, "\0", replace(APPROVAL, votes=(yes("lea"),)), DEADLINE)
    assert len(found) == 8


@pytest.mark.parametrize(
    ("votes", "outcome"),
    [
        ((), PENDING),
        ((yes("ana"),), PENDING),
        ((yes("ana"), yes("ben")), APPROVED),
        ((yes("ana"), yes("ben"), yes("cid")), APPROVED),
        ((yes("ana"), yes("ANA")), PENDING),
        ((yes("strasse"), yes("Straße")), PENDING),
        ((yes("ana"), yes("lea")), PENDING),
        ((yes("ana"), yes("LEA")), PENDING),
        ((yes("ana"), yes("ben", 10, "viewer")), PENDING),
        ((yes("ana"), yes("ben", 10, "viewer", "lead")), APPROVED),
        ((yes("ana"), yes("ben", DEADLINE - 1)), APPROVED),
        ((yes("ana"), yes("ben", DEADLINE)), PENDING),
        ((no("ana"),), DENIED),
        ((yes("ana"), yes("ben"), no("cid")), DENIED),
        ((yes("ana"), yes("ben"), no("lea", DEADLINE + 9)), DENIED),
    ],
    ids=str,
)
def test_when_it_is_enough(votes: tuple[Vote, ...], outcome: ApprovalOutcome) -> None:
    approval = replace(APPROVAL, votes=votes)

    assert approval.outcome(DEADLINE - 1) is outcome
    assert approval.outcome(DEADLINE) is (EXPIRED if outcome is PENDING else outcome)
    assert replace(approval, voided="gone").outcome(10) is (DENIED if outcome is DENIED else VOIDED)


@pytest.mark.parametrize("quorum", [0, -1])
def test_no_quorum_is_met_by_nobody(quorum: int) -> None:
    for votes in ((), (yes("ana"), yes("ben"))):
        assert not is_enough(replace(REQUIREMENT, quorum=quorum), votes, DEADLINE)


def test_everyone_who_shaped_it_is_excluded() -> None:
    named = excluded_people(
        proposer="specialist:response", requester="ana", evidence_editors=("eve", "ana"), policy_author="lea"
    )
    assert named == ("ana", "eve", "lea", "specialist:response")
    assert excluded_people(proposer="p", requester=None, evidence_editors=(), policy_author=None) == ("p",)


SAID = {
    "tenant": "acme",
    "proposal_id": "act-1",
    "digest": DIGEST,
    "view_digest": "12" * 32,
    "principal": "ana",
}


def test_what_a_person_signs_states_this_approval_and_nothing_else() -> None:
    said = statement(APPROVAL, "ana", APPROVE)
    assert states(said, **SAID)
    for name in SAID:
        assert not states(said, **{**SAID, name: "another"})
    assert not states(statement(APPROVAL, "ana", DENY), **SAID)


@given(
    st.sampled_from(["v", "tenant", "proposal", "digest", "view", "decision", "principal", "more"]),
    st.integers(2, 2**50),
)
def test_a_statement_that_says_more_or_otherwise_states_nothing(name: str, value: int) -> None:
    content = parse_canonical(statement(APPROVAL, "ana", APPROVE))
    assert isinstance(content, dict)
    assert not states(canonical({**content, name: value}), **SAID)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_statement_state_nothing(data: bytes) -> None:
    assert not states(data, **SAID)


NAMES = st.sampled_from(["ana", "ANA", "Ana", "ben", "Ben", "cid", "straße", "STRASSE", "lea", "LEA", "dan"])
VOTES = st.lists(
    st.builds(
        Vote,
        NAMES,
        st.sampled_from(VoteDecision),
        st.lists(st.sampled_from(["responder", "lead", "viewer", "admin"]), max_size=2).map(tuple),
        st.integers(0, 2 * DEADLINE),
    ),
    max_size=8,
)
YES_VOTES = VOTES.map(lambda votes: [replace(vote, decision=APPROVE) for vote in votes])
QUORUMS = st.integers(1, 4)


@given(YES_VOTES, QUORUMS)
def test_nobody_counts_twice(votes: list[Vote], quorum: int) -> None:
    requirement = replace(REQUIREMENT, quorum=quorum)
    again = [replace(vote, principal=vote.principal.swapcase(), decided_us=vote.decided_us) for vote in votes]
    people = {vote.principal.casefold() for vote in votes}
    assert is_enough(requirement, [*votes, *again, *votes], DEADLINE) == is_enough(requirement, votes, DEADLINE)
    assert not is_enough(requirement, votes, DEADLINE) or len(people) >= quorum


@given(YES_VOTES, VOTES, QUORUMS)
def test_nothing_counts_that_came_after_the_deadline(votes: list[Vote], late: list[Vote], quorum: int) -> None:
    requirement = replace(REQUIREMENT, quorum=quorum)
    after = [replace(vote, decision=APPROVE, decided_us=DEADLINE + vote.decided_us) for vote in late]
    assert is_enough(requirement, [*votes, *after], DEADLINE) == is_enough(requirement, votes, DEADLINE)


@given(VOTES, VOTES, NAMES, QUORUMS, st.integers(0, 3 * DEADLINE))
def test_a_no_is_final_whatever_comes_before_and_after(
    before: list[Vote], after: list[Vote], name: str, quorum: int, now_us: int
) -> None:
    votes = (*before, no(name), *after)
    approval = replace(APPROVAL, requirement=replace(REQUIREMENT, quorum=quorum), votes=votes)
    assert approval.outcome(now_us) is DENIED
    assert not is_enough(approval.requirement, votes, DEADLINE)


@given(YES_VOTES, QUORUMS, st.sampled_from(["quorum", "roles", "excluded", "deadline"]))
def test_a_stricter_requirement_is_never_met_sooner(votes: list[Vote], quorum: int, what: str) -> None:
    requirement, deadline = replace(REQUIREMENT, quorum=quorum), DEADLINE
    stricter, earlier = requirement, deadline
    match what:
        case "quorum":
            stricter = replace(requirement, quorum=quorum + 1)
        case "roles":
            stricter = replace(requirement, roles=("lead",))
        case "excluded":
            stricter = replace(requirement, excluded=(*requirement.excluded, "ana"))
        case _:
            earlier = deadline // 2
    assert not is_enough(stricter, votes, earlier) or is_enough(requirement, votes, deadline)


@dataclass(frozen=True)
class Cast:
    """What the test itself knows of a decision that was taken, beside the code under test."""

    person: str
    is_yes: bool
    is_permitted: bool
    at_us: int


PEOPLE = {
    # name: kind, roles, may decide on this one
    "ana": (PrincipalKind.PERSON, ("responder",), True),
    "ANA": (PrincipalKind.PERSON, ("responder",), True),
    "ben": (PrincipalKind.PERSON, ("lead",), True),
    "cid": (PrincipalKind.PERSON, ("analyst", "responder"), True),
    "vic": (PrincipalKind.PERSON, ("viewer", "admin"), False),
    "lea": (PrincipalKind.PERSON, ("lead",), False),
    "Specialist:Response": (PrincipalKind.PERSON, ("lead",), False),
    "specialist:response": (PrincipalKind.AGENT, ("responder",), False),
    "soar": (PrincipalKind.SERVICE, ("responder", "lead"), False),
}


class ApprovalMachine(RuleBasedStateMachine):
    """Everybody tries everything, time passes, the proposal may be voided."""

    @initialize(quorum=st.integers(1, 3))
    def ask(self, quorum: int) -> None:
        self.approval = replace(APPROVAL, requirement=replace(REQUIREMENT, quorum=quorum))
        self.now = 0
        self.cast: list[Cast] = []
        self.seen = [PENDING]

    @rule(
        name=st.sampled_from(sorted(PEOPLE)),
        decision=st.sampled_from([APPROVE, APPROVE, APPROVE, DENY]),
        digest=st.sampled_from([DIGEST, DIGEST, DIGEST, OTHER]),
        tenant=st.sampled_from(["acme", "acme", "acme", "other"]),
    )
    def decide(self, name: str, decision: VoteDecision, digest: str, tenant: str) -> None:
        kind, roles, is_permitted = PEOPLE[name]
        before = self.approval.outcome(self.now)
        against = refusals(Voter(name, kind, roles, tenant), decision, digest, "because", self.approval, self.now)
        if not against:
            assert is_permitted
            assert (before, digest, tenant) == (PENDING, DIGEST, "acme")
            self._count(name, decision, roles, is_permitted=True)

    @rule(name=st.sampled_from(sorted(name for name, (kind, _, _) in PEOPLE.items() if kind is PrincipalKind.PERSON)))
    def write_a_yes_past_the_rules(self, name: str) -> None:
        """A row is a claim: only permitted people count, in time. That it is a person's the signature shows."""
        _, roles, is_permitted = PEOPLE[name]
        if self.approval.outcome(self.now) is not APPROVED:
            self._count(name, APPROVE, roles, is_permitted=is_permitted)

    @rule(us=st.sampled_from([1, DEADLINE // 4, DEADLINE]))
    def wait(self, us: int) -> None:
        self.now += us

    @precondition(lambda self: self.approval.voided is None)
    @rule()
    def void(self) -> None:
        self.approval = replace(self.approval, voided="the incident has changed")

    @invariant()
    def it_is_approved_exactly_where_enough_people_agreed_in_time(self) -> None:
        outcome = self.approval.outcome(self.now)
        agreed = {
            one.person.casefold() for one in self.cast if one.is_yes and one.is_permitted and one.at_us < DEADLINE
        }
        is_denied = any(not one.is_yes for one in self.cast)
        is_due = len(agreed) >= self.approval.requirement.quorum
        assert (outcome is DENIED) == is_denied
        assert (outcome is APPROVED) == (is_due and not is_denied and self.approval.voided is None)

    @invariant()
    def what_has_ended_is_never_approved_afterwards(self) -> None:
        outcome = self.approval.outcome(self.now)
        if outcome is APPROVED:
            assert set(self.seen) <= {PENDING, APPROVED}
        if DENIED in self.seen:
            assert outcome is DENIED
        if set(self.seen) != {PENDING}:
            assert outcome is not PENDING
        self.seen.append(outcome)

    def _count(self, name: str, decision: VoteDecision, roles: tuple[str, ...], *, is_permitted: bool) -> None:
        vote = Vote(name, decision, roles, self.now)
        self.approval = replace(self.approval, votes=(*self.approval.votes, vote))
        self.cast.append(Cast(name, decision is APPROVE, is_permitted, self.now))


TestApprovalMachine = ApprovalMachine.TestCase
TestApprovalMachine.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
