"""Runs a playbook's scripts on the executor's host, in a sandbox. Values are arguments of the shell, never its text.

The target is ``local://<tool>``. Whatever a script does, it does inside: what it is for is to compute, to read what
``folders`` shows, and, with ``network``, to ask others.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final

from watchfloor_connectors.targets.base import BadTargetError, ConfiguredTarget, NeverError, NotReadyError, Slot
from watchfloor_connectors.targets.commands.results import Outcome, Runs
from watchfloor_connectors.targets.commands.sandbox import PATH, Sandbox, SandboxOptions
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import NotDoneError, ReadBack, TargetState
from watchfloor_playbooks.template_numbers import MAX_VALUES, TemplateError, fault_of
from watchfloor_playbooks.templates import values_of

VALUE_NAMES: Final = frozenset(f"value.{number}" for number in range(1, MAX_VALUES + 1))
RESTRICTING: Final = frozenset({"memory_mb", "processes", "file_mb", "keep_days"})


class Bash(ConfiguredTarget[SandboxOptions]):
    kind = "bash"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = frozenset({"start command"})
    options_type = SandboxOptions
    restricting: ClassVar[frozenset[str]] = RESTRICTING
    arguments: ClassVar[frozenset[str]] = VALUE_NAMES | {"script"}

    def __init__(self, slot: Slot, options: SandboxOptions) -> None:
        self._runs = Runs(slot, options.keep_days)
        self._sandbox = Sandbox(options, slot.data_dir)
        super().__init__(slot, options)

    def privileges(self) -> tuple[str, ...]:
        return sandbox_privileges(self.options, self._runs.folder)

    def read_state(self, target: Target) -> TargetState:
        require_local(target, self.tool, self.options.never)
        self._sandbox.require()
        return self._state()

    def do(self, action: Action, key: str) -> None:
        script, values = text_and_values(action, "script")
        # The name of the shell, then what "${1}" and the following are.
        command = ["bash", "--noprofile", "--norc", "-c", "--", script, "bash", *values]

        def start() -> Outcome:
            return self._sandbox.run(command, {}, new_mark(), timeout_s=self.options.timeout_s)

        self._runs.run(key, start)

    def read_back(self, action: Action, key: str) -> ReadBack:
        require_local(action.target, self.tool, ())
        return self._runs.told(key, self._state())

    def _state(self) -> TargetState:
        return TargetState({**self._sandbox.state(), "shell": digest_of("bash")})


class PowerShell(ConfiguredTarget[SandboxOptions]):
    """The same for PowerShell 7, where the program ``pwsh`` is installed. Values are variables of the environment."""

    kind = "powershell"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = frozenset({"start command"})
    options_type = SandboxOptions
    restricting: ClassVar[frozenset[str]] = RESTRICTING
    arguments: ClassVar[frozenset[str]] = VALUE_NAMES | {"script"}

    def __init__(self, slot: Slot, options: SandboxOptions) -> None:
        self._runs = Runs(slot, options.keep_days)
        self._sandbox = Sandbox(_with_pwsh(options), slot.data_dir)
        super().__init__(slot, options)

    def privileges(self) -> tuple[str, ...]:
        return sandbox_privileges(self.options, self._runs.folder)

    def read_state(self, target: Target) -> TargetState:
        require_local(target, self.tool, self.options.never)
        state = self._state()
        self._sandbox.require()
        return state

    def do(self, action: Action, key: str) -> None:
        script, values = text_and_values(action, "script")
        command = ["pwsh", "-NoLogo", "-NoProfile", "-NonInteractive", "-Command", script]
        limited = {
            "DOTNET_GCHeapHardLimit": f"{self.options.memory_mb * 1024 * 1024:x}",
            "DOTNET_EnableDiagnostics": "0",
        }
        quiet = {"POWERSHELL_TELEMETRY_OPTOUT": "1", "POWERSHELL_UPDATECHECK": "Off", "TERM": "dumb", "NO_COLOR": "1"}
        environment = {f"WF_{number}": value for number, value in enumerate(values, 1)}

        def start() -> Outcome:
            # .NET reserves more address space than any limit on that would let it have; its heap is limited instead.
            return self._sandbox.run(
                command,
                {**limited, **quiet, **environment},
                new_mark(),
                timeout_s=self.options.timeout_s,
                is_memory_limited=False,
            )

        self._runs.run(key, start)

    def read_back(self, action: Action, key: str) -> ReadBack:
        require_local(action.target, self.tool, ())
        return self._runs.told(key, self._state())

    def _state(self) -> TargetState:
        return TargetState({**self._sandbox.state(), "shell": digest_of("pwsh")})


def require_local(target: Target, tool: str, never: tuple[str, ...]) -> None:
    """Raises `BadTargetError` for what is not ``local://<tool>``, `NeverError` for what is never touched."""
    if target.kind is not TargetKind.COMMAND or target.value != f"local://{tool}":
        raise BadTargetError(
            f"{quote_untrusted(target.value, 80)} is not where this tool runs commands: local://{tool}"
        )
    if target.value in never:
        raise NeverError(f"'never' of {tool!r} says that it runs nothing")


def text_and_values(action: Action, name: str) -> tuple[str, tuple[str, ...]]:
    """The text to run and its values, each as it can be handed over. Raises `NotDoneError`."""
    text = action.arguments.get(name)
    if not isinstance(text, str) or not text.strip():
        raise NotDoneError(f"the argument {name!r} is missing, empty or no text; nothing was run")
    try:
        values = values_of(action.arguments)
    except TemplateError as error:
        raise NotDoneError(f"nothing was run: {error}") from error
    for place, one in ((name, text), *((f"value.{number}", value) for number, value in enumerate(values, 1))):
        if (fault := fault_of(one)) is not None:
            raise NotDoneError(f"nothing was run: the argument {place!r} {fault}")
    needed = max((int(number) for number in re.findall(r"\$\{(?:env:WF_)?([1-9][0-9]?)\}", text)), default=0)
    if needed > len(values):
        raise NotDoneError(f"nothing was run: the argument {name!r} uses {needed} values, and there are {len(values)}")
    return text, values


def new_mark() -> str:
    """A line by which is known that what follows it is of the command."""
    return f"begins {secrets.token_hex(16)}"


def digest_of(shell: str) -> str:
    """Which shell it is: another one is another state. Raises `NotReadyError` where there is none."""
    found = shutil.which(shell, path=PATH)
    if found is None:
        raise NotReadyError(f"the program {shell!r} is not in {PATH}; install it")
    try:
        with Path(found).open("rb") as stream:
            return f"{found} sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
    except OSError as error:
        raise NotReadyError(f"{found} cannot be read: {error.strerror}") from error


def sandbox_privileges(options: SandboxOptions, records: Path) -> tuple[str, ...]:
    """What the executor needs for a sandbox."""
    wanted: Mapping[str, str] = {
        "required": "unprivileged user namespaces; or root, with CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID and CAP_SETPCAP",
        "none": "run programs on the executor's host",
    }
    return (wanted[options.isolation], f"write files in {records}")


def _with_pwsh(options: SandboxOptions) -> SandboxOptions:
    """``pwsh`` is a link to a folder of its own, which scripts have to see."""
    found = shutil.which("pwsh", path=PATH)
    home = "" if found is None else str(Path(found).resolve().parent)
    if not home or home.startswith("/usr/") or home in options.folders:
        return options
    return options.model_copy(update={"folders": (*options.folders, home)})
