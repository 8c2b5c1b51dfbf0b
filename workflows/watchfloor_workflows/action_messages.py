"""What goes into the workflows and activities of actions and approvals, and what comes out.

All of it is stored in Temporal's history, so nothing here is large or secret: proposals, grants and votes stay in the
store and travel by id.
"""

from __future__ import annotations

from dataclasses import dataclass

from watchfloor_guardrails.approval import ApprovalOutcome, VoteDecision
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.proposal import ProposalStatus


@dataclass(frozen=True, slots=True)
class ProposalRef:
    """Names one proposal; what every activity about it takes."""

    tenant: str
    proposal_id: str


@dataclass(frozen=True, slots=True)
class RunActionInput:
    """Starts `ActionWorkflow`."""

    tenant: str
    proposal_id: str
    executor_queue: str
    lease_ends_us: int | None = None
    """Set where a long-lived lease starts its history anew: only its end is left to be done."""


@dataclass(frozen=True, slots=True)
class RunActionResult:
    """How an action ended."""

    status: ProposalStatus
    reason: str


@dataclass(frozen=True, slots=True)
class ObserveTargetResult:
    """What the executor saw."""

    tool: str
    tool_pin: str
    state_digest: str
    problem: str | None = None
    """Why it could not be looked at; the other fields are empty then."""


@dataclass(frozen=True, slots=True)
class SealProposalInput:
    ref: ProposalRef
    observed: ObserveTargetResult


@dataclass(frozen=True, slots=True)
class ApprovalTerms:
    """What an approval waits for."""

    digest: str
    requirement_json: str
    """An `ApprovalRequirement` as JSON."""
    is_veto: bool
    """Silence until the deadline is a yes: the level allows it, and people may still object."""
    deadline_us: int
    remind_after_s: int
    escalate_after_s: tuple[int, ...]
    wait_s: int


@dataclass(frozen=True, slots=True)
class SealProposalResult:
    """The ruling, as far as the workflow follows from it."""

    status: ProposalStatus
    terms: ApprovalTerms | None
    """Present where people are waited for."""
    reason: str = ""
    lease_ends_us: int | None = None
    """Set where it was carried out before, and what it holds has not ended."""
    run_id: str | None = None
    """The playbook's run that is told how it ends."""


@dataclass(frozen=True, slots=True)
class RunApprovalInput:
    """Starts `ApprovalWorkflow`."""

    tenant: str
    proposal_id: str
    terms: ApprovalTerms


@dataclass(frozen=True, slots=True)
class RunApprovalResult:
    outcome: ApprovalOutcome
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteInput:
    """Update: a person's decision. Who they are is what a channel authenticated, never a field of a request."""

    principal: str
    principal_kind: PrincipalKind
    roles: tuple[str, ...]
    tenant: str
    decision: VoteDecision
    digest: str
    """Of the proposal that the person looked at."""
    comment: str
    channel: str
    """``api``, ``cli``, ``slack``, ``teams`` or ``webhook``."""
    key_id: str | None
    assertion_json: str | None
    """How the statement was signed; needed for a yes."""
    update_id: str
    """The same id again is the same decision, and is recorded once."""


@dataclass(frozen=True, slots=True)
class RecordVoteInput:
    ref: ProposalRef
    vote: VoteInput


@dataclass(frozen=True, slots=True)
class VoteResult:
    """Where the approval stands after a vote."""

    outcome: ApprovalOutcome
    approvals: int
    quorum: int


@dataclass(frozen=True, slots=True)
class VoidApprovalInput:
    """Signal: what the proposal rested on has changed."""

    reason: str


@dataclass(frozen=True, slots=True)
class AnnounceInput:
    ref: ProposalRef
    kind: str
    """A `NoticeKind`."""
    step: int = 0
    """Which link of the chain, for an escalation."""


@dataclass(frozen=True, slots=True)
class EndProposalInput:
    """Record that nothing is waited for any more."""

    ref: ProposalRef
    outcome: ApprovalOutcome
    reason: str


@dataclass(frozen=True, slots=True)
class IssueGrantResult:
    grant_id: str | None
    """None where something stands against it now."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ExecuteActionInput:
    ref: ProposalRef
    grant_id: str


@dataclass(frozen=True, slots=True)
class ExecuteActionResult:
    status: ProposalStatus
    """refused, succeeded, failed or unknown."""
    reason: str
    lease_ends_us: int | None = None
    """When the containment is to end, where one was opened."""


@dataclass(frozen=True, slots=True)
class EndLeaseResult:
    """What is to be done at the end of a lease."""

    undo_proposal_id: str | None
    """The proposal that takes it back; None where the lease has ended already."""


@dataclass(frozen=True, slots=True)
class ApprovalState:
    """Query: what the approval's workflow knows."""

    outcome: ApprovalOutcome
    voters: tuple[str, ...]
    deadline_us: int
    reminders: int
    escalations: int
