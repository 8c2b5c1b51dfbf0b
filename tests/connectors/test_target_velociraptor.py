"""Hosts looked at and cut off by Velociraptor: a real gRPC server with certificates on both sides stands for it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from tests.connectors.directory_server import LOOPBACK, make_certificates
from tests.connectors.velociraptor_server import LEAK, VelociraptorServer, served, write_config
from tests.connectors.vendor_server import TestClock
from watchfloor_connectors.targets import velociraptor_api
from watchfloor_connectors.targets.base import Slot
from watchfloor_connectors.targets.registry import load_targets
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target, hostile
from watchfloor_connectors.targets.velociraptor import Velociraptor, VelociraptorOptions
from watchfloor_core.errors import ConfigurationError, NotFoundError, RecordError, RefusedError, UnavailableError
from watchfloor_guardrails.action import Action, Scalar, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import MAX_OUTPUT, Effect, NotDoneError

Key = Callable[[str], str]

PSTREE = "Generic.System.Pstree"


@pytest.fixture
def server() -> VelociraptorServer:
    return VelociraptorServer()


@pytest.fixture
def config(server: VelociraptorServer, tmp_path: Path) -> Iterator[dict[str, str]]:
    with served(server, tmp_path) as found:
        yield found


@pytest.fixture
def options(config: dict[str, str], tmp_path: Path) -> VelociraptorOptions:
    reference = write_config(tmp_path, config)
    return VelociraptorOptions(api_config=reference, artifacts=(PSTREE, "Windows.Network.Netstat"), never=("web-1",))


@pytest.fixture
def tool(slot: Slot, options: VelociraptorOptions) -> Velociraptor:
    return Velociraptor(slot, options)


def host(name: str) -> Target:
    return Target(TargetKind.HOST, name)


def contain(name: str = "ws-17") -> Action:
    return Action("contain host", "tool", host(name), {})


def restore(name: str = "ws-17") -> Action:
    return Action("restore host", "tool", host(name), {})


def look(name: str = "ws-17", **arguments: Scalar) -> Action:
    return Action("investigate host", "tool", host(name), arguments)


def test_it_keeps_the_contract_of_tools(tool: Velociraptor, permit_for: PermitFor) -> None:
    samples = [
        Sample("contain host", host("ws-17")),
        Sample("contain host", host("C.0123456789abcdef")),
        Sample("investigate host", host("ws-170")),
        Sample("investigate host", host("ws-17"), {"artifact": "Windows.Network.Netstat"}),
    ]
    check_target(tool, samples, permit_for, [host("web-1"), host("C.1111111111111111")])


@pytest.mark.parametrize("name", ["ws-17", "web-1"])
def test_a_host_is_cut_off_and_let_back_by_what_its_own_client_reports(
    slot: Slot, options: VelociraptorOptions, server: VelociraptorServer, permit_for: PermitFor, key: Key, name: str
) -> None:
    tool = Velociraptor(slot, options.model_copy(update={"never": ()}))
    tool.act(permit_for(contain(name), key("a")))
    assert (server.host(name).is_cut_off, server.host(name).labels) == (True, [f"wf-{key('a')}"])
    back = tool.read_back(contain(name), key("a"))
    assert (back.effect, "is contained" in back.text) == (Effect.APPLIED, True)
    tool.act(permit_for(restore(name), key("b")))
    assert (server.host(name).is_cut_off, server.host(name).labels) == (False, [])
    assert tool.read_back(restore(name), key("b")).effect is Effect.APPLIED
    system = "Windows" if name == "ws-17" else "Linux"
    artifact = f"{system}.Remediation.Quarantine"
    assert server.collected == [(name, artifact, {}), (name, artifact, {"RemovePolicy": "Y"})]


def test_a_host_that_is_away_is_neither_cut_off_nor_called_so_until_it_is_back(
    slot: Slot, options: VelociraptorOptions, server: VelociraptorServer, permit_for: PermitFor, key: Key
) -> None:
    tool = Velociraptor(slot, options, TestClock())
    server.host("ws-17").is_online = False
    tool.act(permit_for(contain(), key("a")))
    back = tool.read_back(contain(), key("a"))
    assert (back.effect, "is pending" in back.text) == (Effect.UNKNOWN, True)
    with pytest.raises(NotDoneError, match="pending already, by the proposal"):
        tool.act(permit_for(contain(), key("b")))
    server.come_online("ws-17")
    assert tool.read_back(contain(), key("a")).effect is Effect.APPLIED


def test_a_quarantine_that_took_itself_back_is_no_effect(
    tool: Velociraptor, server: VelociraptorServer, permit_for: PermitFor, key: Key
) -> None:
    server.host("ws-17").loses_server = True
    tool.act(permit_for(contain(), key("a")))
    back = tool.read_back(contain(), key("a"))
    assert (back.effect, "is free" in back.text) == (Effect.NOT_APPLIED, True)


def test_a_quarantine_that_ended_half_way_is_unknown(
    tool: Velociraptor, server: VelociraptorServer, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(contain(), key("a")))
    for kept in (2, 0):
        del server.host("ws-17").flows[0]["rows"][kept:]
        back = tool.read_back(contain(), key("a"))
        assert (back.effect, "is unclear" in back.text) == (Effect.UNKNOWN, True)


def test_what_another_hand_cut_off_is_neither_taken_over_nor_let_back(
    tool: Velociraptor, server: VelociraptorServer, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(contain(), key("a")))
    server.host("ws-17").labels.clear()
    for action in (contain(), restore()):
        with pytest.raises(NotDoneError, match=r"by another hand|no label of Watchfloor"):
            tool.act(permit_for(action, key("b")))
    assert tool.read_back(contain(), key("a")).effect is Effect.NOT_APPLIED
    assert server.host("ws-17").is_cut_off


def test_what_we_cut_off_is_let_back_even_if_it_was_protected_since(
    tool: Velociraptor, slot: Slot, options: VelociraptorOptions, server: VelociraptorServer, permit_for: PermitFor,
    key: Key,
) -> None:  # fmt: skip
    tool.act(permit_for(contain(), key("a")))
    later = Velociraptor(slot, options.model_copy(update={"never": ("WS-17.corp.example",)}))
    later.act(permit_for(restore(), key("b")))
    assert not server.host("ws-17").is_cut_off
    assert later.read_back(restore(), key("b")).effect is Effect.APPLIED
    with pytest.raises(RefusedError):
        later.act(permit_for(contain(), key("c")))


def test_a_collection_is_begun_once_and_its_rows_are_told(
    tool: Velociraptor, server: VelociraptorServer, permit_for: PermitFor, key: Key
) -> None:
    for _ in range(2):
        tool.act(permit_for(look(), key("a")))
    assert server.collected == [("ws-17", PSTREE, {})]
    back = tool.read_back(look(), key("a"))
    assert (back.effect, "finished, with 2 rows" in back.text) == (Effect.APPLIED, True)
    assert [json.loads(line)["Pid"] for line in back.output.splitlines()] == [7, 8]
    assert LEAK not in back.text
    assert tool.read_back(look(), key("b")).effect is Effect.NOT_APPLIED
    server.host("ws-17").flows[0]["rows"] = [{"Blob": "x" * 5_000}] * 10
    assert len(tool.read_back(look(), key("a")).output) == MAX_OUTPUT


@pytest.mark.parametrize(
    ("state", "effect"), [("RUNNING", Effect.UNKNOWN), ("IN_PROGRESS", Effect.UNKNOWN), ("ERROR", Effect.NOT_APPLIED)]
)
def test_a_collection_that_has_not_finished_is_no_effect(
    slot: Slot, options: VelociraptorOptions, server: VelociraptorServer, permit_for: PermitFor, key: Key, state: str,
    effect: Effect,
) -> None:  # fmt: skip
    tool = Velociraptor(slot, options, TestClock())
    tool.act(permit_for(look(), key("a")))
    server.host("ws-17").flows[0]["state"] = state
    assert tool.read_back(look(), key("a")).effect is effect
    server.host("ws-17").flows.clear()
    assert tool.read_back(look(), key("a")).effect is Effect.NOT_APPLIED


@pytest.mark.parametrize("artifact", ["Windows.Remediation.Quarantine", "Linux.Sys.BashShell", "", 7, f"{PSTREE} "])
def test_nothing_is_collected_that_the_operator_did_not_list(
    tool: Velociraptor, server: VelociraptorServer, permit_for: PermitFor, key: Key, artifact: Scalar
) -> None:
    with pytest.raises(NotDoneError, match="'artifact' is"):
        tool.act(permit_for(look(artifact=artifact), key("a")))
    with pytest.raises(NotDoneError, match="takes no 'artifact'"):
        tool.act(permit_for(replace(contain(), arguments={"artifact": PSTREE}), key("a")))
    assert server.collected == []


@pytest.mark.parametrize(
    ("right", "said"),
    [
        ("ANY_QUERY", "PERMISSION_DENIED"),
        ("READ_RESULTS", "READ_RESULTS"),
        ("COLLECT_CLIENT", "COLLECT_CLIENT"),
        ("LABEL_CLIENT", "LABEL_CLIENT"),
    ],
)
def test_a_permission_that_is_missing_means_that_nothing_was_done(
    tool: Velociraptor, server: VelociraptorServer, permit_for: PermitFor, key: Key, right: str, said: str
) -> None:
    server.rights -= {right}
    with pytest.raises(NotDoneError, match=said) as found:
        tool.act(permit_for(contain(), key("a")))
    assert LEAK not in str(found.value)
    assert (server.collected, server.host("ws-17").labels) == ([], [])
    if right == "COLLECT_CLIENT":
        with pytest.raises(NotDoneError, match=said):
            tool.act(permit_for(look(), key("b")))
        assert tool.read_back(look(), key("b")).effect is Effect.NOT_APPLIED


class _Lost(Exception):
    """Ends a call without an answer, after what was asked for was done."""


@pytest.mark.parametrize("action", [contain(), look()], ids=["contain", "investigate"])
def test_an_answer_that_is_lost_leaves_the_outcome_open(
    tool: Velociraptor, server: VelociraptorServer, permit_for: PermitFor, key: Key, action: Action
) -> None:
    def lose(vql: str) -> None:
        if "collect_client(" in vql:
            raise _Lost

    server.fault = lose
    with pytest.raises(UnavailableError, match="UNKNOWN") as found:
        tool.act(permit_for(action, key("a")))
    assert not isinstance(found.value, NotDoneError)
    server.fault = None
    if action.action_class == "contain host":
        assert tool.read_back(action, key("a")).effect is Effect.APPLIED
        return
    assert tool.read_back(action, key("a")).effect is Effect.UNKNOWN
    with pytest.raises(UnavailableError, match="not begun twice"):
        tool.act(permit_for(action, key("a")))
    assert len(server.collected) == 1


def test_an_answer_that_takes_too_long_is_not_waited_for(
    slot: Slot, options: VelociraptorOptions, server: VelociraptorServer
) -> None:
    hold = threading.Event()

    def wait(vql: str) -> None:
        hold.wait(30)

    server.fault = wait
    tool = Velociraptor(slot, options.model_copy(update={"timeout_s": 0.5}))
    try:
        with pytest.raises(UnavailableError, match="DEADLINE_EXCEEDED"):
            tool.read_state(host("ws-17"))
    finally:
        hold.set()


@pytest.mark.parametrize(
    "says",
    ["<html>", "[1]", '[{"client_id": "../x"}]', '{"a": 1}', "[" + "{}," * 400_000 + "{}]", '[{"client_id": 7}]'],
    ids=["text", "number", "path", "object", "large", "type"],
)
def test_an_answer_of_another_form_is_taken_for_nothing(
    tool: Velociraptor, server: VelociraptorServer, permit_for: PermitFor, key: Key, says: str
) -> None:
    server.says = says
    with pytest.raises(NotDoneError):
        tool.act(permit_for(contain(), key("a")))
    assert server.collected == []


def test_a_host_is_one_that_there_is_and_one_alone(tool: Velociraptor, permit_for: PermitFor, key: Key) -> None:
    assert tool.read_state(host("WS-17")).content["client"] == "C.0123456789abcdef"
    assert tool.read_state(host("ws-17.corp.example")).content["client"] == "C.0123456789abcdef"
    for name in ("ws-1", "nobody", "C.9999999999999999"):
        with pytest.raises(NotFoundError):
            tool.read_state(host(name))
    with pytest.raises(UnavailableError, match=r"C\.4444444444444444, C\.5555555555555555"):
        tool.read_state(host("twin"))
    with pytest.raises(NotDoneError, match="no quarantine"):
        tool.act(permit_for(contain("mac-1"), key("a")))


def test_nothing_is_asked_for_a_value_that_is_no_host(
    tool: Velociraptor, server: VelociraptorServer, permit_for: PermitFor, key: Key
) -> None:
    values = ["ws-17' OR 1", "label:admins", "C.0123456789ABCDEF'", "*", "ws-17) FROM scope()", "server;"]
    for target in [*hostile(host("ws-17")), *map(host, values)]:
        with pytest.raises(RecordError):
            tool.read_state(target)
        with pytest.raises(RecordError):
            tool.act(permit_for(replace(contain(), target=target), key("a")))
    assert server.asked == []


def test_a_server_or_a_client_that_is_not_the_right_one_gets_nothing(
    slot: Slot, options: VelociraptorOptions, config: dict[str, str], server: VelociraptorServer, tmp_path: Path,
    permit_for: PermitFor, key: Key,
) -> None:  # fmt: skip
    stranger = make_certificates(tmp_path / "stranger", LOOPBACK)
    wrong = [
        {"ca_certificate": stranger.ca.read_text()},
        {"client_cert": stranger.certificate.read_text(), "client_private_key": stranger.key.read_text()},
        {"api_connection_string": "127.0.0.1:1"},
    ]
    for change in wrong:
        reference = write_config(tmp_path, {**config, **change})
        tool = Velociraptor(slot, options.model_copy(update={"api_config": reference, "timeout_s": 1.0}))
        with pytest.raises(NotDoneError, match="cannot be reached, or it and api_config do not match"):
            tool.act(permit_for(contain(), key("a")))
    assert server.asked == []


@pytest.mark.parametrize(
    "change",
    [{"client_private_key": "-----BEGIN ENCRYPTED PRIVATE KEY-----"}, {"api_connection_string": "unix:///run/x"}],
    ids=["encrypted", "place"],
)
def test_a_config_that_cannot_be_used_is_told_without_its_content(
    slot: Slot, options: VelociraptorOptions, config: dict[str, str], tmp_path: Path, change: dict[str, str]
) -> None:
    write_config(tmp_path, {**config, **change})
    tool = Velociraptor(slot, options)
    with pytest.raises(NotDoneError) as found:
        tool.read_state(host("ws-17"))
    assert "PRIVATE KEY-----" not in str(found.value)
    (tmp_path / "api.config.yaml").write_text("- a\n")
    with pytest.raises(NotDoneError, match="is not what"):
        tool.read_state(host("ws-17"))


def test_the_organisation_is_the_configured_one(
    slot: Slot, options: VelociraptorOptions, server: VelociraptorServer
) -> None:
    Velociraptor(slot, options.model_copy(update={"org": "O123"})).read_state(host("ws-17"))
    assert set(server.orgs) == {"O123"}


def test_what_changes_hosts_is_not_among_what_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "targets.yaml").write_text(
        "targets:\n  - tool: dfir\n    kind: velociraptor\n    tenants: [a]\n    api_config: file:/etc/x\n"
        "    artifacts: [Windows.Remediation.Quarantine]\n"
    )
    with pytest.raises(ConfigurationError, match="'investigate host' only looks"):
        load_targets(tmp_path / "targets.yaml", tmp_path)


def test_the_server_asks_for_a_certificate(config: dict[str, str], server: VelociraptorServer) -> None:
    """What stands for Velociraptor here is as strict as that is."""
    credentials = grpc.ssl_channel_credentials(root_certificates=config["ca_certificate"].encode())
    options = (("grpc.ssl_target_name_override", "VelociraptorServer"),)
    with grpc.secure_channel(config["api_connection_string"], credentials, options) as channel:
        asked = velociraptor_api._REQUEST(Query=[{"Name": "x", "VQL": "SELECT * FROM clients()"}])
        ask = channel.unary_stream("/proto.API/Query", request_serializer=type(asked).SerializeToString)
        with pytest.raises(grpc.RpcError) as found:
            list(ask(asked, timeout=30))
    assert found.value.code() is grpc.StatusCode.UNAVAILABLE
    assert server.asked == []
