"""What the workflows of actions have done for them. Each is safe to repeat after a lost result.

Two sets, for two processes: whoever holds the key that signs grants has no credentials of any target, and the other way
round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor as Threads
from typing import Any, Final, TypeVar

from temporalio import activity

from watchfloor_core.dsse import Signer
from watchfloor_core.store.engine import Store
from watchfloor_guardrails.assertion import RelyingParty
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_workflows import wire
from watchfloor_workflows.action_messages import (
    AnnounceInput,
    EndLeaseResult,
    EndProposalInput,
    ExecuteActionInput,
    ExecuteActionResult,
    IssueGrantResult,
    ObserveTargetResult,
    ProposalRef,
    RecordVoteInput,
    SealProposalInput,
    SealProposalResult,
    VoteResult,
)
from watchfloor_workflows.authority.announcing import Notices, announce
from watchfloor_workflows.authority.executing import Executor
from watchfloor_workflows.authority.granting import issue_grant
from watchfloor_workflows.authority.leases import end_lease
from watchfloor_workflows.authority.sealing import seal_proposal
from watchfloor_workflows.authority.voting import end_proposal, record_vote
from watchfloor_workflows.policy import PolicyFile

HEARTBEAT_S: Final = 5.0
"""A third of the time after which the workflow gives up on a silent executor."""

ResultT = TypeVar("ResultT")


class ControlActivities:
    """Proposals, votes, grants and leases: the worker's part, without a target's credentials."""

    def __init__(
        self,
        store: Store,
        policy: PolicyFile,
        threads: Threads,
        signer: Signer,
        notices: Notices,
        *,
        audience: str,
        party: RelyingParty | None,
    ) -> None:
        self._store = store
        self._policy = policy
        self._threads = threads
        self._signer = signer
        self._notices = notices
        self._audience = audience
        self._party = party

    @property
    def all(self) -> Sequence[Callable[..., Any]]:
        """For the worker, which takes activities of any signature."""
        return [
            self.seal_proposal,
            self.record_vote,
            self.end_proposal,
            self.issue_grant,
            self.end_lease,
            self.announce,
        ]

    @activity.defn(name=wire.SEAL_PROPOSAL)
    async def seal_proposal(self, order: SealProposalInput) -> SealProposalResult:
        """Make the draft a proposal with a digest, and rule on it."""
        return await in_thread(
            self._threads, lambda: seal_proposal(self._store, self._policy.current(), order.ref, order.observed)
        )

    @activity.defn(name=wire.RECORD_VOTE)
    async def record_vote(self, order: RecordVoteInput) -> VoteResult:
        """Record a person's decision, if it counts."""
        return await in_thread(
            self._threads,
            lambda: record_vote(self._store, self._policy.current(), order.ref, order.vote, self._party),
        )

    @activity.defn(name=wire.END_PROPOSAL)
    async def end_proposal(self, order: EndProposalInput) -> ProposalStatus:
        """Record that nobody decided, or that it no longer holds."""
        return await in_thread(self._threads, lambda: end_proposal(self._store, order))

    @activity.defn(name=wire.ISSUE_GRANT)
    async def issue_grant(self, ref: ProposalRef) -> IssueGrantResult:
        """Sign a grant, if the ruling and people's signatures of this moment bear it."""
        return await in_thread(
            self._threads,
            lambda: issue_grant(
                self._store, self._policy.current(), ref, self._signer, audience=self._audience, party=self._party
            ),
        )

    @activity.defn(name=wire.END_LEASE)
    async def end_lease(self, ref: ProposalRef) -> EndLeaseResult:
        """Propose the undo of a containment whose time is up."""
        return await in_thread(self._threads, lambda: end_lease(self._store, ref))

    @activity.defn(name=wire.ANNOUNCE)
    async def announce(self, order: AnnounceInput) -> None:
        """Tell people."""
        await in_thread(self._threads, lambda: announce(self._store, self._notices, order))


class ExecutorActivities:
    """Looking at targets and acting on them: the executor's part, without a key that signs anything."""

    def __init__(self, executor: Executor, threads: Threads) -> None:
        self._executor = executor
        self._threads = threads

    @property
    def all(self) -> Sequence[Callable[..., Any]]:
        """For the executor's worker."""
        return [self.observe_target, self.execute_action]

    @activity.defn(name=wire.OBSERVE_TARGET)
    async def observe_target(self, ref: ProposalRef) -> ObserveTargetResult:
        """Look at the target of a draft; changes nothing."""
        return await in_thread(self._threads, lambda: self._executor.observe(ref))

    @activity.defn(name=wire.EXECUTE_ACTION)
    async def execute_action(self, order: ExecuteActionInput) -> ExecuteActionResult:
        """Carry out a grant, at most once."""
        return await in_thread(self._threads, lambda: self._executor.execute(order))


async def in_thread(threads: Threads, work: Callable[[], ResultT]) -> ResultT:
    """What blocks has a thread of its own; meanwhile the worker tells that it lives."""
    future = asyncio.get_running_loop().run_in_executor(threads, work)
    while not (await asyncio.wait({future}, timeout=HEARTBEAT_S))[0]:
        activity.heartbeat()
    return future.result()
