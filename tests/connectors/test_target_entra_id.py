"""Microsoft Entra ID as a tool, against a server that speaks Microsoft Graph's wire format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.connectors.graph_server import PERMISSIONS, Graph, guid
from tests.connectors.microsoft_server import APPLICATION, DIRECTORY
from tests.connectors.vendor_server import FAST, FAULTS, TestClock, check_fault, patient, secret_file, served
from watchfloor_connectors.targets.base import BadTargetError, NeverError, Slot
from watchfloor_connectors.targets.entra_id import EntraId, EntraOptions
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target
from watchfloor_core.errors import NotFoundError, UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import CATALOGUE, TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError

Key = Callable[[str], str]
Make = Callable[..., EntraId]
APP = guid(21)


@pytest.fixture
def graph() -> Iterator[Graph]:
    vendor = Graph()
    with served(vendor) as url:
        vendor.resource = url
        yield vendor


@pytest.fixture
def make(graph: Graph, slot: Slot, tmp_path: Path) -> Make:
    def made(**options: object) -> EntraId:
        given: dict[str, object] = {
            "graph_url": graph.url,
            "login_url": graph.url,
            "directory": DIRECTORY,
            "application": APPLICATION,
            "application_secret": secret_file(tmp_path),
            "never": ["Glass@example.org"],
        }
        return EntraId(slot, patient(EntraOptions.model_validate({**given, **options})), TestClock(FAST))

    return made


@pytest.fixture
def tool(make: Make) -> EntraId:
    return make()


def action(action_class: str, value: str = "") -> Action:
    kind = CATALOGUE[action_class].target
    return Action(
        action_class, "tool", Target(kind, value or (APP if kind is TargetKind.APP else "ann@example.org")), {}
    )


def test_accounts_sessions_and_applications_keep_the_contract_of_tools(
    tool: EntraId, graph: Graph, permit_for: PermitFor
) -> None:
    samples = [
        Sample("disable user", Target(TargetKind.USER, "ann@example.org")),
        Sample("disable user", Target(TargetKind.USER, "bob.o'hara@example.org")),
        Sample("disable user", Target(TargetKind.USER, guid(4))),
        Sample("stop session", Target(TargetKind.SESSION, "ann@example.org")),
        Sample("disable app", Target(TargetKind.APP, guid(21))),
        Sample("disable app", Target(TargetKind.APP, guid(22))),
    ]
    never = [
        Target(kind, name) for kind in (TargetKind.USER, TargetKind.SESSION) for name in ("glass@example.org", guid(3))
    ]
    check_target(tool, samples, permit_for, [*never, Target(TargetKind.APP, APPLICATION)])
    assert graph.enabled == [True] * 7
    assert [one.notes for one in graph.apps] == [None, "owner: Ann\n", None]
    assert list(tool.slot.data_dir.glob("targets/tool/default/*.json")) != []


def test_an_account_is_disabled_by_a_permission_for_nothing_else_and_enabled_again(
    tool: EntraId, graph: Graph, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(action("disable user"), key("a")))
    assert graph.asked[-1].json == {"accountEnabled": False}
    back = tool.read_back(action("disable user"), key("a"))
    assert (back.effect, back.state.content["held_by"]) == (Effect.APPLIED, key("a"))
    assert tool.read_back(action("disable user"), key("b")).effect is Effect.NOT_APPLIED
    with pytest.raises(NotDoneError, match=key("a")):
        tool.act(permit_for(action("disable user"), key("b")))
    # By its id it is the same account.
    tool.act(permit_for(action("enable user", guid(1)), key("c")))
    assert tool.read_back(action("enable user"), key("c")).effect is Effect.APPLIED
    with pytest.raises(NotDoneError, match="is not disabled"):
        tool.act(permit_for(action("enable user"), key("d")))


def test_what_another_hand_disabled_is_left_to_it(tool: EntraId, graph: Graph, permit_for: PermitFor, key: Key) -> None:
    graph.users[0].accountEnabled = graph.apps[0].accountEnabled = False
    for name in ("disable user", "enable user", "disable app", "enable app"):
        with pytest.raises(NotDoneError, match="by another hand"):
            tool.act(permit_for(action(name), key("a")))
    assert tool.read_back(action("disable user"), key("a")).effect is Effect.NOT_APPLIED
    assert tool.read_back(action("disable app"), key("a")).effect is Effect.NOT_APPLIED
    assert graph.effects == 0


def test_without_the_note_an_account_is_not_enabled(
    tool: EntraId, graph: Graph, permit_for: PermitFor, key: Key, slot: Slot, tmp_path: Path
) -> None:
    tool.act(permit_for(action("disable user"), key("a")))
    elsewhere = EntraId(replace(slot, data_dir=tmp_path / "other"), tool.options, TestClock(FAST))
    with pytest.raises(NotDoneError, match="another machine"):
        elsewhere.act(permit_for(action("enable user"), key("b")))
    other_tenant = EntraId(replace(slot, tenant="globex"), tool.options, TestClock(FAST))
    with pytest.raises(NotDoneError, match="another hand"):
        other_tenant.act(permit_for(action("enable user"), key("b")))
    (note,) = slot.data_dir.glob("targets/tool/default/*.json")
    note.write_text("{}")
    with pytest.raises(NotDoneError, match="mend or remove it"):
        tool.act(permit_for(action("enable user"), key("b")))
    assert not graph.users[0].accountEnabled


def test_without_a_folder_for_notes_nothing_is_done(
    make: Make, graph: Graph, permit_for: PermitFor, key: Key, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotDoneError, match="folder of notes"):
        make(state_dir=str(tmp_path / "file" / "notes")).act(permit_for(action("disable user"), key("a")))
    assert graph.effects == 0


def test_an_application_bears_the_key_in_its_notes(
    tool: EntraId, graph: Graph, permit_for: PermitFor, key: Key
) -> None:
    app = graph.apps[1]
    tool.act(permit_for(action("disable app", app.appId), key("a")))
    assert (app.accountEnabled, app.notes) == (False, f"owner: Ann\n\nWatchfloor wf:{key('a')}")
    app.notes = f"{app.notes}\nAnn: looked into"
    with pytest.raises(NotDoneError, match=key("a")):
        tool.act(permit_for(action("disable app", app.appId), key("b")))
    tool.act(permit_for(action("enable app", app.appId), key("b")))
    assert (app.accountEnabled, app.notes) == (True, "owner: Ann\n\nAnn: looked into")


def test_an_application_without_room_for_a_mark_is_left_alone(
    tool: EntraId, graph: Graph, permit_for: PermitFor, key: Key
) -> None:
    graph.apps[0].notes = "x" * 1000
    with pytest.raises(NotDoneError, match="no room"):
        tool.act(permit_for(action("disable app"), key("a")))


def test_sessions_are_ended_once_and_read_back_by_the_time_from_which_they_count(
    tool: EntraId, graph: Graph, permit_for: PermitFor, key: Key
) -> None:
    stop = action("stop session")
    assert tool.read_back(stop, key("a")).effect is Effect.NOT_APPLIED
    tool.act(permit_for(stop, key("a")))
    tool.act(permit_for(stop, key("a")))
    back = tool.read_back(stop, key("a"))
    assert (back.effect, graph.revoked) == (Effect.APPLIED, 1)
    assert back.state.content == {"id": guid(1), "valid_from": "2026-02-25T06:13:01Z"}
    tool.act(permit_for(stop, key("b")))
    assert graph.revoked == 2


def test_sessions_that_the_directory_does_not_call_ended_yet_are_open(
    tool: EntraId, graph: Graph, permit_for: PermitFor, key: Key
) -> None:
    graph.is_slow = True
    tool.act(permit_for(action("stop session"), key("a")))
    assert tool.read_back(action("stop session"), key("a")).effect is Effect.UNKNOWN
    graph.users[0].signInSessionsValidFromDateTime = "2026-02-25T06:13:21Z"
    assert tool.read_back(action("stop session"), key("a")).effect is Effect.APPLIED


def test_a_change_that_the_directory_does_not_show_yet_is_open(
    tool: EntraId, graph: Graph, permit_for: PermitFor, key: Key
) -> None:
    graph.is_slow = True
    tool.act(permit_for(action("disable user"), key("a")))
    back = tool.read_back(action("disable user"), key("a"))
    assert (back.effect, "has not refused" in back.text) == (Effect.UNKNOWN, True)
    graph.users[0].accountEnabled = False
    assert tool.read_back(action("disable user"), key("a")).effect is Effect.APPLIED
    tool.act(permit_for(action("enable user"), key("b")))
    assert tool.read_back(action("enable user"), key("b")).effect is Effect.UNKNOWN
    assert tool.read_back(action("disable user"), key("a")).effect is Effect.NOT_APPLIED
    graph.users[0].accountEnabled = True
    assert tool.read_back(action("enable user"), key("b")).effect is Effect.APPLIED


def test_what_was_given_back_and_disabled_by_another_hand_is_theirs(
    tool: EntraId, graph: Graph, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(action("disable user"), key("a")))
    tool.act(permit_for(action("enable user"), key("b")))
    graph.users[0].accountEnabled = False
    with pytest.raises(NotDoneError, match="another hand"):
        tool.act(permit_for(action("enable user"), key("c")))


def test_what_a_local_directory_may_overrule_is_said(tool: EntraId, permit_for: PermitFor, key: Key) -> None:
    name = "bob.o'hara@example.org"
    tool.act(permit_for(action("disable user", name), key("a")))
    back = tool.read_back(action("disable user", name), key("a"))
    assert (back.effect, "synchronised from a local directory" in back.text) == (Effect.APPLIED, True)


def test_what_is_never_touched_can_be_given_back_where_we_hold_it(
    tool: EntraId, make: Make, graph: Graph, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(action("disable user"), key("a")))
    tool.act(permit_for(action("disable app"), key("b")))
    later = make(never=["ann@example.org", APP])
    later.act(permit_for(action("enable user"), key("c")))
    later.act(permit_for(action("enable app"), key("d")))
    assert later.read_back(action("enable user"), key("c")).effect is Effect.APPLIED
    assert later.read_back(action("enable app"), key("d")).effect is Effect.APPLIED
    assert (graph.users[0].accountEnabled, graph.apps[0].accountEnabled) == (True, True)
    for name in ("disable user", "stop session", "disable app"):
        with pytest.raises(NeverError):
            later.act(permit_for(action(name), key("e")))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("action_class", ["disable user", "stop session", "disable app"])
def test_what_goes_wrong_is_told_for_what_it_is(
    tool: EntraId, graph: Graph, permit_for: PermitFor, key: Key, action_class: str, fault: str
) -> None:
    check_fault(fault, graph, tool, action(action_class), permit_for, key("a"))


@pytest.mark.parametrize("permission", sorted(PERMISSIONS))
def test_each_permission_is_needed(
    tool: EntraId, graph: Graph, permit_for: PermitFor, key: Key, permission: str
) -> None:
    graph.permissions = PERMISSIONS - {permission}
    name = {"User.RevokeSessions.All": "stop session", "Application.ReadWrite.All": "disable app"}.get(
        permission, "disable user"
    )
    with pytest.raises(NotDoneError, match=f"status 403.*{permission}"):
        tool.act(permit_for(action(name), key("a")))
    assert all(graph.enabled)


def test_the_permissions_are_those_of_the_classes_that_it_may_do(tool: EntraId, slot: Slot) -> None:
    assert set(tool.least_privilege) == PERMISSIONS
    stops = EntraId(replace(slot, action_classes=frozenset({"stop session"})), tool.options)
    assert stops.least_privilege == ("User.Read.All", "User.RevokeSessions.All")


def test_an_enabling_whose_answer_is_lost_is_found_by_reading_back(
    tool: EntraId, graph: Graph, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(action("disable user"), key("a")))
    graph.is_lossy = True
    with pytest.raises(UnavailableError):
        tool.act(permit_for(action("enable user"), key("b")))
    graph.is_lossy = False
    assert tool.read_back(action("enable user"), key("b")).effect is Effect.APPLIED
    assert tool.read_back(action("disable user"), key("a")).effect is not Effect.APPLIED


@pytest.mark.parametrize("target", [Target(TargetKind.USER, "eve@example.org"), Target(TargetKind.USER, guid(9)),
                                    Target(TargetKind.APP, guid(9))], ids=str)  # fmt: skip
def test_what_is_not_there_is_not_found(tool: EntraId, target: Target) -> None:
    with pytest.raises(NotFoundError):
        tool.read_state(target)


@pytest.mark.parametrize(
    "value", ["ann", "ann@example", "$ann@example.org", "ann@example.org/memberOf", "ann@example.org?$select=x",
              "a'b", "ann @example.org", "ann%40example.org", "ann@example.org#EXT#@x.y", guid(1).upper() + "x"]
)  # fmt: skip
def test_what_is_no_name_of_an_account_is_never_asked_for(tool: EntraId, graph: Graph, value: str) -> None:
    for kind in (TargetKind.USER, TargetKind.SESSION, TargetKind.APP):
        with pytest.raises(BadTargetError):
            tool.read_state(Target(kind, value))
    assert graph.asked == []
