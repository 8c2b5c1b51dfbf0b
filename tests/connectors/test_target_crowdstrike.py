"""CrowdStrike Falcon as a tool, against a server that speaks its wire format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.connectors.falcon_server import ALL_SCOPES, CLIENT, Falcon
from tests.connectors.vendor_server import (
    FAST,
    FAULTS,
    LEAK,
    Reply,
    TestClock,
    check_fault,
    patient,
    secret_file,
    served,
)
from watchfloor_connectors.targets.base import BadTargetError, NeverError, Slot
from watchfloor_connectors.targets.crowdstrike import Crowdstrike, CrowdstrikeOptions
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target
from watchfloor_core.errors import NotFoundError, UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import MAX_OUTPUT, Effect, NotDoneError

Key = Callable[[str], str]
Make = Callable[..., Crowdstrike]


@pytest.fixture
def falcon() -> Iterator[Falcon]:
    vendor = Falcon()
    with served(vendor):
        yield vendor


@pytest.fixture
def make(falcon: Falcon, slot: Slot, tmp_path: Path) -> Make:
    def made(**options: object) -> Crowdstrike:
        given: dict[str, object] = {
            "api_url": falcon.url,
            "client_id": CLIENT,
            "client_secret": secret_file(tmp_path),
            "never": ["DC1"],
        }
        return Crowdstrike(slot, patient(CrowdstrikeOptions.model_validate({**given, **options})), TestClock(FAST))

    return made


@pytest.fixture
def tool(make: Make) -> Crowdstrike:
    return make()


def action(action_class: str, name: str = "ws-17") -> Action:
    return Action(action_class, "tool", Target(TargetKind.HOST, name), {})


def test_hosts_keep_the_contract_of_tools(tool: Crowdstrike, falcon: Falcon, permit_for: PermitFor) -> None:
    samples = [Sample("contain host", Target(TargetKind.HOST, name)) for name in ("ws-17", "b" * 32)]
    never = [Target(TargetKind.HOST, name) for name in ("dc1", "e" * 32)]
    check_target(tool, [*samples, Sample("investigate host", samples[0].target)], permit_for, never)
    assert [(one.status, one.tags) for one in falcon.devices] == [("normal", [])] * 5
    assert falcon.tokens == 1


def test_the_mark_is_there_before_the_host_is_cut_off_and_goes_after_it_is_free(
    tool: Crowdstrike, falcon: Falcon, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(action("contain host"), key("a")))
    host = falcon.device("WS-17")
    assert (host.status, host.tags) == ("containment_pending", [f"FalconGroupingTags/wf/{key('a')}"])
    changes = [one.path for one in falcon.asked if one.method != "GET" and "oauth2" not in one.path]
    assert changes == ["/devices/entities/devices/tags/v1", "/devices/entities/devices-actions/v2"]
    assert tool.read_back(action("contain host"), key("a")).effect is Effect.APPLIED
    assert tool.read_back(action("contain host"), key("b")).effect is Effect.NOT_APPLIED
    tool.act(permit_for(action("restore host"), key("b")))
    assert tool.read_back(action("restore host"), key("b")).effect is Effect.APPLIED
    assert (host.status, host.tags) == ("normal", [])


def test_what_is_pending_for_long_is_not_called_done(
    tool: Crowdstrike, falcon: Falcon, permit_for: PermitFor, key: Key
) -> None:
    falcon.delay = 1000
    tool.act(permit_for(action("contain host"), key("a")))
    back = tool.read_back(action("contain host"), key("a"))
    assert (back.effect, "containment_pending" in back.text) == (Effect.UNKNOWN, True)
    tool.act(permit_for(action("restore host"), key("b")))
    assert tool.read_back(action("restore host"), key("b")).effect is Effect.UNKNOWN


def test_what_another_hand_contained_is_left_to_it(
    tool: Crowdstrike, falcon: Falcon, permit_for: PermitFor, key: Key
) -> None:
    falcon.device("WS-17").status = "contained"
    with pytest.raises(NotDoneError, match="already, by another hand"):
        tool.act(permit_for(action("contain host"), key("a")))
    with pytest.raises(NotDoneError, match="no mark of Watchfloor"):
        tool.act(permit_for(action("restore host"), key("a")))
    assert tool.read_back(action("contain host"), key("a")).effect is Effect.NOT_APPLIED
    assert falcon.effects == 0


def test_what_another_proposal_contained_names_it(
    tool: Crowdstrike, permit_for: PermitFor, key: Key, falcon: Falcon
) -> None:
    tool.act(permit_for(action("contain host"), key("a")))
    with pytest.raises(NotDoneError, match=key("a")):
        tool.act(permit_for(action("contain host"), key("b")))
    tool.act(permit_for(action("contain host"), key("a")))
    assert falcon.effects == 1


def test_a_host_that_is_never_touched_can_be_freed_where_we_cut_it_off(
    tool: Crowdstrike, make: Make, permit_for: PermitFor, key: Key, falcon: Falcon
) -> None:
    tool.act(permit_for(action("contain host"), key("a")))
    later = make(never=["ws-17"])
    later.act(permit_for(action("restore host"), key("b")))
    assert later.read_back(action("restore host"), key("b")).effect is Effect.APPLIED
    assert falcon.device("WS-17").tags == []
    with pytest.raises(NeverError):
        later.act(permit_for(action("contain host"), key("c")))


def test_a_refused_containment_takes_its_mark_back(
    tool: Crowdstrike, falcon: Falcon, permit_for: PermitFor, key: Key
) -> None:
    falcon.fault = lambda request: Reply(409, {"errors": [{"message": LEAK}]}) if falcon.is_effect(request) else None
    with pytest.raises(NotDoneError, match="status 409"):
        tool.act(permit_for(action("contain host"), key("a")))
    assert falcon.device("WS-17").tags == []


def test_a_mark_that_a_failed_restoration_left_is_cleared(
    tool: Crowdstrike, falcon: Falcon, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(action("contain host"), key("a")))
    falcon.fault = lambda request: Reply(500) if request.method == "PATCH" else None
    with pytest.raises(UnavailableError) as found:
        tool.act(permit_for(action("restore host"), key("b")))
    assert not isinstance(found.value, NotDoneError)
    falcon.fault = None
    assert tool.read_back(action("restore host"), key("b")).effect is Effect.APPLIED
    tool.act(permit_for(action("contain host"), key("c")))
    assert falcon.device("WS-17").tags == [f"FalconGroupingTags/wf/{key('c')}"]


@pytest.mark.parametrize("fault", FAULTS)
def test_what_goes_wrong_is_told_for_what_it_is(
    tool: Crowdstrike, falcon: Falcon, permit_for: PermitFor, key: Key, fault: str
) -> None:
    check_fault(fault, falcon, tool, action("contain host"), permit_for, key("a"))


@pytest.mark.parametrize("scope", sorted(ALL_SCOPES))
def test_each_scope_is_needed(tool: Crowdstrike, falcon: Falcon, permit_for: PermitFor, key: Key, scope: str) -> None:
    falcon.scopes = ALL_SCOPES - {scope}
    name = "investigate host" if scope.startswith("real-time") else "contain host"
    with pytest.raises(NotDoneError, match=f"status 403.*{scope}"):
        tool.act(permit_for(action(name), key("a")))
    assert (falcon.device("WS-17").tags, falcon.sessions) == ([], [])


def test_the_scopes_are_those_of_the_classes_that_it_may_do(make: Make, slot: Slot) -> None:
    tool = make()
    assert tool.least_privilege == ("hosts:read", "hosts:write", "real-time-response:read")
    looks = Slot("tool", "default", slot.data_dir, frozenset({"investigate host"}))
    assert Crowdstrike(looks, tool.options).least_privilege == ("hosts:read", "real-time-response:read")


def test_a_client_that_is_not_known_is_given_no_token(make: Make, permit_for: PermitFor, key: Key) -> None:
    with pytest.raises(NotDoneError, match="is given no token"):
        make(client_id="0" * 32).act(permit_for(action("contain host"), key("a")))


def test_a_token_that_was_taken_back_is_renewed_once(tool: Crowdstrike, falcon: Falcon) -> None:
    tool.read_state(action("contain host").target)
    falcon.expired = True
    tool.read_state(action("contain host").target)
    assert falcon.tokens == 2


def test_two_agents_of_one_name_are_told_apart_by_their_ids(
    tool: Crowdstrike, permit_for: PermitFor, key: Key, falcon: Falcon
) -> None:
    with pytest.raises(NotDoneError, match=f"{'c' * 32}, {'d' * 32}"):
        tool.act(permit_for(action("contain host", "twin"), key("a")))
    tool.act(permit_for(action("contain host", "d" * 32), key("a")))
    assert [one.status for one in falcon.devices[2:4]] == ["normal", "containment_pending"]


@pytest.mark.parametrize("name", ["ws", "nobody", "f" * 32])
def test_a_host_that_is_not_there_is_not_found(tool: Crowdstrike, permit_for: PermitFor, key: Key, name: str) -> None:
    with pytest.raises(NotFoundError):
        tool.read_state(Target(TargetKind.HOST, name))
    with pytest.raises(NotDoneError):
        tool.act(permit_for(action("contain host", name), key("a")))


@pytest.mark.parametrize("name", ["x'+hostname:'dc1", "ws*", "a,b", "ws-17/..", "wś", "x" * 300, ".ws", "ws..17"])
def test_what_is_no_name_of_a_host_is_never_asked_for(tool: Crowdstrike, falcon: Falcon, name: str) -> None:
    with pytest.raises(BadTargetError):
        tool.read_state(Target(TargetKind.HOST, name))
    assert falcon.asked == []


def test_a_look_runs_commands_that_read_and_brings_their_output(
    tool: Crowdstrike, falcon: Falcon, permit_for: PermitFor, key: Key
) -> None:
    look = action("investigate host")
    assert tool.read_back(look, key("a")).effect is Effect.NOT_APPLIED
    tool.act(permit_for(look, key("a")))
    tool.act(permit_for(look, key("a")))
    back = tool.read_back(look, key("a"))
    assert (back.effect, back.text) == (Effect.APPLIED, "2 of 2 commands have answered")
    assert back.output == "$ ps\nPID NAME\n4 System\n\n$ netstat\ntcp 0.0.0.0:445\n\n"
    assert falcon.sessions == [f"wf:{key('a')}"]
    assert falcon.device("WS-17").status == "normal"


def test_a_look_without_an_answer_is_open_and_a_long_one_is_cut(
    tool: Crowdstrike, falcon: Falcon, permit_for: PermitFor, key: Key
) -> None:
    falcon.answers_after = 10_000
    tool.act(permit_for(action("investigate host"), key("a")))
    back = tool.read_back(action("investigate host"), key("a"))
    assert (back.effect, back.text) == (Effect.UNKNOWN, "0 of 2 commands have answered")
    falcon.answers_after, falcon.outputs["ps"] = 0, ["x" * 100_000] * 3
    back = tool.read_back(action("investigate host"), key("a"))
    assert (back.effect, len(back.output)) == (Effect.APPLIED, MAX_OUTPUT)
    falcon.outputs["ps"] = [f"{number} process\n" * 100 for number in range(1000)]
    assert tool.read_back(action("investigate host"), key("a")).effect is Effect.APPLIED


def test_a_look_that_breaks_off_tells_what_there_is(
    tool: Crowdstrike, falcon: Falcon, permit_for: PermitFor, key: Key
) -> None:
    def breaks(request: object) -> Reply | None:
        is_second = getattr(request, "body", b"").find(b"netstat") >= 0
        return Reply(500) if is_second else None

    falcon.fault = breaks
    with pytest.raises(UnavailableError) as found:
        tool.act(permit_for(action("investigate host"), key("a")))
    assert not isinstance(found.value, NotDoneError)
    falcon.fault = None
    back = tool.read_back(action("investigate host"), key("a"))
    assert (back.effect, back.text) == (Effect.UNKNOWN, "1 of 2 commands have answered")
    assert "4 System" in back.output
