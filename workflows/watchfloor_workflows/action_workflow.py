"""One action from its draft to its receipt, and to the end of what it holds.

::

    look at the target → seal and rule → (people) → grant → execute → receipt → (lease: wait, undo, until it has ended)

The workflow holds the order and nothing that could be an authority: proposals, votes and grants lie in the store,
signed, and each step checks for itself.

This module is the workflow's definition and nothing else: Temporal's sandbox loads it afresh for every run.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, WorkflowAlreadyStartedError

from watchfloor_core.clock import MICROSECONDS
from watchfloor_core.notice import NoticeKind
from watchfloor_guardrails.approval import ApprovalOutcome
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_workflows import wire
from watchfloor_workflows.action_messages import (
    AnnounceInput,
    EndLeaseResult,
    ExecuteActionInput,
    ExecuteActionResult,
    IssueGrantResult,
    ObserveTargetResult,
    ProposalRef,
    RunActionInput,
    RunActionResult,
    RunApprovalInput,
    SealProposalInput,
    SealProposalResult,
    VoidApprovalInput,
)
from watchfloor_workflows.approval_workflow import ApprovalWorkflow

_PATIENT = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    maximum_interval=timedelta(minutes=1),
    non_retryable_error_types=wire.FINAL_FOR_ACTIONS,
)
_LOOK = timedelta(minutes=10)
"""So long a target that does not answer is asked."""
_EXECUTE = timedelta(minutes=30)
"""So long somebody is looked for who tells how an execution ended; a grant itself lives five minutes at most."""
_UNDO_AGAIN = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1))
"""Waits between tries to end a lease whose undo was refused; the last one goes on."""
_TRIES_PER_RUN = 50


@workflow.defn(name=wire.ACTION_WORKFLOW)
class ActionWorkflow:
    """Draft → proposal → approval → grant → receipt → end of the lease."""

    @workflow.init
    def __init__(self, order: RunActionInput) -> None:
        self._order = order
        self._ref = ProposalRef(order.tenant, order.proposal_id)
        self._voided: str | None = None

    @workflow.run
    async def run(self, order: RunActionInput) -> RunActionResult:
        if order.lease_ends_us is not None:
            await self._end_lease_in_time(order.lease_ends_us)
            return RunActionResult(ProposalStatus.SUCCEEDED, "")
        sealed = await self._seal()
        ended, lease_ends_us = await self._decide_and_act(sealed)
        if sealed.run_id is not None:
            await self._report(sealed.run_id)
        if lease_ends_us is not None:
            await self._end_lease_in_time(lease_ends_us)
        return ended

    async def _decide_and_act(self, sealed: SealProposalResult) -> tuple[RunActionResult, int | None]:
        """How it ended, and when what it holds is to end."""
        if not sealed.status.is_open:
            return RunActionResult(sealed.status, sealed.reason), sealed.lease_ends_us
        outcome = await self._ask(sealed)
        if outcome is not ApprovalOutcome.APPROVED:
            return RunActionResult(_STATUS_OF[outcome], ""), None
        granted = await self._grant()
        if granted.grant_id is None:
            return RunActionResult(ProposalStatus.REFUSED, granted.reason), None
        executed = await self._execute(granted.grant_id)
        await self._tell(NoticeKind.UNKNOWN if executed.status is ProposalStatus.UNKNOWN else NoticeKind.RECEIPT)
        return RunActionResult(executed.status, executed.reason), executed.lease_ends_us

    async def _seal(self) -> SealProposalResult:
        """Look at the target where its credentials are, and seal and rule where none are."""
        try:
            observed = await workflow.execute_activity(
                wire.OBSERVE_TARGET,
                self._ref,
                task_queue=self._order.executor_queue,
                result_type=ObserveTargetResult,
                start_to_close_timeout=timedelta(seconds=60),
                schedule_to_close_timeout=_LOOK,
                retry_policy=_PATIENT,
            )
        except ActivityError as error:
            if workflow.cancellation_reason() is not None:
                raise
            observed = ObserveTargetResult("", "", "", f"the target does not answer: {error.cause}")
        sealed: SealProposalResult = await workflow.execute_activity(
            wire.SEAL_PROPOSAL,
            SealProposalInput(self._ref, observed),
            result_type=SealProposalResult,
            start_to_close_timeout=timedelta(seconds=60),
            retry_policy=_PATIENT,
        )
        return sealed

    async def _ask(self, sealed: SealProposalResult) -> ApprovalOutcome:
        """People's answer; a yes where nobody has to be asked."""
        if sealed.terms is None:
            return ApprovalOutcome.APPROVED
        approval = await workflow.start_child_workflow(
            ApprovalWorkflow.run,
            RunApprovalInput(self._order.tenant, self._order.proposal_id, sealed.terms),
            id=wire.approval_workflow_id(self._order.tenant, self._order.proposal_id),
        )
        if self._voided is not None:
            # It came while the target was looked at.
            await approval.signal(ApprovalWorkflow.void, VoidApprovalInput(self._voided))
        return (await approval).outcome

    async def _grant(self) -> IssueGrantResult:
        granted: IssueGrantResult = await workflow.execute_activity(
            wire.ISSUE_GRANT,
            self._ref,
            result_type=IssueGrantResult,
            start_to_close_timeout=timedelta(seconds=60),
            retry_policy=_PATIENT,
        )
        return granted

    async def _execute(self, grant_id: str) -> ExecuteActionResult:
        """Retried as often as need be: whoever comes second reads back and never acts again."""
        executed: ExecuteActionResult = await workflow.execute_activity(
            wire.EXECUTE_ACTION,
            ExecuteActionInput(self._ref, grant_id),
            task_queue=self._order.executor_queue,
            result_type=ExecuteActionResult,
            start_to_close_timeout=timedelta(minutes=5),
            heartbeat_timeout=timedelta(seconds=15),
            retry_policy=_PATIENT,
        )
        return executed

    async def _end_lease_in_time(self, ends_us: int) -> None:
        """Wait for the end, then propose the undo until it is known to have happened."""
        left_us = max(0, ends_us - workflow.time_ns() // 1_000)
        # One second more: the stated undo is one only after its time, by the store's clock.
        await workflow.sleep(timedelta(microseconds=left_us + MICROSECONDS))
        for tries in range(_TRIES_PER_RUN):
            ending: EndLeaseResult = await workflow.execute_activity(
                wire.END_LEASE,
                self._ref,
                result_type=EndLeaseResult,
                start_to_close_timeout=timedelta(seconds=60),
                retry_policy=_PATIENT,
            )
            if ending.undo_proposal_id is None:
                return
            if not await self._undo(ending.undo_proposal_id):
                await workflow.sleep(_UNDO_AGAIN[min(tries, len(_UNDO_AGAIN) - 1)])
        order = self._order
        workflow.continue_as_new(RunActionInput(order.tenant, order.proposal_id, order.executor_queue, ends_us))

    async def _undo(self, undo_proposal_id: str) -> bool:
        """True where the undo has happened and was read back."""
        order = self._order
        try:
            # The relay leaves a lease's draft to the lease, so nobody else starts this one.
            undone = await workflow.execute_child_workflow(
                ActionWorkflow.run,
                RunActionInput(order.tenant, undo_proposal_id, order.executor_queue),
                id=wire.action_workflow_id(order.tenant, undo_proposal_id),
            )
        except WorkflowAlreadyStartedError:
            # A person has asked for the same, and that is under way.
            return False
        return undone.status is ProposalStatus.SUCCEEDED

    async def _report(self, run_id: str) -> None:
        """Have the playbook's run look; one that has ended meanwhile, or is not there, misses nothing."""
        run = workflow.get_external_workflow_handle(wire.playbook_workflow_id(self._order.tenant, run_id))
        try:
            await run.signal(wire.WAKE)
        except ApplicationError as error:
            workflow.logger.info("run %s was not told of %s: %s", run_id, self._order.proposal_id, error)

    async def _tell(self, kind: NoticeKind) -> None:
        try:
            await workflow.execute_activity(
                wire.ANNOUNCE,
                AnnounceInput(self._ref, kind.value),
                start_to_close_timeout=timedelta(seconds=30),
                schedule_to_close_timeout=timedelta(minutes=2),
                retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=3),
            )
        except ActivityError as error:
            if workflow.cancellation_reason() is not None:
                raise
            workflow.logger.warning("nobody was told of %s (%s): %s", self._ref.proposal_id, kind, error.cause)

    @workflow.signal(name=wire.VOID)
    async def void(self, order: VoidApprovalInput) -> None:
        """What the proposal rests on has changed; the approval is told by whoever sent this, or when it starts."""
        self._voided = order.reason


_STATUS_OF = {
    ApprovalOutcome.PENDING: ProposalStatus.WAITING,
    ApprovalOutcome.APPROVED: ProposalStatus.APPROVED,
    ApprovalOutcome.DENIED: ProposalStatus.DENIED,
    ApprovalOutcome.EXPIRED: ProposalStatus.EXPIRED,
    ApprovalOutcome.VOIDED: ProposalStatus.VOIDED,
}
