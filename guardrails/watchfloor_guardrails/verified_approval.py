"""People's approval of one proposal, checked from what was kept: statements, assertions and public keys.

The issuer of a grant and the executor each check it for themselves: a row in a table is a claim, a signature is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from watchfloor_core.canonical import JsonValue
from watchfloor_core.errors import RefusedError
from watchfloor_guardrails.approval import ApprovalRequirement, Vote, VoteDecision, is_enough, states
from watchfloor_guardrails.assertion import ApproverKey, RelyingParty, verify_assertion
from watchfloor_guardrails.proposal import ActionProposal
from watchfloor_guardrails.view import render_view, view_digest


@dataclass(frozen=True, slots=True)
class VoteRecord:
    """A vote as it was kept."""

    vote: Vote
    statement: bytes
    assertion: Mapping[str, JsonValue] | None
    key: ApproverKey | None


@dataclass(frozen=True, slots=True)
class ApprovalRecord:
    """All that was kept about the approval of one proposal."""

    proposal_id: str
    deadline_us: int
    votes: tuple[VoteRecord, ...]


def approvers(
    proposal: ActionProposal,
    record: ApprovalRecord,
    requirement: ApprovalRequirement,
    party: RelyingParty | None,
    now_us: int,
) -> tuple[str, ...]:
    """The people whose valid signatures satisfy ``requirement`` for this very proposal.

    Raises `RefusedError` where they do not: too few, not permitted, too late, over another digest or view, by a key
    that is not theirs, or where anyone denied. A key that has been revoked by ``now_us`` moves nothing any more: its
    signatures stay verifiable, but who signed with it is no longer certain.
    """
    refused = [one.vote.principal for one in record.votes if one.vote.decision is VoteDecision.DENY]
    if refused:
        raise RefusedError(f"denied by {', '.join(map(repr, refused))}")
    valid = tuple(_valid(proposal, record, party, now_us))
    if not is_enough(requirement, valid, record.deadline_us):
        raise RefusedError(
            f"{len(valid)} signed approvals; it takes {requirement.quorum} of different people with role "
            f"{' or '.join(requirement.roles)} who neither proposed it nor shaped what it rests on"
        )
    return tuple(sorted(vote.principal for vote in valid))


def _valid(proposal: ActionProposal, record: ApprovalRecord, party: RelyingParty | None, now_us: int) -> Iterable[Vote]:
    digest, view = proposal.digest, view_digest(render_view(proposal))
    for one in record.votes:
        vote = one.vote
        if one.key is None or one.assertion is None or one.key.principal != vote.principal:
            raise RefusedError(f"the approval of {vote.principal!r} bears no signature of theirs")
        if not states(
            one.statement,
            tenant=proposal.tenant,
            proposal_id=record.proposal_id,
            digest=digest,
            view_digest=view,
            principal=vote.principal,
        ):
            raise RefusedError(f"what {vote.principal!r} signed is not an approval of this proposal")
        verify_assertion(one.statement, one.assertion, one.key, vote.decided_us, party)
        if one.key.revoked_us is not None and one.key.revoked_us <= now_us:
            raise RefusedError(f"the key with which {vote.principal!r} approved was revoked since; propose it anew")
        yield vote
