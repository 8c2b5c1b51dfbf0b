"""The way of one action on a real Temporal server and a real store, and the ways in which others fail at it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import insert, select, update
from temporalio.service import RPCError, RPCStatusCode

from watchfloor_core.alert import Integrity
from watchfloor_core.dsse import Signer
from watchfloor_core.errors import ConfigurationError, NotFoundError, RefusedError
from watchfloor_core.incident import Function, IncidentStatus, Verdict
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import incident
from watchfloor_core.store.schema_authority import (
    action_grant,
    action_proposal,
    approval_vote,
    certificate,
    execution,
    lease,
)
from watchfloor_core.store.schema_identity import account, account_role
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.approval import VoteDecision
from watchfloor_guardrails.autonomy import DEFAULT_MATRIX_FILE
from watchfloor_guardrails.bundle_signature import manifest_of, sign_bundle
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.effect import EffectPermit, NotDoneError, tool_pin
from watchfloor_guardrails.proposal import ProposalStatus, Proposer, version_digest
from watchfloor_workflows import wire
from watchfloor_workflows.action_messages import ExecuteActionInput, ProposalRef
from watchfloor_workflows.authority.kill_switch import engage, release
from watchfloor_workflows.authority.records import list_proposals
from watchfloor_workflows.authority.responding import void_what_changed
from watchfloor_workflows.client import connect
from watchfloor_workflows.executor import make_executor
from watchfloor_workflows.policy_activation import activate_policy
from watchfloor_workflows.policy_folder import read_folder
from watchfloor_workflows.standing import read_incident
from watchfloor_workflows.testing.actions import ActionBench, Person, make_attack, register
from watchfloor_workflows.testing.tools import OneTool

pytestmark = pytest.mark.anyio

WAITING, SUCCEEDED, REFUSED = ProposalStatus.WAITING, ProposalStatus.SUCCEEDED, ProposalStatus.REFUSED
ANA, BEN = Person("ana"), Person("ben", ("lead",))


@pytest.fixture
async def bench(settings: Settings, sqlite_store: Store) -> ActionBench:
    """The policy that ships, under which people decide on every action; an attack; two people with keys."""
    register(sqlite_store, ANA, BEN)
    make_attack(sqlite_store, settings.tenant)
    return ActionBench(await connect(settings), sqlite_store, settings)


async def waiting(bench: ActionBench, **values: object) -> str:
    proposal_id = bench.draft(**values)  # type: ignore[arg-type]  # handed through
    await bench.until(proposal_id, WAITING)
    return proposal_id


async def test_an_approved_containment_is_carried_out_once_and_read_back(bench: ActionBench) -> None:
    async with bench.workers():
        proposal_id = await waiting(bench)
        assert bench.tool.effects == []
        result = await bench.vote(ANA, proposal_id)
        stored = await bench.until(proposal_id, SUCCEEDED)

    assert result.approvals == 1
    assert bench.tool.effects == [("deny ip", "203.0.113.7", stored.digest)]
    assert bench.ledger() == [
        "proposal", "proposal", "ruling", "approval_request", "approval_vote", "approval_outcome",
        "ruling", "grant", "ruling", "execution", "receipt", "lease",
    ]  # fmt: skip
    with bench.store.read() as connection:
        row = connection.execute(select(execution)).one()
        held = connection.execute(select(lease)).one()
    assert (row.outcome, row.authority, row.phase) == ("succeeded", "people", "done")
    assert row.receipt["read_back"]["effect"] == "applied"
    assert held.state == "open"


async def test_a_denial_is_final_and_nothing_happens(bench: ActionBench) -> None:
    async with bench.workers():
        proposal_id = await waiting(bench)
        await bench.vote(ANA, proposal_id, VoteDecision.DENY)
        await bench.until(proposal_id, ProposalStatus.DENIED)
        with pytest.raises((RefusedError, NotFoundError), match=r"denied|no decision on"):
            await bench.vote(BEN, proposal_id)
        assert (await bench.handle(proposal_id).result()).status is ProposalStatus.DENIED

    assert bench.tool.effects == []


async def test_whoever_proposed_cannot_approve(bench: ActionBench) -> None:
    async with bench.workers():
        proposal_id = await waiting(bench, proposer=Proposer("ana", PrincipalKind.PERSON))
        with pytest.raises(RefusedError, match="another person decides"):
            await bench.vote(ANA, proposal_id)
        await bench.vote(BEN, proposal_id)
        await bench.until(proposal_id, SUCCEEDED)


async def test_whoever_asked_the_agent_for_it_cannot_approve(bench: ActionBench) -> None:
    async with bench.workers():
        proposer = Proposer("specialist:response", PrincipalKind.AGENT, requester="ana")
        proposal_id = await waiting(bench, proposer=proposer)
        with pytest.raises(RefusedError, match="another person decides"):
            await bench.vote(ANA, proposal_id)

    assert bench.tool.effects == []


async def test_an_agent_or_service_cannot_approve(bench: ActionBench) -> None:
    async with bench.workers():
        proposal_id = await waiting(bench)
        for kind in (PrincipalKind.AGENT, PrincipalKind.SERVICE):
            vote = replace(bench.signed(ANA, proposal_id), principal_kind=kind)
            with pytest.raises(RefusedError, match="only a person"):
                await bench.desk.vote(bench.tenant, proposal_id, vote)

    assert bench.tool.effects == []


async def test_one_person_counts_once_where_four_eyes_are_asked(bench: ActionBench) -> None:
    async with bench.workers():
        # What cannot be taken back takes two people.
        proposal_id = await waiting(bench, value="4711@12345", action_class="stop process")
        first = await bench.vote(ANA, proposal_id)
        with pytest.raises(RefusedError, match="nobody decides twice"):
            await bench.vote(ANA, proposal_id)
        again = Person("ANA", key=ANA.key)
        with pytest.raises(RefusedError, match="nobody decides twice"):
            await bench.vote(again, proposal_id)
        assert bench.tool.effects == []
        second = await bench.vote(BEN, proposal_id)
        await bench.until(proposal_id, SUCCEEDED)

    assert (first.approvals, first.quorum, second.approvals) == (1, 2, 2)
    assert len(bench.tool.effects) == 1


async def test_an_approval_binds_the_arguments(bench: ActionBench) -> None:
    async with bench.workers(executes=False):
        async with bench.executor():
            first = await waiting(bench, value="203.0.113.7")
            other = await waiting(bench, value="203.0.113.8")
        crossed = replace(bench.signed(ANA, first), digest=bench.stored(other).digest or "")
        with pytest.raises(RefusedError, match="the signature is not one of key"):
            await bench.desk.vote(bench.tenant, other, crossed)

    assert bench.stored(other).status is WAITING


async def test_an_approval_without_a_signature_is_refused(bench: ActionBench) -> None:
    async with bench.workers():
        proposal_id = await waiting(bench)
        vote = replace(bench.signed(ANA, proposal_id), assertion_json=None)
        with pytest.raises(RefusedError, match="an approval is signed"):
            await bench.desk.vote(bench.tenant, proposal_id, vote)
        stolen = replace(bench.signed(BEN, proposal_id), principal="ana")
        with pytest.raises(RefusedError, match="is not a key of"):
            await bench.desk.vote(bench.tenant, proposal_id, stolen)


async def test_a_vote_that_is_sent_again_is_the_same_vote(bench: ActionBench) -> None:
    async with bench.workers():
        proposal_id = await waiting(bench, value="4711@12345", action_class="stop process")
        vote = bench.signed(ANA, proposal_id, update_id="the-same")
        await bench.desk.vote(bench.tenant, proposal_id, vote)
        await bench.desk.vote(bench.tenant, proposal_id, vote)

    with bench.store.read() as connection:
        assert len(connection.execute(select(approval_vote)).all()) == 1


async def test_a_replayed_execution_has_no_second_effect(bench: ActionBench) -> None:
    async with bench.workers():
        proposal_id = await waiting(bench)
        await bench.vote(ANA, proposal_id)
        await bench.until(proposal_id, SUCCEEDED)
    with bench.store.read() as connection:
        grant_id = connection.execute(select(action_grant.c.id)).scalar_one()
    executor = make_executor(bench.settings, bench.store, OneTool(bench.tool))
    again = executor.execute(ExecuteActionInput(ProposalRef(bench.tenant, proposal_id), grant_id))

    assert again.status is SUCCEEDED
    assert len(bench.tool.effects) == 1


async def test_success_of_the_tools_interface_is_not_taken_for_the_effect(bench: ActionBench) -> None:
    bench.tool.lies = True
    async with bench.workers():
        proposal_id = await waiting(bench)
        await bench.vote(ANA, proposal_id)
        stored = await bench.until(proposal_id, ProposalStatus.FAILED)

    assert "the target does not show the effect" in (stored.reason or "")


async def test_an_unknown_outcome_is_said_and_freezes_the_class_until_a_person_looks(bench: ActionBench) -> None:
    def fail(_: EffectPermit) -> None:
        raise TimeoutError

    bench.tool.on_act = fail
    async with bench.workers():
        first = await waiting(bench)
        await bench.vote(ANA, first)
        await bench.until(first, ProposalStatus.UNKNOWN)
        bench.tool.on_act = lambda permit: None
        second = bench.draft("203.0.113.9")
        stored = await bench.until(second, ProposalStatus.DENIED)

    assert "frozen until a person has looked" in (stored.reason or "")
    assert bench.tool.effects == []


async def test_what_the_tool_did_not_do_is_a_failure_and_no_mystery(bench: ActionBench) -> None:
    def decline(_: EffectPermit) -> None:
        raise NotDoneError("the table is full")

    bench.tool.on_act = decline
    async with bench.workers():
        proposal_id = await waiting(bench)
        await bench.vote(ANA, proposal_id)
        stored = await bench.until(proposal_id, ProposalStatus.FAILED)

    assert "the table is full" in (stored.reason or "")


async def test_the_kill_switch_between_approval_and_execution_stops_it(bench: ActionBench) -> None:
    async with bench.workers(executes=False):
        async with bench.executor():
            proposal_id = await waiting(bench)
        await bench.vote(ANA, proposal_id)
        # Approved and granted; nobody is there to execute it.
        async with asyncio.timeout(20):
            while not grants(bench):
                await asyncio.sleep(0.02)
        engage(bench.store, bench.tenant, f"tenant:{bench.tenant}", Principal("ben", PrincipalKind.PERSON), "a drill")
        async with bench.executor():
            stored = await bench.until(proposal_id, REFUSED)

    assert "engaged for" in (stored.reason or "")
    assert bench.tool.effects == []


def grants(bench: ActionBench) -> int:
    with bench.store.read() as connection:
        return len(connection.execute(select(action_grant.c.id)).all())


async def test_a_target_that_changed_after_the_approval_is_left_alone(bench: ActionBench) -> None:
    async with bench.workers(executes=False):
        async with bench.executor():
            proposal_id = await waiting(bench)
        await bench.vote(ANA, proposal_id)
        bench.tool.held["203.0.113.7"] = "somebody else"
        async with bench.executor():
            stored = await bench.until(proposal_id, REFUSED)

    assert "the target has changed since" in (stored.reason or "")
    assert bench.tool.effects == []


async def test_a_material_change_of_the_incident_voids_the_approval_and_says_why(bench: ActionBench) -> None:
    async with bench.workers():
        proposal_id = await waiting(bench)
        with bench.store.write() as connection:
            connection.execute(
                update(incident)
                .where(incident.c.tenant == bench.tenant)
                .values(status=IncidentStatus.CLOSED, verdict=Verdict.FALSE_POSITIVE)
            )
            void_what_changed(connection, read_incident(connection, bench.tenant, "inc-1"))
        stored = await bench.until(proposal_id, ProposalStatus.VOIDED)

    assert stored.reason == "the incident is no longer open"


async def test_parallel_approvals_do_not_cross(bench: ActionBench) -> None:
    async with bench.workers():
        ids = [bench.draft(f"203.0.113.{number}") for number in range(1, 7)]
        for proposal_id in ids:
            await bench.until(proposal_id, WAITING)
        for proposal_id in ids[::2]:
            await bench.vote(ANA, proposal_id)
        for proposal_id in ids[::2]:
            await bench.until(proposal_id, SUCCEEDED)

    assert sorted(target for _, target, _ in bench.tool.effects) == ["203.0.113.1", "203.0.113.3", "203.0.113.5"]
    assert [bench.stored(one).status for one in ids[1::2]] == [WAITING] * 3


async def test_a_decoy_is_put_before_people_and_never_executed(bench: ActionBench) -> None:
    async with bench.workers():
        proposal_id = await waiting(bench, decoy_answer="deny")
        await bench.vote(ANA, proposal_id)
        stored = await bench.until(proposal_id, REFUSED)

    assert stored.reason == "a decoy is never executed"
    assert bench.tool.effects == []


async def test_a_lease_ends_by_itself_through_the_same_gate(bench: ActionBench) -> None:
    async with bench.workers():
        proposal_id = await waiting(bench, lease_s=1)
        await bench.vote(ANA, proposal_id)
        await bench.until(proposal_id, SUCCEEDED)
        result = await asyncio.wait_for(bench.handle(proposal_id).result(), 30)

    assert result.status is SUCCEEDED
    assert [(one, target) for one, target, _ in bench.tool.effects] == [
        ("deny ip", "203.0.113.7"),
        ("allow ip", "203.0.113.7"),
    ]
    with bench.store.read() as connection:
        assert connection.execute(select(lease.c.state)).scalar_one() == "ended"
        authorities = set(connection.execute(select(execution.c.authority)).scalars())
    assert authorities == {"people", "stated_undo"}


async def test_an_attackers_text_always_asks_even_where_the_level_would_allow(bench: ActionBench) -> None:
    async with bench.workers():
        proposal_id = await waiting(bench, integrity=Integrity.EXTERNAL)

    ruling = bench.stored(proposal_id).ruling or {}
    assert "untrusted_argument" in [hit["rule"] for hit in ruling["hits"] if hit["outcome"] == "ask"]


async def asked(bench: ActionBench, proposal_id: str) -> None:
    """Until the workflow that waits for people runs: the store says that it waits a moment before."""
    handle = bench.client.get_workflow_handle(wire.approval_workflow_id(bench.tenant, proposal_id))
    async with asyncio.timeout(30):
        while True:
            try:
                await handle.describe()
                return
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
            await asyncio.sleep(0.02)


async def test_an_approval_that_waits_outlives_its_worker(bench: ActionBench) -> None:
    async with bench.workers():
        proposal_id = await waiting(bench)
        await asked(bench, proposal_id)
    async with bench.workers():
        await bench.vote(ANA, proposal_id)
        await bench.until(proposal_id, SUCCEEDED)

    assert len(bench.tool.effects) == 1


async def test_whoever_ends_the_workflows_of_a_lease_keeps_nothing_contained(bench: ActionBench) -> None:
    async with bench.workers():
        proposal_id = await waiting(bench, lease_s=3_600)
        await bench.vote(ANA, proposal_id)
        await bench.until(proposal_id, SUCCEEDED)
        await bench.handle(proposal_id).terminate("by somebody who reaches Temporal")
        with bench.store.write() as connection:
            connection.execute(update(lease).values(ends_us=lease.c.opened_us - 61_000_000))
        assert await bench.relay.sweep() == 1
        await asyncio.wait_for(bench.handle(proposal_id).result(), 30)

    assert [one for one, _, _ in bench.tool.effects] == ["deny ip", "allow ip"]


async def test_an_approval_whose_workflow_is_gone_still_ends_as_a_no(bench: ActionBench) -> None:
    async with bench.workers():
        proposal_id = await waiting(bench)
        await bench.handle(proposal_id).terminate("by somebody who reaches Temporal")
        with bench.store.write() as connection:
            held = dict(bench.stored(proposal_id).ruling or {})
            terms = {**held["terms"], "deadline_us": 1}
            connection.execute(update(action_proposal).values(deadline_us=1, ruling={**held, "terms": terms}))
        assert await bench.relay.sweep() == 1
        await bench.until(proposal_id, ProposalStatus.EXPIRED)
        assert await bench.relay.sweep() == 0

    assert bench.tool.effects == []


async def test_what_a_thrown_switch_or_a_new_policy_has_outdated_is_proposed_anew(bench: ActionBench) -> None:
    ben = Principal("ben", PrincipalKind.PERSON)
    async with bench.workers():
        agents = await waiting(bench)
        persons = await waiting(bench, value="203.0.113.8", proposer=Proposer("ana", PrincipalKind.PERSON))
        scope = f"tenant:{bench.tenant}"
        engage(bench.store, bench.tenant, scope, ben, "a drill")
        await bench.relay.sweep()
        assert bench.stored(agents).status is WAITING
        release(bench.store, bench.tenant, scope, ben, "over")
        await bench.relay.sweep()
        await bench.relay.drain()
        for proposal_id in (agents, persons):
            assert (await bench.until(proposal_id, ProposalStatus.VOIDED)).reason == (
                "a kill switch was thrown and let go since"
            )
            await bench.handle(proposal_id).result()
        (again,) = others(bench, agents, persons)
        await bench.until(again, WAITING)

        (bench.settings.data_dir / "autonomy.yaml").write_text(DEFAULT_MATRIX_FILE.read_text().replace("0.05", "0.06"))
        await bench.relay.sweep()
        assert (await bench.until(again, ProposalStatus.VOIDED)).reason == "the policy has changed since"
        (last,) = others(bench, agents, persons, again)
        await bench.until(last, WAITING)
        await bench.relay.sweep()
        await bench.vote(ANA, last)
        await bench.until(last, SUCCEEDED)

    assert [target for _, target, _ in bench.tool.effects] == ["203.0.113.7"]


def others(bench: ActionBench, *known: str) -> list[str]:
    with bench.store.read() as connection:
        return [one.id for one in list_proposals(connection, bench.tenant) if one.id not in known]


async def test_a_forged_grant_is_refused(bench: ActionBench) -> None:
    async with bench.workers():
        proposal_id = await waiting(bench)
    with bench.store.write() as connection:
        connection.execute(
            insert(action_grant).values(
                tenant=bench.tenant, id="f" * 32, proposal_id=proposal_id, envelope="{}", issued_us=0, expires_us=2**52
            )
        )
    executor = make_executor(bench.settings, bench.store, OneTool(bench.tool))
    result = executor.execute(ExecuteActionInput(ProposalRef(bench.tenant, proposal_id), "f" * 32))

    assert result.status is REFUSED
    assert bench.tool.effects == []


async def test_a_draft_whose_numbers_have_no_canonical_form_is_not_taken_in(bench: ActionBench) -> None:
    with pytest.raises(ConfigurationError, match="'at' is beyond the exact integers"):
        bench.draft(arguments={"at": Labelled(2**53, Integrity.SENSOR), "by": Labelled("ana", Integrity.SENSOR)})


async def test_refused_votes_of_one_person_leave_the_others_their_no(bench: ActionBench) -> None:
    async with bench.workers():
        proposal_id = await waiting(bench)
        unsigned = replace(bench.signed(ANA, proposal_id), assertion_json='{"signature": "AAAA"}')
        reasons = []
        for number in range(25):
            with pytest.raises(RefusedError) as caught:
                await bench.desk.vote(bench.tenant, proposal_id, replace(unsigned, update_id=f"try-{number}"))
            reasons.append("in vain" in str(caught.value))
        for number in range(25):
            mute = replace(unsigned, decision=VoteDecision.DENY, comment=" ", update_id=f"mute-{number}")
            with pytest.raises(RefusedError, match="says why"):
                await bench.desk.vote(bench.tenant, proposal_id, mute)
        await bench.vote(ANA, proposal_id, VoteDecision.DENY)
        await bench.until(proposal_id, ProposalStatus.DENIED)

    assert reasons == [False] * 20 + [True] * 5


async def test_a_release_that_nobody_called_an_undo_ends_the_containment_as_well(bench: ActionBench) -> None:
    async with bench.workers():
        contained = await waiting(bench)
        await bench.vote(ANA, contained)
        await bench.until(contained, SUCCEEDED)
        released = await waiting(bench, action_class="allow ip", proposer=Proposer("ana", PrincipalKind.PERSON))
        await bench.vote(BEN, released)
        await bench.until(released, SUCCEEDED)
        with bench.store.read() as connection:
            held = connection.execute(select(lease)).one()
        assert (held.state, held.undo_proposal_id) == ("ended", released)
        # It may be contained again: nothing says any more that it is.
        await waiting(bench)


def account_of(store: Store, tenant: str, name: str, *roles: str) -> None:
    """An account, as the identity side keeps one."""
    with store.write() as connection:
        connection.execute(insert(account).values(principal=name, display_name=name, created_us=0, failed_count=0))
        for role in roles:
            connection.execute(
                insert(account_role).values(
                    principal=name, tenant=tenant, role=role, source="local", granted_by="it", granted_us=0
                )
            )


@pytest.mark.parametrize("roles", [(), ("analyst",)])
async def test_roles_that_the_store_does_not_know_of_count_for_nothing(
    bench: ActionBench, roles: tuple[str, ...]
) -> None:
    account_of(bench.store, bench.tenant, "ana", *roles)
    account_of(bench.store, "another-tenant", "ben", "lead")
    async with bench.workers():
        proposal_id = await waiting(bench)
        for person in (ANA, BEN):
            with pytest.raises(RefusedError, match="this takes role"):
                await bench.vote(person, proposal_id)

    assert bench.tool.effects == []


async def test_an_approver_who_is_shut_out_before_the_act_has_approved_nothing(bench: ActionBench) -> None:
    account_of(bench.store, bench.tenant, "ana", "responder")
    async with bench.workers(executes=False):
        proposal_id = bench.draft()
        async with bench.executor():
            await bench.until(proposal_id, WAITING)
        await bench.vote(ANA, proposal_id)
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(granted, bench, proposal_id):
                await asyncio.sleep(0.02)
        with bench.store.write() as connection:
            connection.execute(update(account).where(account.c.principal == "ana").values(disabled_us=1))
        async with bench.executor():
            await bench.until(proposal_id, REFUSED)

    assert bench.tool.effects == []


def granted(bench: ActionBench, proposal_id: str) -> bool:
    with bench.store.read() as connection:
        found = connection.execute(select(action_grant.c.id).where(action_grant.c.proposal_id == proposal_id))
        return found.first() is not None


async def test_at_a_certified_l4_it_happens_after_the_veto_window_unless_somebody_objects(bench: ActionBench) -> None:
    put_in_force(bench, "veto_window_s: 2")
    certify(bench)
    async with bench.workers():
        left, objected = bench.draft("203.0.113.1"), bench.draft("203.0.113.2")
        await bench.until(objected, WAITING)
        await bench.vote(BEN, objected, VoteDecision.DENY)
        await bench.until(left, SUCCEEDED)
        await bench.until(objected, ProposalStatus.DENIED)

    assert [target for _, target, _ in bench.tool.effects] == ["203.0.113.1"]
    with bench.store.read() as connection:
        assert connection.execute(select(execution.c.authority)).scalar_one() == "level"


async def test_without_a_certificate_a_signed_l4_still_asks(bench: ActionBench) -> None:
    put_in_force(bench, "veto_window_s: 1")
    async with bench.workers():
        proposal_id = await waiting(bench)

    ruling = bench.stored(proposal_id).ruling or {}
    assert (ruling["decision"], ruling["effective"]["level"]) == ("ask", 2)


def put_in_force(bench: ActionBench, limits: str) -> None:
    """A policy at L4 that ana has signed."""
    folder = bench.settings.data_dir / "mine"
    folder.mkdir()
    rows = "".join(f"  - {{function: {one}, level: L4}}\n" for one in Function if one != Function.RISK_MANAGEMENT)
    (folder / "autonomy.yaml").write_text(f"rows:\n{rows}  - {{function: risk_management, level: L0}}\n")
    (folder / "limits.yaml").write_text(f"defaults:\n  {limits}\n")
    manifest = manifest_of(read_folder(folder), version=1, author="ana", made_us=1)
    (folder / "signature.json").write_text(sign_bundle(manifest, Signer(ANA.key)))
    activate_policy(bench.store, bench.settings, folder, "local:test")


def certify(bench: ActionBench) -> None:
    """Measured outcomes bear out L4 for the response engine with this tool."""
    agent = Proposer("specialist:response", PrincipalKind.AGENT)
    with bench.store.write() as connection:
        connection.execute(
            insert(certificate).values(
                tenant=bench.tenant,
                function=Function.INCIDENT_RESPONSE.value,
                action_class="deny ip",
                version_digest=version_digest(agent, tool_pin(bench.tool)),
                level=4,
                issued_us=0,
                expires_us=2**52,
            )
        )
