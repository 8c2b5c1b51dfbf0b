"""One proposal before people: asked, reminded, escalated, and at the deadline a no.

The store holds the votes; the workflow holds the clock and the order. It ends on the first of: enough different people
agreed, one said no, the deadline passed, or what the proposal rests on changed.

This module is the workflow's definition and nothing else: Temporal's sandbox loads it afresh for every run.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

from watchfloor_core.errors import RefusedError
from watchfloor_core.notice import NoticeKind
from watchfloor_guardrails.approval import ApprovalOutcome, VoteDecision, comment_faults
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_workflows import wire
from watchfloor_workflows.action_messages import (
    AnnounceInput,
    ApprovalState,
    EndProposalInput,
    ProposalRef,
    RecordVoteInput,
    RunApprovalInput,
    RunApprovalResult,
    VoidApprovalInput,
    VoteInput,
    VoteResult,
)

_PATIENT = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    maximum_interval=timedelta(minutes=1),
    non_retryable_error_types=wire.FINAL_FOR_ACTIONS,
)
_A_LITTLE = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=3)
"""A channel that is down must not hold up anything: people also find what waits by asking."""

_REFUSED_VOTES = 20
"""Of one person, yes and no each. Temporal takes 2,000 updates of a workflow, refused ones too: without a bound one
person could use them up, and nobody could say no any more."""


@workflow.defn(name=wire.APPROVAL_WORKFLOW)
class ApprovalWorkflow:
    """Asked → (reminded, escalated) → approved, denied, expired or voided."""

    @workflow.init
    def __init__(self, order: RunApprovalInput) -> None:
        self._order = order
        self._ref = ProposalRef(order.tenant, order.proposal_id)
        self._outcome = ApprovalOutcome.PENDING
        self._voided: str | None = None
        self._voters: list[str] = []
        self._refused: dict[tuple[str, VoteDecision], int] = {}
        self._reminders = 0
        self._escalations = 0
        self._is_recording = False

    @workflow.run
    async def run(self, order: RunApprovalInput) -> RunApprovalResult:
        terms = order.terms
        telling = asyncio.create_task(self._tell_in_time())
        try:
            # Votes come in meanwhile and set the outcome themselves.
            await workflow.wait_condition(self._is_over, timeout=timedelta(seconds=terms.wait_s))
        except TimeoutError:
            pass
        finally:
            telling.cancel()
        # A vote that is being recorded when time runs out still counts if the store says so.
        await workflow.wait_condition(workflow.all_handlers_finished)
        if self._outcome is ApprovalOutcome.PENDING:
            await self._end()
        await self._tell(NoticeKind.ENDED)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return RunApprovalResult(self._outcome, self._voided or "")

    def _is_over(self) -> bool:
        return self._outcome is not ApprovalOutcome.PENDING or self._voided is not None

    async def _end(self) -> None:
        """Nobody decided: the deadline is a no, but for a veto window, where it is the end of the objections."""
        if self._voided is not None:
            outcome, reason = ApprovalOutcome.VOIDED, self._voided
        elif self._order.terms.is_veto:
            outcome, reason = ApprovalOutcome.APPROVED, "nobody objected in time"
        else:
            outcome, reason = ApprovalOutcome.EXPIRED, "nobody decided in time"
        status = await workflow.execute_activity(
            wire.END_PROPOSAL,
            EndProposalInput(self._ref, outcome, reason),
            result_type=ProposalStatus,
            start_to_close_timeout=timedelta(seconds=30),
            retry_policy=_PATIENT,
        )
        self._outcome = _OUTCOME_OF.get(status, outcome)

    async def _tell_in_time(self) -> None:
        terms = self._order.terms
        await self._tell(NoticeKind.VETO_WINDOW if terms.is_veto else NoticeKind.REQUEST)
        moments = [(terms.remind_after_s, NoticeKind.REMIND, 0)] if terms.remind_after_s else []
        moments += [(after, NoticeKind.ESCALATE, step) for step, after in enumerate(terms.escalate_after_s)]
        passed = 0
        for after_s, kind, step in sorted(moments, key=lambda moment: moment[0]):
            if after_s >= terms.wait_s:
                return
            await workflow.sleep(timedelta(seconds=max(0, after_s - passed)))
            passed = max(passed, after_s)
            if kind is NoticeKind.REMIND:
                self._reminders += 1
            else:
                self._escalations += 1
            await self._tell(kind, step)

    async def _tell(self, kind: NoticeKind, step: int = 0) -> None:
        try:
            await workflow.execute_activity(
                wire.ANNOUNCE,
                AnnounceInput(self._ref, kind.value, step),
                start_to_close_timeout=timedelta(seconds=30),
                schedule_to_close_timeout=timedelta(minutes=2),
                retry_policy=_A_LITTLE,
            )
        except ActivityError as error:
            if workflow.cancellation_reason() is not None:
                raise
            workflow.logger.warning("nobody was told of %s (%s): %s", self._ref.proposal_id, kind, error.cause)

    @workflow.update(name=wire.VOTE)
    async def vote(self, vote: VoteInput) -> VoteResult:
        """Record a person's decision. The store has the last word: it knows keys, roles and budgets."""
        self._is_recording = True
        try:
            result: VoteResult = await workflow.execute_activity(
                wire.RECORD_VOTE,
                RecordVoteInput(self._ref, vote),
                result_type=VoteResult,
                start_to_close_timeout=timedelta(seconds=30),
                retry_policy=_PATIENT,
            )
        except ActivityError as error:
            whose = (vote.principal, vote.decision)
            self._refused[whose] = self._refused.get(whose, 0) + 1
            if isinstance(error.cause, ApplicationError):
                # Whoever decides reads the reason, and not the wrapping.
                raise error.cause from error
            raise
        finally:
            self._is_recording = False
        if vote.principal not in self._voters:
            self._voters.append(vote.principal)
        is_kept_open = self._order.terms.is_veto and result.outcome is ApprovalOutcome.APPROVED
        if self._outcome is ApprovalOutcome.PENDING and not is_kept_open:
            self._outcome = result.outcome
        return result

    @vote.validator
    def check_vote(self, vote: VoteInput) -> None:
        """Refuse what can never count before anything is written to history."""
        if vote.principal_kind is not PrincipalKind.PERSON:
            raise RefusedError(f"{vote.principal!r} is a {vote.principal_kind}; only a person approves or denies")
        if vote.tenant != self._order.tenant or vote.digest != self._order.terms.digest:
            raise RefusedError("the decision is about another digest than the proposal's; look at it again")
        if self._is_over():
            raise RefusedError(f"the approval is {'voided' if self._voided else self._outcome}: {self._voided or ''}")
        faults = comment_faults(vote.decision, vote.comment)
        if faults:
            raise RefusedError("; ".join(faults))
        if self._refused.get((vote.principal, vote.decision), 0) >= _REFUSED_VOTES:
            raise RefusedError(
                f"{vote.principal!r} has tried this {_REFUSED_VOTES} times in vain; another person decides on it"
            )
        if self._is_recording:
            raise RefusedError("another decision on this proposal is being recorded; look again, then decide")

    @workflow.signal(name=wire.VOID)
    def void(self, order: VoidApprovalInput) -> None:
        """What it rests on has changed."""
        if self._outcome is ApprovalOutcome.PENDING:
            self._voided = order.reason

    @workflow.query(name=wire.APPROVAL_STATE)
    def state(self) -> ApprovalState:
        """Where it stands, as far as this run knows."""
        return ApprovalState(
            outcome=ApprovalOutcome.VOIDED if self._voided else self._outcome,
            voters=tuple(self._voters),
            deadline_us=self._order.terms.deadline_us,
            reminders=self._reminders,
            escalations=self._escalations,
        )


_OUTCOME_OF = {
    ProposalStatus.APPROVED: ApprovalOutcome.APPROVED,
    ProposalStatus.DENIED: ApprovalOutcome.DENIED,
    ProposalStatus.EXPIRED: ApprovalOutcome.EXPIRED,
    ProposalStatus.VOIDED: ApprovalOutcome.VOIDED,
}
"""What the store has decided in the meantime counts."""
