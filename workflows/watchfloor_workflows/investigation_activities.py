"""What an investigation's workflow has done for it beside the nodes of its graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor as Threads
from typing import Any

from temporalio import activity

from watchfloor_workflows import wire
from watchfloor_workflows.action_activities import in_thread
from watchfloor_workflows.investigation.records import InvestigationKey
from watchfloor_workflows.investigation.stages import Investigator
from watchfloor_workflows.investigation_messages import FailInvestigationInput


class InvestigationActivities:
    """Safe to repeat, as the nodes are."""

    def __init__(self, investigator: Investigator, threads: Threads) -> None:
        self._investigator = investigator
        self._threads = threads

    @property
    def all(self) -> Sequence[Callable[..., Any]]:
        """For the worker, which takes activities of any signature."""
        return [self.fail_investigation]

    @activity.defn(name=wire.FAIL_INVESTIGATION)
    async def fail_investigation(self, order: FailInvestigationInput) -> None:
        """Record that an investigation came to no end, and why."""
        one = order.investigation
        key = InvestigationKey(one.tenant, one.incident_id, one.revision)
        await in_thread(self._threads, lambda: self._investigator.fail(key, order.problem))
