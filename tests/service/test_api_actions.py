"""Actions over HTTP: proposing, undoing, editing, reading, and lifting a freeze."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import insert, select, update

from watchfloor_core.clock import now_us
from watchfloor_core.ledger import verify_store
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import action_outbox, action_proposal, execution, freeze, lease
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.proposal import ProposalStatus, Proposer
from watchfloor_guardrails.roles import Role, Scope, scopes_of
from watchfloor_service.actions.proposing import PROPOSALS_PER_HOUR
from watchfloor_service.testing import Api, eve_lines, plant_incidents
from watchfloor_service.testing_actions import plant_draft, plant_waiting, seal
from watchfloor_workflows.authority.records import StoredProposal, read_proposal

NOBODY = "act-0000000000000000"


@pytest.fixture
def incident_id(api: Api) -> str:
    return plant_incidents(api.store, api.settings, "default", eve_lines(12))[0]


def person(api: Api, name: str = "ben", role: Role = Role.RESPONDER) -> httpx.Client:
    return api.client(*scopes_of([role]), kind=PrincipalKind.PERSON, principal=name)


def wish(incident_id: str, **changes: object) -> dict[str, object]:
    return {
        "incident_id": incident_id,
        "action_class": "deny ip",
        "target": {"kind": "ip", "value": "198.51.100.1"},
        "purpose": "it scans our hosts",
        **changes,
    }


def proposed(answer: httpx.Response) -> str:
    assert answer.status_code == 202, answer.text
    return str(answer.json()["proposal_id"])


def kind_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("urn:watchfloor:problem:")


def stored(store: Store, proposal_id: str) -> StoredProposal:
    with store.read() as connection:
        return read_proposal(connection, "default", proposal_id)


def outbox(store: Store) -> list[tuple[str, str]]:
    with store.read() as connection:
        rows = connection.execute(select(action_outbox).order_by(action_outbox.c.id)).all()
    return [(row.proposal_id, row.kind) for row in rows]


def test_a_proposal_is_the_callers_and_is_handed_to_a_workflow(api_on_each: Api) -> None:
    store = api_on_each.store
    incident_id = plant_incidents(store, api_on_each.settings, "default", eve_lines(12))[0]
    client = person(api_on_each)
    proposal_id = proposed(client.post("/v1/actions", json=wish(incident_id, lease_s=3600)))
    found = stored(store, proposal_id)
    assert found.draft.proposer == Proposer("ben", PrincipalKind.PERSON)
    assert (found.draft.target.endorsed_by, found.draft.lease_s) == ("person:ben", 3600)
    assert outbox(store) == [(proposal_id, "start")]
    listed = client.get("/v1/actions").json()["actions"]
    assert [one["proposal_id"] for one in listed] == [proposal_id]
    assert client.get(f"/v1/actions/{proposal_id}").json()["digest"] is None
    with store.read() as connection:
        verify_store(connection, "default")


@pytest.mark.parametrize("kind", [PrincipalKind.SERVICE, PrincipalKind.AGENT])
def test_what_a_program_names_could_be_an_attackers(api: Api, incident_id: str, kind: PrincipalKind) -> None:
    client = api.client(Scope.ACTIONS_PROPOSE, kind=kind, principal="soar")
    proposal_id = proposed(client.post("/v1/actions", json=wish(incident_id)))
    draft = stored(api.store, proposal_id).draft
    assert draft.target.is_tainted
    assert draft.proposer.kind is kind


@pytest.mark.parametrize("kind", [PrincipalKind.SERVICE, PrincipalKind.AGENT])
def test_a_program_that_floods_people_with_proposals_is_stopped(
    api: Api, incident_id: str, kind: PrincipalKind
) -> None:
    client = api.client(Scope.ACTIONS_PROPOSE, kind=kind, principal="soar")
    most = PROPOSALS_PER_HOUR[kind]
    answers = [
        client.post("/v1/actions", json=wish(incident_id, target={"kind": "ip", "value": f"198.51.100.{number}"}))
        for number in range(most + 2)
    ]
    assert [answer.status_code for answer in answers] == [202] * most + [409] * 2
    assert "budget 'proposals' of 'soar' is exhausted" in answers[-1].json()["detail"]
    assert len(outbox(api.store)) == most
    # Whoever else has something to propose is heard.
    proposed(person(api).post("/v1/actions", json=wish(incident_id)))


def test_the_same_request_again_is_the_same_proposal(api: Api, incident_id: str) -> None:
    client, key = person(api), {"Idempotency-Key": "once"}
    first = proposed(client.post("/v1/actions", json=wish(incident_id), headers=key))
    assert proposed(client.post("/v1/actions", json=wish(incident_id), headers=key)) == first
    other = client.post("/v1/actions", json=wish(incident_id, lease_s=60), headers=key)
    assert kind_of(other) == (409, "conflict")
    # Someone else's key of the same text is another key.
    assert proposed(person(api, "ana").post("/v1/actions", json=wish(incident_id), headers=key)) != first
    assert len(outbox(api.store)) == 2


SENSELESS: list[tuple[dict[str, object], str]] = [
    ({"action_class": "format disk"}, "not one of deny ip"),
    ({"target": {"kind": "user", "value": "ana"}}, "acts on ip"),
    ({"lease_s": 366 * 86_400}, "allowed"),
    ({"target": {"kind": "ip", "value": "1\x00"}}, ""),
    ({"purpose": ""}, ""),
    ({"proposer": "ana"}, ""),
    ({"arguments": {"Bad Name": 1}}, ""),
    ({"arguments": {"note": 1.5}}, ""),
]


def test_a_wish_that_makes_no_sense_is_422(api: Api, incident_id: str) -> None:
    client = person(api)
    for changes, says in SENSELESS:
        answer = client.post("/v1/actions", json=wish(incident_id, **changes))
        assert kind_of(answer) == (422, "invalid-request"), changes
        assert says in answer.json()["detail"], changes
    assert outbox(api.store) == []


def test_for_an_incident_of_another_tenant_nothing_is_proposed(api: Api, incident_id: str) -> None:
    theirs = api.client(*scopes_of([Role.RESPONDER]), tenant="acme", kind=PrincipalKind.PERSON, principal="tom")
    assert kind_of(theirs.post("/v1/actions", json=wish(incident_id))) == (404, "not-found")


def test_an_edit_is_a_new_proposal_and_voids_the_old_one(api_on_each: Api) -> None:
    store = api_on_each.store
    incident_id = plant_incidents(store, api_on_each.settings, "default", eve_lines(12))[0]
    old = plant_waiting(store, api_on_each.settings, "default", incident_id)
    client = person(api_on_each)
    body = {"lease_s": 600, "reason": "an hour is too long"}
    fresh = proposed(client.post(f"/v1/actions/{old}/edit", json=body))
    ended, begun = stored(store, old), stored(store, fresh)
    assert ended.status is ProposalStatus.VOIDED
    assert ended.reason == f"ben put {fresh} in its place: an hour is too long"
    assert (begun.status, begun.draft.lease_s) == (ProposalStatus.DRAFTED, 600)
    # Left as it was, the target keeps its label: passing it on vouches for nothing.
    assert begun.draft.target.is_tainted
    assert begun.draft.proposer == Proposer("ben", PrincipalKind.PERSON)
    assert outbox(store)[-2:] == [(fresh, "start"), (old, "void")]
    digest = ended.digest
    denied = client.post(f"/v1/approvals/{old}/decision", json={"decision": "deny", "digest": digest, "comment": "no"})
    assert "voided" in denied.json()["detail"]
    assert kind_of(client.post(f"/v1/actions/{old}/edit", json=body)) == (409, "conflict")
    with store.read() as connection:
        verify_store(connection, "default")


def test_whoever_asked_first_is_still_no_approver_of_the_edited_one(api: Api, incident_id: str) -> None:
    old = plant_draft(api.store, "default", incident_id, proposer=Proposer("ana", PrincipalKind.PERSON))
    body = {"target": "198.51.100.2", "reason": "the other one"}
    fresh = proposed(person(api).post(f"/v1/actions/{old}/edit", json=body))
    draft = stored(api.store, fresh).draft
    assert draft.proposer == Proposer("ben", PrincipalKind.PERSON, "ana")
    assert (draft.target.value, draft.target.endorsed_by) == ("198.51.100.2", "person:ben")
    seal(api.store, api.settings, "default", fresh)
    for name in ("ana", "ben"):
        (found,) = person(api, name).get("/v1/approvals").json()["approvals"]
        assert found["may_decide"] is False


def test_nobody_who_asked_for_it_or_edited_it_approves_it_however_often_it_is_edited(
    api: Api, incident_id: str
) -> None:
    old = plant_draft(api.store, "default", incident_id, proposer=Proposer("ana", PrincipalKind.PERSON))
    for editor, target in (("ben", "198.51.100.2"), ("cleo", "198.51.100.3")):
        body = {"target": target, "reason": "another one"}
        old = proposed(person(api, editor).post(f"/v1/actions/{old}/edit", json=body))
    seal(api.store, api.settings, "default", old)
    for name in ("ana", "ben", "cleo"):
        (found,) = person(api, name).get("/v1/approvals").json()["approvals"]
        assert (name, found["may_decide"]) == (name, False)


def test_an_edit_changes_something_and_is_a_persons(api: Api, incident_id: str) -> None:
    old = plant_waiting(api.store, api.settings, "default", incident_id)
    assert kind_of(person(api).post(f"/v1/actions/{old}/edit", json={"reason": "x"})) == (422, "invalid-request")
    agent = api.client(Scope.ACTIONS_PROPOSE, kind=PrincipalKind.AGENT, principal="bot")
    assert agent.post(f"/v1/actions/{old}/edit", json={"lease_s": 60, "reason": "x"}).status_code == 403
    assert stored(api.store, old).status is ProposalStatus.WAITING


def carry_out(store: Store, proposal_id: str) -> None:
    """As an executor leaves it."""
    now = now_us()
    with store.write() as connection:
        connection.execute(
            update(action_proposal)
            .where(action_proposal.c.id == proposal_id)
            .values(status="succeeded", deadline_us=now)
        )
        connection.execute(
            insert(execution).values(
                tenant="default",
                grant_id="g" * 32,
                proposal_id=proposal_id,
                digest="d" * 64,
                action_class="deny ip",
                tool="edge-firewall",
                executor="executor@host",
                authority="people",
                kill_scopes=["all"],
                state_before={"is_denied": False},
                phase="done",
                outcome="succeeded",
                receipt={"outcome": "succeeded", "read_back": {"is_denied": True}},
                consumed_us=now,
                beat_us=now,
                ended_us=now,
            )
        )
        connection.execute(
            insert(lease).values(
                tenant="default",
                proposal_id=proposal_id,
                action_class="deny ip",
                tool="edge-firewall",
                target_kind="ip",
                target_value="198.51.100.1",
                opened_us=now,
                ends_us=now + 3_600_000_000,
                state="open",
            )
        )


def test_the_receipt_is_shown_with_what_was_read_back(api: Api, incident_id: str) -> None:
    proposal_id = plant_waiting(api.store, api.settings, "default", incident_id)
    carry_out(api.store, proposal_id)
    found = person(api).get(f"/v1/actions/{proposal_id}").json()
    assert found["execution"]["receipt"]["read_back"] == {"is_denied": True}
    assert found["execution"]["state_before"] == {"is_denied": False}
    assert found["lease"]["state"] == "open"
    assert found["content"]["action"]["class"] == "deny ip"
    assert [hit["rule"] for hit in found["ruling"]["hits"]]
    assert "envelope" not in str(found)


def test_a_containment_is_taken_back_by_a_proposal_of_its_own(api: Api, incident_id: str) -> None:
    proposal_id = plant_waiting(api.store, api.settings, "default", incident_id)
    client, body = person(api), {"purpose": "it was our scanner"}
    assert kind_of(client.post(f"/v1/actions/{proposal_id}/undo", json=body)) == (404, "not-found")
    carry_out(api.store, proposal_id)
    key = {"Idempotency-Key": "undo"}
    undo = proposed(client.post(f"/v1/actions/{proposal_id}/undo", json=body, headers=key))
    assert proposed(client.post(f"/v1/actions/{proposal_id}/undo", json=body, headers=key)) == undo
    draft = stored(api.store, undo).draft
    assert (draft.action_class, draft.undo_of, draft.proposer.name) == ("allow ip", proposal_id, "ben")
    assert kind_of(client.post(f"/v1/actions/{proposal_id}/undo", json=body)) == (409, "conflict")
    assert client.get(f"/v1/actions/{proposal_id}").json()["undos"] == [undo]


def test_an_undo_that_is_edited_to_another_target_is_no_undo_any_more(api: Api, incident_id: str) -> None:
    origin = plant_waiting(api.store, api.settings, "default", incident_id)
    carry_out(api.store, origin)
    client = person(api)
    undo = proposed(client.post(f"/v1/actions/{origin}/undo", json={"purpose": "it was our scanner"}))
    same = proposed(client.post(f"/v1/actions/{undo}/edit", json={"target": "198.51.100.1", "reason": "as it was"}))
    other = proposed(client.post(f"/v1/actions/{same}/edit", json={"target": "198.51.100.2", "reason": "that one"}))
    assert (stored(api.store, same).draft.undo_of, stored(api.store, other).draft.undo_of) == (origin, None)


def test_pages_give_every_action_once_the_newest_first(api: Api, incident_id: str) -> None:
    made = [plant_draft(api.store, "default", incident_id, target=f"198.51.100.{n}") for n in range(7)]
    with api.store.write() as connection:
        # Two at a time, so that a page ends between equals.
        for number, proposal_id in enumerate(made):
            connection.execute(
                update(action_proposal).where(action_proposal.c.id == proposal_id).values(created_us=number // 2 + 1)
            )
    client = person(api, role=Role.VIEWER)
    found: list[str] = []
    params: dict[str, str | int] = {"limit": 3}
    while True:
        page = client.get("/v1/actions", params=params).json()
        found += [one["proposal_id"] for one in page["actions"]]
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
    assert sorted(found) == sorted(made)
    assert found[0] == made[6]
    assert client.get("/v1/actions", params={"status": "waiting"}).json()["actions"] == []
    assert len(client.get("/v1/actions", params={"incident_id": incident_id}).json()["actions"]) == 7
    for wrong in ({"cursor": "x"}, {"cursor": f"1-{NOBODY}x"}, {"status": "asleep"}, {"incident_id": "x"}):
        assert client.get("/v1/actions", params=wrong).status_code == 422


def test_a_person_who_has_looked_lifts_a_freeze(api: Api, incident_id: str) -> None:
    with api.store.write() as connection:
        values = {"action_class": "deny ip", "proposal_id": NOBODY, "reason": "unknown", "since_us": 1}
        connection.execute(insert(freeze).values(tenant="default", **values))
    client = person(api)
    (found,) = client.get("/v1/freezes").json()["freezes"]
    assert (found["action_class"], found["proposal_id"]) == ("deny ip", NOBODY)
    path = "/v1/freezes/deny%20ip/lift"
    assert person(api, "vic", Role.ANALYST).post(path, json={"reason": "x"}).status_code == 403
    theirs = api.client(*scopes_of([Role.RESPONDER]), tenant="acme", kind=PrincipalKind.PERSON, principal="tom")
    assert kind_of(theirs.post(path, json={"reason": "x"})) == (409, "conflict")
    assert client.post(path, json={"reason": "the rule is there"}).json() == {
        "action_class": "deny ip",
        "proposals": [NOBODY],
    }
    assert client.get("/v1/freezes").json() == {"freezes": []}
