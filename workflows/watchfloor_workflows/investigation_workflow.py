"""The investigation of one revision of an incident: the graph, and what is recorded where it fails.

This module is the workflow's definition and nothing else: Temporal's sandbox loads it afresh for every run.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

from watchfloor_workflows import wire
from watchfloor_workflows.investigation_messages import (
    FailInvestigationInput,
    RunInvestigationInput,
    RunInvestigationResult,
)

_STEPS = 64
"""Nodes that one run may pass. The budget of rounds ends it long before."""


@workflow.defn(name=wire.INVESTIGATION_WORKFLOW)
class InvestigationWorkflow:
    """Scope → plan → collect → correlate → hypothesise → verify → conclude."""

    @workflow.run
    async def run(self, order: RunInvestigationInput) -> RunInvestigationResult:
        # Here, as only runs of this workflow need it: it takes a second to load.
        with workflow.unsafe.imports_passed_through():
            from temporalio.langgraph import graph

        start = {
            "tenant": order.tenant,
            "incident_id": order.incident_id,
            "revision": order.revision,
            "goes_on": True,
            "waiting": 0,
            "round": 0,
        }
        try:
            ended = await graph(wire.INVESTIGATION_GRAPH).compile().ainvoke(start, {"recursion_limit": _STEPS})
        except ActivityError as error:
            await workflow.execute_activity(
                wire.FAIL_INVESTIGATION,
                FailInvestigationInput(order, _problem(error)),
                start_to_close_timeout=timedelta(minutes=1),
                retry_policy=RetryPolicy(
                    maximum_interval=timedelta(minutes=1), non_retryable_error_types=wire.FINAL_FOR_ACTIONS
                ),
            )
            return RunInvestigationResult(is_done=False, rounds=0)
        return RunInvestigationResult(is_done=bool(ended["goes_on"]), rounds=int(ended["round"]))


def _problem(error: ActivityError) -> str:
    """The stage and the class of the error. Its text stays out, as it may quote what an attacker wrote; but a refusal's
    is ours alone."""
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        return f"{error.activity_type}: {type(cause).__name__ if cause else 'no answer'}"
    if cause.type == "RefusedError":
        return f"{error.activity_type}: {cause.message}"
    return f"{error.activity_type}: {cause.type}"
