"""Okta as a tool, against a server that speaks its wire format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.connectors.okta_server import PERMISSIONS, OktaOrg, user_id
from tests.connectors.vendor_server import FAST, FAULTS, TestClock, check_fault, patient, secret_file, served
from watchfloor_connectors.targets.base import BadTargetError, NeverError, Slot
from watchfloor_connectors.targets.okta import Okta, OktaOptions
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target
from watchfloor_core.errors import NotFoundError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import CATALOGUE, TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError

Key = Callable[[str], str]
Make = Callable[..., Okta]


@pytest.fixture
def org() -> Iterator[OktaOrg]:
    vendor = OktaOrg()
    with served(vendor):
        yield vendor


@pytest.fixture
def make(org: OktaOrg, slot: Slot, tmp_path: Path) -> Make:
    def made(**options: object) -> Okta:
        given: dict[str, object] = {
            "org_url": org.url,
            "api_token": secret_file(tmp_path),
            "never": ["Glass@example.org"],
        }
        return Okta(slot, patient(OktaOptions.model_validate({**given, **options})), TestClock(FAST))

    return made


@pytest.fixture
def tool(make: Make) -> Okta:
    return make()


def action(action_class: str, name: str = "ann@example.org") -> Action:
    return Action(action_class, "tool", Target(CATALOGUE[action_class].target, name), {})


def test_accounts_and_sessions_keep_the_contract_of_tools(tool: Okta, org: OktaOrg, permit_for: PermitFor) -> None:
    names = ("ann@example.org", user_id(1))
    samples = [Sample("disable user", Target(TargetKind.USER, name)) for name in names]
    samples += [Sample("stop session", Target(TargetKind.SESSION, name)) for name in names]
    never = [
        Target(kind, name)
        for kind in (TargetKind.USER, TargetKind.SESSION)
        for name in ("glass@example.org", user_id(2))
    ]
    check_target(tool, samples, permit_for, never)
    assert list(org.status.values()) == ["ACTIVE", "ACTIVE", "PROVISIONED"]
    assert org.clearings == [user_id(1)] * 2


def test_an_account_is_suspended_and_unsuspended(tool: Okta, org: OktaOrg, permit_for: PermitFor, key: Key) -> None:
    tool.act(permit_for(action("disable user"), key("a")))
    back = tool.read_back(action("disable user"), key("a"))
    assert (org.status[user_id(1)], back.effect) == ("SUSPENDED", Effect.APPLIED)
    assert back.state.content == {"id": user_id(1), "status": "SUSPENDED", "held_by": key("a")}
    assert tool.read_back(action("disable user"), key("b")).effect is Effect.NOT_APPLIED
    tool.act(permit_for(action("enable user"), key("c")))
    assert tool.read_back(action("enable user"), key("c")).effect is Effect.APPLIED


@pytest.mark.parametrize("status", ["SUSPENDED", "DEPROVISIONED"])
def test_what_another_hand_suspended_is_left_to_it(
    tool: Okta, org: OktaOrg, permit_for: PermitFor, key: Key, status: str
) -> None:
    org.status[user_id(1)] = status
    for name in ("disable user", "enable user"):
        with pytest.raises(NotDoneError, match="by another hand"):
            tool.act(permit_for(action(name), key("a")))
    assert tool.read_back(action("disable user"), key("a")).effect is Effect.NOT_APPLIED
    assert org.effects == 0


def test_an_account_that_is_not_active_yet_cannot_be_suspended(
    tool: Okta, org: OktaOrg, permit_for: PermitFor, key: Key
) -> None:
    with pytest.raises(NotDoneError, match="status 400"):
        tool.act(permit_for(action("disable user", "new@example.org"), key("a")))
    org.status[user_id(3)] = "SUSPENDED"
    with pytest.raises(NotDoneError, match="another hand"):
        tool.act(permit_for(action("enable user", "new@example.org"), key("b")))


def test_sessions_are_ended_once_and_read_back_from_the_system_log(
    tool: Okta, org: OktaOrg, permit_for: PermitFor, key: Key
) -> None:
    stop = action("stop session")
    org.clearings = [user_id(1)]
    assert tool.read_back(stop, key("a")).effect is Effect.NOT_APPLIED
    tool.act(permit_for(stop, key("a")))
    tool.act(permit_for(stop, key("a")))
    assert len(org.clearings) == 2
    back = tool.read_back(stop, key("a"))
    assert (back.effect, back.state.content) == (Effect.APPLIED, {"id": user_id(1), "last_cleared": "event-1"})


def test_a_log_that_is_behind_leaves_it_open(tool: Okta, org: OktaOrg, permit_for: PermitFor, key: Key) -> None:
    org.is_slow = True
    tool.act(permit_for(action("stop session"), key("a")))
    assert tool.read_back(action("stop session"), key("a")).effect is Effect.UNKNOWN
    org.is_slow = False
    assert tool.read_back(action("stop session"), key("a")).effect is Effect.APPLIED


def test_what_is_never_touched_can_be_given_back_where_we_hold_it(
    tool: Okta, make: Make, org: OktaOrg, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(action("disable user"), key("a")))
    later = make(never=[user_id(1)])
    later.act(permit_for(action("enable user"), key("b")))
    assert later.read_back(action("enable user"), key("b")).effect is Effect.APPLIED
    assert org.status[user_id(1)] == "ACTIVE"
    for name in ("disable user", "stop session"):
        with pytest.raises(NeverError):
            later.act(permit_for(action(name), key("c")))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("action_class", ["disable user", "stop session"])
def test_what_goes_wrong_is_told_for_what_it_is(
    tool: Okta, org: OktaOrg, permit_for: PermitFor, key: Key, action_class: str, fault: str
) -> None:
    check_fault(fault, org, tool, action(action_class), permit_for, key("a"))


@pytest.mark.parametrize("permission", sorted(PERMISSIONS - {"okta.users.lifecycle.unsuspend"}))
def test_each_permission_is_needed(tool: Okta, org: OktaOrg, permit_for: PermitFor, key: Key, permission: str) -> None:
    org.permissions = PERMISSIONS - {permission}
    name = (
        "stop session"
        if permission in ("okta.users.lifecycle.clearSessions", "Report Administrator")
        else "disable user"
    )
    with pytest.raises(NotDoneError, match=f"status 403.*{permission}"):
        tool.act(permit_for(action(name), key("a")))
    assert (org.status[user_id(1)], org.clearings) == ("ACTIVE", [])


def test_the_permissions_are_those_of_the_classes_that_it_may_do(tool: Okta, slot: Slot) -> None:
    users = Okta(replace(slot, action_classes=frozenset({"disable user", "enable user"})), tool.options)
    assert users.least_privilege == (
        "okta.users.read",
        "okta.users.lifecycle.suspend",
        "okta.users.lifecycle.unsuspend",
    )


def test_a_token_that_others_may_read_is_not_sent(
    tool: Okta, org: OktaOrg, permit_for: PermitFor, key: Key, tmp_path: Path
) -> None:
    (tmp_path / "secret").chmod(0o640)
    with pytest.raises(NotDoneError, match="chmod 600"):
        tool.act(permit_for(action("disable user"), key("a")))
    assert org.asked == []


@pytest.mark.parametrize("name", ["eve@example.org", user_id(9)])
def test_an_account_that_is_not_there_is_not_found(tool: Okta, name: str) -> None:
    with pytest.raises(NotFoundError):
        tool.read_state(Target(TargetKind.USER, name))


@pytest.mark.parametrize(
    "value", ["me", "ann", "ann@example.org/groups", "00u/../apps", "00u'", 'a"@x.y', "ann@example.org?a=b"]
)
def test_what_is_no_name_of_an_account_is_never_asked_for(tool: Okta, org: OktaOrg, value: str) -> None:
    for kind in (TargetKind.USER, TargetKind.SESSION):
        with pytest.raises(BadTargetError):
            tool.read_state(Target(kind, value))
    assert org.asked == []
