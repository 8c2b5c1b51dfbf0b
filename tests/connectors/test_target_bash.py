"""Scripts in the sandbox, with a real Bash: what they may do, what they cannot, and how they end."""

from __future__ import annotations

import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchfloor_connectors.targets.base import NeverError, NotReadyError, Slot
from watchfloor_connectors.targets.commands import sandbox
from watchfloor_connectors.targets.commands.bash import Bash, PowerShell, text_and_values
from watchfloor_connectors.targets.commands.sandbox import SandboxOptions
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target
from watchfloor_core.errors import UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import MAX_OUTPUT, Effect, NotDoneError, ReadBack
from watchfloor_playbooks.template_numbers import fault_of
from watchfloor_playbooks.templates import bash_arguments, powershell_arguments

LONG = f"1{os.getpid()}"
"""Seconds that something sleeps which is to be ended; by it this process tells its own from those of others."""

HERE = Target(TargetKind.COMMAND, "local://tool")
OPTIONS = SandboxOptions(timeout_s=8)
Run = Callable[..., ReadBack]


@pytest.fixture(scope="session")
def has_sandbox(tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        Bash(Slot("tool", "default", tmp_path_factory.mktemp("probe")), OPTIONS).read_state(HERE)
    except NotReadyError as error:
        pytest.skip(f"no namespaces can be made here: {error}")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that other users can get to, as those of pytest are not."""
    with tempfile.TemporaryDirectory(prefix="watchfloor-test-") as folder:
        os.chmod(folder, 0o755)  # noqa: S103 - the script's user is to see it
        yield Path(folder)


@pytest.fixture
def run(slot: Slot, permit_for: PermitFor, key: Callable[[str], str]) -> Run:
    """Acts with a script, and reads back; what ``act`` raises is left to the reading."""

    def act(script: str, *values: str, word: str = "one", **options: Any) -> ReadBack:
        tool = Bash(slot, SandboxOptions(**{"timeout_s": 8, **options}))
        arguments = {f"value.{number}": value for number, value in enumerate(values, 1)}
        action = Action("start command", "tool", HERE, {"script": script, **arguments})
        try:
            tool.act(permit_for(action, key(word)))
        except NotDoneError:
            raise
        except UnavailableError:
            pass
        return tool.read_back(action, key(word))

    return act


@pytest.mark.usefixtures("has_sandbox")
def test_it_keeps_the_contract(slot: Slot, permit_for: PermitFor) -> None:
    check_target(Bash(slot, OPTIONS), [Sample("start command", HERE, {"script": "echo hello"})], permit_for)
    never = Bash(slot, SandboxOptions(never=("local://tool",)))
    with pytest.raises(NeverError):
        never.read_state(HERE)


@pytest.mark.usefixtures("has_sandbox")
def test_a_script_is_nobody_and_sees_nothing_but_the_systems_programs(run: Run, slot: Slot) -> None:
    slot.data_dir.mkdir(exist_ok=True)
    (slot.data_dir / "secret").write_text("hunter2")
    script = """
        id -u; id -g; pwd; echo "$HOME"; env | cut -d= -f1 | sort | tr '\\n' ' '; echo
        ls /; ls -d /etc/shadow /root /home /var "$1" 2>&1 >/dev/null | wc -l
        grep -c . /proc/net/dev; grep ^Cap /proc/self/status | tr -d '0\\n\\t'; echo; grep NoNewPrivs /proc/self/status
        ls /proc/self/fd | wc -l; cat; ls /proc | grep -c '^[0-9]'
    """
    back = run(script, str(slot.data_dir))
    lines = back.output.splitlines()
    assert back.effect is Effect.APPLIED, back.text
    expected = "65534" if os.geteuid() == 0 else "0"
    assert lines[:4] == [expected, expected, "/tmp", "/tmp"]  # noqa: S108 - its own
    assert lines[4].split() == ["HOME", "LANG", "PATH", "PWD", "SHLVL", "_"]
    assert {"usr", "tmp", "proc", "dev", "etc"} <= set(lines[5:-6]) <= {
        "bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "tmp", "usr",
    }  # fmt: skip
    # Not one of the five places; two lines of heading and the loopback alone; no capability in any of the five sets;
    # three streams and the folder that lists them; process 1, the shell, ls and grep.
    missing, devices, capabilities, privileges, streams, processes = lines[-6:]
    assert (missing, devices, privileges) == ("5", "3", "NoNewPrivs:\t1")
    assert capabilities == "CapInh:CapPrm:CapEff:CapBnd:CapAmb:"
    assert (int(streams), int(processes) <= 5) == (4, True)


@pytest.mark.usefixtures("has_sandbox")
def test_nothing_outside_of_its_temporary_folder_can_be_changed_and_that_is_gone_afterwards(run: Run) -> None:
    assert run("touch /x", word="a").effect is Effect.NOT_APPLIED
    assert run("touch /usr/x", word="b").effect is Effect.NOT_APPLIED
    assert run("mount -t tmpfs x /mnt || umount /proc", word="c").effect is Effect.NOT_APPLIED
    assert run("kill -9 1; kill -0 1", word="d").effect is (Effect.NOT_APPLIED if os.geteuid() == 0 else Effect.APPLIED)
    assert run("chroot /tmp true", word="e").effect is Effect.NOT_APPLIED
    assert run("echo kept >x; cat x", word="f").output == "kept\n"
    assert run("cat x", word="g").effect is Effect.NOT_APPLIED


@pytest.mark.usefixtures("has_sandbox")
def test_a_folder_of_the_options_is_seen_read_only_and_the_data_directory_in_it_is_not(
    permit_for: PermitFor, key: Callable[[str], str], shared: Path
) -> None:
    (shared / "list").write_text("shown")
    (shared / "data").mkdir()
    (shared / "data" / "secret").write_text("hunter2")
    slot = Slot("tool", "default", shared / "data")
    tool = Bash(slot, SandboxOptions(timeout_s=8, folders=(str(shared),)))
    script = 'cat "$1"/list; ls "$1"/data; cat "$1"/data/secret || touch "$1"/x'
    action = Action("start command", "tool", HERE, {"script": script, "value.1": str(shared)})
    tool.act(permit_for(action, key("a")))
    back = tool.read_back(action, key("a"))
    assert (back.output, back.effect) == ("shown", Effect.NOT_APPLIED)
    assert "hunter2" not in back.text
    with pytest.raises(NotReadyError, match="'folders' does not exist"):
        Bash(slot, SandboxOptions(folders=("/nowhere/at/all",))).read_state(HERE)


@pytest.mark.usefixtures("has_sandbox")
def test_the_network_is_there_only_where_the_option_says_so(run: Run) -> None:
    assert run("cat /proc/net/dev | grep -vc lo:", word="a").output == "2\n"
    namespace = os.readlink("/proc/self/ns/net")
    assert run("readlink /proc/self/ns/net", word="b", network=True).output == f"{namespace}\n"
    assert run("readlink /proc/self/ns/net", word="c").output != f"{namespace}\n"


HOSTILE = (
    "$(>pwned)",
    "`>pwned`",
    "; rm -rf /",
    "\r\n>pwned",
    "{{7*7}}",
    "\u202e\u200b",
    "-rf",
    "'",
    '"',
    "\\",
    "*",
    "\x01",
)


@pytest.mark.usefixtures("has_sandbox")
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(min_size=1)), min_size=1, max_size=4))
def test_values_reach_the_programs_of_a_script_byte_for_byte(values: list[str], slot: Slot) -> None:
    if any(fault_of(value) for value in values):
        return
    names = {f"__v{number}__": value for number, value in enumerate(values)}
    text = "printf -- '%s.' " + " ".join(f'x"__v{number}__:value"' for number in range(len(values))) + "; ls"
    made = bash_arguments(text, names)
    script, given_values = text_and_values(Action("start command", "tool", HERE, made), "script")
    command = ["bash", "--noprofile", "--norc", "-c", "--", script, "bash", *given_values]
    outcome = sandbox.Sandbox(OPTIONS, slot.data_dir).run(command, {}, "begins here", timeout_s=8)
    distinct = list(dict.fromkeys(names))
    assert outcome.output == "".join(f"x{names[name]}." for name in distinct)
    assert outcome.effect == "applied", outcome.text


@pytest.mark.usefixtures("has_sandbox")
def test_how_it_ended_is_read_back_with_what_it_wrote(run: Run) -> None:
    back = run("echo out; echo problem >&2; exit 7", word="a")
    assert (back.effect, back.output) == (Effect.NOT_APPLIED, "out\n")
    assert "exit code 7" in back.text
    assert "is not known" in back.text
    assert '"problem"' in back.text
    back = run("kill -SEGV $$", word="b")
    assert (back.effect, "exit code 139" in back.text) == (Effect.NOT_APPLIED, True)
    back = run("printf 'a\\377\\0b'", word="c")
    assert back.output == "a\ufffd\ufffdb"
    assert run("if", word="d").effect is Effect.NOT_APPLIED


@pytest.mark.usefixtures("has_sandbox")
def test_output_is_bounded_and_a_flood_does_no_harm(run: Run) -> None:
    back = run("yes | head -c 3000000; yes | head -c 3000000 >&2")
    assert (back.effect, len(back.output)) == (Effect.APPLIED, MAX_OUTPUT)
    assert "its output is cut" in back.text


@pytest.mark.usefixtures("has_sandbox")
def test_what_takes_too_long_is_stopped_with_all_that_it_started(run: Run) -> None:
    script = f"(trap '' TERM HUP; exec setsid setpriv --pdeathsig clear sleep {LONG}) & exec setsid sleep {LONG}"
    back = run(script, timeout_s=0.7)
    assert back.effect is Effect.UNKNOWN
    assert "at its time limit of 0.7 s" in back.text
    assert processes(LONG) == []


@pytest.mark.usefixtures("has_sandbox")
def test_what_a_script_leaves_running_ends_with_it(run: Run) -> None:
    back = run(f"setsid setpriv --pdeathsig clear sleep {LONG} & echo left")
    assert (back.effect, back.output) == (Effect.APPLIED, "left\n")
    assert processes(LONG) == []


def processes(word: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if line[:1] == [b"sleep"] and word.encode() in line:
                found.append(entry.name)
    return found


@pytest.mark.usefixtures("has_sandbox")
@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("head -c 3000000 /dev/zero >x", {"file_mb": 1}),
        ("for i in 1 2 3 4 5 6 7 8; do head -c 900000 /dev/zero >$i || exit 1; done", {"file_mb": 1}),
        ("exec /bin/sh -c 'for i in 1 2 3 4 5 6 7 8 9; do sleep 30 & done'", {"processes": 4}),
        ("x=$(head -c 60000000 /dev/zero | tr '\\0' x)", {"memory_mb": 32}),
        ("ulimit -c unlimited", {}),
        ("ulimit -v unlimited", {}),
    ],
    ids=["one large file", "many files", "processes", "memory", "core", "lifting a limit"],
)
def test_limits_hold(script: str, options: dict[str, Any], run: Run) -> None:
    assert run(script, **options).effect is Effect.NOT_APPLIED


@pytest.mark.usefixtures("has_sandbox")
def test_it_runs_once_under_one_key(run: Run, slot: Slot, permit_for: PermitFor, key: Callable[[str], str]) -> None:
    assert run("echo first").output == "first\n"
    assert run("echo second").output == "first\n"
    folder = slot.data_dir / "targets" / "tool" / "runs" / "default"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted((file.suffix, file.stat().st_mode & 0o777) for file in folder.iterdir()) == [
        (".begun", 0o600), (".json", 0o600),
    ]  # fmt: skip


def test_where_there_is_no_isolation_nothing_runs_unless_the_operator_says_so(
    slot: Slot, permit_for: PermitFor, key: Callable[[str], str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "ISOLATED", "echo 'mount: permission denied' >&2; exit 32")
    tool = Bash(slot, OPTIONS)
    action = Action("start command", "tool", HERE, {"script": "touch /tmp/never"})
    with pytest.raises(NotReadyError, match="cannot be set up, so nothing was run"):
        tool.read_state(HERE)
    with pytest.raises(NotDoneError, match="cannot be set up"):
        tool.act(permit_for(action, key("a")))
    assert tool.read_back(action, key("a")).effect is Effect.NOT_APPLIED
    back = run("id -u; pwd; touch x; ls", word="b", isolation="none")
    user, folder, *files = back.output.splitlines()
    assert (back.effect, files) == (Effect.APPLIED, ["x"])
    assert user == ("65534" if os.geteuid() == 0 else str(os.geteuid()))
    assert not Path(folder).exists()


def test_that_it_was_not_started_is_kept_too(
    slot: Slot, permit_for: PermitFor, key: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = Bash(slot, OPTIONS)
    monkeypatch.setattr(sandbox.Sandbox, "require", lambda self: None)
    monkeypatch.setattr(sandbox, "ISOLATED", "exit 32")
    action = Action("start command", "tool", HERE, {"script": "true"})
    with pytest.raises(NotDoneError, match="cannot be set up"):
        tool.act(permit_for(action, key("a")))
    back = tool.read_back(action, key("a"))
    assert (back.effect, "it was not started" in back.text) == (Effect.NOT_APPLIED, True)
    with pytest.raises(NotDoneError, match="propose it anew"):
        tool.act(permit_for(action, key("a")))


@pytest.mark.parametrize("user", ["root", "", "no/name", "a b", "-x"])
def test_scripts_never_run_as_root(user: str) -> None:
    with pytest.raises(ValueError, match="never root"):
        SandboxOptions(user=user)


@pytest.mark.parametrize("folder", ["/", "/proc", "/dev/shm", "/sys/fs", "relative", "/a/../b"])  # noqa: S108 - refused
def test_folders_of_the_kernel_and_the_root_are_not_shown(folder: str) -> None:
    with pytest.raises(ValueError, match=r"not shown to scripts|not an absolute path"):
        SandboxOptions(folders=(folder,))


@pytest.mark.skipif(os.geteuid() != 0, reason="the user of scripts matters to a root executor only")
def test_an_account_that_is_not_there_or_is_root_by_its_number_runs_nothing(
    slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotReadyError, match="no account 'nosuchuser'"):
        Bash(slot, SandboxOptions(user="nosuchuser")).read_state(HERE)
    monkeypatch.setattr(pwd, "getpwnam", lambda name: pwd.getpwuid(0))
    with pytest.raises(NotReadyError, match="has uid 0"):
        Bash(slot, SandboxOptions(user="toor")).read_state(HERE)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "missing, empty or no text"),
        ({"script": "  "}, "missing, empty or no text"),
        ({"script": 5}, "missing, empty or no text"),
        ({"script": "true", "value.2": "a"}, "not all there"),
        ({"script": "true", "value.1": 5}, "no texts"),
        ({"script": 'echo "${2}"', "value.1": "a"}, "uses 2 values, and there are 1"),
        ({"script": "tr\0ue"}, "NUL"),
        ({"script": "true", "value.1": "\ud800"}, "no valid text"),
        ({"script": "true", "value.65": "a"}, "knows no argument 'value.65'"),
        ({"script": "true", "user": "root"}, "knows no argument 'user'"),
    ],
)
def test_arguments_that_cannot_be_run_are_refused(
    arguments: dict[str, Any], why: str, slot: Slot, permit_for: PermitFor, key: Callable[[str], str]
) -> None:
    tool = Bash(slot, SandboxOptions(isolation="none"))
    action = Action("start command", "tool", HERE, arguments)
    with pytest.raises(NotDoneError, match=why):
        tool.act(permit_for(action, key("a")))
    assert tool.read_back(action, key("a")).effect is Effect.NOT_APPLIED


def test_the_state_and_the_pin_say_how_it_runs(slot: Slot) -> None:
    open_, pin = Bash(slot, SandboxOptions(isolation="none")), Bash(slot, OPTIONS).version
    content = open_.read_state(HERE).content
    assert (content["isolation"], content["network"]) == ("none", False)
    assert str(content["shell"]).startswith("/usr/bin/bash sha256:")
    assert open_.version != pin
    assert Bash(slot, SandboxOptions(network=True)).version != pin
    assert Bash(slot, SandboxOptions(timeout_s=1, memory_mb=64, processes=8, keep_days=1)).version == pin


KILLED = """
import sys
from pathlib import Path
from watchfloor_connectors.targets.base import Slot
from watchfloor_connectors.targets.commands.bash import Bash
from watchfloor_connectors.targets.commands.sandbox import SandboxOptions
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import _AUTHORITY, EffectPermit

data, folder, key = sys.argv[1:]
tool = Bash(Slot("tool", "default", Path(data)), SandboxOptions(timeout_s=8, folders=(folder,)))
arguments = {"script": 'echo up >"$1"/pipe; exec setsid sleep LONG', "value.1": folder}
action = Action("start command", "tool", Target(TargetKind.COMMAND, "local://tool"), arguments)
tool.act(EffectPermit(action, key, _AUTHORITY))
"""


@pytest.mark.usefixtures("has_sandbox")
def test_an_executor_that_is_killed_leaves_nothing_running_and_an_outcome_that_is_unknown(
    slot: Slot, shared: Path, key: Callable[[str], str]
) -> None:
    os.mkfifo(shared / "pipe")
    os.chmod(shared / "pipe", 0o622)  # noqa: S103 - the script's user is to write to it
    pipe = os.open(shared / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    executor = subprocess.Popen(
        [sys.executable, "-c", KILLED.replace("LONG", LONG), str(slot.data_dir), str(shared), key("a")]
    )
    try:
        assert select.select([pipe], [], [], 30)[0], "the script has not begun"
        assert os.read(pipe, 10) == b"up\n"
    finally:
        os.close(pipe)
        executor.send_signal(signal.SIGKILL)
        executor.wait()
    tool = Bash(slot, OPTIONS)
    action = Action("start command", "tool", HERE, {"script": "true"})
    back = tool.read_back(action, key("a"))
    assert (back.effect, "how it ended was not written down" in back.text) == (Effect.UNKNOWN, True)
    wait_until_gone(LONG)


def wait_until_gone(word: str) -> None:
    for pid in processes(word):
        try:
            descriptor = os.pidfd_open(int(pid))
        except ProcessLookupError:
            continue
        try:
            assert select.select([descriptor], [], [], 10)[0], f"{word} runs on"
        finally:
            os.close(descriptor)


@pytest.mark.skipif(shutil.which("pwsh") is None, reason="PowerShell 7 (pwsh) is not installed here")
@pytest.mark.usefixtures("has_sandbox")
def test_powershell_gets_its_values_by_name(slot: Slot, permit_for: PermitFor, key: Callable[[str], str]) -> None:
    tool = PowerShell(slot, SandboxOptions(timeout_s=8))
    made = powershell_arguments('Write-Output "a __x__:value"', {"__x__": "$(Get-Process); `n"})
    action = Action("start command", "tool", HERE, made)
    tool.act(permit_for(action, key("a")))
    assert tool.read_back(action, key("a")).output == "a $(Get-Process); `n\n"


@pytest.mark.skipif(shutil.which("pwsh") is not None, reason="PowerShell 7 (pwsh) is installed here")
def test_powershell_that_is_not_installed_is_said(slot: Slot, permit_for: PermitFor, key: Callable[[str], str]) -> None:
    tool = PowerShell(slot, OPTIONS)
    with pytest.raises(NotReadyError, match="'pwsh' is not in"):
        tool.read_state(HERE)
    with pytest.raises(NotDoneError, match="'pwsh' is not in"):
        tool.act(permit_for(Action("start command", "tool", HERE, {"script": "1"}), key("a")))
