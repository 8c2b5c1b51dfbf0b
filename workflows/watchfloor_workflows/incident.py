"""One incident from its first triage to its end, however long a person takes.

The store holds the truth; the workflow holds the order of things: what is triaged when, who is waited for, and when
all is done. It keeps nothing that the store could not tell again, so a run may start anew at any revision.

This module is the workflow's definition and nothing else: Temporal's sandbox loads it afresh for every run.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

from watchfloor_core.errors import RefusedError
from watchfloor_core.incident import IncidentStatus
from watchfloor_guardrails.decision import IncidentState
from watchfloor_workflows import search_attributes, wire
from watchfloor_workflows.messages import (
    ChangedIncidentResult,
    ChangeIncidentInput,
    DecideIncidentInput,
    IncidentMemory,
    IncidentStanding,
    RecordHumanVerdictInput,
    ReopenIncidentInput,
    ReopenIncidentOrder,
    RunIncidentInput,
    RunIncidentResult,
    SettleIncidentInput,
    SettleIncidentResult,
    TriageIncidentInput,
    TriageIncidentResult,
    WaitingFor,
    WorkflowState,
)
from watchfloor_workflows.refusals import require_acceptable_decision, require_acceptable_reopening

LONGEST_QUIET_WAIT = 10
"""Debounce intervals after which a re-triage no longer waits for a flood to end."""
PASSES_PER_RUN = 200
"""Passes after which a run hands over to the next even where the server does not suggest it."""

ResultT = TypeVar("ResultT")


@workflow.defn(name=wire.INCIDENT_WORKFLOW)
class IncidentWorkflow:
    """Triage → settle → wait for material or a person → … → closed."""

    @workflow.init
    def __init__(self, order: RunIncidentInput) -> None:
        memory = order.memory or IncidentMemory(0, None, 0, workflow.time_ns() // 1_000)
        self._order = order
        self._signalled = memory.signalled_revision
        self._standing = memory.standing
        self._passes = memory.passes
        self._since_us = memory.since_us
        self._passes_before = memory.passes
        self._is_gone = False
        self._is_changing = False
        self._waiting_for = WaitingFor.TRIAGE

    @workflow.run
    async def run(self, order: RunIncidentInput) -> RunIncidentResult:
        if order.memory is None:
            await self._pass()
        while True:
            if (self._is_over() or self._is_long()) and not workflow.all_handlers_finished():
                # A signal or a person's decision may come in while handlers finish, so look at everything again.
                await workflow.wait_condition(workflow.all_handlers_finished)
            elif self._is_over():
                return RunIncidentResult(self._standing, self._passes)
            elif self._is_long():
                self._hand_over()
            elif self._has_news():
                await self._await_quiet()
                await self._pass()
            else:
                self._waiting_for = WaitingFor.PERSON
                await workflow.wait_condition(lambda: self._has_news() or self._is_over() or self._is_long())

    async def _pass(self) -> None:
        """One triage of whatever the incident holds now; signals up to here are answered by it."""
        self._waiting_for = WaitingFor.TRIAGE
        self._signalled = 0
        self._passes += 1
        tenant, incident_id = self._order.tenant, self._order.incident_id
        try:
            triaged = await self._do(
                wire.TRIAGE_INCIDENT, TriageIncidentInput(tenant, incident_id), TriageIncidentResult
            )
            # A person may decide between the two: settling finds that in the store and leaves it be.
            settled = await self._do(
                wire.SETTLE_INCIDENT,
                SettleIncidentInput(tenant, incident_id, triaged.revision),
                SettleIncidentResult,
            )
        except ApplicationError as error:
            if error.type != "NotFoundError":
                raise
            self._is_gone = True
            return
        self._note(settled.standing)

    async def _await_quiet(self) -> None:
        """Let a flood pass: one timer an interval, however many signals come."""
        self._waiting_for = WaitingFor.QUIET
        if self._order.debounce_s == 0:
            return
        for _ in range(LONGEST_QUIET_WAIT):
            before = self._signalled
            await workflow.sleep(timedelta(seconds=self._order.debounce_s))
            if self._signalled == before:
                return

    def _note(self, standing: IncidentStanding) -> None:
        """Take over what the store says, unless something newer is known: answers may overtake each other."""
        before = self._standing
        if before is not None and standing.ledger_seq < before.ledger_seq:
            return
        if before is None or before.status != standing.status:
            self._since_us = workflow.time_ns() // 1_000
        updates = search_attributes.changes(before, standing)
        if updates:
            workflow.upsert_search_attributes(updates)
        self._standing = standing

    def _has_news(self) -> bool:
        if self._standing is None:
            return not self._is_gone
        return self._signalled > self._standing.settled_revision or not self._standing.is_settled

    def _is_over(self) -> bool:
        if self._is_gone:
            return True
        return self._standing is not None and not self._standing.status.is_open and not self._has_news()

    def _is_long(self) -> bool:
        return workflow.info().is_continue_as_new_suggested() or self._passes - self._passes_before >= PASSES_PER_RUN

    def _hand_over(self) -> None:
        memory = IncidentMemory(self._signalled, self._standing, self._passes, self._since_us)
        order = self._order
        workflow.continue_as_new(RunIncidentInput(order.tenant, order.incident_id, order.debounce_s, memory))

    async def _do(self, activity: str, message: object, result: type[ResultT]) -> ResultT:
        """Do it inside the workflow task if that is quick, else as an activity of its own.

        Both ways are safe to repeat. The first is half the events and twice the rate, but holds the workflow task and
        would write history for every retry; so it is tried once, and the second waits as long as it takes for a store
        or a model that is down, without an event. Raises ApplicationError for what no retry mends.
        """
        try:
            quick: ResultT = await workflow.execute_local_activity(
                activity,
                message,
                result_type=result,
                start_to_close_timeout=timedelta(seconds=8),
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
            return quick
        except FailureError as error:
            if workflow.cancellation_reason() is not None:
                raise
            _raise_if_final(error)
        try:
            answer: ResultT = await workflow.execute_activity(
                activity,
                message,
                result_type=result,
                start_to_close_timeout=timedelta(minutes=15),
                heartbeat_timeout=timedelta(seconds=15),
                retry_policy=RetryPolicy(
                    initial_interval=timedelta(seconds=1),
                    maximum_interval=timedelta(minutes=1),
                    non_retryable_error_types=wire.FINAL_ERRORS,
                ),
            )
            return answer
        except ActivityError as error:
            _raise_if_final(error)
            raise

    @workflow.signal(name=wire.INCIDENT_CHANGED)
    def incident_changed(self, change: ChangeIncidentInput) -> None:
        """The incident holds something new."""
        self._signalled = max(self._signalled, change.revision)

    @workflow.query(name=wire.STATE)
    def state(self) -> WorkflowState:
        """Where the incident stands, as far as this run knows."""
        standing = self._standing
        return WorkflowState(
            status=standing.status if standing else IncidentStatus.NEW,
            verdict=standing.verdict if standing else None,
            level=standing.level if standing else None,
            revision=max(self._signalled, standing.revision if standing else 0),
            waiting_for=WaitingFor.NOTHING if self._is_over() else self._waiting_for,
            passes=self._passes,
            since_us=self._since_us,
        )

    @workflow.update(name=wire.DECIDE)
    async def decide(self, decision: DecideIncidentInput) -> ChangedIncidentResult:
        """Record a person's verdict. The store has the last word, since the incident may change meanwhile."""
        return await self._change(
            wire.RECORD_HUMAN_VERDICT,
            RecordHumanVerdictInput(self._order.tenant, self._order.incident_id, decision),
        )

    @decide.validator
    def check_decision(self, decision: DecideIncidentInput) -> None:
        """Refuse before anything is written to history."""
        self._refuse_while_changing()
        # The person may have seen a revision of which this run has not heard; the store tells in the end.
        require_acceptable_decision(decision, self._known(decision.revision, IncidentStatus.NEW))

    @workflow.update(name=wire.REOPEN)
    async def reopen(self, order: ReopenIncidentInput) -> ChangedIncidentResult:
        """Take a closed incident up again for a person."""
        return await self._change(
            wire.REOPEN_INCIDENT, ReopenIncidentOrder(self._order.tenant, self._order.incident_id, order)
        )

    @reopen.validator
    def check_reopening(self, order: ReopenIncidentInput) -> None:
        """Refuse before anything is written to history."""
        self._refuse_while_changing()
        require_acceptable_reopening(order, self._known(1, IncidentStatus.CLOSED))

    def _known(self, seen_revision: int, presumed: IncidentStatus) -> IncidentState:
        """The incident as this run knows it; before its first pass, as whoever asks must have seen it."""
        standing = self._standing
        return IncidentState(
            tenant=self._order.tenant,
            incident_id=self._order.incident_id,
            revision=max(seen_revision, self._signalled, standing.revision if standing else 0),
            status=standing.status if standing else presumed,
        )

    async def _change(self, activity: str, message: object) -> ChangedIncidentResult:
        # From here to the end no other person's change is let in: each was decided on what its person saw.
        self._is_changing = True
        try:
            changed = await self._do(activity, message, ChangedIncidentResult)
        finally:
            self._is_changing = False
        self._note(changed.standing)
        return changed

    def _refuse_while_changing(self) -> None:
        if self._is_changing:
            raise RefusedError("another decision on this incident is being recorded; look at it again, then decide")


def _raise_if_final(error: FailureError) -> None:
    """Raise the cause itself where no retry mends it, so that whoever waits reads the reason and not the wrapping.

    A local activity gives its error bare, another one wrapped.
    """
    cause = error.cause if isinstance(error, ActivityError) else error
    if isinstance(cause, ApplicationError) and cause.type in wire.FINAL_ERRORS:
        raise cause
