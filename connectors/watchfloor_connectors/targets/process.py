"""Ends a process: SIGTERM, a time of grace, SIGKILL. By a descriptor of the process, so that never another is hit.

The target is ``<pid>@<start time>``, the start time in clock ticks since boot as field 22 of ``/proc/<pid>/stat``
has it (proc(5)): numbers of processes are used again, the pair is not.
"""

from __future__ import annotations

import os
import re
import select
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from pydantic import Field, field_validator

from watchfloor_connectors.targets.base import (
    BadTargetError,
    ConfiguredTarget,
    NeverError,
    Slot,
    ToolOptions,
    plain_text,
)
from watchfloor_core.errors import NotFoundError, UnavailableError
from watchfloor_core.untrusted import escape_untrusted, quote_untrusted
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack, TargetState

_VALUE: Final = re.compile(r"([1-9][0-9]{0,9})@(0|[1-9][0-9]{0,19})")
_KERNEL_THREAD: Final = 0x00200000
"""PF_KTHREAD of include/linux/sched.h, in field 9 of stat."""
_ENDED: Final = frozenset("ZXx")
_PROC: Final = Path("/proc")


class ProcessOptions(ToolOptions):
    """Options of the kind ``process``."""

    grace_s: float = Field(default=3.0, ge=0, le=5)
    """How long the process may take to end by itself after SIGTERM."""
    timeout_s: float = Field(default=4.0, gt=0, le=5)
    """How long it may take to end after SIGKILL."""
    never: tuple[str, ...] = ()
    """``uid:<number>`` or the absolute path of an executable, as ``/proc/<pid>/exe`` has it."""

    @field_validator("never")
    @classmethod
    def _is_uid_or_path(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            if not re.fullmatch(r"uid:[0-9]{1,10}|/.+", text):
                raise ValueError(f"{text!r} is neither uid:<number> nor the absolute path of an executable")
        return texts


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    start: int
    parent: int
    group: int
    flags: int
    state: str
    uid: int
    executable: str
    """Empty where there is none, or it may not be seen."""


class Process(ConfiguredTarget[ProcessOptions]):
    kind = "process"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = frozenset({"stop process"})
    options_type = ProcessOptions

    def __init__(self, slot: Slot, options: ProcessOptions) -> None:
        super().__init__(slot, options)

    def privileges(self) -> tuple[str, ...]:
        return (
            "CAP_KILL for processes of other uids than the executor's",
            "CAP_SYS_PTRACE, to see the executables of those",
        )

    def read_state(self, target: Target) -> TargetState:
        pid, start = _parse(target)
        found = _live(pid, start)
        if found is None:
            raise NotFoundError(f"there is no process {target.value} any more, or it has ended")
        self._refuse_untouchable(found)
        return _state(found)

    def do(self, action: Action, key: str) -> None:  # noqa: ARG002 - a process has no place for a key
        pid, start = _parse(action.target)
        try:
            descriptor = os.pidfd_open(pid)
        except OSError as error:
            raise NotDoneError(f"the process {action.target.value} is not there: {error.strerror}") from error
        try:
            # Only now that the descriptor is held: what has this start time is what the descriptor is of, or it has
            # ended, and then the signal reaches nobody.
            try:
                found = _live(pid, start)
            except (OSError, UnavailableError) as error:
                raise NotDoneError(f"the process {action.target.value} cannot be looked at: {error}") from error
            if found is None:
                raise NotDoneError(f"there is no process {action.target.value} any more, or it has ended")
            self._refuse_untouchable(found)
            self._end(descriptor, action.target.value)
        finally:
            os.close(descriptor)

    def _end(self, descriptor: int, shown: str) -> None:
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        except ProcessLookupError:
            raise NotDoneError(f"the process {shown} has just ended by itself") from None
        except OSError as error:
            raise NotDoneError(f"the process {shown} cannot be signalled: {error.strerror}") from error
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        if ended.poll(self.options.grace_s * 1000):
            return
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except ProcessLookupError:
            return
        if not ended.poll(self.options.timeout_s * 1000):
            raise UnavailableError(f"the process {shown} has not ended {self.options.timeout_s:g} s after SIGKILL")

    def read_back(self, action: Action, key: str) -> ReadBack:  # noqa: ARG002 - a process has no place for a key
        pid, start = _parse(action.target)
        found = _live(pid, start)
        if found is None:
            return ReadBack(Effect.APPLIED, TargetState({"is_running": False}), f"{action.target.value} has ended")
        if _has_fatal_signal_pending(pid):
            return ReadBack(Effect.UNKNOWN, _state(found), f"{action.target.value} has a signal to end and has not yet")
        return ReadBack(Effect.NOT_APPLIED, _state(found), f"{action.target.value} is running")

    def _refuse_untouchable(self, found: _Process) -> None:
        shown = f"process {found.pid}"
        if found.pid == 1:
            raise NeverError(f"{shown} is the system's first: ending it ends everything")
        if found.flags & _KERNEL_THREAD:
            raise NeverError(f"{shown} is a thread of the kernel")
        if found.group == os.getpgrp() or found.pid in _own_line():
            raise NeverError(f"{shown} is the executor itself, of its process group, or what started it")
        if f"uid:{found.uid}" in self.options.never:
            raise NeverError(f"{shown} runs as uid {found.uid}, which 'never' of {self.tool!r} protects")
        executables = [text for text in self.options.never if text.startswith("/")]
        if executables and not found.executable:
            raise NeverError(f"the executable of {shown} cannot be seen, so 'never' of {self.tool!r} cannot be kept")
        if found.executable.removesuffix(" (deleted)") in executables:
            raise NeverError(f"{shown} runs {found.executable}, which 'never' of {self.tool!r} protects")


def process_value(pid: int) -> str:
    """``<pid>@<start time>`` of a running process. Raises `NotFoundError`."""
    fields = _stat(pid)
    if fields is None:
        raise NotFoundError(f"there is no process {pid}")
    return f"{pid}@{fields[19]}"


def _parse(target: Target) -> tuple[int, int]:
    if target.kind is not TargetKind.PROCESS:
        raise BadTargetError(f"a target of kind {target.kind!r} is no process")
    match = _VALUE.fullmatch(plain_text(target.value, "a process"))
    if match is None or int(match[1]) >= 2**31:
        raise BadTargetError(f"{quote_untrusted(target.value, 80)} is no process; <pid>@<start time> was expected")
    return int(match[1]), int(match[2])


def _live(pid: int, start: int) -> _Process | None:
    """The running process of this number and start time."""
    fields = _stat(pid)
    if fields is None or int(fields[19]) != start or fields[0] in _ENDED:
        return None
    try:
        status = _status(pid)
        if status["Tgid"] != str(pid):
            raise BadTargetError(f"{pid} is a thread of the process {status['Tgid']}; name that")
        uid = int(status["Uid"].split()[1])
    except FileNotFoundError:
        return None
    return _Process(pid, start, int(fields[1]), int(fields[2]), int(fields[6]), fields[0], uid, _executable(pid))


def _executable(pid: int) -> str:
    try:
        return os.readlink(_PROC / str(pid) / "exe")
    except OSError:
        return ""


def _stat(pid: int) -> list[str] | None:
    """The fields of stat from the third on; the second is the name, which may hold anything."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError as error:
        raise UnavailableError(f"/proc/{pid}/stat cannot be read: {error.strerror}") from error
    return text.rpartition(")")[2].split()


def _status(pid: int) -> dict[str, str]:
    try:
        text = (_PROC / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
    except ProcessLookupError:
        raise FileNotFoundError from None
    # Line feeds in the name are escaped by the kernel, so no name makes a line of its own.
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def _has_fatal_signal_pending(pid: int) -> bool:
    try:
        pending = int(_status(pid)["ShdPnd"], 16)
    except FileNotFoundError:
        return False
    return bool(pending & (1 << (signal.SIGKILL - 1) | 1 << (signal.SIGTERM - 1)))


def _own_line() -> set[int]:
    """This process and what started it, up to the first."""
    line, pid = set[int](), os.getpid()
    while pid > 0 and pid not in line:
        line.add(pid)
        fields = _stat(pid)
        pid = int(fields[1]) if fields is not None else 0
    return line


def _state(found: _Process) -> TargetState:
    # The executable is part of it: a process that has become another program since is another thing to stop.
    return TargetState(
        {
            "is_running": True,
            "boot": (_PROC / "sys/kernel/random/boot_id").read_text().strip(),
            "uid": found.uid,
            "executable": escape_untrusted(found.executable),
        }
    )
