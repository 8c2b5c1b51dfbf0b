"""What people decide on proposals, as the API and the channels bring it to the workflow."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError

from watchfloor_workflows import wire
from watchfloor_workflows.action_messages import VoteInput, VoteResult
from watchfloor_workflows.desk import raise_meaning

_ANSWER_TIMEOUT: Final = timedelta(seconds=30)


class ActionDesk:
    """Takes people's decisions to the workflows of approvals.

    Raises `RefusedError` with every reason where a decision does not count, `NotFoundError` where nobody is asked, and
    `UnavailableError` where no worker answers; the same vote with the same ``update_id`` is then safe to repeat.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def vote(self, tenant: str, proposal_id: str, vote: VoteInput) -> VoteResult:
        """A person's decision on one proposal."""
        handle = self._client.get_workflow_handle(wire.approval_workflow_id(tenant, proposal_id))
        try:
            result: VoteResult = await handle.execute_update(
                wire.VOTE, vote, result_type=VoteResult, id=vote.update_id, rpc_timeout=_ANSWER_TIMEOUT
            )
        except (WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError, RPCError) as error:
            raise_meaning(error, f"proposal {proposal_id!r}", again="propose it anew where it is still wanted")
        return result
