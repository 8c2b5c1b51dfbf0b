"""Google Workspace as a tool, against a server that speaks its wire format and verifies the assertion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from joserfc.jwk import RSAKey

from tests.connectors.google_server import ADMINISTRATOR, SCOPE, SCOPES, Google, key_file
from tests.connectors.vendor_server import FAST, FAULTS, TestClock, check_fault, patient, secret_file, served
from watchfloor_connectors.targets.base import BadTargetError, NeverError, Slot
from watchfloor_connectors.targets.google_workspace import GoogleWorkspace, GoogleWorkspaceOptions
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target
from watchfloor_core.errors import NotFoundError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import CATALOGUE, TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError

Key = Callable[[str], str]
Make = Callable[..., GoogleWorkspace]


@pytest.fixture
def google() -> Iterator[Google]:
    vendor = Google()
    with served(vendor):
        yield vendor


@pytest.fixture
def make(google: Google, slot: Slot, tmp_path: Path) -> Make:
    def made(**options: object) -> GoogleWorkspace:
        given: dict[str, object] = {
            "service_account_key": secret_file(tmp_path, key_file()),
            "administrator": ADMINISTRATOR,
            "api_url": google.url,
            "login_url": f"{google.url}/token",
            "never": ["Glass@example.org"],
        }
        return GoogleWorkspace(
            slot, patient(GoogleWorkspaceOptions.model_validate({**given, **options})), TestClock(FAST)
        )

    return made


@pytest.fixture
def tool(make: Make) -> GoogleWorkspace:
    return make()


def action(action_class: str, name: str = "ann@example.org") -> Action:
    return Action(action_class, "tool", Target(CATALOGUE[action_class].target, name), {})


def test_accounts_and_sessions_keep_the_contract_of_tools(
    tool: GoogleWorkspace, google: Google, permit_for: PermitFor
) -> None:
    names = ("ann@example.org", google.users[0].id)
    samples = [Sample("disable user", Target(TargetKind.USER, name)) for name in names]
    samples += [Sample("stop session", Target(TargetKind.SESSION, name)) for name in names]
    protected = ("glass@example.org", google.users[1].id, ADMINISTRATOR)
    never = [Target(kind, name) for kind in (TargetKind.USER, TargetKind.SESSION) for name in protected]
    check_target(tool, samples, permit_for, never)
    assert not any(one.suspended for one in google.users)
    assert google.signed_out == ["ann@example.org"] * 2


def test_an_account_is_suspended_and_restored(
    tool: GoogleWorkspace, google: Google, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(action("disable user"), key("a")))
    back = tool.read_back(action("disable user"), key("a"))
    assert (google.users[0].suspended, back.effect) == (True, Effect.APPLIED)
    assert back.state.content == {"id": google.users[0].id, "status": "suspended", "held_by": key("a")}
    tool.act(permit_for(action("enable user"), key("b")))
    assert tool.read_back(action("enable user"), key("b")).effect is Effect.APPLIED


def test_what_another_hand_suspended_is_left_to_it(
    tool: GoogleWorkspace, google: Google, permit_for: PermitFor, key: Key
) -> None:
    google.users[0].suspended = True
    for name in ("disable user", "enable user"):
        with pytest.raises(NotDoneError, match="by another hand"):
            tool.act(permit_for(action(name), key("a")))
    assert google.effects == 0


def test_a_sign_out_is_read_back_from_the_audit_log_which_can_be_behind(
    tool: GoogleWorkspace, google: Google, permit_for: PermitFor, key: Key
) -> None:
    stop = action("stop session")
    google.signed_out = ["ann@example.org"]
    google.is_slow = True
    assert tool.read_back(stop, key("a")).effect is Effect.NOT_APPLIED
    google.is_slow = False
    tool.act(permit_for(stop, key("a")))
    tool.act(permit_for(stop, key("a")))
    assert len(google.signed_out) == 2
    assert tool.read_back(stop, key("a")).effect is Effect.APPLIED
    google.signed_out.pop()
    assert tool.read_back(stop, key("a")).effect is Effect.UNKNOWN


def test_what_is_never_touched_can_be_given_back_where_we_hold_it(
    tool: GoogleWorkspace, make: Make, google: Google, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(action("disable user"), key("a")))
    later = make(never=["ann@example.org"])
    later.act(permit_for(action("enable user"), key("b")))
    assert later.read_back(action("enable user"), key("b")).effect is Effect.APPLIED
    assert not google.users[0].suspended
    for name in ("disable user", "stop session"):
        with pytest.raises(NeverError):
            later.act(permit_for(action(name), key("c")))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("action_class", ["disable user", "stop session"])
def test_what_goes_wrong_is_told_for_what_it_is(
    tool: GoogleWorkspace, google: Google, permit_for: PermitFor, key: Key, action_class: str, fault: str
) -> None:
    check_fault(fault, google, tool, action(action_class), permit_for, key("a"))


@pytest.mark.parametrize("scope", sorted(SCOPES))
def test_each_scope_has_to_be_delegated(
    tool: GoogleWorkspace, google: Google, permit_for: PermitFor, key: Key, scope: str
) -> None:
    google.delegated = SCOPES - {scope}
    with pytest.raises(NotDoneError, match="is given no token"):
        tool.act(permit_for(action("disable user"), key("a")))
    assert not google.users[0].suspended


def test_an_administrator_without_the_role_is_refused(
    tool: GoogleWorkspace, google: Google, permit_for: PermitFor, key: Key
) -> None:
    google.roles = False
    with pytest.raises(NotDoneError, match=f"status 403.*{ADMINISTRATOR}"):
        tool.act(permit_for(action("disable user"), key("a")))


def test_the_scopes_are_those_of_the_classes_that_it_may_do(tool: GoogleWorkspace, slot: Slot) -> None:
    def scopes(*classes: str) -> set[str]:
        made = GoogleWorkspace(replace(slot, action_classes=frozenset(classes)), tool.options)
        return {one.removeprefix(SCOPE) for one in made.least_privilege}

    assert set(tool.least_privilege) == SCOPES
    assert scopes("disable user", "enable user") == {"admin.directory.user"}
    assert scopes("stop session") == {
        "admin.directory.user.readonly",
        "admin.directory.user.security",
        "admin.reports.audit.readonly",
    }


@pytest.mark.parametrize(
    "text",
    ["", "{}", "not JSON", key_file(type="authorized_user"), key_file(private_key="-----BEGIN PRIVATE KEY-----\nx"),
     key_file(client_email="a b")], ids=["nothing", "object", "text", "another type", "no key", "no address"],
)  # fmt: skip
def test_what_is_no_key_of_a_service_account_is_told_without_a_word_of_it(
    make: Make, google: Google, permit_for: PermitFor, key: Key, tmp_path: Path, text: str
) -> None:
    tool = make()
    (tmp_path / "secret").write_text(text)
    with pytest.raises(NotDoneError, match="no key of a Google service account") as found:
        tool.act(permit_for(action("disable user"), key("a")))
    assert "BEGIN" not in str(found.value)
    assert google.asked == []


def test_a_key_that_google_does_not_know_gives_no_token(
    make: Make, permit_for: PermitFor, key: Key, tmp_path: Path
) -> None:
    tool = make()
    pem = RSAKey.generate_key(2048).as_pem(private=True).decode()
    (tmp_path / "secret").write_text(key_file(private_key=pem))
    with pytest.raises(NotDoneError, match="is given no token"):
        tool.act(permit_for(action("disable user"), key("a")))


@pytest.mark.parametrize("name", ["eve@example.org", "100000000000000000009"])
def test_an_account_that_is_not_there_is_not_found(tool: GoogleWorkspace, name: str) -> None:
    with pytest.raises(NotFoundError):
        tool.read_state(Target(TargetKind.USER, name))


@pytest.mark.parametrize("value", ["me", "ann", "1", "ann@example.org/aliases", "ann@example.org,x", "a=b@example.org"])
def test_what_is_no_name_of_an_account_is_never_asked_for(tool: GoogleWorkspace, google: Google, value: str) -> None:
    for kind in (TargetKind.USER, TargetKind.SESSION):
        with pytest.raises(BadTargetError):
            tool.read_state(Target(kind, value))
    assert google.asked == []
