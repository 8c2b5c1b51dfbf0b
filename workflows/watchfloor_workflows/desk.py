"""What people ask of an incident, as the API and the command line send it to the workflow."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NoReturn

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from watchfloor_core.errors import (
    ConflictError,
    LedgerError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    WatchfloorError,
)
from watchfloor_core.settings import Settings
from watchfloor_workflows import search_attributes, wire
from watchfloor_workflows.incident import IncidentWorkflow
from watchfloor_workflows.messages import (
    ChangedIncidentResult,
    DecideIncidentInput,
    IncidentStanding,
    ReopenIncidentInput,
    RunIncidentInput,
    RunIncidentResult,
    WorkflowState,
)

_ANSWER_TIMEOUT: Final = timedelta(seconds=30)
_HEALTH_TIMEOUT: Final = timedelta(seconds=2)
_ERRORS: Final[dict[str, type[WatchfloorError]]] = {
    kind.__name__: kind for kind in (NotFoundError, ConflictError, RefusedError, LedgerError, UnavailableError)
}


class TemporalDesk:
    """Takes people's decisions to incidents' workflows.

    Raises `RefusedError` with the reason where a decision is refused, `NotFoundError` where there is no such incident,
    and `UnavailableError` where no worker answers; the same request with the same ``update_id`` is then safe to repeat.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    async def decide(self, tenant: str, incident_id: str, decision: DecideIncidentInput) -> IncidentStanding:
        """A person's verdict; also on a closed incident, whose workflow runs anew for it."""
        start = self._start(tenant, incident_id)
        try:
            changed: ChangedIncidentResult = await self._client.execute_update_with_start_workflow(
                wire.DECIDE,
                decision,
                result_type=ChangedIncidentResult,
                start_workflow_operation=start,
                id=decision.update_id,
                rpc_timeout=_ANSWER_TIMEOUT,
            )
        except (WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError, RPCError) as error:
            raise_meaning(error, f"incident {incident_id!r}")
        return changed.standing

    async def reopen(self, tenant: str, incident_id: str, order: ReopenIncidentInput) -> IncidentStanding:
        """Take a closed incident up again for a person."""
        start = self._start(tenant, incident_id)
        try:
            changed: ChangedIncidentResult = await self._client.execute_update_with_start_workflow(
                wire.REOPEN,
                order,
                result_type=ChangedIncidentResult,
                start_workflow_operation=start,
                id=order.update_id,
                rpc_timeout=_ANSWER_TIMEOUT,
            )
        except (WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError, RPCError) as error:
            raise_meaning(error, f"incident {incident_id!r}")
        return changed.standing

    async def state(self, tenant: str, incident_id: str) -> WorkflowState:
        """What the workflow knows, of its latest run."""
        handle: WorkflowHandle[IncidentWorkflow, RunIncidentResult] = self._client.get_workflow_handle_for(
            IncidentWorkflow.run, wire.incident_workflow_id(tenant, incident_id)
        )
        try:
            return await handle.query(IncidentWorkflow.state, rpc_timeout=_ANSWER_TIMEOUT)
        except (WorkflowQueryFailedError, RPCError) as error:
            raise_meaning(error, f"incident {incident_id!r}")

    async def is_reachable(self) -> bool:
        """True where Temporal answers now."""
        try:
            return await self._client.service_client.check_health(timeout=_HEALTH_TIMEOUT)
        except RPCError:
            return False

    def _start(self, tenant: str, incident_id: str) -> WithStartWorkflowOperation[IncidentWorkflow, RunIncidentResult]:
        return WithStartWorkflowOperation(
            IncidentWorkflow.run,
            RunIncidentInput(tenant, incident_id, self._settings.debounce_s),
            id=wire.incident_workflow_id(tenant, incident_id),
            task_queue=self._settings.task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=search_attributes.of_new_workflow(tenant),
        )


def raise_meaning(error: Exception, subject: str, *, again: str = "") -> NoReturn:
    """Raise what a failed update or query means to whoever asked."""
    if isinstance(error, WorkflowUpdateFailedError):
        cause = error.cause
        if isinstance(cause, ApplicationError) and cause.type in _ERRORS:
            raise _ERRORS[cause.type](cause.message) from error
        raise UnavailableError(f"the decision on {subject} was not recorded: {cause}; send it again") from error
    if isinstance(error, RPCError) and error.status is RPCStatusCode.NOT_FOUND:
        hint = f"; {again}" if again else ""
        raise NotFoundError(f"no decision on {subject} is under way in this tenant{hint}") from error
    raise UnavailableError(
        f"no worker answered for {subject}: {error}; start one with `watchfloor up`, "
        "then send the request again with the same update_id"
    ) from error
