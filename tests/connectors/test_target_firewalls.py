"""Addresses shut out at firewalls of vendors: Palo Alto Networks and pfSense."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.firewall_servers import FirewallServer, PanosServer, PfsenseServer
from tests.connectors.vendor_server import FAULTS, LEAK, SECRET, Reply, TestClock, check_fault, secret_file, served
from watchfloor_connectors.targets.base import ConfiguredTarget, Slot
from watchfloor_connectors.targets.palo_alto import PaloAlto, PaloAltoOptions
from watchfloor_connectors.targets.pfsense import Pfsense, PfsenseOptions
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target, hostile
from watchfloor_core.errors import RecordError, RefusedError, UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError

Key = Callable[[str], str]

BAD = "203.0.113.9"
BAD6 = "2001:db8::9"


@dataclass(frozen=True)
class Case:
    """A kind with its firewall."""

    tool: ConfiguredTarget[Any]
    server: FirewallServer

    def other(self, **changes: object) -> ConfiguredTarget[Any]:
        kind: type[Any] = type(self.tool)
        made: ConfiguredTarget[Any] = kind(self.tool.slot, self.tool.options.model_copy(update=changes), TestClock())
        return made


@pytest.fixture(params=["palo_alto", "pfsense"])
def case(request: pytest.FixtureRequest, slot: Slot, tmp_path: Path) -> Iterator[Case]:
    server: FirewallServer = PanosServer() if request.param == "palo_alto" else PfsenseServer()
    with served(server) as url:
        given: dict[str, Any] = {"api_url": url, "api_key": secret_file(tmp_path), "never": ("192.0.2.0/24",)}
        tool: ConfiguredTarget[Any] = (
            PaloAlto(slot, PaloAltoOptions(**given), TestClock())
            if request.param == "palo_alto"
            else Pfsense(slot, PfsenseOptions(**given), TestClock())
        )
        yield Case(tool, server)


def of(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [kind], indirect=True)


def deny(value: str = BAD) -> Action:
    return Action("deny ip", "tool", Target(TargetKind.IP, value), {})


def allow(value: str = BAD) -> Action:
    return Action("allow ip", "tool", Target(TargetKind.IP, value), {})


def test_they_keep_the_contract_of_tools(case: Case, permit_for: PermitFor) -> None:
    samples = [Sample("deny ip", Target(TargetKind.IP, value)) for value in (BAD, BAD6)]
    never = [Target(TargetKind.IP, value) for value in ("192.0.2.77", "127.0.0.1", "ff02::1")]
    check_target(case.tool, samples, permit_for, never)


FAULTS_OF = [
    (kind, fault)
    for kind in ("palo_alto", "pfsense")
    for fault in FAULTS
    # What is lost there is not in force yet; the next test looks at that.
    if (kind, fault) != ("pfsense", "lost answer")
]


@pytest.mark.parametrize(("case", "fault"), FAULTS_OF, indirect=["case"])
def test_they_say_for_certain_only_what_is_certain(case: Case, permit_for: PermitFor, key: Key, fault: str) -> None:
    check_fault(fault, case.server, case.tool, deny(), permit_for, key("a"))


@of("pfsense")
def test_an_entry_whose_acknowledgement_was_lost_is_not_in_force_and_the_same_action_applies_it(
    case: Case, permit_for: PermitFor, key: Key
) -> None:
    case.server.is_lossy = True
    with pytest.raises(UnavailableError) as found:
        case.tool.act(permit_for(deny(), key("a")))
    assert not isinstance(found.value, NotDoneError)
    case.server.is_lossy = False
    back = case.tool.read_back(deny(), key("a"))
    assert (back.effect, "not in the packet filter's table" in back.text) == (Effect.NOT_APPLIED, True)
    case.tool.act(permit_for(deny(), key("a")))
    assert case.tool.read_back(deny(), key("a")).effect is Effect.APPLIED
    assert case.server.effects == 1


@pytest.mark.parametrize("fault", ["missing scope", "refusal", "server error"])
def test_the_same_holds_for_taking_back(case: Case, permit_for: PermitFor, key: Key, fault: str) -> None:
    case.tool.act(permit_for(deny(), key("a")))
    check_fault(fault, case.server, case.tool, allow(), permit_for, key("b"))
    assert case.server.is_denied(BAD)


def test_a_denied_address_is_dropped_and_passes_once_allowed(case: Case, permit_for: PermitFor, key: Key) -> None:
    for value in (BAD, BAD6):
        case.tool.act(permit_for(deny(value), key(value)))
        assert case.server.is_denied(value)
        back = case.tool.read_back(deny(value), key(value))
        assert (back.effect, "by this action" in back.text) == (Effect.APPLIED, True)
        case.tool.act(permit_for(allow(value), key("x")))
        assert not case.server.is_denied(value)
        assert case.tool.read_back(allow(value), key("x")).effect is Effect.APPLIED


def test_what_another_hand_denied_is_neither_taken_over_nor_taken_away(
    case: Case, permit_for: PermitFor, key: Key
) -> None:
    case.server.deny_by_hand(BAD)
    for action in (deny(), allow()):
        with pytest.raises(NotDoneError, match=r"by another hand|by Watchfloor"):
            case.tool.act(permit_for(action, key("a")))
    assert case.server.is_denied(BAD)
    assert "by another hand" in case.tool.read_back(deny(), key("a")).text


def test_what_another_proposal_denied_is_not_denied_twice(case: Case, permit_for: PermitFor, key: Key) -> None:
    case.tool.act(permit_for(deny(), key("a")))
    with pytest.raises(NotDoneError, match=key("a")):
        case.tool.act(permit_for(deny(), key("b")))


def test_what_we_denied_is_allowed_even_if_it_was_protected_since(case: Case, permit_for: PermitFor, key: Key) -> None:
    case.tool.act(permit_for(deny(), key("a")))
    later = case.other(never=("203.0.113.0/24",))
    assert later.version == case.tool.version
    later.act(permit_for(allow(), key("b")))
    assert not case.server.is_denied(BAD)
    assert later.read_back(allow(), key("b")).effect is Effect.APPLIED
    with pytest.raises(RefusedError):
        later.act(permit_for(deny(), key("c")))


def test_nothing_is_asked_for_a_value_that_is_no_address(case: Case, permit_for: PermitFor, key: Key) -> None:
    values = ["10.0.0.0/8", "10.0.0.1-10.0.0.9", "010.0.0.1", "::ffff:192.0.2.1", "</ip><tag/>", "1.2.3.4&name=admins"]
    for target in [*hostile(deny().target), *(Target(TargetKind.IP, one) for one in values)]:
        with pytest.raises(RecordError):
            case.tool.read_state(target)
        with pytest.raises(RecordError):
            case.tool.act(permit_for(replace(deny(), target=target), key("a")))
    assert case.server.asked == []


def test_the_secret_and_the_vendors_words_stand_nowhere(case: Case, permit_for: PermitFor, key: Key) -> None:
    case.tool.act(permit_for(deny(), key("a")))
    back = case.tool.read_back(deny(), key("a"))
    told = f"{back} {case.tool.version} {case.tool.least_privilege}"
    assert not any(text in told for text in (SECRET, LEAK))


# Palo Alto Networks


@of("palo_alto")
@pytest.mark.parametrize("right", ["op", "user-id"])
def test_a_role_that_lacks_a_right_changes_nothing(case: Case, permit_for: PermitFor, key: Key, right: str) -> None:
    assert isinstance(case.server, PanosServer)
    case.server.rights -= {right}
    with pytest.raises(NotDoneError, match=r"code 16.*Operational Requests") as found:
        case.tool.act(permit_for(deny(), key("a")))
    assert LEAK not in str(found.value)
    assert case.server.registered.get(BAD, set()) == set()


@of("palo_alto")
def test_a_message_of_which_a_part_was_taken_is_read_back(case: Case, permit_for: PermitFor, key: Key) -> None:
    assert isinstance(case.server, PanosServer)
    case.server.takes_only = {f"wf:{key('a')}"}
    with pytest.raises(UnavailableError, match="did not do all of it") as found:
        case.tool.act(permit_for(deny(), key("a")))
    assert not isinstance(found.value, NotDoneError)
    assert case.tool.read_back(deny(), key("a")).effect is Effect.NOT_APPLIED


@of("palo_alto")
def test_a_mark_that_another_hand_left_behind_is_replaced(case: Case, permit_for: PermitFor, key: Key) -> None:
    assert isinstance(case.server, PanosServer)
    case.tool.act(permit_for(deny(), key("a")))
    case.server.registered[BAD].discard(PanosServer.group_tag)
    assert case.tool.read_back(deny(), key("a")).effect is Effect.NOT_APPLIED
    with pytest.raises(NotDoneError):
        case.tool.act(permit_for(allow(), key("x")))
    case.tool.act(permit_for(deny(), key("b")))
    assert case.server.registered[BAD] == {PanosServer.group_tag, f"wf:{key('b')}"}


@of("palo_alto")
def test_tags_of_others_on_the_address_stay(case: Case, permit_for: PermitFor, key: Key) -> None:
    assert isinstance(case.server, PanosServer)
    case.server.registered[BAD] = {"dmz"}
    case.tool.act(permit_for(deny(), key("a")))
    case.tool.act(permit_for(allow(), key("b")))
    assert case.server.registered[BAD] == {"dmz"}


@of("palo_alto")
@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE r [<!ENTITY a "aaaa">]><response status="success"><result>&a;</result></response>',
        b"<response",
        b"<html/>",
        b"",
        b'<response status="error" code="7\x01"/>',
        f'<response status="error" code="{LEAK}"/>'.encode(),
    ],
)
def test_what_is_no_answer_of_a_firewall_is_none(case: Case, permit_for: PermitFor, key: Key, body: bytes) -> None:
    case.server.fault = lambda request: Reply(200, body)
    with pytest.raises(NotDoneError):
        case.tool.act(permit_for(deny(), key("a")))
    with pytest.raises(UnavailableError):
        case.tool.read_back(deny(), key("a"))


@of("palo_alto")
def test_a_network_that_holds_the_address_is_not_the_address(case: Case) -> None:
    listed = '<entry ip="203.0.113.0/24"><tag><member>watchfloor-block</member></tag></entry>'
    told = f'<response status="success"><result>{listed}</result></response>'.encode()
    case.server.fault = lambda request: Reply(200, told)
    assert case.tool.read_state(deny().target).content["is_denied"] is False


# pfSense


@of("pfsense")
@pytest.mark.parametrize(
    ("right", "is_certain"),
    [("firewall-aliases-get", True), ("firewall-alias-patch", True), ("firewall-apply-post", False)],
)
def test_a_key_that_lacks_a_privilege_is_told_which(
    case: Case, permit_for: PermitFor, key: Key, right: str, is_certain: bool
) -> None:
    assert isinstance(case.server, PfsenseServer)
    case.server.rights -= {right}
    with pytest.raises((NotDoneError, UnavailableError), match=f"api-v2-{right}") as found:
        case.tool.act(permit_for(deny(), key("a")))
    assert isinstance(found.value, NotDoneError) is is_certain
    assert LEAK not in str(found.value)


@of("pfsense")
def test_what_is_being_applied_is_waited_for_and_else_unknown(case: Case, permit_for: PermitFor, key: Key) -> None:
    assert isinstance(case.server, PfsenseServer)
    case.server.applies_after = 2
    case.tool.act(permit_for(deny(), key("a")))
    assert not case.server.is_denied(BAD)
    assert case.tool.read_back(deny(), key("a")).effect is Effect.APPLIED
    case.server.is_stuck = True
    case.tool.act(permit_for(allow(), key("b")))
    back = case.tool.read_back(allow(), key("b"))
    assert (back.effect, "still being applied" in back.text) == (Effect.UNKNOWN, True)


@of("pfsense")
def test_an_alias_that_no_rule_uses_has_no_effect(case: Case, permit_for: PermitFor, key: Key) -> None:
    assert isinstance(case.server, PfsenseServer)
    case.server.tables.clear()
    case.tool.act(permit_for(deny(), key("a")))
    back = case.tool.read_back(deny(), key("a"))
    assert (back.effect, "no rule uses the alias" in back.text) == (Effect.NOT_APPLIED, True)


@of("pfsense")
def test_entries_of_others_stay_also_those_that_came_in_between(case: Case, permit_for: PermitFor, key: Key) -> None:
    assert isinstance(case.server, PfsenseServer)
    case.tool.act(permit_for(deny(), key("a")))
    case.server.deny_by_hand("198.51.100.99")
    case.tool.act(permit_for(allow(), key("b")))
    entry = case.server.aliases[1]
    assert entry["address"] == ["198.51.100.7", "bad.example", "198.51.100.99"]
    assert entry["detail"] == ["Entry added 0", "Entry added 1", "by hand"]
    assert case.server.aliases[0]["address"] == ["10.0.0.5"]


@of("pfsense")
@pytest.mark.parametrize(
    "change",
    [{"type": "network"}, {"detail": ["only one"]}, {"name": "renamed"}],
)
def test_an_alias_that_cannot_hold_an_entry_with_its_key_is_refused(
    case: Case, permit_for: PermitFor, key: Key, change: dict[str, object]
) -> None:
    assert isinstance(case.server, PfsenseServer)
    case.server.aliases[1] |= change
    with pytest.raises(NotDoneError, match="alias 'watchfloor_blocked'"):
        case.tool.act(permit_for(deny(), key("a")))
    assert case.server.effects == 0


@of("pfsense")
def test_an_alias_whose_place_another_took_in_between_is_told(case: Case, permit_for: PermitFor, key: Key) -> None:
    server = case.server
    assert isinstance(server, PfsenseServer)

    def meanwhile(request: object) -> None:
        if request is server.asked[-1] and server.is_effect(server.asked[-1]):
            server.aliases.reverse()

    server.fault = meanwhile
    with pytest.raises(UnavailableError, match="was another one by then") as found:
        case.tool.act(permit_for(deny(), key("a")))
    assert not isinstance(found.value, NotDoneError)
