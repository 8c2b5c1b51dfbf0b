"""What people say in chats and signed webhooks, from the socket to the ledger, and every way to misuse it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import uvicorn
from pydantic import SecretBytes, SecretStr
from sqlalchemy import select

from watchfloor_connectors.channels.settings import Channels, SlackSettings, TeamsSettings, WebhookSettings
from watchfloor_connectors.channels.signatures import webhook_header
from watchfloor_connectors.channels.slack_blocks import Reference, deny_dialog
from watchfloor_connectors.channels.testing import Given, HttpReceiver, http_receiver
from watchfloor_core.alert import Integrity
from watchfloor_core.errors import UnavailableError
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import ledger_entry
from watchfloor_core.store.schema_authority import approval_vote
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.approval import VoteDecision, statement
from watchfloor_guardrails.assertion import message_of
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.draft import ActionDraft
from watchfloor_guardrails.proposal import ProposalStatus, Proposer
from watchfloor_guardrails.roles import Role
from watchfloor_service.access.accounts import changing_accounts
from watchfloor_service.access.testing import add_person
from watchfloor_service.access.tokens import Scope, create_token
from watchfloor_service.api.app import create_app
from watchfloor_service.api.approval_desk import ApprovalDesk
from watchfloor_service.api.routes import channels
from watchfloor_service.channels.parts import AccountRoles, ChannelParts, LateAnswers
from watchfloor_service.testing import TLS, DirectApprovalDesk, DirectDesk, Server
from watchfloor_workflows.action_messages import ObserveTargetResult, ProposalRef, VoteInput, VoteResult
from watchfloor_workflows.authority.drafting import draft_action
from watchfloor_workflows.authority.incident_view import facts_of
from watchfloor_workflows.authority.records import read_proposal
from watchfloor_workflows.authority.sealing import seal_proposal
from watchfloor_workflows.authority.voting import open_approval
from watchfloor_workflows.policy import PolicyFile
from watchfloor_workflows.testing.actions import Person, make_attack, register

PUBLIC = "https://watchfloor.example.org"
SLACK_SECRET, TEAMS_KEY, IN_SECRET, OTHER_SECRET = b"s" * 32, b"t" * 32, b"i" * 32, b"j" * 32
MARIA, VERA, MALLORY, ROBOT = "UMARIA", "UVERA", "UMALLORY", "UROBOT"
AAD = {"maria": "3f8a2d10-0000-4000-8000-1234567890ab", "vera": "3f8a2d10-0000-4000-8000-1234567890cd"}
SIGNER = Person("maria")


@dataclass
class Desk:
    """Counts what reaches it, and can be made to wait or fail."""

    inner: ApprovalDesk
    votes: list[VoteInput] = field(default_factory=list)
    gate: threading.Event | None = None
    error: Exception | None = None

    async def vote(self, tenant: str, proposal_id: str, vote: VoteInput) -> VoteResult:
        self.votes.append(vote)
        if self.error is not None:
            raise self.error
        if self.gate is not None:
            await asyncio.to_thread(self.gate.wait, 20)
        return await self.inner.vote(tenant, proposal_id, vote)


@dataclass
class Bench:
    store: Store
    settings: Settings
    client: httpx.Client
    slack: HttpReceiver
    """Slack's side."""
    desk: Desk
    proposal: str
    digest: str

    def status(self, tenant: str = "default") -> ProposalStatus:
        with self.store.read() as connection:
            return read_proposal(connection, tenant, self.proposal).status

    def voters(self) -> list[tuple[str, str, str]]:
        with self.store.read() as connection:
            rows = connection.execute(select(approval_vote).order_by(approval_vote.c.principal))
            return [(row.principal, row.decision, row.channel) for row in rows]

    def refusals(self) -> list[dict[str, Any]]:
        """Bodies of what the ledger has of refusals."""
        with self.store.read() as connection:
            rows = connection.execute(
                select(ledger_entry.c.body).where(ledger_entry.c.kind == "refusal").order_by(ledger_entry.c.seq)
            )
            return [json.loads(data)["body"] for data in rows.scalars()]

    # Slack

    def slack_post(
        self, payload: object, *, at: int | None = None, secret: bytes = SLACK_SECRET, tenant: str = "default"
    ) -> httpx.Response:
        body, headers = slack_signed(payload, at=at, secret=secret)
        return self.client.post(f"/v1/channels/slack/{tenant}", content=body, headers=headers)

    def reference(self, tenant: str = "default") -> str:
        return Reference(tenant=tenant, proposal=self.proposal, digest=self.digest).model_dump_json()

    def press(self, action_id: str = "watchfloor_deny", user: str = MARIA, **changes: Any) -> dict[str, Any]:
        return {
            "type": "block_actions",
            "team": {"id": "T1", "domain": "example"},
            "user": {"id": user, "name": "maria", "team_id": "T1"},
            "trigger_id": "1.2.3",
            "response_url": f"{self.slack.url}/hooks/T1/2/3",
            "actions": [{"type": "button", "action_id": action_id, "value": self.reference()}],
            **changes,
        }

    def submission(self, reason: str = "the backup server", user: str = MARIA, **changes: Any) -> dict[str, Any]:
        reference = Reference(tenant="default", proposal=self.proposal, digest=self.digest)
        view = {
            **deny_dialog(reference),
            "id": "V1",
            "state": {"values": {"reason": {"reason_text": {"type": "plain_text_input", "value": reason}}}},
        }
        return {
            "type": "view_submission",
            "team": {"id": "T1"},
            "user": {"id": user, "team_id": "T1"},
            "view": view,
            **changes,
        }

    # Teams

    def teams_post(
        self, text: str, who: str = AAD["maria"], *, at: float | None = None, key: bytes = TEAMS_KEY, **changes: Any
    ) -> httpx.Response:
        moment = datetime.fromtimestamp(time.time() if at is None else at, UTC)
        activity = {
            "type": "message",
            "id": "1485983408511",
            "timestamp": moment.isoformat().replace("+00:00", "Z"),
            "channelId": "msteams",
            "from": {"id": "29:1", "name": "Maria", "aadObjectId": who},
            "text": f"<at>Watchfloor</at>&nbsp;{text}",
            **changes,
        }
        body = json.dumps(activity).encode()
        return self.client.post("/v1/channels/teams/default", content=body, headers=teams_headers(body, key))

    # Webhook

    def vote(self, decision: str = "deny", **changes: Any) -> dict[str, Any]:
        return {
            "v": 1,
            "type": "approval_vote",
            "tenant": "default",
            "proposal_id": self.proposal,
            "digest": self.digest,
            "decision": decision,
            "subject": "maria@soar",
            "id": "case-17",
            "comment": "the backup server",
            **changes,
        }

    def webhook_post(
        self, content: object, *, at: int | None = None, secret: bytes = IN_SECRET, tenant: str = "default"
    ) -> httpx.Response:
        body = json.dumps(content).encode()
        header = webhook_header(secret, body, int(time.time()) if at is None else at)
        return self.client.post(
            f"/v1/channels/webhook/{tenant}", content=body, headers={"Watchfloor-Signature": header}
        )

    def signed(self, person: Person = SIGNER, decision: VoteDecision = VoteDecision.APPROVE) -> dict[str, Any]:
        """key_id and assertion over the statement of this very proposal."""
        with self.store.read() as connection:
            approval = open_approval(connection, read_proposal(connection, "default", self.proposal))
        said = statement(approval, person.name, decision)
        signature = base64.b64encode(person.key.sign(message_of(said))).decode()
        return {"key_id": person.key_id, "assertion": {"kind": "ed25519", "signature": signature}}


def slack_signed(
    payload: object, *, at: int | None = None, secret: bytes = SLACK_SECRET
) -> tuple[bytes, dict[str, str]]:
    body = urlencode({"payload": json.dumps(payload)}).encode()
    stamp = str(int(time.time()) if at is None else at)
    digest = hmac.new(secret, f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return body, {
        "X-Slack-Signature": f"v0={digest}",
        "X-Slack-Request-Timestamp": stamp,
        "Content-Type": "application/x-www-form-urlencoded",
    }


def teams_headers(body: bytes, key: bytes = TEAMS_KEY) -> dict[str, str]:
    mac = base64.b64encode(hmac.new(key, body, hashlib.sha256).digest()).decode()
    return {"Authorization": f"HMAC {mac}", "Content-Type": "application/json"}


def configured(slack_url: str) -> Channels:
    def slack(name: str, tenant: str, users: dict[str, str]) -> SlackSettings:
        return SlackSettings(
            name=name,
            tenant=tenant,
            roles=("responder",),
            users=users,
            team="T1",
            conversation="C1",
            bot_token=SecretStr("xoxb-1"),
            signing_secret=SecretBytes(SLACK_SECRET),
            api_url=f"{slack_url}/api/",
            hooks_url=f"{slack_url}/hooks/",
        )

    def webhook(name: str, secret: bytes, users: dict[str, str]) -> WebhookSettings:
        return WebhookSettings(
            name=name,
            tenant="default",
            roles=("lead",),
            users=users,
            url=None,
            secret=None,
            inbound_secret=SecretBytes(secret),
        )

    teams = TeamsSettings(
        name="teams",
        tenant="default",
        roles=("responder",),
        users={AAD["maria"]: "maria", AAD["vera"]: "vera"},
        workflow_url=SecretStr("https://flow.example/"),
        security_token=SecretBytes(TEAMS_KEY),
    )
    people = {MARIA: "maria", VERA: "vera", ROBOT: "robot", "UOLGA": "olga", "UNINA": "nina"}
    return Channels(
        PUBLIC,
        (
            slack("slack", "default", people),
            slack("acme-slack", "acme", {MARIA: "maria"}),
            teams,
            webhook("soar", IN_SECRET, {"maria@soar": "maria", "nina@soar": "nina"}),
            webhook("pager", OTHER_SECRET, {"oncall": "nina"}),
        ),
    )


def plant_waiting(store: Store, settings: Settings, proposer: Proposer | None = None) -> tuple[str, str]:
    """A proposal that waits for people, as the workflow leaves one; its id and digest."""
    make_attack(store, "default")
    with store.write() as connection:
        kind = CATALOGUE["deny ip"].target
        facts = facts_of(connection, "default", "inc-1", kind, "203.0.113.7")
        assert facts is not None
        draft = ActionDraft(
            incident_id="inc-1",
            action_class="deny ip",
            target_kind=kind,
            target=Labelled("203.0.113.7", Integrity.SENSOR),
            arguments={},
            tool=None,
            lease_s=None,
            proposer=proposer or Proposer("specialist:response", PrincipalKind.AGENT),
            facts=facts,
            purpose="a test wants it",
        )
        proposal = draft_action(connection, "default", draft)
    seen = ObserveTargetResult("memory", "ab" * 32, "cd" * 32)
    seal_proposal(store, PolicyFile(settings).current(), ProposalRef("default", proposal), seen)
    with store.read() as connection:
        stored = read_proposal(connection, "default", proposal)
    assert (stored.status, bool(stored.digest)) == (ProposalStatus.WAITING, True), stored.reason
    return proposal, stored.digest or ""


@contextmanager
def running(store: Store, settings: Settings, proposer: Proposer | None = None) -> Iterator[Bench]:
    for name, role in (("maria", Role.RESPONDER), ("vera", Role.VIEWER), ("olga", Role.LEAD), ("nina", Role.LEAD)):
        add_person(store, name, role)
    register(store, SIGNER)
    with store.write() as connection:
        scopes = [Scope.ACTIONS_READ, Scope.ACTIONS_PROPOSE]
        create_token(connection, "default", "robot", PrincipalKind.SERVICE, scopes)
    proposal, digest = plant_waiting(store, settings, proposer)
    desk = Desk(DirectApprovalDesk(store, settings))
    with http_receiver() as slack:
        app = create_app(settings, store, desk=DirectDesk(store), approvals=desk)
        app.state.channel_parts = ChannelParts(
            configured(slack.url), AccountRoles(store), late=LateAnswers(patience_s=0.5)
        )
        if all(getattr(route, "path", "") != "/v1/channels/slack/{tenant}" for route in app.routes):
            app.include_router(channels.router)
        server = Server(uvicorn.Config(app, port=0, log_config=None, access_log=False, server_header=False))
        thread = threading.Thread(target=server.run)
        thread.start()
        assert server.listens.wait(20)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=30, verify=TLS) as client:
                yield Bench(store, settings, client, slack, desk, proposal, digest)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def bench(sqlite_store: Store, settings: Settings) -> Iterator[Bench]:
    with running(sqlite_store, settings) as made:
        yield made


@pytest.fixture
def bench_on_each(store: Store, settings: Settings) -> Iterator[Bench]:
    with running(store, settings) as made:
        yield made


# Slack


def test_a_no_in_slack_is_asked_for_a_reason_and_ends_the_proposal(bench_on_each: Bench) -> None:
    bench = bench_on_each
    pressed = bench.slack_post(bench.press())
    assert (pressed.status_code, pressed.content) == (200, b"")
    opened = bench.slack.next()
    assert (opened.path, opened.json["trigger_id"]) == ("/api/views.open", "1.2.3")
    assert bench.status() is ProposalStatus.WAITING
    answer = bench.slack_post(bench.submission())
    assert answer.json()["response_action"] == "update"
    assert "Denied" in answer.json()["view"]["blocks"][0]["text"]["text"]
    assert bench.status() is ProposalStatus.DENIED
    assert bench.voters() == [("maria", "deny", "slack")]


def test_review_and_sign_in_slack_decides_nothing_and_says_where_to_look(bench: Bench) -> None:
    assert bench.slack_post(bench.press("watchfloor_review")).status_code == 200
    told = bench.slack.next()
    assert told.path == "/hooks/T1/2/3"
    text = json.dumps(told.json)
    assert f"{PUBLIC}/approvals/{bench.proposal}" in text
    assert f"watchfloor approvals show {bench.proposal}" in text
    assert (told.json["response_type"], told.json["replace_original"]) == ("ephemeral", False)
    assert (bench.status(), bench.desk.votes) == (ProposalStatus.WAITING, [])


@pytest.mark.parametrize("action_id", ["watchfloor_approve", "approve", "watchfloor_review_and_approve"])
def test_no_button_approves(bench: Bench, action_id: str) -> None:
    assert bench.slack_post(bench.press(action_id)).status_code == 422
    assert (bench.status(), bench.desk.votes) == (ProposalStatus.WAITING, [])


def test_no_get_does_anything(bench: Bench) -> None:
    body, headers = slack_signed(bench.submission())
    for kind in ("slack", "teams", "webhook"):
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            path = f"/v1/channels/{kind}/default"
            assert bench.client.request(method, path, content=body, headers=headers).status_code == 405
    link = bench.client.get(f"/approvals/{bench.proposal}", headers={"Accept": "text/html"})
    assert (link.status_code, bench.status(), bench.voters()) == (404, ProposalStatus.WAITING, [])


# One from the future comes nearer while it is on its way; the very bound is tested with a clock that stands still.
@pytest.mark.parametrize("distance", [-301, 360])
def test_a_stale_slack_message_is_refused(bench: Bench, distance: int) -> None:
    assert bench.slack_post(bench.submission(), at=int(time.time()) + distance).status_code == 401
    assert bench.desk.votes == []


def test_a_slack_message_with_a_wrong_secret_or_an_altered_body_is_refused(bench: Bench) -> None:
    assert bench.slack_post(bench.submission(), secret=b"x" * 32).status_code == 401
    body, headers = slack_signed(bench.submission(user=VERA))
    altered = body.replace(VERA.encode(), MARIA.encode())
    assert altered != body
    answer = bench.client.post("/v1/channels/slack/default", content=altered, headers=headers)
    assert answer.status_code == 401
    assert bench.desk.votes == []


def test_the_same_slack_message_again_is_refused(bench_on_each: Bench) -> None:
    bench = bench_on_each
    body, headers = slack_signed(bench.submission())
    codes = [
        bench.client.post("/v1/channels/slack/default", content=body, headers=headers).status_code for _ in range(3)
    ]
    assert codes == [200, 409, 409]
    assert len(bench.desk.votes) == 1


def test_of_replays_at_the_same_time_one_is_taken(bench_on_each: Bench) -> None:
    bench = bench_on_each
    body, headers = slack_signed(bench.submission())
    together, codes = threading.Barrier(4), list[int]()

    def deliver() -> None:
        together.wait()
        codes.append(bench.client.post("/v1/channels/slack/default", content=body, headers=headers).status_code)

    threads = [threading.Thread(target=deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200, 409, 409, 409]
    assert len(bench.desk.votes) == 1


def test_somebody_whom_nobody_named_is_told_so_and_recorded(bench: Bench) -> None:
    bench.slack_post(bench.press(user=MALLORY))
    told = bench.slack.next()
    assert told.path == "/hooks/T1/2/3"
    assert "not known to Watchfloor" in json.dumps(told.json)
    answer = bench.slack_post(bench.submission(user=MALLORY))
    assert "not known to Watchfloor" in answer.json()["errors"]["reason"]
    assert bench.desk.votes == []
    assert [(one["code"], one["user"], one["proposal"]) for one in bench.refusals()] == [
        ("channel_unmapped_user", MALLORY, bench.proposal)
    ] * 2


def test_pressing_again_and_again_does_not_fill_the_ledger(bench: Bench) -> None:
    for number in range(15):
        bench.slack_post(bench.submission(f"try {number}", user=MALLORY))
    assert len(bench.refusals()) == 10


def test_somebody_of_another_workspace_with_the_same_id_is_nobody_here(bench: Bench) -> None:
    guest = bench.submission(user=MARIA) | {"user": {"id": MARIA, "team_id": "TOTHER"}}
    assert "not known" in bench.slack_post(guest).json()["errors"]["reason"]
    visitor = bench.submission() | {"team": {"id": "TOTHER"}, "user": {"id": MARIA}}
    assert "not known" in bench.slack_post(visitor).json()["errors"]["reason"]
    assert bench.desk.votes == []


@pytest.mark.parametrize(
    ("user", "code"),
    [(VERA, "channel_may_not_decide"), (ROBOT, "channel_no_account_or_role")],
    ids=["a viewer", "a service"],
)
def test_who_is_named_but_may_not_decide_is_refused(bench: Bench, user: str, code: str) -> None:
    answer = bench.slack_post(bench.submission(user=user))
    assert answer.json()["response_action"] == "errors"
    assert [one["code"] for one in bench.refusals()] == [code]
    assert (bench.status(), bench.desk.votes) == (ProposalStatus.WAITING, [])


def test_roles_are_asked_for_at_every_decision_and_in_this_tenant(bench: Bench) -> None:
    with changing_accounts(bench.store, "default", "local:test") as changes:
        changes.disable("maria")
    assert "no enabled account" in bench.slack_post(bench.submission()).json()["errors"]["reason"]
    with changing_accounts(bench.store, "default", "local:test") as changes:
        changes.enable("maria")
        changes.revoke("maria", "default", Role.RESPONDER)
        changes.grant("maria", "acme", Role.RESPONDER)
    assert "no enabled account" in bench.slack_post(bench.submission("again")).json()["errors"]["reason"]
    assert bench.desk.votes == []


def test_a_proposal_is_not_reached_from_another_tenants_address(bench: Bench) -> None:
    add_person(bench.store, "maria", Role.RESPONDER, tenant="acme")
    answer = bench.slack_post(bench.submission(), tenant="acme")
    assert "no proposal" in answer.json()["errors"]["reason"]
    assert bench.desk.votes == []
    theirs = bench.submission()
    theirs["view"]["private_metadata"] = bench.reference("acme")
    assert "Not recorded" in bench.slack_post(theirs, tenant="acme").json()["errors"]["reason"]
    assert bench.status() is ProposalStatus.WAITING


def test_fields_that_name_another_approver_change_nothing(bench: Bench) -> None:
    hostile = bench.submission(principal="nina", approver="nina", user_id="UNINA")
    hostile["view"]["private_metadata"] = json.dumps({**json.loads(bench.reference()), "principal": "nina"})
    hostile["user"]["principal"] = "nina"
    assert bench.slack_post(hostile).status_code == 200
    assert bench.voters() == [("maria", "deny", "slack")]


def test_the_proposer_does_not_deny_what_they_proposed(sqlite_store: Store, settings: Settings) -> None:
    with running(sqlite_store, settings, Proposer("olga", PrincipalKind.PERSON)) as bench:
        answer = bench.slack_post(bench.submission(user="UOLGA"))
        assert "another person decides" in answer.json()["errors"]["reason"]
        assert bench.voters() == []


def test_a_second_word_of_the_same_person_does_not_count(bench: Bench) -> None:
    bench.slack_post(bench.submission())
    again = bench.slack_post(bench.submission("once more"))
    assert "nobody decides twice" in again.json()["errors"]["reason"]
    assert len(bench.voters()) == 1


def test_a_no_without_a_reason_or_about_another_digest_is_refused(bench: Bench) -> None:
    assert "says why" in bench.slack_post(bench.submission(" ")).json()["errors"]["reason"]
    stale = bench.submission()
    other = Reference(tenant="default", proposal=bench.proposal, digest="0" * 64)
    stale["view"]["private_metadata"] = other.model_dump_json()
    assert "another digest" in bench.slack_post(stale).json()["errors"]["reason"]
    assert bench.status() is ProposalStatus.WAITING


def test_an_answer_is_sent_to_slack_only(bench: Bench) -> None:
    with http_receiver() as elsewhere:
        bench.slack_post(bench.press("watchfloor_review", response_url=f"{elsewhere.url}/hooks/1"))
        bench.slack_post(bench.press("watchfloor_review"))
        bench.slack.next()
        assert elsewhere.is_idle
    assert bench.slack.is_idle


def test_slack_is_answered_in_time_and_told_later_what_came_of_it(bench: Bench) -> None:
    bench.desk.gate = threading.Event()
    started = time.monotonic()
    answer = bench.slack_post(bench.submission())
    assert time.monotonic() - started < 3
    assert "takes longer" in answer.json()["view"]["blocks"][0]["text"]["text"]
    bench.desk.gate.set()
    later = bench.slack.next()
    assert (later.path, later.json["view_id"]) == ("/api/views.update", "V1")
    assert "Denied" in json.dumps(later.json)
    assert bench.status() is ProposalStatus.DENIED


def test_where_nobody_can_record_it_the_dialog_stays_open(bench: Bench) -> None:
    bench.desk.error = UnavailableError("Temporal at 10.0.0.7 is away")
    answer = bench.slack_post(bench.submission())
    assert "Try again" in answer.json()["errors"]["reason"]
    assert "10.0.0.7" not in answer.text
    bench.desk.error = None
    assert bench.slack_post(bench.submission("again")).json()["response_action"] == "update"


def test_slack_being_down_does_not_fail_the_request(bench: Bench) -> None:
    bench.slack.answers = [Given(500, b"")]
    assert bench.slack_post(bench.press()).status_code == 200
    bench.slack.next()


# Teams


def test_a_no_in_teams_ends_the_proposal(bench: Bench) -> None:
    answer = bench.teams_post(f"deny {bench.proposal} it is the backup server")
    assert answer.status_code == 200
    assert "Denied" in answer.text
    assert answer.json()["attachments"][0]["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert bench.voters() == [("maria", "deny", "teams")]


def test_teams_tells_where_to_sign_and_takes_no_yes(bench: Bench) -> None:
    assert f"{PUBLIC}/approvals/{bench.proposal}" in bench.teams_post(f"review {bench.proposal}").text
    assert "cannot be given in a chat" in bench.teams_post(f"approve {bench.proposal} yes").text
    assert (bench.status(), bench.desk.votes) == (ProposalStatus.WAITING, [])


def test_a_teams_message_that_is_stale_forged_or_altered_is_refused(bench: Bench) -> None:
    line = f"deny {bench.proposal} no"
    assert bench.teams_post(line, at=time.time() - 301).status_code == 422
    assert bench.teams_post(line, key=b"x" * 32).status_code == 401
    body = json.dumps({"type": "message"}).encode()
    altered = bench.client.post("/v1/channels/teams/default", content=body + b" ", headers=teams_headers(body))
    assert altered.status_code == 401
    assert bench.desk.votes == []


def test_the_same_teams_message_again_is_refused(bench: Bench) -> None:
    at = time.time()
    codes = [bench.teams_post(f"deny {bench.proposal} no", at=at).status_code for _ in range(2)]
    assert codes == [200, 409]


def test_strangers_and_viewers_in_teams_are_refused_and_recorded(bench: Bench) -> None:
    line = f"deny {bench.proposal} no"
    assert "not known" in bench.teams_post(line, "3f8a2d10-0000-4000-8000-00000000dead").text
    assert "a responder or lead does" in bench.teams_post(line, AAD["vera"]).text
    assert [one["code"] for one in bench.refusals()] == ["channel_unmapped_user", "channel_may_not_decide"]
    assert "no proposal" in bench.teams_post("deny act-00000000000000ff no").text
    assert bench.desk.votes == []


# Webhook


def test_a_signed_no_by_webhook_ends_the_proposal(bench_on_each: Bench) -> None:
    bench = bench_on_each
    answer = bench.webhook_post(bench.vote())
    assert answer.json() == {"proposal_id": bench.proposal, "outcome": "denied", "approvals": 0, "quorum": 1}
    assert bench.voters() == [("maria", "deny", "webhook")]


def test_a_yes_by_webhook_takes_the_persons_own_signature(bench_on_each: Bench) -> None:
    bench = bench_on_each
    bare = bench.webhook_post(bench.vote("approve"))
    assert bare.status_code == 409
    assert "own signature" in bare.json()["detail"]
    answer = bench.webhook_post(bench.vote("approve", **bench.signed()))
    assert answer.status_code == 200, answer.text
    assert bench.voters() == [("maria", "approve", "webhook")]


def test_a_signature_of_someone_else_or_over_something_else_is_no_yes(bench: Bench) -> None:
    forged = Person("maria")
    signed = bench.signed()
    tries = [
        {**signed, "assertion": bench.signed(forged)["assertion"]},
        {**signed, "key_id": forged.key_id},
        {**signed, "subject": "nina@soar"},
        bench.signed(decision=VoteDecision.DENY),
        {**signed, "assertion": {}},
        {**signed, "digest": "0" * 64},
    ]
    for number, change in enumerate(tries):
        answer = bench.webhook_post(bench.vote("approve", id=f"try-{number}", **change))
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:watchfloor:problem:refused"), change
    assert (bench.status(), bench.voters()) == (ProposalStatus.WAITING, [])


def test_a_webhook_that_is_stale_forged_altered_or_replayed_is_refused(bench: Bench) -> None:
    vote = bench.vote()
    assert bench.webhook_post(vote, at=int(time.time()) - 301).status_code == 401
    assert bench.webhook_post(vote, secret=b"x" * 32).status_code == 401
    body = json.dumps(vote).encode()
    header = {"Watchfloor-Signature": webhook_header(IN_SECRET, body, int(time.time()))}
    altered = body.replace(b"maria@soar", b"nina@soar ")
    assert bench.client.post("/v1/channels/webhook/default", content=altered, headers=header).status_code == 401
    codes = [
        bench.client.post("/v1/channels/webhook/default", content=body, headers=header).status_code for _ in range(2)
    ]
    assert codes == [200, 409]


def test_the_same_vote_signed_anew_is_recorded_once(bench: Bench) -> None:
    now = int(time.time())
    first, again = (bench.webhook_post(bench.vote(), at=at) for at in (now, now - 1))
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert len(bench.voters()) == 1


def test_a_webhook_speaks_only_for_its_own_people(bench: Bench) -> None:
    answer = bench.webhook_post(bench.vote(), secret=OTHER_SECRET)
    assert answer.status_code == 409
    assert "not known" in answer.json()["detail"]
    assert bench.webhook_post(bench.vote(subject="oncall"), secret=OTHER_SECRET).status_code == 200
    assert bench.voters() == [("nina", "deny", "webhook")]


@pytest.mark.parametrize("change", [{"principal": "nina"}, {"roles": ["lead"]}, {"tenant": "acme"}])
def test_a_webhook_that_says_who_somebody_is_or_another_tenant_is_refused(bench: Bench, change: dict[str, Any]) -> None:
    assert bench.webhook_post(bench.vote(**change)).status_code == 422
    assert bench.desk.votes == []


def test_tenants_without_a_channel_and_wrong_signatures_get_the_same_answer(bench: Bench) -> None:
    vote = bench.vote()
    answers = [
        bench.webhook_post(vote, tenant="nobody"),
        bench.webhook_post(vote, tenant="acme"),
        bench.webhook_post(vote, secret=b"x" * 32),
        bench.webhook_post(vote, secret=b"\0" * 32, tenant="nobody"),
        bench.slack_post(bench.press(), tenant="nobody"),
        bench.client.post("/v1/channels/teams/nobody", content=b"{}", headers=teams_headers(b"{}", b"\0" * 32)),
    ]
    assert {(one.status_code, one.json()["detail"]) for one in answers} == {(401, answers[0].json()["detail"])}


def test_a_body_that_is_too_large_is_refused(bench: Bench) -> None:
    for kind, limit in (("slack", 256), ("teams", 256), ("webhook", 64)):
        answer = bench.client.post(f"/v1/channels/{kind}/default", content=b"x" * (limit * 1024 + 1))
        assert answer.status_code == 413, kind
