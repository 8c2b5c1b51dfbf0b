"""Approvals over HTTP: what waits, what a person signs, and every decision that does not count."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select, update

from watchfloor_core.clock import MICROSECONDS
from watchfloor_core.errors import UnavailableError
from watchfloor_core.ledger import verify_store
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import action_proposal, approval_shown, approval_vote
from watchfloor_guardrails.approval import VoteDecision
from watchfloor_guardrails.assertion import KeyKind, challenge_of, message_of
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.enrolment import STATEMENT_TYPE, key_id_of, possession_statement, vouching_statement
from watchfloor_guardrails.roles import Role, Scope, scopes_of
from watchfloor_service.actions.approval_record import check_record
from watchfloor_service.api.approval_desk import ApprovalDesk, LazyApprovalDesk
from watchfloor_service.api.problems import ProblemError
from watchfloor_service.testing import Api, eve_lines, plant_incidents, served
from watchfloor_service.testing_actions import AGENT, plant_draft, plant_waiting, seal
from watchfloor_service.testing_passkey import PRESENT, SoftPasskey
from watchfloor_workflows.action_messages import VoteInput
from watchfloor_workflows.authority.kill_switch import engage, release

RESPONDER = tuple(scopes_of([Role.RESPONDER]))
ORIGIN = "http://localhost:8470"


class Person:
    """Somebody with a token, an Ed25519 key and perhaps a passkey."""

    def __init__(self, api: Api, name: str, *scopes: Scope, tenant: str = "default") -> None:
        self.name = name
        self.client = api.client(*(scopes or RESPONDER), tenant=tenant, kind=PrincipalKind.PERSON, principal=name)
        self.key = Ed25519PrivateKey.generate()
        self.raw = self.key.public_key().public_bytes_raw()
        self.key_id = key_id_of(KeyKind.ED25519, self.raw, None)

    def sign(self, said: bytes, payload_type: str | None = None) -> dict[str, str]:
        message = message_of(said) if payload_type is None else message_of(said, payload_type)
        return {"signature": base64.b64encode(self.key.sign(message)).decode()}

    def enrol(self, **more: object) -> httpx.Response:
        said = possession_statement(self.name, KeyKind.ED25519, self.key_id)
        body = {
            "kind": "ed25519",
            "public_key": base64.b64encode(self.raw).decode(),
            "proof": self.sign(said, STATEMENT_TYPE),
            "label": "laptop",
            **more,
        }
        return self.client.post("/v1/approver-keys", json=body)

    def view(self, proposal_id: str) -> dict[str, object]:
        answer = self.client.get(f"/v1/approvals/{proposal_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.json()
        return found

    def approve(self, proposal_id: str, **changes: object) -> httpx.Response:
        shown = self.view(proposal_id)
        said = base64.b64decode(str(shown["statement"]))
        body = {"decision": "approve", "digest": shown["digest"], "key_id": self.key_id, "assertion": self.sign(said)}
        return self.decide(proposal_id, {**body, **changes})

    def decide(self, proposal_id: str, body: object, key: str | None = None) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.client.post(f"/v1/approvals/{proposal_id}/decision", json=body, headers=headers)


@pytest.fixture
def incident_id(api: Api) -> str:
    return plant_incidents(api.store, api.settings, "default", eve_lines(12))[0]


@pytest.fixture
def waiting(api: Api, incident_id: str) -> str:
    return plant_waiting(api.store, api.settings, "default", incident_id)


@pytest.fixture
def ana(api: Api) -> Person:
    person = Person(api, "ana")
    assert person.enrol().status_code == 201
    return person


def refusal(answer: httpx.Response) -> str:
    assert answer.status_code == 409, answer.text
    assert answer.json()["type"].endswith(":refused")
    return str(answer.json()["detail"])


def votes(store: Store) -> list[tuple[str, str, str]]:
    with store.read() as connection:
        rows = connection.execute(select(approval_vote).order_by(approval_vote.c.decided_us)).all()
    return [(row.principal, row.decision, row.channel) for row in rows]


def test_a_signed_approval_counts_and_is_verifiable_from_the_record_alone(api_on_each: Api) -> None:
    store = api_on_each.store
    incident = plant_incidents(store, api_on_each.settings, "default", eve_lines(12))[0]
    waiting = plant_waiting(store, api_on_each.settings, "default", incident)
    ana = Person(api_on_each, "ana")
    assert ana.enrol().status_code == 201
    answer = ana.approve(waiting, comment="seen")
    assert answer.json() == {"proposal_id": waiting, "outcome": "approved", "approvals": 1, "quorum": 1}
    assert votes(store) == [("ana", "approve", "api")]
    with store.read() as connection:
        verify_store(connection, "default")
    record = ana.client.get(f"/v1/approvals/{waiting}/record")
    checked = check_record(record.content)
    assert checked.is_approved
    assert checked.holds
    assert [vote.key_id for vote in checked.votes] == [ana.key_id]
    detail = ana.client.get(f"/v1/actions/{waiting}").json()
    assert detail["action"]["status"] == "approved"
    assert detail["votes"][0]["seconds_to_decide"] == 0
    assert detail["votes"][0]["comment"] == "seen"


def test_what_waits_is_shown_with_why_and_with_whether_one_may_decide(api: Api, waiting: str, ana: Person) -> None:
    (found,) = ana.client.get("/v1/approvals").json()["approvals"]
    assert found["action"]["proposal_id"] == waiting
    assert found["action"]["target_shown"] == '"198.51.100.1"'
    assert found["action"]["proposed_by"] == AGENT.name
    assert found["purpose"] == "it scans our hosts"
    assert "L2: a person decides every time" in found["why_asked"]
    assert (found["may_decide"], found["why_not"], found["approvals"]) == (True, [], 0)
    assert found["quorum"] >= 1
    assert found["seconds_left"] > 0
    viewer = Person(api, "vic", *scopes_of([Role.VIEWER]))
    (seen,) = viewer.client.get("/v1/approvals").json()["approvals"]
    assert seen["may_decide"] is False
    assert any("approvals:decide" in reason for reason in seen["why_not"])


def test_nobody_is_asked_to_sign_what_a_kill_switch_has_ended(api: Api, waiting: str, ana: Person) -> None:
    def said() -> object:
        [one] = ana.client.get("/v1/approvals").json()["approvals"]
        return one["why_not"]

    bo = Principal("bo", PrincipalKind.PERSON)
    assert said() == []
    engage(api.store, "default", "tool:elsewhere", bo, "another tool")
    assert said() == []
    engage(api.store, "default", "all", bo, "enough")
    assert said() == ["a kill switch is engaged for 'all'"]
    release(api.store, "default", "all", bo, "mended")
    assert said() == ["a kill switch was thrown since it was proposed; deny it, and propose anew what is still wanted"]
    no = {"decision": "deny", "digest": ana.view(waiting)["digest"], "comment": "over"}
    assert ana.decide(waiting, no).json()["outcome"] == "denied"


def test_the_most_urgent_comes_first_however_many_are_newer(api: Api, incident_id: str, ana: Person) -> None:
    made = [plant_waiting(api.store, api.settings, "default", incident_id, f"198.51.100.{n}") for n in range(3)]
    with api.store.write() as connection:
        ours = action_proposal.c.id == made[0]
        connection.execute(update(action_proposal).where(ours).values(created_us=1))
    listed = ana.client.get("/v1/approvals", params={"limit": 2}).json()["approvals"]
    assert [one["action"]["proposal_id"] for one in listed] == made[:2]


def test_looking_decides_nothing_and_the_first_look_is_kept(api: Api, waiting: str, ana: Person) -> None:
    for _ in range(2):
        ana.view(waiting)
    Person(api, "vic", *scopes_of([Role.VIEWER])).view(waiting)
    with api.store.read() as connection:
        shown = connection.execute(select(approval_shown)).all()
        status = connection.execute(select(action_proposal.c.status)).scalar_one()
    assert [row.principal for row in shown] == ["ana"]
    assert status == "waiting"
    assert votes(api.store) == []


def test_the_statement_is_the_callers_own(api: Api, waiting: str, ana: Person) -> None:
    ben = Person(api, "ben")
    said = {person.name: json.loads(base64.b64decode(str(person.view(waiting)["statement"]))) for person in (ana, ben)}
    assert {name: content["principal"] for name, content in said.items()} == {"ana": "ana", "ben": "ben"}


def test_a_denial_needs_a_reason_and_no_signature_and_is_final(api: Api, waiting: str, ana: Person) -> None:
    digest = ana.view(waiting)["digest"]
    assert "says why" in refusal(ana.decide(waiting, {"decision": "deny", "digest": digest}))
    denied = ana.decide(waiting, {"decision": "deny", "digest": digest, "comment": "our scanner"})
    assert denied.json()["outcome"] == "denied"
    ben = Person(api, "ben")
    ben.enrol()
    assert "denied" in refusal(ben.approve(waiting))


def test_a_body_that_names_who_decides_is_refused(api: Api, waiting: str, ana: Person) -> None:
    for field in ("principal", "approver", "roles", "tenant", "principal_kind", "channel", "update_id"):
        answer = ana.approve(waiting, **{field: "ben"})
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"path": field, "message": "Extra inputs are not permitted"}]
    assert votes(api.store) == []


def test_an_approval_without_a_signature_does_not_count(api: Api, waiting: str, ana: Person) -> None:
    assert "is signed" in refusal(ana.approve(waiting, assertion=None))
    assert "is signed" in refusal(ana.approve(waiting, key_id=None))
    assert "is signed" in refusal(ana.approve(waiting, key_id="0" * 32))
    assert votes(api.store) == []


def test_a_signature_over_anything_else_does_not_count(api: Api, incident_id: str, waiting: str, ana: Person) -> None:
    other = plant_waiting(api.store, api.settings, "default", incident_id, "198.51.100.2")
    said = base64.b64decode(str(ana.view(other)["statement"]))
    assert "signature" in refusal(ana.approve(waiting, assertion=ana.sign(said)))
    own = base64.b64decode(str(ana.view(waiting)["statement"]))
    denial = own.replace(b'"approve"', b'"deny"')
    assert "signature" in refusal(ana.approve(waiting, assertion=ana.sign(denial)))
    assert "signature" in refusal(ana.approve(waiting, assertion=ana.sign(own, STATEMENT_TYPE)))
    assert "another digest" in refusal(ana.approve(waiting, digest="0" * 64))


def test_nobody_signs_with_anothers_key(api: Api, waiting: str, ana: Person) -> None:
    eve = Person(api, "eve")
    said = base64.b64decode(str(eve.view(waiting)["statement"]))
    stolen = {"digest": eve.view(waiting)["digest"], "decision": "approve", "key_id": ana.key_id}
    assert "not a key of 'eve'" in refusal(eve.decide(waiting, {**stolen, "assertion": ana.sign(said)}))


def test_a_revoked_key_signs_nothing_more(waiting: str, ana: Person) -> None:
    assert ana.client.post(f"/v1/approver-keys/{ana.key_id}/revoke").json()["revoked_at"] is not None
    assert "not in force" in refusal(ana.approve(waiting))


def test_one_person_is_one_voice_and_a_repetition_is_the_same_decision(api: Api, waiting: str, ana: Person) -> None:
    shown = ana.view(waiting)
    said = base64.b64decode(str(shown["statement"]))
    body = {"decision": "approve", "digest": shown["digest"], "key_id": ana.key_id, "assertion": ana.sign(said)}
    first = ana.decide(waiting, body, key="once")
    assert ana.decide(waiting, body, key="once").json() == first.json()
    assert "already" in refusal(ana.decide(waiting, body, key="twice"))
    assert len(votes(api.store)) == 1


def test_whoever_proposed_it_may_not_approve_it(api: Api, incident_id: str, ana: Person) -> None:
    wish = {
        "incident_id": incident_id,
        "action_class": "deny ip",
        "target": {"kind": "ip", "value": "198.51.100.1"},
        "purpose": "stop it",
    }
    proposal_id = ana.client.post("/v1/actions", json=wish).json()["proposal_id"]
    seal(api.store, api.settings, "default", proposal_id)
    (found,) = ana.client.get("/v1/approvals").json()["approvals"]
    assert found["may_decide"] is False
    assert "another person decides" in refusal(ana.approve(proposal_id))


def test_after_the_deadline_nothing_counts(api: Api, waiting: str, ana: Person) -> None:
    with api.store.write() as connection:
        ruling = connection.execute(select(action_proposal.c.ruling)).scalar_one()
        ruling["terms"]["deadline_us"] -= 10**6 * MICROSECONDS
        connection.execute(update(action_proposal).values(ruling=ruling))
    assert "expired" in refusal(ana.approve(waiting))


def test_neither_a_service_nor_an_agent_reaches_a_decision(api: Api, waiting: str, ana: Person) -> None:
    token = api.token(*RESPONDER, kind=PrincipalKind.PERSON, principal="bot")
    with api.store.write() as connection:
        connection.exec_driver_sql("UPDATE api_token SET kind = 'agent' WHERE principal = 'bot'")
    digest = ana.view(waiting)["digest"]
    answer = api.bearer(token).post(
        f"/v1/approvals/{waiting}/decision", json={"decision": "deny", "digest": digest, "comment": "x"}
    )
    assert answer.status_code == 403


def test_a_person_without_the_role_does_not_count(api: Api, waiting: str) -> None:
    almost = Person(api, "art", Scope.ACTIONS_READ, Scope.APPROVALS_DECIDE)
    assert almost.enrol().status_code == 201
    assert "role responder or lead" in refusal(almost.approve(waiting))


def test_another_tenants_proposal_does_not_exist(api: Api, waiting: str) -> None:
    theirs = Person(api, "tom", tenant="acme")
    nowhere = "act-0000000000000000"
    for path in ("/v1/approvals/{}", "/v1/approvals/{}/record", "/v1/actions/{}"):
        ours, none = theirs.client.get(path.format(waiting)), theirs.client.get(path.format(nowhere))
        assert (ours.status_code, none.status_code) == (404, 404)
        assert ours.json()["detail"].replace(waiting, nowhere) == none.json()["detail"]
    for act, body in (
        ("approvals/{}/decision", {"decision": "deny", "digest": "0" * 64, "comment": "x"}),
        ("actions/{}/undo", {"purpose": "x"}),
        ("actions/{}/edit", {"lease_s": 60, "reason": "x"}),
    ):
        assert theirs.client.post(f"/v1/{act.format(waiting)}", json=body).status_code == 404
    assert theirs.client.get("/v1/approvals").json() == {"approvals": []}
    assert theirs.client.get("/v1/actions").json() == {"actions": [], "next": None}


def test_what_cannot_be_an_id_is_not_found(api_on_each: Api) -> None:
    person = Person(api_on_each, "ana")
    for text in ("nonsense", "act-%00", "act-00000000000000zz", "%F0%9F%92%A3"):
        assert person.client.get(f"/v1/approvals/{text}").status_code == 404
        assert person.client.post(f"/v1/approver-keys/{text}/revoke").status_code == 404
        assert person.client.post(f"/v1/freezes/{text}/lift", json={"reason": "x"}).status_code == 404


def test_where_no_worker_answers_the_person_is_told_to_send_it_again() -> None:
    async def connect() -> ApprovalDesk:
        raise UnavailableError("no Temporal at 127.0.0.1:1")

    vote = VoteInput(
        principal="ana",
        principal_kind=PrincipalKind.PERSON,
        roles=("lead",),
        tenant="default",
        decision=VoteDecision.DENY,
        digest="0" * 64,
        comment="x",
        channel="api",
        key_id=None,
        assertion_json=None,
        update_id="once",
    )
    with pytest.raises(ProblemError, match="same Idempotency-Key") as raised:
        asyncio.run(LazyApprovalDesk(connect).vote("default", "act-0000000000000000", vote))
    assert raised.value.status == 503


NASTY: list[object] = [
    [], "x", 1, {}, {"decision": None}, {"decision": "approve", "digest": "0" * 64, "assertion": []},
    {"decision": "deny", "digest": "0" * 64, "comment": "\x00"}, {"purpose": "\x00"}, {"reason": "\x00", "lease_s": 1},
    {"reason": "x", "lease_s": 2**70}, {"reason": "x", "target": "\x00"}, {"reason": "x", "arguments": {"a": "\x00"}},
    {"reason": "x", "arguments": {"a": 2**63}}, {"reason": "x", "proposal_ids": ["act-\x00"]},
    {"kind": "ed25519", "public_key": "A" * 44, "proof": {"signature": "AAAA"}, "label": "\x00"},
]  # fmt: skip


def test_garbage_breaks_nothing(api_on_each: Api) -> None:
    store = api_on_each.store
    incident = plant_incidents(store, api_on_each.settings, "default", eve_lines(12))[0]
    waiting = plant_waiting(store, api_on_each.settings, "default", incident)
    ana = Person(api_on_each, "ana")
    for path in (
        f"/v1/approvals/{waiting}/decision",
        "/v1/actions",
        f"/v1/actions/{waiting}/undo",
        f"/v1/actions/{waiting}/edit",
        "/v1/freezes/deny%20ip/lift",
        "/v1/approver-keys",
        "/v1/approver-keys/passkeys",
    ):
        for body in NASTY:
            assert ana.client.post(path, json=body).status_code in (404, 409, 422), (path, body)
    wish = {"incident_id": incident, "action_class": "deny ip", "purpose": "x", "target": {"kind": "ip", "value": "1"}}
    for change in ({"lease_s": 2**60}, {"arguments": {"a": 2**63}}, {"arguments": {"a": 2**53}}, {"tool": "a/b"}):
        assert ana.client.post("/v1/actions", json={**wish, **change}).status_code == 422, change


def test_a_draft_has_nothing_to_decide_on_yet(api: Api, incident_id: str, ana: Person) -> None:
    drafted = plant_draft(api.store, "default", incident_id)
    assert "nobody is asked" in refusal(ana.client.get(f"/v1/approvals/{drafted}"))
    assert ana.client.get("/v1/approvals").json() == {"approvals": []}


@pytest.fixture
def with_passkeys(sqlite_store: Store, settings: Settings) -> Iterator[Api]:
    public = Settings(data_dir=settings.data_dir, public_url=ORIGIN)
    with served(sqlite_store, public) as running:
        yield running


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def add_passkey(person: Person, passkey: SoftPasskey, **more: object) -> httpx.Response:
    begun = person.client.post("/v1/approver-keys/passkey-options").json()
    answer = passkey.register(decoded(begun["public_key"]["challenge"]))
    body = {"challenge_id": begun["challenge_id"], "label": "phone", **answer, **more}
    return person.client.post("/v1/approver-keys/passkeys", json=body)


def test_a_passkey_is_added_and_approves(with_passkeys: Api) -> None:
    api = with_passkeys
    incident = plant_incidents(api.store, api.settings, "default", eve_lines(12))[0]
    waiting = plant_waiting(api.store, api.settings, "default", incident)
    ana, passkey = Person(api, "ana"), SoftPasskey(origin=ORIGIN)
    added = add_passkey(ana, passkey)
    assert added.status_code == 201, added.text
    shown = ana.client.get(f"/v1/approvals/{waiting}").json()
    options = shown["webauthn"]
    assert (options["rpId"], options["userVerification"]) == ("localhost", "required")
    assert [decoded(one["id"]) for one in options["allowCredentials"]] == [passkey.credential_id]
    challenge = decoded(options["challenge"])
    assert challenge == challenge_of(base64.b64decode(shown["statement"]))
    vote = {"decision": "approve", "digest": shown["digest"], "key_id": added.json()["key_id"]}
    for wrong in (
        passkey.but(flags=PRESENT).sign(challenge),
        passkey.but(origin="https://evil.example").sign(challenge),
        passkey.but(rp_id="evil.example").sign(challenge),
        passkey.sign(b"c" * 32),
        SoftPasskey(origin=ORIGIN).sign(challenge),
    ):
        assert "passkey" in refusal(ana.decide(waiting, {**vote, "assertion": wrong}))
    counted = ana.decide(waiting, {**vote, "assertion": passkey.sign(challenge)})
    assert counted.json()["outcome"] == "approved"
    checked = check_record(ana.client.get(f"/v1/approvals/{waiting}/record").content)
    assert (checked.is_approved, checked.votes[0].origin) == (True, ORIGIN)


def test_a_wrong_answer_uses_the_challenge_up(with_passkeys: Api) -> None:
    ana, passkey = Person(with_passkeys, "ana"), SoftPasskey(origin=ORIGIN)
    begun = ana.client.post("/v1/approver-keys/passkey-options").json()
    challenge = decoded(begun["public_key"]["challenge"])
    body = {"challenge_id": begun["challenge_id"], "label": "phone"}
    wrong = passkey.but(flags=PRESENT).register(challenge)
    assert "not verified" in refusal(ana.client.post("/v1/approver-keys/passkeys", json={**body, **wrong}))
    right = passkey.register(challenge)
    assert "used already" in refusal(ana.client.post("/v1/approver-keys/passkeys", json={**body, **right}))


def test_a_challenge_is_for_one_person(with_passkeys: Api) -> None:
    ana, eve, passkey = Person(with_passkeys, "ana"), Person(with_passkeys, "eve"), SoftPasskey(origin=ORIGIN)
    begun = ana.client.post("/v1/approver-keys/passkey-options").json()
    answer = passkey.register(decoded(begun["public_key"]["challenge"]))
    body = {"challenge_id": begun["challenge_id"], "label": "phone", **answer}
    assert "challenge" in refusal(eve.client.post("/v1/approver-keys/passkeys", json=body))


def test_a_token_alone_adds_no_second_key_and_a_passkey_vouches_for_one(with_passkeys: Api) -> None:
    ana, passkey = Person(with_passkeys, "ana"), SoftPasskey(origin=ORIGIN)
    added = add_passkey(ana, passkey).json()
    assert "first key only" in refusal(ana.enrol())
    said = vouching_statement("ana", KeyKind.ED25519, ana.key_id)
    voucher = {"key_id": added["key_id"], "assertion": passkey.sign(challenge_of(said, STATEMENT_TYPE))}
    assert ana.enrol(voucher=voucher).status_code == 201
    keys = ana.client.get("/v1/approver-keys").json()["keys"]
    assert [key["kind"] for key in keys] == ["webauthn", "ed25519"]
    assert Person(with_passkeys, "ben").client.get("/v1/approver-keys").json() == {"keys": []}
