"""The authority plane over a store and without Temporal: the functions that activities call, to be called in any order.

The clock, the policy and the tool are the test's; keys, signatures, rulings and transactions are the real ones.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from unittest import mock
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, select

from watchfloor_core.alert import Integrity
from watchfloor_core.dsse import Signer
from watchfloor_core.incident import AutonomyLevel, Function
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import action_grant, certificate, execution
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.approval import VoteDecision, statement
from watchfloor_guardrails.assertion import message_of
from watchfloor_guardrails.autonomy import AutonomyMatrix, Row, Selector
from watchfloor_guardrails.catalogue import CATALOGUE, function_of
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.draft import ActionDraft
from watchfloor_guardrails.effect import ActionTarget, tool_pin
from watchfloor_guardrails.limits import ActionLimits, LimitTable
from watchfloor_guardrails.proposal import Proposer, version_digest
from watchfloor_workflows.action_messages import (
    ExecuteActionInput,
    ExecuteActionResult,
    IssueGrantResult,
    ProposalRef,
    SealProposalResult,
    VoteInput,
    VoteResult,
)
from watchfloor_workflows.authority.drafting import draft_action
from watchfloor_workflows.authority.executing import Executor, Tools
from watchfloor_workflows.authority.granting import issue_grant
from watchfloor_workflows.authority.incident_view import facts_of
from watchfloor_workflows.authority.records import StoredProposal, read_proposal
from watchfloor_workflows.authority.sealing import seal_proposal
from watchfloor_workflows.authority.voting import open_approval, record_vote
from watchfloor_workflows.policy import Policy
from watchfloor_workflows.testing.actions import Person, make_attack, register
from watchfloor_workflows.testing.tools import MemoryTool, OneTool

SECOND = 1_000_000
HOUR = 3_600 * SECOND
AUDIENCE = "executors"
AGENT = Proposer("specialist:response", PrincipalKind.AGENT)
ANA, BEN, LEA = Person("ana"), Person("ben", ("lead",)), Person("lea", ("lead",))
"""Two who decide, and the author of the policy in force."""


def policy_at(level: AutonomyLevel = AutonomyLevel.L2, *, signed: bool = True, **limits: object) -> Policy:
    """Every task at one level, with ample limits but for those named. Lea signed it, where it is signed."""
    ample: dict[str, object] = {
        "actions_per_hour": 10_000,
        "autonomous_actions_per_hour": 10_000,
        "approvals_per_hour": 10_000,
        "veto_window_s": None,
        **limits,
    }
    return Policy(
        matrix=AutonomyMatrix(tuple(Row(function, Selector(), level) for function in Function)),
        limits=LimitTable(ActionLimits(**ample)),  # type: ignore[arg-type]  # by name, from tests
        version=1 if signed else None,
        author="lea" if signed else None,
    )


@dataclass
class Clock:
    """The wall clock, moved on by the test."""

    ahead_us: int = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000 + self.ahead_us


@contextmanager
def clock_of_the_plane() -> Iterator[Clock]:
    """One clock for all of the authority plane."""
    clock = Clock()
    with ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name.startswith("watchfloor_workflows.authority.") and hasattr(module, "now_us"):
                stack.enter_context(mock.patch.object(module, "now_us", clock))
        yield clock


@dataclass
class Plane:
    """One tenant with an incident, two people with keys, a worker's signer and an executor."""

    store: Store
    tenant: str = "acme"
    policy: Policy = field(default_factory=policy_at)
    tool: MemoryTool = field(default_factory=MemoryTool)
    tools: Tools | None = None
    """Other than the memory's."""
    signer: Signer = field(default_factory=lambda: Signer(Ed25519PrivateKey.generate()))

    def __post_init__(self) -> None:
        self.executor = self.another_executor()

    def furnish(self) -> Plane:
        """Write the people's keys and the incident."""
        register(self.store, ANA, BEN, LEA)
        make_attack(self.store, self.tenant)
        return self

    def another_executor(self, audience: str = AUDIENCE, name: str = "executor-1") -> Executor:
        issuers = {self.signer.key_id: self.signer.public_key}
        tools = self.tools or OneTool(self.tool)
        return Executor(self.store, tools, lambda: self.policy, issuers, audience=audience, name=name, party=None)

    def ref(self, proposal_id: str) -> ProposalRef:
        return ProposalRef(self.tenant, proposal_id)

    def draft(
        self,
        value: str = "203.0.113.7",
        *,
        action_class: str = "deny ip",
        incident_id: str = "inc-1",
        proposer: Proposer = AGENT,
        integrity: Integrity = Integrity.SENSOR,
        arguments: Mapping[str, Labelled] | None = None,
        lease_s: int | None = None,
        undo_of: str | None = None,
        decoy_answer: str | None = None,
    ) -> str:
        kind = CATALOGUE[action_class].target
        with self.store.write() as connection:
            facts = facts_of(connection, self.tenant, incident_id, kind, value)
            assert facts is not None
            draft = ActionDraft(
                incident_id=incident_id,
                action_class=action_class,
                target_kind=kind,
                target=Labelled(value, integrity),
                arguments=arguments or {},
                tool=None,
                lease_s=lease_s,
                proposer=proposer,
                facts=facts,
                purpose="a test wants it",
                undo_of=undo_of,
            )
            return draft_action(connection, self.tenant, draft, decoy_answer=decoy_answer)

    def seal(self, proposal_id: str) -> SealProposalResult:
        """Look at the target, seal and rule."""
        ref = self.ref(proposal_id)
        return seal_proposal(self.store, self.policy, ref, self.executor.observe(ref))

    def propose(self, value: str = "203.0.113.7", **values: object) -> str:
        """Draft and seal."""
        proposal_id = self.draft(value, **values)  # type: ignore[arg-type]  # handed through
        self.seal(proposal_id)
        return proposal_id

    def stored(self, proposal_id: str) -> StoredProposal:
        with self.store.read() as connection:
            return read_proposal(connection, self.tenant, proposal_id)

    def signed(
        self, person: Person, proposal_id: str, decision: VoteDecision = VoteDecision.APPROVE, **values: object
    ) -> VoteInput:
        """What the person sends after having looked."""
        with self.store.read() as connection:
            approval = open_approval(connection, read_proposal(connection, self.tenant, proposal_id))
        signature = person.key.sign(message_of(statement(approval, person.name, decision)))
        sent: dict[str, object] = {
            "principal": person.name,
            "principal_kind": PrincipalKind.PERSON,
            "roles": person.roles,
            "tenant": self.tenant,
            "decision": decision,
            "digest": approval.digest,
            "comment": "no" if decision is VoteDecision.DENY else "",
            "channel": "cli",
            "key_id": person.key_id,
            "assertion_json": json.dumps({"signature": base64.b64encode(signature).decode()}),
            "update_id": uuid4().hex,
            **values,
        }
        return VoteInput(**sent)  # type: ignore[arg-type]  # by name, from tests

    def send(self, proposal_id: str, vote: VoteInput) -> VoteResult:
        return record_vote(self.store, self.policy, self.ref(proposal_id), vote, None)

    def vote(
        self, person: Person, proposal_id: str, decision: VoteDecision = VoteDecision.APPROVE, **values: object
    ) -> VoteResult:
        """Look, sign and send."""
        return self.send(proposal_id, self.signed(person, proposal_id, decision, **values))

    def grant(self, proposal_id: str) -> IssueGrantResult:
        return issue_grant(self.store, self.policy, self.ref(proposal_id), self.signer, audience=AUDIENCE, party=None)

    def execute(self, proposal_id: str, grant_id: str | None, executor: Executor | None = None) -> ExecuteActionResult:
        assert grant_id is not None, "there is no grant"
        return (executor or self.executor).execute(ExecuteActionInput(self.ref(proposal_id), grant_id))

    def carry_out(self, proposal_id: str) -> ExecuteActionResult | IssueGrantResult:
        """A grant and its execution, or why there is no grant."""
        granted = self.grant(proposal_id)
        return granted if granted.grant_id is None else self.execute(proposal_id, granted.grant_id)

    def certify(
        self,
        action_class: str = "deny ip",
        level: int = 4,
        *,
        for_s: int = 86_400,
        proposer: Proposer = AGENT,
        tool: ActionTarget | None = None,
    ) -> None:
        """Let measured outcomes bear out a level, for this proposer and tool."""
        with self.store.write() as connection:
            connection.execute(
                insert(certificate).values(
                    tenant=self.tenant,
                    function=function_of(action_class).value,
                    action_class=action_class,
                    version_digest=version_digest(proposer, tool_pin(tool or self.tool)),
                    level=level,
                    issued_us=0,
                    expires_us=time.time_ns() // 1_000 + for_s * SECOND,
                )
            )

    def forge_grant(self, proposal_id: str, envelope: str, grant_id: str = "f" * 32) -> str:
        """Write a row of table action_grant, as whoever can write to the store could."""
        with self.store.write() as connection:
            connection.execute(
                insert(action_grant).values(
                    tenant=self.tenant,
                    id=grant_id,
                    proposal_id=proposal_id,
                    envelope=envelope,
                    issued_us=0,
                    expires_us=2**52,
                )
            )
        return grant_id

    def envelope(self, grant_id: str) -> str:
        with self.store.read() as connection:
            found: str = connection.execute(
                select(action_grant.c.envelope).where(action_grant.c.id == grant_id)
            ).scalar_one()
        return found

    def executions(self) -> list[Mapping[str, object]]:
        """The rows of consumed grants, as dictionaries."""
        with self.store.read() as connection:
            rows = connection.execute(select(execution).order_by(execution.c.consumed_us)).mappings()
            return [dict(row) for row in rows]
