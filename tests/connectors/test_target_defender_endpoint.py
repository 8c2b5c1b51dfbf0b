"""Microsoft Defender for Endpoint as a tool, against a server that speaks its wire format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.connectors.defender_server import PERMISSIONS, Defender, Order
from tests.connectors.microsoft_server import APPLICATION, DIRECTORY
from tests.connectors.vendor_server import FAULTS, TestClock, check_fault, patient, secret_file, served
from watchfloor_connectors.targets.base import BadTargetError, NeverError, Slot
from watchfloor_connectors.targets.defender_endpoint import DefenderEndpoint, DefenderOptions
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target
from watchfloor_core.errors import NotFoundError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError

Key = Callable[[str], str]
Make = Callable[..., DefenderEndpoint]
MACHINE = "a" * 40


@pytest.fixture
def defender() -> Iterator[Defender]:
    vendor = Defender()
    with served(vendor):
        yield vendor


@pytest.fixture
def make(defender: Defender, slot: Slot, tmp_path: Path) -> Make:
    def made(clock: TestClock | None = None, **options: object) -> DefenderEndpoint:
        given: dict[str, object] = {
            "api_url": defender.url,
            "login_url": defender.url,
            "directory": DIRECTORY,
            "application": APPLICATION,
            "application_secret": secret_file(tmp_path),
            "never": ["DC1"],
        }
        return DefenderEndpoint(
            slot, patient(DefenderOptions.model_validate({**given, **options})), clock or TestClock()
        )

    return made


@pytest.fixture
def tool(make: Make) -> DefenderEndpoint:
    return make()


def action(action_class: str, name: str = "ws-17") -> Action:
    return Action(action_class, "tool", Target(TargetKind.HOST, name), {})


@pytest.mark.parametrize("name", ["ws-17", "WS-17.example.org", MACHINE, "f" * 40])
def test_machines_keep_the_contract_of_tools(make: Make, permit_for: PermitFor, name: str) -> None:
    target = Target(TargetKind.HOST, name)
    check_target(make(), [Sample("contain host", target), Sample("scan host", target)], permit_for)


def test_machines_that_are_never_touched_are_not(make: Make, permit_for: PermitFor) -> None:
    never = [Target(TargetKind.HOST, name) for name in ("dc1", "dc1.example.org", "e" * 40)]
    check_target(make(), [Sample("scan host", Target(TargetKind.HOST, "ws-17"))], permit_for, never)


def test_an_isolation_is_told_by_its_comment_and_taken_back(
    tool: DefenderEndpoint, defender: Defender, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(action("contain host"), key("a")))
    assert defender.asked[-1].json == {"Comment": f"Watchfloor wf:{key('a')}", "IsolationType": "Full"}
    back = tool.read_back(action("contain host"), key("a"))
    assert (back.effect, back.output) == (Effect.APPLIED, "5382f7ea-7557-4ab7-9782-000000000000")
    assert back.state.content == {"machine": MACHINE, "isolation": "isolated", "held_by": key("a")}
    assert tool.read_back(action("contain host"), key("b")).effect is Effect.NOT_APPLIED
    tool.act(permit_for(action("restore host"), key("b")))
    assert tool.read_back(action("restore host"), key("b")).effect is Effect.APPLIED
    with pytest.raises(NotDoneError, match="is not isolated"):
        tool.act(permit_for(action("restore host"), key("c")))


@pytest.mark.parametrize(
    ("steps", "effect"),
    [
        (("Pending",), Effect.UNKNOWN),
        (("Pending", "InProgress"), Effect.UNKNOWN),
        (("Pending", "Failed"), Effect.NOT_APPLIED),
        (("Pending", "TimeOut"), Effect.NOT_APPLIED),
        (("Pending", "Cancelled"), Effect.NOT_APPLIED),
        (("Pending", "InProgress", "Succeeded"), Effect.APPLIED),
    ],
    ids="-".join,
)
def test_a_machine_that_takes_its_time_is_not_called_isolated(
    tool: DefenderEndpoint, defender: Defender, permit_for: PermitFor, key: Key, steps: tuple[str, ...], effect: Effect
) -> None:
    defender.steps = steps
    tool.act(permit_for(action("contain host"), key("a")))
    assert tool.read_back(action("contain host"), key("a")).effect is effect


def test_a_release_that_failed_leaves_the_machine_isolated_by_us(
    tool: DefenderEndpoint, defender: Defender, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(action("contain host"), key("a")))
    tool.read_back(action("contain host"), key("a"))
    defender.steps = ("Pending", "Failed")
    tool.act(permit_for(action("restore host"), key("b")))
    back = tool.read_back(action("restore host"), key("b"))
    assert (back.effect, back.state.content["held_by"]) == (Effect.NOT_APPLIED, key("a"))


def test_what_another_hand_isolated_is_left_to_it(
    tool: DefenderEndpoint, defender: Defender, permit_for: PermitFor, key: Key
) -> None:
    defender.orders = [Order(0, MACHINE, "Isolate", "ask Ann first", "Succeeded")]
    with pytest.raises(NotDoneError, match="already, by another hand"):
        tool.act(permit_for(action("contain host"), key("a")))
    with pytest.raises(NotDoneError, match="by another hand"):
        tool.act(permit_for(action("restore host"), key("a")))
    assert tool.read_back(action("contain host"), key("a")).effect is Effect.NOT_APPLIED
    assert defender.effects == 0


def test_what_another_hand_released_is_released(
    tool: DefenderEndpoint, defender: Defender, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(action("contain host"), key("a")))
    defender.orders[0].status = "Succeeded"
    defender.orders.append(Order(1, MACHINE, "Unisolate", "by hand", "Succeeded"))
    assert tool.read_back(action("contain host"), key("a")).effect is Effect.NOT_APPLIED
    assert tool.read_back(action("restore host"), key("b")).effect is Effect.APPLIED


def test_a_machine_that_is_never_touched_can_be_released_where_we_isolated_it(
    tool: DefenderEndpoint, make: Make, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(action("contain host"), key("a")))
    tool.read_back(action("contain host"), key("a"))
    later = make(never=["ws-17"])
    later.act(permit_for(action("restore host"), key("b")))
    assert later.read_back(action("restore host"), key("b")).effect is Effect.APPLIED
    with pytest.raises(NeverError):
        later.act(permit_for(action("contain host"), key("c")))


def test_a_scan_counts_once_the_machine_has_begun_it(
    tool: DefenderEndpoint, defender: Defender, permit_for: PermitFor, key: Key
) -> None:
    defender.steps = ("Pending", "InProgress")
    tool.act(permit_for(action("scan host"), key("a")))
    tool.act(permit_for(action("scan host"), key("a")))
    assert defender.effects == 1
    back = tool.read_back(action("scan host"), key("a"))
    assert (back.effect, "RunAntiVirusScan InProgress" in back.text) == (Effect.APPLIED, True)
    defender.steps = ("Pending",)
    tool.act(permit_for(action("scan host", "ws-170"), key("b")))
    assert tool.read_back(action("scan host", "ws-170"), key("b")).effect is Effect.UNKNOWN


@pytest.mark.parametrize("fault", FAULTS)
def test_what_goes_wrong_is_told_for_what_it_is(
    tool: DefenderEndpoint, defender: Defender, permit_for: PermitFor, key: Key, fault: str
) -> None:
    check_fault(fault, defender, tool, action("contain host"), permit_for, key("a"))


@pytest.mark.parametrize("permission", sorted(PERMISSIONS))
def test_each_permission_is_needed(
    tool: DefenderEndpoint, defender: Defender, permit_for: PermitFor, key: Key, permission: str
) -> None:
    defender.permissions = PERMISSIONS - {permission}
    name = "scan host" if permission == "Machine.Scan" else "contain host"
    with pytest.raises(NotDoneError, match=f"status 403.*{permission}"):
        tool.act(permit_for(action(name), key("a")))
    assert defender.orders == []


def test_the_permissions_are_those_of_the_classes_that_it_may_do(tool: DefenderEndpoint, slot: Slot) -> None:
    assert tool.least_privilege == ("Machine.Read.All", "Machine.Isolate", "Machine.Scan")
    scans = Slot("tool", "default", slot.data_dir, frozenset({"scan host"}))
    assert DefenderEndpoint(scans, tool.options).least_privilege == ("Machine.Read.All", "Machine.Scan")


def test_an_application_that_is_not_known_is_given_no_token(make: Make, permit_for: PermitFor, key: Key) -> None:
    with pytest.raises(NotDoneError, match="is given no token"):
        make(application=DIRECTORY).act(permit_for(action("contain host"), key("a")))


def test_an_order_while_another_runs_is_refused(
    tool: DefenderEndpoint, defender: Defender, permit_for: PermitFor, key: Key
) -> None:
    defender.orders = [Order(0, MACHINE, "CollectInvestigationPackage", "", "InProgress")]
    defender.steps = ("InProgress",)
    with pytest.raises(NotDoneError, match="status 400"):
        tool.act(permit_for(action("contain host"), key("a")))


def test_two_machines_of_one_name_are_told_apart_by_their_ids(
    tool: DefenderEndpoint, defender: Defender, permit_for: PermitFor, key: Key
) -> None:
    with pytest.raises(NotDoneError, match=f"{'c' * 40}, {'d' * 40}"):
        tool.act(permit_for(action("contain host", "twin"), key("a")))
    tool.act(permit_for(action("contain host", "twin.example.com"), key("a")))
    assert [one.machine for one in defender.orders] == ["d" * 40]


@pytest.mark.parametrize("name", ["ws", "nobody", "0" * 40])
def test_a_machine_that_is_not_there_is_not_found(tool: DefenderEndpoint, name: str) -> None:
    with pytest.raises(NotFoundError):
        tool.read_state(Target(TargetKind.HOST, name))


@pytest.mark.parametrize("name", ["x') or startswith(computerDnsName,'dc1", "ws'", "ws/..", "ws 17", "%27"])
def test_what_is_no_name_of_a_machine_is_never_asked_for(tool: DefenderEndpoint, defender: Defender, name: str) -> None:
    with pytest.raises(BadTargetError):
        tool.read_state(Target(TargetKind.HOST, name))
    assert defender.asked == []
