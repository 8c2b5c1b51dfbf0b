"""People's decisions on one proposal: who may decide, what they sign, and when it is enough.

Pure and without a clock, so that the workflow's validator, the transaction that records a vote, the issuer of the grant
and the executor give the same answer. The rules, none of which is configurable:

- a person, never a service or an agent; not the proposer, the requester, whoever named what is acted on, an editor of
  the evidence, or the author of the policy in force;
- one vote each; ``quorum`` different people for a yes, one for a no, and a no is final;
- a yes is signed, over the digest and the view; nothing after the deadline counts, and a deadline is a no.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from watchfloor_core.canonical import canonical, parse_canonical
from watchfloor_guardrails.decision import MAX_COMMENT, MAX_PRINCIPAL, PrincipalKind

STATEMENT_TYPE: Final = "application/vnd.watchfloor.approval+json"
"""Payload type under which the statement is signed."""


class VoteDecision(StrEnum):
    APPROVE = "approve"
    DENY = "deny"


class ApprovalOutcome(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class ApprovalRequirement:
    """What it takes for a yes. Larger numbers and fewer roles are stricter."""

    quorum: int
    """So many different people."""
    roles: tuple[str, ...]
    """Each of them holds at least one of these."""
    excluded: tuple[str, ...]
    """Principals who may not decide on this one, sorted."""
    deadline_s: int
    """From the ruling; then it is a no."""
    remind_after_s: int
    escalate_after_s: tuple[int, ...]
    """Each time it is put before one more link of the chain."""
    chain: tuple[str, ...]
    """Roles, in the order in which they are told."""


@dataclass(frozen=True, slots=True)
class Voter:
    """Who decides, as authentication established it."""

    principal: str
    kind: PrincipalKind
    roles: tuple[str, ...]
    """Held in the proposal's tenant."""
    tenant: str


@dataclass(frozen=True, slots=True)
class Vote:
    """A recorded decision."""

    principal: str
    decision: VoteDecision
    roles: tuple[str, ...]
    decided_us: int


@dataclass(frozen=True, slots=True)
class OpenApproval:
    """The proposal as far as deciding on it goes."""

    tenant: str
    proposal_id: str
    digest: str
    view_digest: str
    requirement: ApprovalRequirement
    deadline_us: int
    votes: tuple[Vote, ...]
    voided: str | None = None
    """Why it no longer holds, if so."""

    def outcome(self, now_us: int) -> ApprovalOutcome:
        """Where it stands; what is no longer pending stays so, whatever comes after."""
        if any(vote.decision is VoteDecision.DENY for vote in self.votes):
            return ApprovalOutcome.DENIED
        if self.voided is not None:
            return ApprovalOutcome.VOIDED
        if is_enough(self.requirement, self.votes, self.deadline_us):
            return ApprovalOutcome.APPROVED
        return ApprovalOutcome.EXPIRED if now_us >= self.deadline_us else ApprovalOutcome.PENDING


def is_enough(requirement: ApprovalRequirement, votes: Iterable[Vote], deadline_us: int) -> bool:
    """Whether these votes are a yes: enough different people, each permitted, each in time, and nobody against."""
    given = tuple(votes)
    if any(vote.decision is VoteDecision.DENY for vote in given):
        return False
    people = {
        _same_person(vote.principal)
        for vote in given
        if vote.decided_us < deadline_us
        and vote.principal not in _excluded(requirement)
        and _same_person(vote.principal) not in _excluded(requirement)
        and set(vote.roles) & set(requirement.roles)
    }
    return requirement.quorum >= 1 and len(people) >= requirement.quorum


def refusals(
    voter: Voter, decision: VoteDecision, digest: str, comment: str, approval: OpenApproval, now_us: int
) -> list[str]:
    """Every reason against this person's decision, each with its remedy; empty where it counts."""
    found: list[str] = []
    requirement = approval.requirement
    if voter.kind is not PrincipalKind.PERSON:
        found.append(f"{voter.principal!r} is a {voter.kind}; only a person approves or denies")
    if not 1 <= len(voter.principal) <= MAX_PRINCIPAL:
        found.append(f"the principal's name has {len(voter.principal)} characters; 1 to {MAX_PRINCIPAL} are expected")
    if voter.tenant != approval.tenant:
        found.append(f"proposal {approval.proposal_id!r} is not of tenant {voter.tenant!r}")
    if _same_person(voter.principal) in _excluded(requirement):
        found.append(
            f"{voter.principal!r} proposed it, asked for it, named what it acts on, edited its evidence or wrote the "
            "policy it is ruled by; another person decides"
        )
    if not set(voter.roles) & set(requirement.roles):
        found.append(f"this takes role {' or '.join(requirement.roles)}; {voter.principal!r} has {_named(voter.roles)}")
    if digest != approval.digest:
        found.append("the decision is about another digest than the proposal's; look at it again")
    if any(_same_person(vote.principal) == _same_person(voter.principal) for vote in approval.votes):
        found.append(f"{voter.principal!r} has decided on it already; nobody decides twice")
    outcome = approval.outcome(now_us)
    if outcome is not ApprovalOutcome.PENDING:
        because = f": {approval.voided}" if outcome is ApprovalOutcome.VOIDED else ""
        found.append(f"the approval is {outcome}{because}; propose the action anew where it is still wanted")
    found.extend(comment_faults(decision, comment))
    return found


def comment_faults(decision: VoteDecision, comment: str) -> list[str]:
    """What is wrong with a decision's comment, whoever decides on whatever."""
    found: list[str] = []
    if len(comment) > MAX_COMMENT:
        found.append(f"the comment has {len(comment):,} characters; at most {MAX_COMMENT:,} are kept")
    if "\0" in comment or any("\ud800" <= character <= "\udfff" for character in comment):
        found.append("the comment holds a NUL or half a surrogate pair, which no database keeps; remove it")
    if decision is VoteDecision.DENY and not comment.strip():
        found.append("a denial says why; give a comment")
    return found


def statement(approval: OpenApproval, principal: str, decision: VoteDecision) -> bytes:
    """What the person signs, as canonical bytes: the digest, the view, their decision and their own name."""
    return canonical(
        {
            "v": 1,
            "tenant": approval.tenant,
            "proposal": approval.proposal_id,
            "digest": approval.digest,
            "view": approval.view_digest,
            "decision": decision.value,
            "principal": principal,
        }
    )


def states(data: bytes, *, tenant: str, proposal_id: str, digest: str, view_digest: str, principal: str) -> bool:
    """True where ``data`` is the statement with which this person approves this very proposal."""
    try:
        content = parse_canonical(data)
    except ValueError:
        return False
    return content == {
        "v": 1,
        "tenant": tenant,
        "proposal": proposal_id,
        "digest": digest,
        "view": view_digest,
        "decision": VoteDecision.APPROVE.value,
        "principal": principal,
    }


def excluded_people(
    *,
    proposer: str,
    requester: str | None,
    evidence_editors: Collection[str],
    policy_author: str | None,
    named_by: Collection[str] = (),
) -> tuple[str, ...]:
    """Who may not decide, sorted."""
    named = {proposer, *named_by, *evidence_editors, *(one for one in (requester, policy_author) if one)}
    return tuple(sorted(named))


def _excluded(requirement: ApprovalRequirement) -> frozenset[str]:
    return frozenset(_same_person(name) for name in requirement.excluded)


def _same_person(principal: str) -> str:
    """Names differ by more than case: an account system that takes both must not give one person two votes."""
    return principal.casefold()


def _named(roles: Collection[str]) -> str:
    return ", ".join(sorted(roles)) or "none"
