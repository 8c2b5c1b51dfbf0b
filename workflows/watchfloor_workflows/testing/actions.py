"""Everything that an action's workflow needs, put together as worker and executor do, for one test."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, select, update
from temporalio.client import Client, WorkflowHandle

from watchfloor_core.alert import Integrity
from watchfloor_core.clock import now_us
from watchfloor_core.dsse import key_id_of
from watchfloor_core.incident import IncidentStatus, Verdict
from watchfloor_core.keys.signing import GRANT_KEY, signing_key
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import incident, ledger_entry
from watchfloor_core.store.schema_authority import approver_key
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.approval import VoteDecision, statement
from watchfloor_guardrails.assertion import message_of
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.draft import ActionDraft
from watchfloor_guardrails.proposal import ProposalStatus, Proposer
from watchfloor_workflows import wire
from watchfloor_workflows.action_activities import ExecutorActivities
from watchfloor_workflows.action_messages import RunActionResult, VoteInput, VoteResult
from watchfloor_workflows.action_relay import ActionRelay
from watchfloor_workflows.action_workflow import ActionWorkflow
from watchfloor_workflows.activities import IncidentActivities
from watchfloor_workflows.approval_desk import ActionDesk
from watchfloor_workflows.authority.announcing import NoChannels, Notices
from watchfloor_workflows.authority.drafting import draft_action
from watchfloor_workflows.authority.executing import Tools
from watchfloor_workflows.authority.incident_view import facts_of
from watchfloor_workflows.authority.records import StoredProposal, read_proposal
from watchfloor_workflows.authority.voting import open_approval
from watchfloor_workflows.executor import executor_worker, make_executor
from watchfloor_workflows.playbook_activities import PlaybookActivities
from watchfloor_workflows.playbooks.shelf import FolderShelf
from watchfloor_workflows.policy import PolicyFile
from watchfloor_workflows.running import activity_threads
from watchfloor_workflows.testing.incidents import FixedEngine, plant_incident
from watchfloor_workflows.testing.tools import MemoryTool, OneTool
from watchfloor_workflows.worker import incident_worker, make_control

ActionHandle = WorkflowHandle[ActionWorkflow, RunActionResult]


@dataclass
class Person:
    """Somebody who signs."""

    name: str
    roles: tuple[str, ...] = ("responder",)
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def key_id(self) -> str:
        return key_id_of(self.key.public_key())


def register(store: Store, *people: Person) -> None:
    """Write their keys, as if they had been registered before everything else."""
    with store.write() as connection:
        for person in people:
            connection.execute(
                insert(approver_key).values(
                    id=person.key_id,
                    principal=person.name,
                    kind="ed25519",
                    public_key=person.key.public_key().public_bytes_raw(),
                    sign_count=0,
                    label="test",
                    created_us=0,
                )
            )


def make_attack(store: Store, tenant: str, incident_id: str = "inc-1", **values: object) -> None:
    """An escalated incident, as triage leaves one that it believes to be an attack."""
    with store.write() as connection:
        plant_incident(connection, tenant, incident_id, announce=False)
        connection.execute(
            update(incident)
            .where(incident.c.tenant == tenant, incident.c.id == incident_id)
            .values(
                status=IncidentStatus.ESCALATED,
                verdict=Verdict.TRUE_POSITIVE,
                triaged_revision=1,
                **values,
            )
        )


@dataclass
class ActionBench:
    """One tenant with worker and executor on a shared server."""

    client: Client
    store: Store
    settings: Settings
    tool: MemoryTool = field(default_factory=MemoryTool)
    notices: Notices = field(default_factory=NoChannels)
    tools: Tools | None = None
    """Other than the memory's."""

    def __post_init__(self) -> None:
        policy = PolicyFile(self.settings, self.store)
        self.relay = ActionRelay(self.client, self.store, self.settings, policy)
        self.desk = ActionDesk(self.client)

    @property
    def tenant(self) -> str:
        return self.settings.tenant

    @asynccontextmanager
    async def workers(self, *, executes: bool = True) -> AsyncIterator[None]:
        """Worker and, unless told otherwise, executor for as long as the block lasts."""
        async with AsyncExitStack() as stack:
            threads = stack.enter_context(activity_threads())
            policy = PolicyFile(self.settings, self.store)
            control = make_control(self.settings, self.store, policy, threads, self.notices)
            incidents = IncidentActivities(self.store, FixedEngine(), policy, threads)
            playbooks = PlaybookActivities(self.store, FolderShelf(self.settings, self.store), threads, self.notices)
            worker = incident_worker(self.client, self.settings, incidents, control, playbooks=playbooks)
            await stack.enter_async_context(worker)
            if executes:
                await stack.enter_async_context(self.executor())
            yield

    @asynccontextmanager
    async def executor(self) -> AsyncIterator[None]:
        """An executor of its own, beside others perhaps."""
        signing_key(self.settings.data_dir / "keys", GRANT_KEY)
        with activity_threads() as threads:
            made = make_executor(self.settings, self.store, self.tools or OneTool(self.tool))
            async with executor_worker(self.client, self.settings, ExecutorActivities(made, threads)):
                yield

    def draft(
        self,
        value: str = "203.0.113.7",
        *,
        action_class: str = "deny ip",
        incident_id: str = "inc-1",
        proposer: Proposer | None = None,
        lease_s: int | None = None,
        integrity: Integrity = Integrity.SENSOR,
        arguments: Mapping[str, Labelled] | None = None,
        decoy_answer: str | None = None,
    ) -> str:
        """Take in a draft; returns the proposal's id."""
        kind = CATALOGUE[action_class].target
        with self.store.write() as connection:
            facts = facts_of(connection, self.tenant, incident_id, kind, value)
            assert facts is not None  # noqa: S101 - a test's own incident
            return draft_action(
                connection,
                self.tenant,
                ActionDraft(
                    incident_id=incident_id,
                    action_class=action_class,
                    target_kind=kind,
                    target=Labelled(value, integrity),
                    arguments=arguments or {},
                    tool=None,
                    lease_s=lease_s,
                    proposer=proposer or Proposer("specialist:response", PrincipalKind.AGENT),
                    facts=facts,
                    purpose="a test wants it",
                ),
                decoy_answer=decoy_answer,
            )

    def handle(self, proposal_id: str) -> ActionHandle:
        workflow_id = wire.action_workflow_id(self.tenant, proposal_id)
        return self.client.get_workflow_handle_for(ActionWorkflow.run, workflow_id)

    def stored(self, proposal_id: str) -> StoredProposal:
        with self.store.read() as connection:
            return read_proposal(connection, self.tenant, proposal_id)

    async def until(self, proposal_id: str, *statuses: ProposalStatus) -> StoredProposal:
        """Deliver what waits, and look until the proposal stands so. Raises `TimeoutError` after 30 seconds."""
        import asyncio

        async with asyncio.timeout(30):
            while (stored := self.stored(proposal_id)).status not in statuses:
                await self.relay.drain()
                await asyncio.sleep(0.02)
        return stored

    def signed(
        self,
        person: Person,
        proposal_id: str,
        decision: VoteDecision = VoteDecision.APPROVE,
        *,
        update_id: str | None = None,
        comment: str = "",
    ) -> VoteInput:
        """What the person sends after having looked."""
        with self.store.read() as connection:
            approval = open_approval(connection, read_proposal(connection, self.tenant, proposal_id))
        said = statement(approval, person.name, decision)
        signature = base64.b64encode(person.key.sign(message_of(said))).decode()
        return VoteInput(
            principal=person.name,
            principal_kind=PrincipalKind.PERSON,
            roles=person.roles,
            tenant=self.tenant,
            decision=decision,
            digest=approval.digest,
            comment=comment or ("no" if decision is VoteDecision.DENY else ""),
            channel="cli",
            key_id=person.key_id,
            assertion_json=json.dumps({"kind": "ed25519", "signature": signature}),
            update_id=update_id or uuid4().hex,
        )

    async def vote(self, person: Person, proposal_id: str, decision: VoteDecision = VoteDecision.APPROVE) -> VoteResult:
        """Look, sign and send."""
        return await self.desk.vote(self.tenant, proposal_id, self.signed(person, proposal_id, decision))

    def ledger(self, incident_id: str = "inc-1") -> list[str]:
        """Kinds of the incident's decisions, in order."""
        with self.store.read() as connection:
            rows = connection.execute(
                select(ledger_entry.c.kind)
                .where(ledger_entry.c.tenant == self.tenant, ledger_entry.c.chain == incident_id)
                .order_by(ledger_entry.c.seq)
            )
            return list(rows.scalars())

    def now(self) -> int:
        return now_us()
