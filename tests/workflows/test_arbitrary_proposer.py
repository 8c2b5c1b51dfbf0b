"""A generated adversary calls everything that activities call, in any order and with any arguments, and gets nothing.

Beside it live honest people who sometimes vote, policies that come and go, switches, and tools that misbehave. What
the test believes is its own record of who signed what, and never a row of the store.
"""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Final, TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import select, update

from tests.workflows.plane import AUDIENCE, HOUR, LEA, SECOND, Plane, clock_of_the_plane, policy_at
from watchfloor_core.alert import Integrity
from watchfloor_core.canonical import JsonValue, canonical
from watchfloor_core.dsse import Signer, sign
from watchfloor_core.errors import NotFoundError, WatchfloorError
from watchfloor_core.incident import AutonomyLevel, IncidentStatus, Verdict
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.schema import incident
from watchfloor_core.store.schema_authority import action_grant, approval_vote, certificate, execution, lease
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.approval import ApprovalOutcome, VoteDecision
from watchfloor_guardrails.assertion import message_of
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.draft import ActionDraft
from watchfloor_guardrails.effect import ActionTarget, EffectPermit, NotDoneError
from watchfloor_guardrails.grant import PAYLOAD_TYPE
from watchfloor_guardrails.proposal import ActionProposal, ProposalStatus, Proposer
from watchfloor_workflows.action_messages import EndProposalInput, ObserveTargetResult, VoteInput
from watchfloor_workflows.authority.drafting import draft_action
from watchfloor_workflows.authority.freezes import lift
from watchfloor_workflows.authority.incident_view import facts_of
from watchfloor_workflows.authority.kill_switch import engage, release
from watchfloor_workflows.authority.leases import end_lease
from watchfloor_workflows.authority.records import StoredProposal, read_proposal
from watchfloor_workflows.authority.sealing import seal_proposal
from watchfloor_workflows.authority.voting import end_proposal
from watchfloor_workflows.testing.actions import Person, make_attack, register
from watchfloor_workflows.testing.tools import MemoryTool

L3, L4 = AutonomyLevel.L3, AutonomyLevel.L4
APPROVE, DENY = VoteDecision
CID: Final = Principal("cid", PrincipalKind.PERSON)
PEOPLE: Final = {
    "acme": (Person("ana"), Person("ben", ("lead",)), Person("vic", ("viewer",))),
    "other": (Person("odo"), Person("oli", ("lead",)), Person("val", ("analyst", "admin"))),
}
TENANTS: Final = tuple(PEOPLE)
MAY_DECIDE: Final = frozenset({"ana", "ben", "odo", "oli"})
TARGETS: Final = {
    "ip": tuple(f"203.0.113.{number}" for number in range(9)),
    "user": ("mallory",),
    "process": ("4711@12345",),
}
CLASSES: Final = ("deny ip", "deny ip", "deny ip", "allow ip", "stop process", "disable user", "enable user")
PROPOSERS: Final = (
    Proposer("specialist:response", PrincipalKind.AGENT),
    Proposer("specialist:response", PrincipalKind.AGENT, requester="ana"),
    Proposer("generative:any", PrincipalKind.AGENT),
    Proposer("soar", PrincipalKind.SERVICE),
    Proposer("lease", PrincipalKind.SERVICE),
)
SCOPES: Final = (
    "all",
    "tenant:acme",
    "action:deny ip",
    "tool:memory",
    "agent:soar",
    "tenant:other/action:stop process",
)
BEHAVIOURS: Final = ("good", "good", "good", "good", "good", "lies", "blind", "unreadable", "declines", "fails")

tenants = st.sampled_from(TENANTS)
numbers = st.integers(0, 11)


class Stage(StrEnum):
    """How far a proposal has come."""

    DRAFTED = "drafted"
    SEALED = "sealed"
    VOTED = "voted"
    GRANTED = "granted"
    EXECUTED = "executed"
    EXECUTED_ALONE = "executed alone"


ready = st.sampled_from([Stage.SEALED, Stage.VOTED, Stage.VOTED, Stage.GRANTED])


@dataclass(frozen=True)
class ToolOfEach:
    """Each tenant's own tool, under one name."""

    tools: Mapping[str, MemoryTool]

    def of(self, tenant: str, tool: str) -> ActionTarget:
        if tool != "memory":
            raise NotFoundError(f"no tool {tool!r}")
        return self.tools[tenant]

    def for_class(self, tenant: str, action_class: str) -> ActionTarget | None:
        return self.tools[tenant]


class ProposerMachine(RuleBasedStateMachine):
    """Everything that may happen; what must not is in `nothing_happened_without_authority`."""

    template: ClassVar[Path]
    """A migrated, empty database file."""
    effects_by_authority: ClassVar[Counter[str]]

    @initialize(
        level=st.sampled_from([2, 3, 4, 4]),
        certifies=st.booleans(),
        proposals=st.lists(
            st.tuples(tenants, st.sampled_from(CLASSES), st.sampled_from(PROPOSERS), st.sampled_from(Stage)),
            min_size=2,
            max_size=5,
        ),
    )
    def begin(
        self, level: int = 2, certifies: bool = False, proposals: Sequence[tuple[str, str, Proposer, Stage]] = ()
    ) -> None:
        self.stack = ExitStack()
        self.clock = self.stack.enter_context(clock_of_the_plane())
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        shutil.copyfile(self.template, folder / "store.db")
        self.store: Store = open_store(f"sqlite:///{folder / 'store.db'}")
        self.stack.callback(self.store.close)
        self.tools = {tenant: MemoryTool() for tenant in TENANTS}
        tools = ToolOfEach(self.tools)
        first = Plane(self.store, TENANTS[0], tool=self.tools[TENANTS[0]], tools=tools)
        second = Plane(self.store, TENANTS[1], tool=self.tools[TENANTS[1]], tools=tools, signer=first.signer)
        self.planes = {plane.tenant: plane for plane in (first, second)}
        register(self.store, LEA, *(person for people in PEOPLE.values() for person in people))
        for tenant in TENANTS:
            make_attack(self.store, tenant)
        # What the test itself knows.
        self.ids: list[tuple[str, str]] = []
        """(tenant of whoever proposed it, id)"""
        self.decoys: set[str] = set()
        self.sent: list[VoteInput] = []
        self.yes: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        """(tenant, digest) → who signed a yes to it."""
        self.no: set[tuple[str, str]] = set()
        self.engaged: set[str] = set()
        self.certified: dict[tuple[str, str], int] = {}
        self.seen = dict.fromkeys(TENANTS, 0)
        self.targets = 0
        self.digests: set[tuple[str, str]] = set()
        self._set_policy(AutonomyLevel(level), signed=True, veto=False)
        if certifies:
            for action_class in sorted(set(CLASSES)):
                self.certify("acme", action_class, 4)
        for which, (tenant, action_class, proposer, stage) in enumerate(proposals):
            self.propose_and_pursue(tenant, action_class, proposer, stage, Integrity.SENSOR, False, which)

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.stack.close()

    # --- The adversary -------------------------------------------------------------------------------------------

    @rule(
        tenant=tenants,
        action_class=st.sampled_from(CLASSES),
        proposer=st.sampled_from(PROPOSERS),
        integrity=st.sampled_from([Integrity.SENSOR, Integrity.SENSOR, Integrity.EXTERNAL]),
        lease_s=st.sampled_from([60, 60, None, 10**9]),
        undo_of=st.one_of(st.none(), st.none(), numbers),
        forges=st.booleans(),
        is_decoy=st.sampled_from([False] * 7 + [True]),
        which=numbers,
    )
    def draft(
        self,
        tenant: str,
        action_class: str,
        proposer: Proposer,
        integrity: Integrity,
        lease_s: int | None,
        undo_of: int | None,
        forges: bool,
        is_decoy: bool,
        which: int,
        value: str | None = None,
    ) -> None:
        kind = CATALOGUE[action_class].target
        value = value or TARGETS[kind][which % len(TARGETS[kind])]
        with suppress(WatchfloorError), self.store.write() as connection:
            facts = facts_of(connection, tenant, "inc-1", kind, value)
            assert facts is not None
            draft = ActionDraft(
                incident_id="inc-1",
                action_class=action_class,
                target_kind=kind,
                target=Labelled(value, integrity),
                arguments={"note": Labelled("x", Integrity.EXTERNAL)} if which == 11 else {},
                tool=None if which < 9 else "memory",
                lease_s=lease_s if CATALOGUE[action_class].is_containment else None,
                proposer=proposer,
                # A proposer says what it likes of the incident that it has seen.
                facts=replace(facts, revision=10**6, is_open=True, has_target=False) if forges else facts,
                purpose="because",
                undo_of=self.id(undo_of)[1] if undo_of is not None and self.ids else None,
            )
            found = draft_action(connection, tenant, draft, decoy_answer="deny" if is_decoy else None)
            self.ids.append((tenant, found))
            if is_decoy:
                self.decoys.add(found)

    @rule(tenant=tenants, which=numbers, forges=st.booleans())
    def seal(self, tenant: str, which: int, forges: bool) -> None:
        plane, (_, proposal_id) = self.planes[tenant], self.id(which)
        with suppress(WatchfloorError):
            observed = plane.executor.observe(plane.ref(proposal_id))
            if forges:
                observed = ObserveTargetResult("memory", "ab" * 32, "cd" * 32)
            seal_proposal(self.store, plane.policy, plane.ref(proposal_id), observed)

    @rule(
        which=numbers,
        whose=numbers,
        tenant=tenants,
        principal=st.sampled_from(["ana", "ben", "odo", "specialist:response", "soar"]),
        kind=st.sampled_from(PrincipalKind),
        keeps=st.sampled_from(["all", "signature", "nothing"]),
    )
    def send_a_vote_in_somebodys_name(
        self, which: int, whose: int, tenant: str, principal: str, kind: PrincipalKind, keeps: str
    ) -> None:
        """A yes of somebody, heard somewhere, put to another use."""
        self.fresh(Stage.VOTED, which)
        owner, proposal_id = self.fresh(Stage.SEALED, which)
        if not self.sent:
            return
        vote = self.sent[whose % len(self.sent)]
        digest = self.stored(owner, proposal_id).digest or ""
        match keeps:
            case "all":
                pass
            case "signature":
                vote = replace(vote, digest=digest, tenant=owner, update_id=f"{which}-{whose}", decision=APPROVE)
            case _:
                vote = replace(
                    vote,
                    principal=principal,
                    principal_kind=kind,
                    roles=("responder", "lead"),
                    tenant=owner,
                    digest=digest,
                    decision=APPROVE,
                    update_id=f"{which}-{whose}-{principal}",
                )
        with suppress(WatchfloorError):
            self.planes[tenant].send(proposal_id, vote)
        self.try_everything()

    @rule(tenant=tenants, which=numbers, outcome=st.sampled_from(ApprovalOutcome))
    def declare_it_over(self, tenant: str, which: int, outcome: ApprovalOutcome) -> None:
        with suppress(WatchfloorError):
            end_proposal(self.store, EndProposalInput(self.planes[tenant].ref(self.id(which)[1]), outcome, "so I say"))
        self.try_everything()

    @rule(tenant=tenants, which=numbers)
    def ask_for_a_grant(self, tenant: str, which: int) -> None:
        with suppress(WatchfloorError):
            self.planes[tenant].grant(self.id(which)[1])

    @rule(tenant=tenants, which=numbers, grant=numbers)
    def execute(self, tenant: str, which: int, grant: int) -> None:
        with self.store.read() as connection:
            held = list(connection.scalars(select(action_grant.c.id).order_by(action_grant.c.id)))
        if held:
            with suppress(WatchfloorError):
                self.planes[tenant].execute(self.id(which)[1], held[grant % len(held)])

    @rule(which=numbers, copies=st.booleans())
    def forge_a_grant(self, which: int, copies: bool) -> None:
        """A row with an envelope of one's own making, or with that of another grant."""
        tenant, proposal_id = self.id(which)
        stored = self.stored(tenant, proposal_id) if proposal_id else None
        if stored is None or stored.proposal is None:
            return
        now = self.clock()
        payload: JsonValue = {
            "v": 1,
            "id": "f" * 32,
            "tenant": tenant,
            "proposal": proposal_id,
            "digest": stored.digest,
            "audience": AUDIENCE,
            "kill_epoch": stored.proposal.kill_epoch,
            "authority": "people",
            "people": ["ana", "ben"],
            "issued_us": now,
            "expires_us": now + 60 * SECOND,
        }
        envelope = sign(PAYLOAD_TYPE, canonical(payload), Signer(LEA.key))
        with self.store.read() as connection:
            others = list(connection.scalars(select(action_grant.c.envelope).order_by(action_grant.c.id)))
        if copies and others:
            envelope = others[which % len(others)]
        grant_id = f"{len(others):032x}"
        self.planes[tenant].forge_grant(proposal_id, envelope, grant_id)
        with suppress(WatchfloorError):
            self.planes[tenant].execute(proposal_id, grant_id)

    @rule(tenant=tenants, which=numbers)
    def let_go(self, tenant: str, which: int) -> None:
        with suppress(WatchfloorError):
            found = end_lease(self.store, self.planes[tenant].ref(self.id(which)[1])).undo_proposal_id
            if found is not None and (tenant, found) not in self.ids:
                self.ids.append((tenant, found))

    # --- Everybody else ------------------------------------------------------------------------------------------

    @rule(tenant=tenants, which=numbers, who=st.integers(0, 2), decision=st.sampled_from([APPROVE, APPROVE, DENY]))
    def vote_honestly(self, tenant: str, which: int, who: int, decision: VoteDecision) -> None:
        """A person of one tenant looks at a proposal and signs what they think."""
        owner, proposal_id = self.fresh(Stage.SEALED, which) if which % 2 else self.waiting(which)
        self._vote(PEOPLE[tenant][who], tenant, owner, proposal_id, decision)
        self.try_everything()

    @rule(which=numbers)
    def pursue(self, which: int) -> None:
        """The ordinary way of a proposal: sealed, approved by whoever may, granted, executed."""
        tenant, proposal_id = self.id(which)
        self.seal(tenant, which, forges=False)
        for person in PEOPLE[tenant][:2]:
            self._vote(person, tenant, tenant, proposal_id, APPROVE)
        self.go_on(which)

    @rule(
        tenant=tenants,
        action_class=st.sampled_from(CLASSES),
        proposer=st.sampled_from(PROPOSERS),
        stage=st.sampled_from(Stage),
        integrity=st.sampled_from([Integrity.SENSOR, Integrity.SENSOR, Integrity.EXTERNAL]),
        is_decoy=st.sampled_from([False] * 5 + [True]),
        which=numbers,
    )
    def propose_and_pursue(
        self,
        tenant: str,
        action_class: str,
        proposer: Proposer,
        stage: Stage,
        integrity: Integrity,
        is_decoy: bool,
        which: int,
        value: str | None = None,
    ) -> None:
        """What the adversary has to work with: proposals that have come some of their ordinary way."""
        self.draft(tenant, action_class, proposer, integrity, 60, None, False, is_decoy, which % 9, value)
        if stage is not Stage.DRAFTED:
            self.seal(tenant, 0, forges=False)
        if stage in (Stage.VOTED, Stage.GRANTED, Stage.EXECUTED):
            for person in PEOPLE[tenant][:2]:
                self._vote(person, tenant, tenant, self.id(0)[1], APPROVE)
        if stage is Stage.GRANTED:
            self.ask_for_a_grant(tenant, 0)
        if stage in (Stage.EXECUTED, Stage.EXECUTED_ALONE):
            self.go_on(0)

    @rule(which=numbers)
    def go_on(self, which: int) -> None:
        """As the workflow does once nothing is waited for."""
        tenant, proposal_id = self.id(which)
        with suppress(WatchfloorError):
            granted = self.planes[tenant].grant(proposal_id)
            if granted.grant_id is not None:
                self.planes[tenant].execute(proposal_id, granted.grant_id)

    @rule(which=numbers, waits=st.booleans())
    def end_a_lease(self, which: int, waits: bool) -> None:
        """As the workflow of a containment does at its end, and before."""
        with self.store.read() as connection:
            held = connection.execute(select(lease.c.tenant, lease.c.proposal_id).order_by(lease.c.opened_us)).all()
        if not held:
            return
        tenant, proposal_id = held[which % len(held)]
        self.clock.ahead_us += 61 * SECOND if waits else 0
        self.let_go(tenant, self.ids[::-1].index((tenant, proposal_id)))
        self.seal(tenant, 0, forges=False)
        self.go_on(0)

    @rule(us=st.sampled_from([SECOND, 61 * SECOND, 301 * SECOND, HOUR, 5 * HOUR]), stage=ready, which=numbers)
    def wait(self, us: int, stage: Stage, which: int) -> None:
        self.fresh(stage, which)
        self.clock.ahead_us += us
        self.try_everything()

    @rule(
        level=st.sampled_from([*AutonomyLevel, L3, L4, L4]),
        signed=st.sampled_from([True, True, False]),
        veto=st.booleans(),
        stage=ready,
        which=numbers,
    )
    def set_policy(self, level: AutonomyLevel, signed: bool, veto: bool, stage: Stage, which: int) -> None:
        self.fresh(stage, which)
        self._set_policy(level, signed, veto)
        self.fresh(Stage.SEALED, which)
        self.try_everything()

    def _set_policy(self, level: AutonomyLevel, signed: bool, veto: bool) -> None:
        self.level, self.is_signed, self.veto_s = level, signed, 300 if veto else None
        for plane in self.planes.values():
            plane.policy = policy_at(level, signed=signed, veto_window_s=self.veto_s)

    @rule(tenant=tenants, action_class=st.sampled_from(CLASSES), level=st.sampled_from([0, 2, 3, 4, 4]))
    def certify(self, tenant: str, action_class: str, level: int) -> None:
        with self.store.write() as connection:
            connection.execute(certificate.delete().where(certificate.c.action_class == action_class))
        self.certified = {key: value for key, value in self.certified.items() if key[1] != action_class}
        self.planes[tenant].certify(action_class, level, for_s=10**8)
        self.certified[tenant, action_class] = level

    @rule(scope=st.sampled_from(SCOPES), again=st.booleans(), stage=ready, which=numbers)
    def throw_a_switch(self, scope: str, again: bool, stage: Stage, which: int) -> None:
        self.fresh(stage, which)
        engage(self.store, "acme", scope, CID, "stop")
        self.engaged.add(scope)
        if again:
            release(self.store, "acme", scope, CID, "go on")
            self.engaged.discard(scope)
        self.try_everything()

    @rule()
    def let_all_switches_go(self) -> None:
        for scope in sorted(self.engaged):
            release(self.store, "acme", scope, CID, "go on")
        self.engaged.clear()

    @rule(tenant=tenants, action_class=st.sampled_from(CLASSES))
    def lift_a_freeze(self, tenant: str, action_class: str) -> None:
        with suppress(WatchfloorError):
            lift(self.store, tenant, action_class, CID, "I have looked")

    @rule(tenant=tenants, how=st.sampled_from(BEHAVIOURS))
    def misbehave(self, tenant: str, how: str) -> None:
        tool = self.tools[tenant]
        tool.lies, tool.is_blind, tool.is_unreadable = how == "lies", how == "blind", how == "unreadable"
        tool.on_act = {"declines": declines, "fails": fails}.get(how, does)

    @rule(stage=ready, which=numbers)
    def change_a_target(self, stage: Stage, which: int) -> None:
        tenant, proposal_id = self.fresh(stage, which)
        held, value = self.tools[tenant].held, str(self.stored(tenant, proposal_id).draft.target.value)
        if held.pop(value, None) is None:
            held[value] = "somebody else"
        self.try_everything()

    @rule(tenant=tenants, is_open=st.booleans(), stage=ready, which=numbers)
    def close_or_reopen_the_incident(self, tenant: str, is_open: bool, stage: Stage, which: int) -> None:
        self.fresh(stage, which)
        values = (
            {"status": IncidentStatus.ESCALATED, "verdict": Verdict.TRUE_POSITIVE}
            if is_open
            else {"status": IncidentStatus.CLOSED, "verdict": Verdict.FALSE_POSITIVE}
        )
        with self.store.write() as connection:
            connection.execute(update(incident).where(incident.c.tenant == tenant).values(**values))
        self.try_everything()

    # --- What must hold ------------------------------------------------------------------------------------------

    @invariant()
    def nothing_happened_without_authority(self) -> None:
        for tenant, tool in self.tools.items():
            fresh, self.seen[tenant] = tool.effects[self.seen[tenant] :], len(tool.effects)
            for action_class, target, digest in fresh:
                self._justified(tenant, action_class, target, digest)

    def _justified(self, tenant: str, action_class: str, target: str, digest: str) -> None:
        with self.store.read() as connection:
            rows = connection.execute(select(execution).where(execution.c.digest == digest)).all()
        assert [row.tenant for row in rows] == [tenant], "an effect has one execution, of its tenant"
        assert (tenant, digest) not in self.digests, "one digest has one effect"
        self.digests.add((tenant, digest))
        row = rows[0]
        assert (tenant, row.proposal_id) in self.ids, "whoever caused it is of this tenant"
        assert row.proposal_id not in self.decoys
        proposal = self.stored(tenant, row.proposal_id).sealed()
        assert (proposal.digest, proposal.tenant) == (digest, tenant)
        assert (proposal.action_class, proposal.target.value) == (action_class, target)
        assert not self.engaged & set(row.kill_scopes), "nothing happens in a stopped scope"
        assert (tenant, digest) not in self.no, "a no is final"
        match row.authority:
            case "people":
                self._approved(proposal, row.proposal_id, row.consumed_us)
            case "level":
                self._certified(proposal)
            case "stated_undo":
                self._stated(proposal, row.proposal_id, row.consumed_us)
            case other:
                pytest.fail(f"nobody knows the authority {other!r}")
        self.effects_by_authority[row.authority] += 1

    def _approved(self, proposal: ActionProposal, proposal_id: str, at_us: int) -> None:
        shaped = {proposal.proposer.name, proposal.proposer.requester, "lea" if self.is_signed else None}
        people = (self.yes[proposal.tenant, proposal.digest] & MAY_DECIDE) - shaped
        assert people <= {person.name for person in PEOPLE[proposal.tenant]}
        assert len(people) >= (2 if proposal.undo_class is None else 1)
        with self.store.read() as connection:
            votes = connection.execute(
                select(approval_vote).where(
                    approval_vote.c.tenant == proposal.tenant, approval_vote.c.proposal_id == proposal_id
                )
            ).all()
        keys = {person.name: person.key.public_key() for person in PEOPLE[proposal.tenant]}
        for vote in votes:
            signature = base64.b64decode(vote.assertion["signature"])
            keys[vote.principal].verify(signature, message_of(vote.statement.encode()))
            assert json.loads(vote.statement)["digest"] == proposal.digest
            assert vote.decided_us <= at_us

    def _certified(self, proposal: ActionProposal) -> None:
        assert self.level >= L3
        assert self.is_signed
        assert self.certified.get((proposal.tenant, proposal.action_class), 0) >= L3
        parts = (proposal.target, *proposal.arguments.values())
        assert all(one.integrity < Integrity.EXTERNAL for one in parts)
        assert proposal.undo_class is not None
        assert not proposal.proposer.name.startswith("generative")

    def _stated(self, proposal: ActionProposal, proposal_id: str, at_us: int) -> None:
        origin = self.stored(proposal.tenant, self.stored(proposal.tenant, proposal_id).draft.undo_of or "")
        with self.store.read() as connection:
            ends_us = connection.execute(
                select(lease.c.ends_us).where(lease.c.tenant == proposal.tenant, lease.c.proposal_id == origin.id)
            ).scalar_one()
        assert (proposal.tenant, origin.digest) in self.digests, "what is undone was done"
        assert at_us >= ends_us
        assert origin.sealed().undo_class == proposal.action_class
        assert origin.sealed().target.value == proposal.target.value

    def fresh(self, stage: Stage, which: int) -> tuple[str, str]:
        """A new proposal on a target of its own, as far on its way as is said."""
        self.targets += 1
        tenant, integrity = TENANTS[which % 2], Integrity.EXTERNAL if which % 3 == 2 else Integrity.SENSOR
        self.propose_and_pursue(
            tenant, "deny ip", PROPOSERS[which % 5], stage, integrity, which == 11, 0, f"198.51.100.{self.targets}"
        )
        return self.id(0)

    def try_everything(self) -> None:
        """Whatever has changed, the adversary asks at once for what it could not get before."""
        for which in range(min(len(self.ids), 6)):
            tenant, proposal_id = self.id(which)
            if self.stored(tenant, proposal_id).status in (ProposalStatus.WAITING, ProposalStatus.APPROVED):
                self.go_on(which)
                self.nothing_happened_without_authority()

    def waiting(self, which: int) -> tuple[str, str]:
        """One of the proposals that wait for people, where any do."""
        some = [one for one in self.ids if self.stored(*one).status is ProposalStatus.WAITING] or self.ids
        return some[which % len(some)] if some else (TENANTS[0], "")

    def id(self, which: int) -> tuple[str, str]:
        """One of the proposals, the latest ones sooner; nothing of nobody where there is none."""
        return self.ids[-1 - which % len(self.ids)] if self.ids else (TENANTS[0], "")

    def stored(self, tenant: str, proposal_id: str) -> StoredProposal:
        with self.store.read() as connection:
            return read_proposal(connection, tenant, proposal_id)

    def _vote(self, person: Person, of: str, tenant: str, proposal_id: str, decision: VoteDecision) -> None:
        plane = self.planes[tenant]
        with suppress(WatchfloorError):
            vote = plane.signed(person, proposal_id, decision, tenant=of)
            self.sent.append(vote)
            plane.send(proposal_id, vote)
            if decision is APPROVE:
                self.yes[tenant, vote.digest].add(person.name)
            else:
                self.no.add((tenant, vote.digest))


def does(_: EffectPermit) -> None:
    pass


def declines(_: EffectPermit) -> None:
    raise NotDoneError("not today")


def fails(_: EffectPermit) -> None:
    raise TimeoutError


MachineOf: TypeAlias = type[ProposerMachine]


@pytest.fixture
def machine(migrated_sqlite_file: Path) -> MachineOf:
    class Adversary(ProposerMachine):
        template = migrated_sqlite_file
        effects_by_authority: ClassVar[Counter[str]] = Counter()

    return Adversary


def test_no_order_of_calls_causes_an_effect_without_its_authority(machine: MachineOf) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    # That it is no proof about a world in which nothing happens.
    assert machine.effects_by_authority["people"] > 0


def begun(machine: MachineOf) -> ProposerMachine:
    adversary = machine()
    adversary.begin()
    return adversary


def test_each_authority_is_reached_by_the_ordinary_way_and_found_justified(machine: MachineOf) -> None:
    adversary = begun(machine)
    adversary.fresh(Stage.EXECUTED, 0)
    adversary.nothing_happened_without_authority()
    adversary.end_a_lease(0, waits=True)
    adversary.nothing_happened_without_authority()
    adversary._set_policy(L4, signed=True, veto=False)
    adversary.certify("acme", "deny ip", 4)
    adversary.fresh(Stage.EXECUTED_ALONE, 0)
    adversary.nothing_happened_without_authority()
    adversary.teardown()

    assert adversary.effects_by_authority == {"people": 1, "stated_undo": 1, "level": 1}


def test_an_effect_from_nowhere_does_not_pass_for_justified(machine: MachineOf) -> None:
    adversary = begun(machine)
    tenant, _ = adversary.fresh(Stage.EXECUTED, 0)
    adversary.nothing_happened_without_authority()
    action_class, target, digest = adversary.tools[tenant].effects[0]
    for planted in ((action_class, target, "ab" * 32), (action_class, target, digest)):
        adversary.tools[tenant].effects.append(planted)
        with pytest.raises(AssertionError):
            adversary.nothing_happened_without_authority()
    for known in (adversary.yes, adversary.ids):
        # As if the test itself knew of nobody who agreed, and of nobody who proposed.
        known.clear()
        adversary.digests.clear()
        with pytest.raises(AssertionError):
            adversary._justified(tenant, action_class, target, digest)
    adversary.teardown()
