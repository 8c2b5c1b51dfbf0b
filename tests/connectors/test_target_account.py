"""Real accounts, changed by the system's own usermod below a folder of the test."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from watchfloor_connectors.targets.account import AccountOptions, PosixAccount
from watchfloor_connectors.targets.base import BadTargetError, NeverError, Slot
from watchfloor_connectors.targets.programs import PATH
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target
from watchfloor_core.errors import NotFoundError, UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError

Key = Callable[[str], str]

PASSWD = """\
root:x:0:0:root:/root:/bin/bash
svc:x:500:500::/:/bin/false
eve:x:1001:1001:Eve:/home/eve:/bin/bash
temp:x:1002:1002::/home/temp:/bin/bash
locked:x:1003:1003::/home/locked:/bin/bash
open:x:1004:1004::/home/open:/bin/bash
keys:x:1005:1005::/home/keys:/bin/bash
glass:x:1006:1006::/home/glass:/bin/bash
"""
SHADOW = """\
root:*:19000:0:99999:7:::
svc:!:19000:0:99999:7:::
eve:$6$salt$hash:19000:0:99999:7:::
temp:$6$salt$hash:19000:0:99999:7::20820:
locked:!$6$salt$hash:19000:0:99999:7::20820:
open::19000:0:99999:7:::
keys:*:19000:0:99999:7:::
glass:$6$salt$hash:19000:0:99999:7:::
"""


def etc(folder: Path) -> Path:
    folder.joinpath("etc").mkdir(parents=True)
    folder.joinpath("etc/passwd").write_text(PASSWD)
    folder.joinpath("etc/group").write_text("")
    folder.joinpath("etc/shadow").write_text(SHADOW)
    folder.joinpath("etc/shadow").chmod(0o600)
    return folder


@pytest.fixture
def tool(slot: Slot, tmp_path: Path) -> PosixAccount:
    if shutil.which("usermod", path=PATH) is None:
        pytest.skip("usermod is not installed here (Debian: passwd)")
    if os.geteuid() != 0:
        pytest.skip("usermod needs root here")
    return PosixAccount(slot, AccountOptions(prefix=str(etc(tmp_path / "root")), never=("glass",)))


def shadow(tool: PosixAccount, name: str) -> str:
    text = Path(tool.options.prefix or "/", "etc/shadow").read_text()
    return next(line for line in text.splitlines() if line.startswith(f"{name}:"))


def disable(name: str) -> Action:
    return Action("disable user", "tool", Target(TargetKind.USER, name), {})


def enable(name: str) -> Action:
    return Action("enable user", "tool", Target(TargetKind.USER, name), {})


def test_accounts_keep_the_contract_of_tools(tool: PosixAccount, permit_for: PermitFor) -> None:
    samples = [
        Sample("disable user", Target(TargetKind.USER, name)) for name in ("eve", "temp", "locked", "open", "keys")
    ]
    never = [Target(TargetKind.USER, name) for name in ("root", "svc", "glass")]
    # One by its name, all by what counts as the system's: either can come after the act.
    named = PosixAccount(
        tool.slot, tool.options.model_copy(update={"never": ("eve", "temp", "locked", "open", "keys")})
    )
    raised = PosixAccount(tool.slot, tool.options.model_copy(update={"min_uid": 60_000}))
    check_target(tool, samples, permit_for, never, protecting=named)
    check_target(tool, samples, permit_for, protecting=raised)
    assert Path(tool.options.prefix or "", "etc/shadow").read_text() == SHADOW


@pytest.mark.parametrize(
    ("name", "disabled"),
    [
        ("eve", "eve:!$6$salt$hash:19000:0:99999:7::1:"),
        ("temp", "temp:!$6$salt$hash:19000:0:99999:7::1:"),
        ("locked", "locked:!$6$salt$hash:19000:0:99999:7::1:"),
        # An empty password that was locked could not be unlocked again: shadow(5) would not tell it from none.
        ("open", "open::19000:0:99999:7::1:"),
        ("keys", "keys:!*:19000:0:99999:7::1:"),
    ],
)
def test_a_disabled_account_is_locked_and_expired_and_comes_back_as_it_was(
    tool: PosixAccount, permit_for: PermitFor, key: Key, name: str, disabled: str
) -> None:
    before = shadow(tool, name)
    tool.act(permit_for(disable(name), key("a")))
    assert shadow(tool, name) == disabled
    assert "by this action" in tool.read_back(disable(name), key("a")).text
    tool.act(permit_for(enable(name), key("b")))
    assert shadow(tool, name) == before
    assert list(Path(tool.slot.data_dir, "targets/tool").glob("*.json")) == []


def test_the_state_holds_no_part_of_the_password(tool: PosixAccount) -> None:
    assert tool.read_state(Target(TargetKind.USER, "temp")).content == {
        "uid": 1002,
        "is_locked": False,
        "has_password": True,
        "expires": "20820",
    }


def test_an_account_that_another_hand_disabled_is_left_to_it(
    tool: PosixAccount, permit_for: PermitFor, key: Key
) -> None:
    file = Path(tool.options.prefix or "", "etc/shadow")
    file.write_text(SHADOW.replace("eve:$6$salt$hash:19000:0:99999:7:::", "eve:!$6$salt$hash:19000:0:99999:7::1:"))
    before = file.read_text()
    for action in (disable("eve"), enable("eve")):
        with pytest.raises(NotDoneError, match="by another hand"):
            tool.act(permit_for(action, key("a")))
    assert tool.read_back(disable("eve"), key("a")).effect is Effect.APPLIED
    assert file.read_text() == before


def test_an_account_made_anew_under_the_name_is_not_enabled(
    tool: PosixAccount, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(disable("eve"), key("a")))
    file = Path(tool.options.prefix or "", "etc/passwd")
    file.write_text(PASSWD.replace("eve:x:1001", "eve:x:2001"))
    with pytest.raises(NotDoneError, match="uid 2001"):
        tool.act(permit_for(enable("eve"), key("b")))


def test_what_is_not_disabled_is_not_enabled(tool: PosixAccount, permit_for: PermitFor, key: Key) -> None:
    with pytest.raises(NotDoneError, match="is not disabled"):
        tool.act(permit_for(enable("temp"), key("a")))
    assert shadow(tool, "temp").endswith("::20820:")


@pytest.mark.parametrize("name", ["eve:x", "corp\\eve", "1001", "e" * 33, "eve,temp", "-eve", "éve"])
def test_what_is_no_name_of_a_local_account_is_refused(
    tool: PosixAccount, permit_for: PermitFor, key: Key, name: str
) -> None:
    with pytest.raises(BadTargetError):
        tool.act(permit_for(disable(name), key("a")))


@pytest.mark.parametrize("name", ["root", "svc", "glass"])
def test_the_systems_accounts_and_those_of_never_are_refused(
    tool: PosixAccount, permit_for: PermitFor, key: Key, name: str
) -> None:
    with pytest.raises(NeverError):
        tool.act(permit_for(disable(name), key("a")))


def test_an_account_that_is_not_there_is_not_found(tool: PosixAccount, permit_for: PermitFor, key: Key) -> None:
    with pytest.raises(NotFoundError):
        tool.read_state(Target(TargetKind.USER, "mallory"))
    with pytest.raises(NotDoneError):
        tool.act(permit_for(disable("mallory"), key("a")))


def test_an_account_with_two_entries_is_refused(tool: PosixAccount, permit_for: PermitFor, key: Key) -> None:
    file = Path(tool.options.prefix or "", "etc/passwd")
    file.write_text(PASSWD + "eve:x:0:0::/root:/bin/bash\n")
    with pytest.raises(UnavailableError, match="more than one entry"):
        tool.read_state(Target(TargetKind.USER, "eve"))
    with pytest.raises(NotDoneError):
        tool.act(permit_for(disable("eve"), key("a")))


def test_a_usermod_that_fails_without_a_change_did_nothing(
    tool: PosixAccount, permit_for: PermitFor, key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As another program's lock, which usermod waits for.
    (tmp_path / "root/etc/passwd.lock").mkdir()
    hasty = PosixAccount(tool.slot, tool.options.model_copy(update={"timeout_s": 0.3}))
    with pytest.raises(NotDoneError, match="took longer than"):
        hasty.act(permit_for(disable("eve"), key("a")))
    (tmp_path / "usermod").write_text("#!/bin/sh\necho cannot lock >&2; exit 1\n")
    (tmp_path / "usermod").chmod(0o700)
    monkeypatch.setattr("watchfloor_connectors.targets.programs.PATH", f"{tmp_path}:{PATH}")
    with pytest.raises(NotDoneError, match="usermod ended with 1 on 'eve': cannot lock"):
        tool.act(permit_for(disable("eve"), key("a")))
    assert shadow(tool, "eve") == "eve:$6$salt$hash:19000:0:99999:7:::"
    assert tool.read_back(disable("eve"), key("a")).effect is Effect.NOT_APPLIED


def test_a_usermod_that_is_killed_in_the_middle_leaves_the_outcome_open(
    tool: PosixAccount, permit_for: PermitFor, key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.which("usermod", path=PATH)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/usermod").write_text(f'#!/bin/sh\n{real} "$@"\nkill -9 $$\n')
    (tmp_path / "bin/usermod").chmod(0o700)
    monkeypatch.setattr("watchfloor_connectors.targets.programs.PATH", f"{tmp_path / 'bin'}:{PATH}")
    with pytest.raises(UnavailableError) as found:
        tool.act(permit_for(disable("eve"), key("a")))
    assert not isinstance(found.value, NotDoneError)
    assert tool.read_back(disable("eve"), key("a")).effect is Effect.APPLIED


def test_a_crash_at_any_step_leaves_an_account_that_can_be_told_and_brought_back(
    crash_everywhere: Callable[[str], list[Path]], tool: PosixAccount, permit_for: PermitFor, key: Key
) -> None:
    places = crash_everywhere(f"""
def prepare(place):
    (place / "root/etc").mkdir(parents=True)
    (place / "root/etc/passwd").write_text({PASSWD!r})
    (place / "root/etc/group").write_text("")
    (place / "root/etc/shadow").write_text({SHADOW!r})
def crash(place):
    tool = PosixAccount(Slot("tool", "default", place), AccountOptions(prefix=str(place / "root")))
    act(tool, "disable user", Target(TargetKind.USER, "temp"), {key("a")!r})
""")
    seen = set()
    for place in places:
        left = PosixAccount(replace(tool.slot, data_dir=place), AccountOptions(prefix=str(place / "root")))
        effect = left.read_back(disable("temp"), key("a")).effect
        seen.add(effect)
        if effect is Effect.NOT_APPLIED:
            assert shadow(left, "temp") == "temp:$6$salt$hash:19000:0:99999:7::20820:"
            left.act(permit_for(disable("temp"), key("b")))
        assert re.fullmatch(r"temp:!.*::1:", shadow(left, "temp"))
        left.act(permit_for(enable("temp"), key("c")))
        assert shadow(left, "temp") == "temp:$6$salt$hash:19000:0:99999:7::20820:"
    assert seen == {Effect.APPLIED, Effect.NOT_APPLIED}
