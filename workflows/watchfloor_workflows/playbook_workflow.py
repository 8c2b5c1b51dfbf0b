"""One run of a playbook: take a turn, start what it began, wait; until it is over.

::

    turn (one transaction: what has ended goes in, what follows is written) → start actions and playbooks inside
      ▲                                                                                   │
      └──────────── woken by an end, an answer or a stop; or a delay or time limit is over ◀

Where the run stands is in the store, written by each turn: nothing is lost with this history, nothing is done twice by
repeating it, and a long run starts a new one without carrying anything over.

This module is the workflow's definition and nothing else: Temporal's sandbox loads it afresh for every run.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

from watchfloor_playbooks.running.work import RunStatus
from watchfloor_workflows import search_attributes, wire
from watchfloor_workflows.action_messages import RunActionInput
from watchfloor_workflows.action_workflow import ActionWorkflow
from watchfloor_workflows.playbook_messages import (
    RunPlaybookInput,
    RunPlaybookResult,
    RunRef,
    TakeTurnInput,
    TellTaskInput,
    TurnResult,
)

_PATIENT = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    maximum_interval=timedelta(minutes=1),
    non_retryable_error_types=wire.FINAL_FOR_ACTIONS,
)
_LONGEST_WAIT = timedelta(hours=1)
"""Then it looks again whether anything has ended of which nobody told it."""
_HISTORY = 4_000
"""Events after which a run starts its history anew; Temporal warns from 10,240 on."""


@workflow.defn(name=wire.PLAYBOOK_WORKFLOW)
class PlaybookWorkflow:
    """Turn by turn to the end of the run."""

    @workflow.init
    def __init__(self, order: RunPlaybookInput) -> None:
        self._order = order
        self._ref = RunRef(order.tenant, order.run_id)
        self._is_woken = False
        self._after = order.after

    @workflow.run
    async def run(self, order: RunPlaybookInput) -> RunPlaybookResult:
        while True:
            # Whoever wakes it from here on is heard after this turn.
            self._is_woken = False
            turn = await self._turn()
            await self._start(turn)
            if turn.status is not RunStatus.RUNNING:
                return RunPlaybookResult(turn.status)
            if not turn.is_ready:
                await self._wait(turn.wakes_us)
            if workflow.info().get_current_history_length() > _HISTORY:
                workflow.continue_as_new(
                    RunPlaybookInput(order.tenant, order.run_id, order.executor_queue, self._after)
                )

    @workflow.signal(name=wire.WAKE)
    def wake(self) -> None:
        """Something of the run has ended, was answered or is to stop; the store says what."""
        self._is_woken = True

    async def _turn(self) -> TurnResult:
        turn: TurnResult = await workflow.execute_activity(
            wire.TAKE_TURN,
            TakeTurnInput(self._ref, self._after),
            result_type=TurnResult,
            start_to_close_timeout=timedelta(minutes=2),
            # A worker that is killed in the middle of it must not hold a run up for all of that.
            heartbeat_timeout=timedelta(seconds=15),
            retry_policy=_PATIENT,
        )
        return turn

    async def _start(self, turn: TurnResult) -> None:
        """Each is a workflow of its own, which outlives this one; one that runs already is left alone."""
        await asyncio.gather(
            *(self._start_action(one) for one in turn.proposals),
            *(self._start_inside(one) for one in turn.runs),
            *(self._tell(one) for one in turn.tasks),
        )
        self._after = turn.last

    async def _start_action(self, proposal_id: str) -> None:
        order = self._order
        try:
            await workflow.start_child_workflow(
                ActionWorkflow.run,
                RunActionInput(order.tenant, proposal_id, order.executor_queue),
                id=wire.action_workflow_id(order.tenant, proposal_id),
                parent_close_policy=ParentClosePolicy.ABANDON,
                search_attributes=search_attributes.of_new_workflow(order.tenant),
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("the workflow of proposal %s runs already", proposal_id)

    async def _start_inside(self, run_id: str) -> None:
        order = self._order
        try:
            await workflow.start_child_workflow(
                PlaybookWorkflow.run,
                RunPlaybookInput(order.tenant, run_id, order.executor_queue),
                id=wire.playbook_workflow_id(order.tenant, run_id),
                parent_close_policy=ParentClosePolicy.ABANDON,
                search_attributes=search_attributes.of_new_workflow(order.tenant),
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("the workflow of run %s runs already", run_id)

    async def _tell(self, key: str) -> None:
        """People find a task in their list as well, so nothing waits for this."""
        try:
            await workflow.execute_activity(
                wire.TELL_TASK,
                TellTaskInput(self._ref, key),
                start_to_close_timeout=timedelta(seconds=30),
                schedule_to_close_timeout=timedelta(minutes=2),
                retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=3),
            )
        except ActivityError as error:
            if workflow.cancellation_reason() is not None:
                raise
            workflow.logger.warning("nobody was told of task %s of %s: %s", key, self._ref.run_id, error.cause)

    async def _wait(self, wakes_us: int | None) -> None:
        left = _LONGEST_WAIT
        if wakes_us is not None:
            left = min(left, timedelta(microseconds=max(0, wakes_us - workflow.time_ns() // 1_000)))
        try:
            await workflow.wait_condition(lambda: self._is_woken, timeout=left)
        except TimeoutError:
            return
