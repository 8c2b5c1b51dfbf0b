"""A real firewall: nftables in network namespaces of the test, joined by a cable, with real connections through it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from watchfloor_connectors.targets.base import Slot
from watchfloor_connectors.targets.nftables import Nftables, NftablesOptions
from watchfloor_connectors.targets.programs import PATH
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target, hostile
from watchfloor_core.errors import RecordError, UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError

Key = Callable[[str], str]

PAGE = Path(__file__).parents[2] / "docs/reference/tools.md"
RULES = next(text for text in re.findall(r"(?ms)^```text\n(.*?)^```", PAGE.read_text("utf-8")) if "blocked6" in text)
"""What the page tells operators to load."""
WRONG_SETS = """
add set inet watchfloor ranges4 { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }
add set inet watchfloor fading4 { type ipv4_addr; timeout 1h; }
"""
SERVER = """
import socket
servers = [socket.create_server((address, 8000), family=family, backlog=16) for address, family in (
    ("10.99.0.1", socket.AF_INET), ("fd99::1", socket.AF_INET6))]
print("ready", flush=True)
input()
"""
CLIENT = "import socket, sys; socket.create_connection((sys.argv[1], 8000), timeout=0.4).close()"


@dataclass(frozen=True)
class Network:
    """A protected host and an attacker's, each a network namespace."""

    host: str
    attacker: str

    def connects(self, address: str) -> bool:
        """Whether the attacker gets a TCP connection to the host."""
        done = subprocess.run(["ip", "netns", "exec", self.attacker, sys.executable, "-I", "-S", "-c", CLIENT, address],
                              capture_output=True, text=True, check=False)  # fmt: skip
        assert done.returncode == 0 or "timed out" in done.stderr, done.stderr
        return done.returncode == 0

    def nft(self, command: str) -> str:
        return run(["ip", "netns", "exec", self.host, "nft", "-f", "-"], command)


def run(command: list[str], text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wired() -> Iterator[Network]:
    missing = [program for program in ("nft", "ip") if shutil.which(program, path=PATH) is None]
    if missing:
        pytest.skip(f"not installed here: {', '.join(missing)} (Debian: nftables, iproute2)")
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root here")
    mark = uuid.uuid4().hex[:6]
    network = Network(f"wfh{mark}", f"wfa{mark}")
    with ExitStack() as stack:
        for name in (network.host, network.attacker):
            made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
            if made.returncode != 0:
                pytest.skip(f"this environment allows no network namespace: {made.stderr.strip()}")
            stack.callback(run, ["ip", "netns", "delete", name])
        cable = ["ip", "-n", network.host, "link", "add", "wf0", "type", "veth", "peer", "name", "wf0", "netns"]
        run([*cable, network.attacker])
        for name, number in ((network.host, 1), (network.attacker, 2)):
            run(["ip", "-n", name, "address", "add", f"10.99.0.{number}/24", "dev", "wf0"])
            run(["ip", "-n", name, "address", "add", f"fd99::{number}/64", "dev", "wf0", "nodad"])
            run(["ip", "-n", name, "link", "set", "wf0", "up"])
        listens = ["ip", "netns", "exec", network.host, sys.executable, "-I", "-S", "-c", SERVER]
        server = stack.enter_context(
            subprocess.Popen(listens, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        stack.callback(server.kill)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield network


@pytest.fixture
def network(wired: Network) -> Network:
    wired.nft(f"flush ruleset\n{RULES}{WRONG_SETS}")
    return wired


@pytest.fixture
def tool(slot: Slot, network: Network) -> Nftables:
    return Nftables(slot, NftablesOptions(netns=network.host, never=("10.99.0.1", "192.0.2.0/24")))


def deny(value: str) -> Action:
    return Action("deny ip", "tool", Target(TargetKind.IP, value), {})


def allow(value: str) -> Action:
    return Action("allow ip", "tool", Target(TargetKind.IP, value), {})


def test_nftables_keeps_the_contract_of_tools(tool: Nftables, permit_for: PermitFor) -> None:
    samples = [Sample("deny ip", Target(TargetKind.IP, value)) for value in ("203.0.113.9", "2001:db8::9")]
    never = [Target(TargetKind.IP, value) for value in ("10.99.0.1", "192.0.2.77", "127.0.0.1", "ff02::1")]
    protecting = Nftables(tool.slot, tool.options.model_copy(update={"never": ("203.0.113.0/24", "2001:db8::9")}))
    check_target(tool, samples, permit_for, never, protecting=protecting)


@pytest.mark.parametrize(("host", "attacker"), [("10.99.0.1", "10.99.0.2"), ("fd99::1", "fd99::2")])
def test_a_denied_address_gets_no_connection_and_gets_one_once_allowed(
    tool: Nftables, network: Network, permit_for: PermitFor, key: Key, host: str, attacker: str
) -> None:
    assert network.connects(host)
    tool.act(permit_for(deny(attacker), key("a")))
    assert not network.connects(host)
    assert tool.read_back(deny(attacker), key("a")).effect is Effect.APPLIED
    tool.act(permit_for(allow(attacker), key("b")))
    assert network.connects(host)
    assert tool.read_back(allow(attacker), key("b")).effect is Effect.APPLIED


def test_the_element_carries_the_key_and_other_elements_stay(
    tool: Nftables, network: Network, permit_for: PermitFor, key: Key
) -> None:
    network.nft('add element inet watchfloor blocked4 { 198.51.100.1, 198.51.100.2 comment "by hand" }')
    tool.act(permit_for(deny("203.0.113.9"), key("a")))
    listed = network.nft("list set inet watchfloor blocked4")
    assert f'203.0.113.9 comment "wf:{key("a")}"' in listed
    tool.act(permit_for(allow("203.0.113.9"), key("b")))
    assert '198.51.100.2 comment "by hand"' in network.nft("list set inet watchfloor blocked4")


@pytest.mark.parametrize("comment", ["", 'comment "by hand"', 'comment "wf:short"'])
def test_an_element_of_another_hand_is_neither_taken_over_nor_taken_away(
    tool: Nftables, network: Network, permit_for: PermitFor, key: Key, comment: str
) -> None:
    network.nft(f"add element inet watchfloor blocked4 {{ 198.51.100.1 {comment} }}")
    for action in (deny("198.51.100.1"), allow("198.51.100.1")):
        with pytest.raises(NotDoneError, match=r"by another hand|by Watchfloor"):
            tool.act(permit_for(action, key("a")))
    back = tool.read_back(deny("198.51.100.1"), key("a"))
    assert (back.effect, "by another hand" in back.text) == (Effect.APPLIED, True)
    assert "198.51.100.1" in network.nft("list set inet watchfloor blocked4")


def test_an_address_that_another_proposal_put_there_is_not_put_there_twice(
    tool: Nftables, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(deny("203.0.113.9"), key("a")))
    with pytest.raises(NotDoneError, match=key("a")):
        tool.act(permit_for(deny("203.0.113.9"), key("b")))


@pytest.mark.parametrize(
    "change", [{"set4": "ranges4"}, {"set4": "fading4"}, {"set4": "blocked6"}, {"table": "nowhere"}]
)
def test_a_set_that_cannot_hold_one_lasting_address_is_refused(
    tool: Nftables, network: Network, permit_for: PermitFor, key: Key, change: dict[str, str]
) -> None:
    before = network.nft("list ruleset")
    tool = Nftables(tool.slot, tool.options.model_copy(update=change))
    with pytest.raises(UnavailableError):
        tool.read_state(Target(TargetKind.IP, "203.0.113.9"))
    with pytest.raises(NotDoneError):
        tool.act(permit_for(deny("203.0.113.9"), key("a")))
    assert network.nft("list ruleset") == before


def test_no_program_runs_for_a_value_that_is_no_address(
    slot: Slot, permit_for: PermitFor, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "run", forbidden)
    tool = Nftables(slot, NftablesOptions())
    for target in hostile(Target(TargetKind.IP, "1.2.3.4")):
        with pytest.raises(RecordError):
            tool.read_state(target)
        with pytest.raises(RecordError):
            tool.act(permit_for(replace(deny("1.2.3.4"), target=target), key("a")))


def test_a_namespace_that_is_not_there_means_that_nothing_was_done(
    slot: Slot, network: Network, permit_for: PermitFor, key: Key
) -> None:
    tool = Nftables(slot, NftablesOptions(netns="wf-nowhere"))
    with pytest.raises(NotDoneError, match="wf-nowhere"):
        tool.act(permit_for(deny("203.0.113.9"), key("a")))


def test_a_program_that_hangs_leaves_the_outcome_open_and_is_stopped(
    slot: Slot, permit_for: PermitFor, key: Key, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer = json.dumps({"nftables": [{"set": {"type": "ipv4_addr"}}]})
    (tmp_path / "nft").write_text(
        f"#!/bin/sh\nread -r command\ncase $command in *list*) echo '{answer}';; *) exec sleep 60;; esac\n"
    )
    (tmp_path / "nft").chmod(0o700)
    monkeypatch.setattr("watchfloor_connectors.targets.programs.PATH", f"{tmp_path}:{PATH}")
    tool = Nftables(slot, NftablesOptions(timeout_s=0.3))
    with pytest.raises(UnavailableError, match="took longer than") as found:
        tool.act(permit_for(deny("203.0.113.9"), key("a")))
    assert not isinstance(found.value, NotDoneError)


def test_an_element_that_another_hand_adds_in_the_very_moment_is_not_taken_for_ours(
    tool: Nftables, network: Network, permit_for: PermitFor, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.nft('add element inet watchfloor blocked4 { 203.0.113.9 comment "by hand" }')
    with monkeypatch.context() as patch:
        # As the tool saw the set before.
        patch.setattr(tool, "_element", lambda _: None)
        with pytest.raises(NotDoneError, match="File exists"):
            tool.act(permit_for(deny("203.0.113.9"), key("a")))
    assert "by another hand" in tool.read_back(deny("203.0.113.9"), key("a")).text
