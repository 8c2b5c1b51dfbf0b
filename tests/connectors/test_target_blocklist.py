"""A list that firewalls subscribe to: whole at every moment, and its other lines untouched."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_connectors.targets.addresses import address_of
from watchfloor_connectors.targets.base import BadTargetError, NeverError, NotReadyError, Slot
from watchfloor_connectors.targets.blocklist import Blocklist, BlocklistOptions
from watchfloor_connectors.targets.files import locked
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target
from watchfloor_core.errors import UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError, tool_pin

Key = Callable[[str], str]

WRITERS = """
import os
import sys
from pathlib import Path
from watchfloor_connectors.targets.base import Slot
from watchfloor_connectors.targets.blocklist import Blocklist, BlocklistOptions
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import _AUTHORITY, EffectPermit

def write(number):
    tool = Blocklist(Slot("tool", "default", Path(sys.argv[1])), BlocklistOptions(timeout_s=10))
    for turn in range(6):
        target, key = Target(TargetKind.IP, f"198.51.{number}.{turn}"), f"{number * 10 + turn:064x}"
        for verb in ("deny", "allow")[: 1 + turn % 2]:
            tool.act(EffectPermit(Action(f"{verb} ip", "tool", target, {}), key, _AUTHORITY))

start, go = os.pipe()
children = []
for number in range(20):
    children.append(os.fork())
    if children[-1] == 0:
        os.close(go)
        os.read(start, 1)
        write(number)
        os._exit(0)
os.close(go)
sys.exit(max(os.waitpid(child, 0)[1] for child in children))
"""


def ip(value: str) -> Target:
    return Target(TargetKind.IP, value)


def deny(value: str) -> Action:
    return Action("deny ip", "tool", ip(value), {})


def allow(value: str) -> Action:
    return Action("allow ip", "tool", ip(value), {})


@pytest.fixture
def tool(slot: Slot) -> Blocklist:
    return Blocklist(slot, BlocklistOptions(never=("192.0.2.0/24", "2001:db8:ffff::1/128")))


@pytest.fixture
def shared(tool: Blocklist) -> Path:
    """The list with lines of other hands."""
    tool.file.parent.mkdir(parents=True)
    tool.file.write_bytes(
        b"# by hand\r\n198.51.100.0/24\r\n  \n2001:DB8::5;note\n\xff\xfe not text\n203.0.113.7 # wf:x y\nlast"
    )
    return tool.file


def test_a_blocklist_keeps_the_contract_of_tools(tool: Blocklist, permit_for: PermitFor) -> None:
    samples = [Sample("deny ip", ip("203.0.113.9")), Sample("deny ip", ip("2001:db8::9"))]
    never = [ip("192.0.2.1"), ip("2001:db8:ffff::1"), ip("127.0.0.1")]
    protecting = Blocklist(tool.slot, BlocklistOptions(never=("203.0.113.0/24", "2001:db8::9/128")))
    check_target(tool, samples, permit_for, never, protecting=protecting)


def test_a_line_is_an_address_and_says_by_which_proposal_and_since_when(
    tool: Blocklist, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(deny("203.0.113.9"), key("a")))
    assert re.fullmatch(rf"203\.0\.113\.9 # wf:{key('a')} \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n", tool.file.read_text())


def test_each_tenant_has_a_list_of_its_own(slot: Slot, permit_for: PermitFor, key: Key) -> None:
    one, two = (Blocklist(replace(slot, tenant=tenant), BlocklistOptions()) for tenant in ("one", "two"))
    one.act(permit_for(deny("203.0.113.9"), key("a")))
    assert one.file.name == "one.txt"
    assert not two.file.exists()


def test_lines_of_others_stay_byte_for_byte(tool: Blocklist, shared: Path, permit_for: PermitFor, key: Key) -> None:
    before = shared.read_bytes()
    tool.act(permit_for(deny("203.0.113.9"), key("a")))
    tool.act(permit_for(deny("203.0.113.10"), key("b")))
    assert shared.read_bytes().startswith(before + b"\n203.0.113.9 # wf:")
    tool.act(permit_for(allow("203.0.113.9"), key("c")))
    tool.act(permit_for(allow("203.0.113.10"), key("d")))
    assert shared.read_bytes() == before + b"\n"


def test_owner_and_mode_of_the_list_stay(tool: Blocklist, shared: Path, permit_for: PermitFor, key: Key) -> None:
    shared.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(shared, 1, 2)
    before = shared.stat()
    tool.act(permit_for(deny("203.0.113.9"), key("a")))
    after = shared.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino


@pytest.mark.parametrize(
    ("address", "entry"),
    [("198.51.100.77", "198.51.100.0/24"), ("2001:db8::5", "2001:db8::5/128"), ("203.0.113.7", "203.0.113.7/32")],
)
def test_an_entry_of_another_hand_is_seen_and_left(
    tool: Blocklist, shared: Path, permit_for: PermitFor, key: Key, address: str, entry: str
) -> None:
    assert tool.read_state(ip(address)).content == {"listed_by": [], "covered_by": [entry]}
    with pytest.raises(NotDoneError, match="is not on the list by Watchfloor"):
        tool.act(permit_for(allow(address), key("a")))
    back = tool.read_back(allow(address), key("a"))
    assert (back.effect, "by another hand" in back.text) == (Effect.NOT_APPLIED, True)
    before = shared.read_bytes()
    tool.act(permit_for(deny(address), key("b")))
    tool.act(permit_for(allow(address), key("c")))
    assert shared.read_bytes() == before + b"\n"


def test_an_address_that_another_proposal_put_there_is_not_put_there_twice(
    tool: Blocklist, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(deny("203.0.113.9"), key("a")))
    with pytest.raises(NotDoneError, match=key("a")):
        tool.act(permit_for(deny("203.0.113.9"), key("b")))
    back = tool.read_back(deny("203.0.113.9"), key("b"))
    assert (back.effect, key("a") in back.text) == (Effect.APPLIED, True)


@pytest.mark.parametrize(
    "value",
    ["10.0.0.0/8", "203.0.113.9/32", "203.0.113.009", "3405803785", "0xcb007109", "2001:DB8::9", "2001:db8:0::9",
     "٢٠٣.0.113.9", "::ffff:203.0.113.9", "fe80::1%eth0", "fe80::1%\n1.1.1.1", "203.0.113.9,1.1.1.1", "example.com"],
)  # fmt: skip
def test_what_is_not_one_address_in_its_one_spelling_is_refused(
    tool: Blocklist, permit_for: PermitFor, key: Key, value: str
) -> None:
    with pytest.raises(BadTargetError):
        tool.read_state(ip(value))
    with pytest.raises(BadTargetError):
        tool.act(permit_for(deny(value), key("a")))
    assert not tool.file.exists()


@pytest.mark.parametrize(
    "value",
    ["127.0.0.1", "127.9.9.9", "::1", "0.1.2.3", "::", "255.255.255.255", "224.0.0.1", "ff02::1", str(IPv4Address(0)),
     "169.254.1.1", "fe80::1", "192.0.2.255", "2001:db8:ffff::1"],
)  # fmt: skip
def test_an_address_whose_loss_would_cut_off_the_defender_is_refused(
    tool: Blocklist, permit_for: PermitFor, key: Key, value: str
) -> None:
    with pytest.raises(NeverError):
        tool.read_state(ip(value))
    with pytest.raises(NeverError):
        tool.act(permit_for(deny(value), key("a")))
    assert not tool.file.exists()


@given(st.text(max_size=60) | st.ip_addresses().map(str) | st.from_regex(r"[0-9a-f:./%]{1,45}", fullmatch=True))
def test_whatever_text_is_taken_is_the_text_of_one_address(value: str) -> None:
    try:
        address = address_of(ip(value))
    except (BadTargetError, NeverError):
        return
    assert str(ip_address(value)) == value == str(address)
    assert re.fullmatch(r"[0-9a-f:.]+", value)


def test_a_list_that_is_a_link_is_not_written_through(
    tool: Blocklist, permit_for: PermitFor, key: Key, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("keep\n")
    tool.file.parent.mkdir(parents=True)
    tool.file.symlink_to(victim)
    with pytest.raises(UnavailableError):
        tool.read_state(ip("203.0.113.9"))
    with pytest.raises(NotDoneError):
        tool.act(permit_for(deny("203.0.113.9"), key("a")))
    assert (victim.read_text(), tool.file.is_symlink()) == ("keep\n", True)


def test_a_writer_that_does_not_let_go_is_waited_for_no_longer_than_the_limit(
    slot: Slot, permit_for: PermitFor, key: Key
) -> None:
    tool = Blocklist(slot, BlocklistOptions(timeout_s=0.05))
    tool.file.parent.mkdir(parents=True)
    with locked(tool.file, 1), pytest.raises(NotDoneError, match="another writer"):
        tool.act(permit_for(deny("203.0.113.9"), key("a")))
    with locked(tool.file, 1), pytest.raises(NotReadyError), locked(tool.file, 0.01):
        pass


def test_twenty_writers_at_once_lose_no_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITERS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = (tmp_path / "blocklist" / "default.txt").read_text().splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(f"198.51.{n}.{t}" for n in range(20) for t in (0, 2, 4))


def test_a_crash_at_any_step_leaves_the_list_as_before_or_as_after(
    crash_everywhere: Callable[[str], list[Path]], slot: Slot, permit_for: PermitFor, key: Key
) -> None:
    places = crash_everywhere(f"""
def tool(place):
    return Blocklist(Slot("tool", "default", place), BlocklistOptions())
def prepare(place):
    tool(place).file.parent.mkdir()
    tool(place).file.write_text("198.51.100.1\\n")
def crash(place):
    act(tool(place), "deny ip", Target(TargetKind.IP, "203.0.113.9"), {key("a")!r})
""")
    seen = set()
    for place in places:
        tool = Blocklist(replace(slot, data_dir=place), BlocklistOptions())
        effect = tool.read_back(deny("203.0.113.9"), key("a")).effect
        lines = tool.file.read_text().splitlines()
        assert lines[0] == "198.51.100.1"
        assert len(lines) == (2 if effect is Effect.APPLIED else 1)
        seen.add(effect)
        # What a crash leaves stands in nobody's way; the lock went with its holder.
        tool.act(permit_for(deny("203.0.113.10"), key("b")))
        assert tool.read_back(deny("203.0.113.10"), key("b")).effect is Effect.APPLIED
    assert seen == {Effect.APPLIED, Effect.NOT_APPLIED}
    assert len(places) > 6


def test_another_file_is_another_pin_and_a_longer_never_is_not(slot: Slot) -> None:
    plain = Blocklist(slot, BlocklistOptions(file="/srv/{tenant}.txt"))
    careful = Blocklist(slot, BlocklistOptions(file="/srv/{tenant}.txt", never=("10.0.0.0/8",)))
    moved = Blocklist(slot, BlocklistOptions(file="/srv/other/{tenant}.txt"))
    assert tool_pin(plain) == tool_pin(careful) != tool_pin(moved)
