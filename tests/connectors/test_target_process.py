"""Real processes: the one that is meant is ended, and no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from watchfloor_connectors.targets.base import BadTargetError, NeverError, Slot
from watchfloor_connectors.targets.process import Process, ProcessOptions, process_value
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target
from watchfloor_core.errors import NotFoundError, UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError

Key = Callable[[str], str]
OBEYS = "echo ready; read -r _"
IGNORES = "trap '' TERM; echo ready; cat"


@contextmanager
def child(script: str, *, own_group: bool = True) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        ["/bin/sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=own_group
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        try:
            yield started
        finally:
            started.kill()


@pytest.fixture
def tool(slot: Slot) -> Process:
    return Process(slot, ProcessOptions(grace_s=0.1))


def stop(value: str) -> Action:
    return Action("stop process", "tool", Target(TargetKind.PROCESS, value), {})


def test_processes_keep_the_contract_of_tools(tool: Process, permit_for: PermitFor) -> None:
    with child(OBEYS) as one, child(IGNORES) as other:
        samples = [Sample("stop process", Target(TargetKind.PROCESS, process_value(it.pid))) for it in (one, other)]
        never = [Target(TargetKind.PROCESS, process_value(pid)) for pid in (1, os.getpid(), os.getppid())]
        check_target(tool, samples, permit_for, never)


@pytest.mark.parametrize(("script", "ended_by"), [(OBEYS, signal.SIGTERM), (IGNORES, signal.SIGKILL)])
def test_a_process_is_asked_to_end_and_then_made_to(
    tool: Process, permit_for: PermitFor, key: Key, script: str, ended_by: signal.Signals
) -> None:
    with child(script) as started:
        action = stop(process_value(started.pid))
        assert tool.read_back(action, key("a")).effect is Effect.NOT_APPLIED
        tool.act(permit_for(action, key("a")))
        # It is a zombie until it is waited for, and has ended all the same.
        assert tool.read_back(action, key("a")).effect is Effect.APPLIED
        assert started.wait() == -ended_by
        assert tool.read_back(action, key("a")).effect is Effect.APPLIED
        with pytest.raises(NotFoundError):
            tool.read_state(action.target)


def test_a_stopped_process_is_ended_too(tool: Process, permit_for: PermitFor, key: Key) -> None:
    with child(OBEYS) as started:
        os.kill(started.pid, signal.SIGSTOP)
        tool.act(permit_for(stop(process_value(started.pid)), key("a")))
        assert started.wait() < 0


def test_a_process_of_another_start_time_is_not_hit(tool: Process, permit_for: PermitFor, key: Key) -> None:
    with child(OBEYS) as started:
        pid, start = process_value(started.pid).split("@")
        for value in (f"{pid}@{int(start) + 1}", f"{pid}@0"):
            with pytest.raises(NotFoundError):
                tool.read_state(Target(TargetKind.PROCESS, value))
            with pytest.raises(NotDoneError):
                tool.act(permit_for(stop(value), key("a")))
            assert tool.read_back(stop(value), key("a")).effect is Effect.APPLIED
        assert started.poll() is None


def test_a_process_that_got_the_number_of_an_ended_one_is_not_hit(
    tool: Process, permit_for: PermitFor, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    with child(OBEYS) as ended, child(OBEYS) as bystander:
        descriptor = os.pidfd_open(ended.pid)
        ended.kill()
        ended.wait()
        # The descriptor is of the one that has ended, the number is the bystander's by now.
        monkeypatch.setattr(os, "pidfd_open", lambda _: descriptor)
        with pytest.raises(NotDoneError, match="just ended by itself"):
            tool.act(permit_for(stop(process_value(bystander.pid)), key("a")))
        assert bystander.poll() is None


def test_the_executor_its_group_and_its_ancestors_are_refused(tool: Process, permit_for: PermitFor, key: Key) -> None:
    with child(OBEYS, own_group=False) as sibling:
        for pid in (1, os.getpid(), os.getppid(), sibling.pid):
            with pytest.raises(NeverError):
                tool.act(permit_for(stop(process_value(pid)), key("a")))
        assert sibling.poll() is None


def test_a_thread_of_the_kernel_is_refused(tool: Process) -> None:
    if Path("/proc/2/comm").exists() and Path("/proc/2/comm").read_text() == "kthreadd\n":
        with pytest.raises(NeverError, match="thread of the kernel"):
            tool.read_state(Target(TargetKind.PROCESS, process_value(2)))
    else:
        pytest.skip("no threads of the kernel are seen from this pid namespace")


def test_a_thread_of_a_process_is_no_process(tool: Process, permit_for: PermitFor, key: Key) -> None:
    code = "import threading; threading.Thread(target=input).start(); print('ready', flush=True)"
    with child(f'exec {sys.executable} -I -S -c "{code}"') as started:
        (thread,) = [
            int(one.name) for one in Path(f"/proc/{started.pid}/task").iterdir() if one.name != str(started.pid)
        ]
        with pytest.raises(BadTargetError, match="is a thread of the process"):
            tool.act(permit_for(stop(process_value(thread)), key("a")))
        assert started.poll() is None


@pytest.mark.parametrize("protect", [lambda pid: f"uid:{os.geteuid()}", lambda pid: os.readlink(f"/proc/{pid}/exe")])
def test_uids_and_executables_of_never_are_refused(
    slot: Slot, permit_for: PermitFor, key: Key, protect: Callable[[int], str]
) -> None:
    with child(OBEYS) as started:
        tool = Process(slot, ProcessOptions(never=(protect(started.pid),)))
        with pytest.raises(NeverError, match="protects"):
            tool.act(permit_for(stop(process_value(started.pid)), key("a")))
        assert started.poll() is None


def test_a_name_that_a_process_gives_itself_protects_it_from_nothing(
    slot: Slot, permit_for: PermitFor, key: Key
) -> None:
    code = "open('/proc/self/comm', 'w').write('sshd) R 1 1'); print('ready', flush=True); input()"
    with child(f'exec {sys.executable} -I -S -c "{code}"') as started:
        tool = Process(slot, ProcessOptions(never=("/usr/sbin/sshd",)))
        tool.act(permit_for(stop(process_value(started.pid)), key("a")))
        assert started.wait() == -signal.SIGTERM


def test_a_process_that_became_another_program_is_in_another_state(tool: Process) -> None:
    with child("echo ready; read -r _; echo ready; exec cat") as started:
        assert started.stdin is not None
        assert started.stdout is not None
        target = Target(TargetKind.PROCESS, process_value(started.pid))
        before = tool.read_state(target)
        started.stdin.write("go\n")
        started.stdin.flush()
        started.stdout.readline()
        started.stdin.write("echo\n")
        started.stdin.flush()
        assert started.stdout.readline() == "echo\n"
        assert tool.read_state(target).digest != before.digest


@pytest.mark.parametrize(
    "value", ["1", "@1", "0@1", "-1@1", "1@", "1@-1", "01@1", "2147483648@1", "1@1 ", "1@1\n", "1@1.5"]
)
def test_what_is_not_a_number_with_a_start_time_is_refused(tool: Process, value: str) -> None:
    with pytest.raises(BadTargetError):
        tool.read_state(Target(TargetKind.PROCESS, value))


def test_a_process_that_cannot_be_ended_leaves_the_outcome_open(
    slot: Slot, permit_for: PermitFor, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    with child(IGNORES) as started:
        # As one in an uninterruptible wait: the signal is sent and does not arrive.
        send = signal.pidfd_send_signal
        monkeypatch.setattr(signal, "pidfd_send_signal", lambda fd, number: send(fd, 0))
        tool = Process(slot, ProcessOptions(grace_s=0, timeout_s=0.01))
        with pytest.raises(UnavailableError, match="has not ended") as found:
            tool.act(permit_for(stop(process_value(started.pid)), key("a")))
        assert not isinstance(found.value, NotDoneError)


def test_a_signal_that_waits_to_be_taken_is_neither_success_nor_failure(tool: Process, key: Key) -> None:
    code = ("import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]);"
            "print('ready', flush=True); input()")  # fmt: skip
    with child(f'exec {sys.executable} -I -S -c "{code}"') as started:
        os.kill(started.pid, signal.SIGTERM)
        assert tool.read_back(stop(process_value(started.pid)), key("a")).effect is Effect.UNKNOWN
