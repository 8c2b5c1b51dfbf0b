"""Attacks on the authority plane, each as whoever could try it: true where it had its effect.

Each is written so that one control alone stands in its way; what is in the way otherwise, the attack has.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any, Final
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, select, text, update

from tests.workflows.plane import AGENT, ANA, BEN, HOUR, LEA, SECOND, Clock, Plane, policy_at
from watchfloor_core.alert import Integrity
from watchfloor_core.canonical import canonical, parse_canonical
from watchfloor_core.dsse import Signer, sign
from watchfloor_core.incident import AutonomyLevel, IncidentStatus, Verdict
from watchfloor_core.store.interning import entity_id
from watchfloor_core.store.schema import asset, incident
from watchfloor_core.store.schema_authority import approval_vote
from watchfloor_guardrails.approval import VoteDecision
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.effect import EffectPermit
from watchfloor_guardrails.grant import PAYLOAD_TYPE
from watchfloor_guardrails.proposal import ProposalStatus, Proposer
from watchfloor_guardrails.sequence import Fact
from watchfloor_workflows.authority.drafting import draft_action
from watchfloor_workflows.authority.kill_switch import engage, release
from watchfloor_workflows.authority.leases import end_lease, undo_draft
from watchfloor_workflows.authority.run_facts import note_facts
from watchfloor_workflows.testing.actions import Person, register

CID: Final = Principal("cid", PrincipalKind.PERSON)
L2, L4 = AutonomyLevel.L2, AutonomyLevel.L4


def payload_of(envelope: str) -> dict[str, Any]:  # Any: another's document
    content = parse_canonical(base64.b64decode(json.loads(envelope)["payload"]))
    assert isinstance(content, dict)
    return content


@dataclass
class Scene(Plane):
    """The plane, with its clock at the attack's disposal."""

    clock: Clock = field(default_factory=Clock)

    @property
    def has_acted(self) -> bool:
        return bool(self.tool.effects)

    def autonomous(self, **limits: object) -> None:
        """A signed policy at L4, and a certificate that bears it out."""
        self.policy = policy_at(L4, signed=True, **limits)
        self.certify()

    def granted(self, value: str = "203.0.113.7") -> tuple[str, str]:
        """An approved proposal and its grant."""
        proposal_id = self.propose(value)
        self.vote(ANA, proposal_id)
        grant_id = self.grant(proposal_id).grant_id
        assert grant_id is not None
        return proposal_id, grant_id


def act_in_a_stopped_scope(scene: Scene) -> bool:
    held = scene.granted()
    engage(scene.store, scene.tenant, "action:deny ip", CID, "stop")
    scene.execute(*held)
    return scene.has_acted


def outlive_a_stop(scene: Scene) -> bool:
    held = scene.granted()
    engage(scene.store, scene.tenant, "all", CID, "stop")
    release(scene.store, scene.tenant, "all", CID, "go on")
    scene.execute(*held)
    return scene.has_acted


def use_a_changed_target(scene: Scene) -> bool:
    held = scene.granted(value="203.0.113.7")
    scene.tool.held["203.0.113.7"] = "somebody else"
    scene.execute(*held)
    return scene.has_acted


def use_a_changed_tool(scene: Scene) -> bool:
    held = scene.granted()
    scene.tool.version = "2"
    scene.execute(*held)
    return scene.has_acted


def use_a_changed_policy(scene: Scene) -> bool:
    held = scene.granted()
    scene.policy = policy_at(L2, approval_deadline_s=1_800, remind_after_s=60, escalate_after_s=(90,))
    scene.execute(*held)
    return scene.has_acted


def act_for_a_closed_incident(scene: Scene) -> bool:
    held = scene.granted()
    close(scene)
    scene.execute(*held)
    return scene.has_acted


def close(scene: Scene) -> None:
    with scene.store.write() as connection:
        values = {"status": IncidentStatus.CLOSED, "verdict": Verdict.FALSE_POSITIVE}
        connection.execute(update(incident).where(incident.c.tenant == scene.tenant).values(**values))


def act_after_the_proposals_end(scene: Scene) -> bool:
    """A grant that was issued a minute before the end, used a minute after it."""
    proposal_id = scene.propose()
    scene.vote(ANA, proposal_id)
    scene.clock.ahead_us += scene.stored(proposal_id).sealed().expires_us - scene.clock() - 60 * SECOND
    grant_id = scene.grant(proposal_id).grant_id
    scene.clock.ahead_us += 120 * SECOND
    scene.execute(proposal_id, grant_id)
    return scene.has_acted


def act_beside_an_unknown_outcome(scene: Scene) -> bool:
    def fail(_: EffectPermit) -> None:
        raise TimeoutError

    scene.tool.on_act = fail
    first, second = scene.propose("203.0.113.7"), scene.propose("203.0.113.8")
    for proposal_id in (first, second):
        scene.vote(ANA, proposal_id)
    scene.carry_out(first)
    scene.tool.on_act = lambda _: None
    scene.carry_out(second)
    return scene.has_acted


def contain_twice(scene: Scene) -> bool:
    first, second = scene.propose(), scene.propose()
    for proposal_id in (first, second):
        scene.vote(ANA, proposal_id)
    scene.carry_out(first)
    # The target's own state says so as well: it is put back, so that the record of what is held stands alone.
    scene.tool.held.clear()
    scene.carry_out(second)
    return len(scene.tool.effects) == 2


def spend_more_than_the_hours_budget(scene: Scene) -> bool:
    scene.policy = policy_at(actions_per_hour=2, autonomous_actions_per_hour=0)
    held = [scene.propose(f"203.0.113.{number}") for number in range(3)]
    for proposal_id in held:
        scene.vote(ANA, proposal_id)
        scene.carry_out(proposal_id)
    return len(scene.tool.effects) > 2


def contain_more_than_the_share(scene: Scene) -> bool:
    furnish_inventory(scene, 10)
    scene.policy = policy_at(max_contained_share_ppm=200_000)
    for number in range(3):
        proposal_id = scene.propose(f"10.0.0.{number}")
        scene.vote(ANA, proposal_id)
        scene.carry_out(proposal_id)
    return len(scene.tool.effects) > 2


def furnish_inventory(scene: Plane, size: int, tier: int = 2) -> None:
    with scene.store.write() as connection:
        for number in range(size):
            value = f"10.0.0.{number}"
            connection.execute(
                insert(asset).values(
                    tenant=scene.tenant, entity_id=entity_id("ip", value), kind="ip", value=value, tier=tier, groups=[]
                )
            )


def hold_longer_than_is_allowed(scene: Scene) -> bool:
    scene.policy = policy_at(max_lease_s=3_600)
    proposal_id = scene.propose(lease_s=86_400)
    scene.vote(ANA, proposal_id)
    scene.carry_out(proposal_id)
    return scene.has_acted


def act_alone(scene: Scene, value: str = "203.0.113.7", **values: object) -> bool:
    scene.carry_out(scene.propose(value, **values))
    return scene.has_acted


def act_alone_at_l2(scene: Scene) -> bool:
    return act_alone(scene)


def act_alone_on_an_attackers_text(scene: Scene) -> bool:
    scene.autonomous()
    return act_alone(scene, integrity=Integrity.EXTERNAL)


def act_alone_on_a_crown_jewel(scene: Scene) -> bool:
    scene.autonomous()
    furnish_inventory(scene, 1, tier=0)
    return act_alone(scene, value="10.0.0.0")


def act_alone_irreversibly(scene: Scene) -> bool:
    scene.autonomous()
    scene.certify("stop process")
    return act_alone(scene, value="4711@12345", action_class="stop process")


def act_alone_under_an_unsigned_policy(scene: Scene) -> bool:
    scene.autonomous()
    scene.policy = policy_at(L4, signed=False)
    return act_alone(scene)


def act_alone_without_a_certificate(scene: Scene) -> bool:
    scene.policy = policy_at(L4)
    return act_alone(scene)


def act_alone_as_a_model(scene: Scene) -> bool:
    model = Proposer("generative:any", PrincipalKind.AGENT)
    scene.autonomous()
    scene.certify(proposer=model)
    return act_alone(scene, proposer=model)


def act_alone_on_anothers_certificate(scene: Scene) -> bool:
    scene.autonomous()
    return act_alone(scene, proposer=Proposer("specialist:brandnew", PrincipalKind.AGENT))


def act_alone_more_often_than_allowed(scene: Scene) -> bool:
    scene.autonomous(autonomous_actions_per_hour=1)
    for number in range(2):
        scene.carry_out(scene.propose(f"203.0.113.{number}"))
    return len(scene.tool.effects) > 1


def act_alone_after_failures(scene: Scene) -> bool:
    scene.autonomous(breaker_failures=1)
    scene.tool.lies = True
    scene.carry_out(scene.propose("203.0.113.1"))
    scene.tool.lies = False
    return act_alone(scene)


def act_alone_with_the_trifecta(scene: Scene) -> bool:
    scene.autonomous()
    with scene.store.write() as connection:
        note_facts(connection, scene.tenant, "inc-1", (Fact.UNTRUSTED_INPUT, Fact.SENSITIVE_DATA), "x", scene.clock())
    return act_alone(scene)


def act_before_people_could_object(scene: Scene) -> bool:
    scene.autonomous(veto_window_s=300)
    return act_alone(scene)


def act_against_an_objection(scene: Scene) -> bool:
    scene.autonomous(veto_window_s=300)
    proposal_id = scene.propose()
    scene.vote(BEN, proposal_id, VoteDecision.DENY)
    with scene.store.write() as connection:
        connection.execute(text("UPDATE action_proposal SET status = 'waiting'"))
    scene.clock.ahead_us += 301 * SECOND
    scene.carry_out(proposal_id)
    return scene.has_acted


def let_go_before_the_stated_time(scene: Scene) -> bool:
    proposal_id, grant_id = scene.granted()
    scene.execute(proposal_id, grant_id)
    undo_id = end_lease(scene.store, scene.ref(proposal_id)).undo_proposal_id
    assert undo_id is not None
    scene.seal(undo_id)
    scene.carry_out(undo_id)
    return ("allow ip", "203.0.113.7") in [effect[:2] for effect in scene.tool.effects]


def let_go_as_an_agent(scene: Scene) -> bool:
    proposal_id, grant_id = scene.granted()
    scene.execute(proposal_id, grant_id)
    scene.clock.ahead_us += 5 * HOUR
    with scene.store.write() as connection:
        draft = undo_draft(connection, scene.stored(proposal_id), AGENT, "it is over")
        undo_id = draft_action(connection, scene.tenant, draft)
    scene.seal(undo_id)
    scene.carry_out(undo_id)
    return len(scene.tool.effects) > 1


def approve_ones_own(scene: Scene) -> bool:
    proposal_id = scene.propose(proposer=Proposer("ana", PrincipalKind.PERSON))
    scene.vote(ANA, proposal_id)
    scene.carry_out(proposal_id)
    return scene.has_acted


def approve_under_ones_own_policy(scene: Scene) -> bool:
    proposal_id = scene.propose()
    scene.vote(LEA, proposal_id)
    scene.carry_out(proposal_id)
    return scene.has_acted


def count_twice(scene: Scene) -> bool:
    """Two accounts of one name, where four eyes are asked."""
    again = Person("ANA")
    register(scene.store, again)
    proposal_id = scene.propose("4711@12345", action_class="stop process")
    scene.vote(ANA, proposal_id)
    scene.vote(again, proposal_id)
    scene.carry_out(proposal_id)
    return scene.has_acted


def be_one_of_two(scene: Scene) -> bool:
    proposal_id = scene.propose("4711@12345", action_class="stop process")
    scene.vote(ANA, proposal_id)
    scene.carry_out(proposal_id)
    return scene.has_acted


def approve_without_a_role(scene: Scene) -> bool:
    proposal_id = scene.propose()
    scene.vote(ANA, proposal_id, roles=("viewer",))
    scene.carry_out(proposal_id)
    return scene.has_acted


def approve_as_an_agent(scene: Scene) -> bool:
    proposal_id = scene.propose()
    scene.vote(ANA, proposal_id, principal_kind=PrincipalKind.AGENT)
    scene.carry_out(proposal_id)
    return scene.has_acted


def approve_another_tenants(scene: Scene) -> bool:
    proposal_id = scene.propose()
    scene.vote(ANA, proposal_id, tenant="other")
    scene.carry_out(proposal_id)
    return scene.has_acted


def approve_after_the_deadline(scene: Scene) -> bool:
    proposal_id = scene.propose()
    scene.clock.ahead_us += 4 * HOUR + SECOND
    scene.vote(ANA, proposal_id)
    scene.carry_out(proposal_id)
    return scene.has_acted


def approve_what_was_denied(scene: Scene) -> bool:
    proposal_id = scene.propose("4711@12345", action_class="stop process")
    for person in (ANA, BEN):
        scene.vote(person, proposal_id)
    with scene.store.write() as connection:
        row = {
            "tenant": scene.tenant,
            "proposal_id": proposal_id,
            "principal": "cid",
            "decision": "deny",
            "roles": ["responder"],
            "statement": "",
            "comment": "no",
            "channel": "api",
            "decided_us": scene.clock(),
            "update_id": "1",
        }
        connection.execute(insert(approval_vote).values(**row))
    scene.carry_out(proposal_id)
    return scene.has_acted


def sign_for_somebody_else(scene: Scene) -> bool:
    """Somebody who can send votes in Ana's name, and has not got her key."""
    proposal_id = scene.propose()
    rubbish = json.dumps({"signature": base64.b64encode(b"\0" * 64).decode()})
    scene.vote(ANA, proposal_id, assertion_json=rubbish)
    scene.carry_out(proposal_id)
    return scene.has_acted


def sign_with_ones_own_key_for_somebody_else(scene: Scene) -> bool:
    proposal_id = scene.propose(proposer=Proposer("ben", PrincipalKind.PERSON))
    forged = Person("ana", key=BEN.key)
    scene.vote(forged, proposal_id)
    scene.carry_out(proposal_id)
    return scene.has_acted


def carry_a_vote_over_to_another_proposal(scene: Scene) -> bool:
    mild, harsh = scene.propose("203.0.113.7"), scene.propose("203.0.113.8")
    scene.vote(ANA, mild)
    with scene.store.write() as connection:
        row = dict(connection.execute(select(approval_vote)).mappings().one())
        connection.execute(insert(approval_vote).values(**{**row, "proposal_id": harsh}))
    scene.carry_out(harsh)
    return scene.has_acted


def approve_faster_than_one_can_read(scene: Scene) -> bool:
    scene.policy = policy_at(approvals_per_hour=2)
    for number in range(3):
        proposal_id = scene.propose(f"203.0.113.{number}")
        scene.vote(ANA, proposal_id)
        scene.carry_out(proposal_id)
    return len(scene.tool.effects) > 2


def execute_a_decoy(scene: Scene) -> bool:
    proposal_id = scene.propose(decoy_answer="deny")
    scene.vote(ANA, proposal_id)
    scene.carry_out(proposal_id)
    return scene.has_acted


def use_a_grant_elsewhere(scene: Scene) -> bool:
    held = scene.granted()
    scene.execute(*held, scene.another_executor("executors-2"))
    return scene.has_acted


def use_a_grant_late(scene: Scene) -> bool:
    held = scene.granted()
    scene.clock.ahead_us += 121 * SECOND
    scene.execute(*held)
    return scene.has_acted


def prolong_a_grant(scene: Scene) -> bool:
    """Whoever can write to the store, and has not got the worker's key, renews a grant that has run out."""
    proposal_id, grant_id = scene.granted()
    payload = payload_of(scene.envelope(grant_id))
    scene.clock.ahead_us += 600 * SECOND
    now = scene.clock()
    later = {**payload, "id": "f" * 32, "issued_us": now, "expires_us": now + SECOND * 60}
    stranger = Signer(Ed25519PrivateKey.generate())
    scene.execute(proposal_id, scene.forge_grant(proposal_id, sign(PAYLOAD_TYPE, canonical(later), stranger)))
    return scene.has_acted


def use_a_grant_twice(scene: Scene) -> bool:
    """Two executors at once: the one is looking at the target while the other does all of it."""
    proposal_id = scene.propose("4711@12345", action_class="stop process")
    for person in (ANA, BEN):
        scene.vote(person, proposal_id)
    grant_id = scene.grant(proposal_id).grant_id
    first, second = scene.executor, scene.another_executor(name="executor-2")
    seen = scene.tool.read_state
    others = iter([second])

    def look(target: Any) -> Any:  # Any: the tool's own signature
        state = seen(target)
        for other in others:
            scene.execute(proposal_id, grant_id, other)
        return state

    with mock.patch.object(scene.tool, "read_state", look):
        scene.execute(proposal_id, grant_id, first)
    return len(scene.tool.effects) > 1


def be_believed_without_an_effect(scene: Scene) -> bool:
    scene.tool.lies = True
    proposal_id, grant_id = scene.granted()
    scene.execute(proposal_id, grant_id)
    return scene.stored(proposal_id).status is ProposalStatus.SUCCEEDED and not scene.has_acted
