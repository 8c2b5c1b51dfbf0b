"""What people decide on proposals, as the API and the channels bring it to the workflow."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from watchfloor_workflows import wire
from watchfloor_workflows.action_messages import VoteInput, VoteResult
from watchfloor_workflows.desk import raise_meaning

_ANSWER_TIMEOUT: Final = timedelta(seconds=30)
_STARTING_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Waits for an approval's workflow that is not there yet."""


class ActionDesk:
    """Takes people's decisions to the workflows of approvals.

    Raises `RefusedError` with every reason where a decision does not count, `NotFoundError` where nobody is asked, and
    `UnavailableError` where no worker answers; the same vote with the same ``update_id`` is then safe to repeat.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def vote(self, tenant: str, proposal_id: str, vote: VoteInput) -> VoteResult:
        """A person's decision on one proposal."""
        try:
            return await self._sent(wire.approval_workflow_id(tenant, proposal_id), vote)
        except (WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError, RPCError) as error:
            raise_meaning(error, f"proposal {proposal_id!r}", again="propose it anew where it is still wanted")

    async def _sent(self, workflow_id: str, vote: VoteInput) -> VoteResult:
        handle = self._client.get_workflow_handle(workflow_id)
        for wait_s in (*_STARTING_S, None):
            try:
                result: VoteResult = await handle.execute_update(
                    wire.VOTE, vote, result_type=VoteResult, id=vote.update_id, rpc_timeout=_ANSWER_TIMEOUT
                )
                return result
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND or wait_s is None:
                    raise
            # The store says that it waits a moment before its workflow has started.
            await asyncio.sleep(wait_s)
        raise AssertionError("the last try either answers or raises")
