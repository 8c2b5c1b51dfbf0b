"""The sub-commands for approvals, actions and people's keys, over the API of a running stack."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update
from typer.testing import CliRunner, Result

from watchfloor_core.clock import now_us
from watchfloor_core.ports import Json
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_core.store.schema_authority import (
    action_proposal,
    approval_shown,
    approval_vote,
    approver_key,
    execution,
    freeze,
)
from watchfloor_core.store.schema_identity import login_session
from watchfloor_guardrails.approval import ApprovalOutcome
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.roles import Role, scopes_of
from watchfloor_service.access.local_api import LocalApi
from watchfloor_service.access.operator_token import local_principal
from watchfloor_service.access.testing import PASSWORD, add_person
from watchfloor_service.access.tokens import create_token
from watchfloor_service.cli import app
from watchfloor_service.supervision.claim import Claim
from watchfloor_service.supervision.running import RunningStack
from watchfloor_service.supervision.stack import store_place
from watchfloor_service.testing import Api, eve_lines, plant_incidents, served
from watchfloor_service.testing_actions import plant_draft, plant_waiting
from watchfloor_workflows.action_messages import VoteInput, VoteResult

Run = Callable[..., Result]
PHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, so that no key of ours is seen."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("COLUMNS", "80")
    return folder


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    migrate(settings.store_url)
    opened = open_store(settings.store_url)
    yield opened
    opened.close()


@pytest.fixture
def incident_id(store: Store, settings: Settings) -> str:
    return plant_incidents(store, settings, "default", eve_lines(12))[0]


@pytest.fixture
def waiting(store: Store, settings: Settings, incident_id: str) -> str:
    return plant_waiting(store, settings, "default", incident_id)


@pytest.fixture
def running(store: Store, settings: Settings) -> Iterator[Api]:
    """A stack as `watchfloor up` leaves it."""
    claim = Claim.take(settings.data_dir, "up")
    with served(store, settings) as api:
        RunningStack(
            pid=1,
            command="up",
            since_us=now_us(),
            temporal_address="127.0.0.1:1",
            api_url=api.url,
            autonomy_file=None,
            store=store_place(settings),
        ).write(settings.data_dir)
        yield api
    claim.release()


@pytest.fixture
def run(settings: Settings) -> Run:
    runner = CliRunner()

    def invoke(*arguments: str, answers: str = "") -> Result:
        return runner.invoke(app, ["--data-dir", str(settings.data_dir), *arguments], input=answers)

    return invoke


@pytest.fixture
def ana_token(store: Store, tmp_path: Path) -> Path:
    """A file with the token of another person."""
    with store.write() as connection:
        roles = scopes_of([Role.RESPONDER])
        issued = create_token(connection, "default", "ana", PrincipalKind.PERSON, tuple(roles))
    path = tmp_path / "ana.token"
    path.touch(mode=0o600)
    path.write_text(issued.text + "\n")
    return path


def ok(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def key_of(run: Run, *arguments: str) -> str:
    made = json.loads(ok(run("keys", "new", "--no-passphrase", "--json", *arguments)))
    return str(made["key_id"])


def test_the_operator_approves_with_an_encrypted_key_after_looking(
    run: Run, running: Api, waiting: str, store: Store, home: Path
) -> None:
    made = run("keys", "new", answers=f"{PHRASE}\n{PHRASE}\n")
    assert "signs approvals from now on" in ok(made)
    file = home / ".config" / "watchfloor" / "keys" / "default.pem"
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"ENCRYPTED" in file.read_bytes()
    result = run("approvals", "approve", waiting, "--wait", "0", answers=f"y\n{PHRASE}\n")
    output = ok(result)
    assert 'Target      "ip" "198.51.100.1" (AN ATTACKER COULD HAVE WRITTEN THIS)' in output
    assert "Asked because: L2: a person decides every time" in output
    assert "approved: 1 of 1 approved." in output
    with store.read() as connection:
        vote = connection.execute(select(approval_vote)).one()
    assert (vote.principal, vote.channel, vote.decision) == (local_principal(), "cli", "approve")
    assert "approved" in ok(run("approvals", "verify", waiting))


def test_whoever_does_not_confirm_approves_nothing(run: Run, running: Api, waiting: str, store: Store) -> None:
    key_of(run)
    assert run("approvals", "approve", waiting, answers="n\n").exit_code == 1
    assert run("approvals", "approve", waiting, "--json").exit_code == 2
    with store.read() as connection:
        assert connection.execute(select(approval_vote)).all() == []


def test_a_wrong_passphrase_approves_nothing(run: Run, running: Api, waiting: str) -> None:
    ok(run("keys", "new", answers=f"{PHRASE}\n{PHRASE}\n"))
    result = run("approvals", "approve", waiting, "--yes", answers="wrong wrong wrong\n")
    assert result.exit_code == 4
    assert "passphrase" in result.stderr


def test_another_person_approves_with_a_token_and_a_key_of_their_own(
    run: Run, running: Api, waiting: str, store: Store, ana_token: Path
) -> None:
    as_ana = ("--token-file", str(ana_token))
    key_id = key_of(run, "--name", "ana", *as_ana)
    shown = json.loads(ok(run("approvals", "show", waiting, "--json", *as_ana)))
    assert [key["key_id"] for key in shown["keys"]] == [key_id]
    answer = json.loads(ok(run("approvals", "approve", waiting, "--yes", "--json", "--wait", "0", *as_ana)))
    assert (answer["outcome"], answer["action"]["votes"][0]["principal"]) == ("approved", "ana")
    # A token alone adds no second key; the first one vouches for it.
    refused = run("keys", "new", "--no-passphrase", "--name", "two", *as_ana)
    assert refused.exit_code == 4
    assert "first key only" in refused.stderr
    key_of(run, "--name", "two", "--vouched-by", "ana", *as_ana)
    assert len(json.loads(ok(run("keys", "show", "--json", *as_ana)))) == 2


def test_a_key_that_is_not_ones_own_signs_nothing(run: Run, running: Api, waiting: str, ana_token: Path) -> None:
    key_of(run, "--name", "ana", "--token-file", str(ana_token))
    result = run("approvals", "approve", waiting, "--yes", "--key", "ana")
    assert result.exit_code == 4
    assert "not registered for" in result.stderr


def test_a_no_needs_a_reason_and_no_key(run: Run, running: Api, waiting: str) -> None:
    assert run("approvals", "deny", waiting).exit_code == 2
    assert f"{waiting} is denied" in ok(run("approvals", "deny", waiting, "-m", "our scanner"))
    again = run("approvals", "deny", waiting, "-m", "again")
    assert again.exit_code == 4
    assert "already" in again.stderr


def test_what_waits_is_listed_and_shown_without_a_running_stack(run: Run, waiting: str, store: Store) -> None:
    listed = ok(run("approvals", "list"))
    assert waiting in listed
    assert "asked because: L2: a person decides every time" in listed
    assert "not yours" not in listed
    assert 'Action      "deny ip"' in ok(run("approvals", "show", waiting))
    with store.read() as connection:
        assert connection.execute(select(approval_shown.c.principal)).scalars().all() == [local_principal()]
    denied = run("approvals", "deny", waiting, "-m", "x")
    assert denied.exit_code == 75
    assert "watchfloor up" in denied.stderr


def test_a_view_that_was_changed_in_the_store_is_seen(run: Run, running: Api, waiting: str, store: Store) -> None:
    key_of(run)
    with store.write() as connection:
        view = connection.execute(select(action_proposal.c.view)).scalar_one()
        connection.execute(update(action_proposal).values(view=view.replace("198.51.100.1", "203.0.113.9")))
    ok(run("approvals", "approve", waiting, "--yes", "--wait", "0"))
    checked = run("approvals", "verify", waiting)
    assert checked.exit_code == 1
    assert "NOT what this version renders" in checked.stdout


@pytest.mark.parametrize("field", ["view", "digest"])
def test_what_does_not_say_what_is_shown_is_not_signed(
    run: Run, running: Api, waiting: str, store: Store, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    key_of(run)
    honest = LocalApi.get

    def lying(api: LocalApi, path: str) -> dict[str, Json]:
        shown = honest(api, path)
        # Every digit, since a digest need not hold a certain one.
        return {**shown, field: str(shown[field]).translate(str.maketrans("0123456789", "1234567890"))}

    monkeypatch.setattr(LocalApi, "get", lying)
    result = run("approvals", "approve", waiting, "--yes")
    assert result.exit_code == 4
    assert "nothing was signed" in result.stderr
    with store.read() as connection:
        assert connection.execute(select(approval_vote)).all() == []


def test_an_exported_approval_is_verified_from_the_file_alone(
    run: Run, running: Api, waiting: str, tmp_path: Path, store: Store
) -> None:
    key_id = key_of(run)
    ok(run("approvals", "approve", waiting, "--yes", "--wait", "0"))
    ok(run("keys", "revoke", key_id))
    file = tmp_path / "approval.json"
    ok(run("approvals", "export", waiting, str(file)))
    alone = CliRunner().invoke(app, ["--data-dir", str(tmp_path / "nowhere"), "approvals", "verify", str(file)])
    assert alone.exit_code == 0, alone.output
    assert f"key {key_id}" in alone.stdout
    assert f"{waiting} is approved" in alone.stdout
    file.write_text(file.read_text().replace('"decided_us":1', '"decided_us":2'))
    broken = CliRunner().invoke(app, ["approvals", "verify", str(file)])
    assert broken.exit_code == 1
    assert "DOES NOT HOLD" in broken.stdout
    assert run("approvals", "verify", str(tmp_path / "missing")).exit_code == 3


class CarryingOut:
    """A desk behind which an executor acts at once."""

    def __init__(self, store: Store, outcome: str) -> None:
        self._store = store
        self._outcome = outcome

    async def vote(self, tenant: str, proposal_id: str, vote: VoteInput) -> VoteResult:
        now = now_us()
        with self._store.write() as connection:
            connection.execute(update(action_proposal).values(status=self._outcome, reason="the rule is not there"))
            connection.execute(
                insert(execution).values(
                    tenant=tenant,
                    grant_id="g" * 32,
                    proposal_id=proposal_id,
                    digest=vote.digest,
                    action_class="deny ip",
                    tool="edge-firewall",
                    executor="executor@host",
                    authority="people",
                    kill_scopes=["all"],
                    state_before={"is_denied": False},
                    phase="done",
                    outcome=self._outcome,
                    receipt={
                        "outcome": self._outcome,
                        "read_back": {
                            "effect": "applied",
                            "text": "198.51.100.1 is in the set \x1b[2J",
                            "state": {"is_denied": True},
                            "output": "first\nread back: not_applied \x1b[2J\n" + "more\n" * 60,
                        },
                    },
                    consumed_us=now,
                    beat_us=now,
                    ended_us=now,
                )
            )
        return VoteResult(ApprovalOutcome.APPROVED, 1, 1)


def test_what_cannot_be_written_or_is_no_target_is_said_and_no_defect(run: Run, waiting: str, tmp_path: Path) -> None:
    unwritable = run("approvals", "export", waiting, str(tmp_path / "nowhere" / "approval.json"))
    assert unwritable.exit_code == 2
    assert "cannot be written" in unwritable.stderr
    bare = run("action", "propose", "deny ip", "198.51.100.7", "--incident", "inc-0", "--purpose", "a kind is missing")
    assert bare.exit_code == 2
    assert "KIND:VALUE" in bare.stderr


@pytest.mark.parametrize(("outcome", "code"), [("succeeded", 0), ("unknown", 1), ("failed", 1)])
def test_the_receipt_is_printed_with_what_was_read_back(
    run: Run, store: Store, settings: Settings, waiting: str, outcome: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "watchfloor_service.testing.DirectApprovalDesk", lambda store, _settings: CarryingOut(store, outcome)
    )
    claim = Claim.take(settings.data_dir, "up")
    with served(store, settings) as api:
        RunningStack(1, "up", now_us(), "127.0.0.1:1", api.url, None, store_place(settings)).write(settings.data_dir)
        key_of(run)
        result = run("approvals", "approve", waiting, "--yes")
    claim.release()
    assert result.exit_code == code, result.output
    assert outcome in result.stdout
    assert "read back: applied: 198.51.100.1 is in the set" in result.stdout
    assert "it gave, in part; --json has it whole:\n  > first\n  > read back: not_applied " in result.stdout
    assert result.stdout.count("  > more") == 38
    assert 'now:       {"is_denied": true}' in result.stdout
    assert 'before:    {"is_denied": false}' in result.stdout
    assert "\x1b" not in result.stdout


def test_an_action_is_proposed_edited_and_listed(
    run: Run, running: Api, incident_id: str, ana_token: Path, store: Store
) -> None:
    proposed = run(
        "action", "propose", "deny ip", "ip:198.51.100.1", "-i", incident_id, "-m", "it scans", "--lease", "3600",
        "--json",
    )  # fmt: skip
    first = json.loads(ok(proposed))["proposal_id"]
    edited = run("action", "edit", first, "-m", "shorter", "--lease", "60", "--token-file", str(ana_token), "--json")
    second = json.loads(ok(edited))["proposal_id"]
    listed = ok(run("action", "list"))
    assert first in listed
    assert f"ana put {second} in its place: shorter" in listed.replace("\n", "")
    assert f"asked by {local_principal()}" in listed
    assert max(map(len, listed.splitlines())) <= 160
    assert "drafted" in ok(run("action", "show", second))
    assert json.loads(ok(run("action", "list", "--status", "voided", "--json")))["actions"][0]["proposal_id"] == first
    assert run("action", "show", "act-0000000000000000").exit_code == 3
    assert run("action", "undo", second, "-m", "x").exit_code == 3
    assert (
        run("action", "propose", "deny ip", "ip:x", "-i", incident_id, "-m", "x", "--lease", "99999999").exit_code == 2
    )


def test_a_freeze_is_listed_and_lifted(run: Run, running: Api, store: Store) -> None:
    with store.write() as connection:
        values = {"action_class": "deny ip", "proposal_id": "act-0000000000000000", "reason": "x", "since_us": 1}
        connection.execute(insert(freeze).values(tenant="default", **values))
    assert "FROZEN: deny ip" in ok(run("action", "list"))
    assert "runs again" in ok(run("action", "lift-freeze", "deny ip", "-m", "the rule is there"))
    assert run("action", "lift-freeze", "deny ip", "-m", "x").exit_code == 4


def test_a_key_that_could_not_be_registered_leaves_no_file(run: Run, store: Store, home: Path, ana_token: Path) -> None:
    result = run("keys", "new", "--no-passphrase", "--token-file", str(ana_token))
    assert result.exit_code == 75
    assert list((home / ".config").rglob("*.pem")) == []


def test_somebody_with_an_account_signs_in_to_add_a_key(
    run: Run, running: Api, waiting: str, store: Store, ana_token: Path
) -> None:
    add_person(store, "ana", Role.RESPONDER)
    refused = run("keys", "new", "--no-passphrase", "--token-file", str(ana_token))
    assert refused.exit_code == 4
    assert "--sign-in" in refused.stderr
    assert run("keys", "new", "--no-passphrase", "--sign-in", "ana", answers="wrong wrong wrong\n").exit_code == 4
    ok(run("keys", "new", "--no-passphrase", "--sign-in", "ana", answers=f"{PASSWORD}\n"))
    with store.read() as connection:
        assert connection.execute(select(approver_key.c.principal)).scalars().all() == ["ana"]
        assert connection.execute(select(login_session.c.revoked_us)).scalar_one() is not None
    ok(run("approvals", "approve", waiting, "--yes", "--wait", "0", "--token-file", str(ana_token)))


def test_keys_are_shown_and_revoked(run: Run, store: Store) -> None:
    made = run("keys", "new", "--no-passphrase")
    assert "can approve as you" in made.stderr
    (key_id,) = _key_ids(store)
    assert key_id in ok(run("keys", "show"))
    assert "signs nothing more" in ok(run("keys", "revoke", key_id))
    assert "revoked" in ok(run("keys", "show"))
    assert run("keys", "revoke", "0" * 32).exit_code == 3


def test_text_from_alerts_does_nothing_to_the_terminal(run: Run, store: Store, incident_id: str) -> None:
    plant_draft(
        store, "default", incident_id, target="/srv/\u202egpj.exe\x1b[2J", action_class="contain file", kind="file"
    )
    listed = ok(run("action", "list"))
    assert "\x1b" not in listed
    assert "\u202e" not in listed
    assert "\\u{202E}" in listed


def _key_ids(store: Store) -> list[str]:
    with store.read() as connection:
        return list(connection.execute(select(approver_key.c.id)).scalars())
