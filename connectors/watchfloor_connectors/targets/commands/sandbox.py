"""Where a playbook's shell runs: as an unprivileged user, in namespaces of its own, with the system's programs alone.

That root is in memory: read-only views of ``/usr`` and a few files of ``/etc``, a private ``/tmp`` and ``/proc``, and
nothing else: the data directory, homes and secrets are not there. It is made by unshare(1),
mount(8), pivot_root(8), prlimit(1) and setpriv(1) of util-linux, by one fixed script. That script stays as process 1 of
its process namespace, out of reach of what it runs; when it ends, or the executor does, the kernel ends all in there.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from watchfloor_connectors.targets.base import NotReadyError, ToolOptions
from watchfloor_connectors.targets.commands.bounded import Running
from watchfloor_connectors.targets.commands.results import KEEP_DAYS, Outcome, ended, text_of
from watchfloor_connectors.targets.commands.sandbox_script import BEGINS, ISOLATED, UNISOLATED
from watchfloor_connectors.targets.files import absolute
from watchfloor_core.untrusted import quote_untrusted

MAX_S: Final = 8.0
PATH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_OURS: Final = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/tmp"}  # noqa: S108 - a private one
_PROBE_S: Final = 2.0


def _name_of_user(text: str) -> str:
    if text == "root" or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", text):
        raise ValueError(f"user is {text!r}; the name of an account that may do little was expected, and never root")
    return text


def _folder(text: str) -> str:
    if absolute(text).split("/")[1] in ("", "proc", "sys", "dev"):
        raise ValueError(f"{text!r} is not shown to scripts; name a folder of files")
    return text


class SandboxOptions(ToolOptions):
    """What the kinds ``bash`` and ``powershell`` take."""

    timeout_s: float = Field(default=5.0, gt=0, le=MAX_S)
    """So long may a script run."""
    user: Annotated[str, AfterValidator(_name_of_user)] = "nobody"
    """Whom scripts run as where the executor is root; otherwise they run as its own user."""
    isolation: Literal["required", "none"] = "required"
    """``none``: scripts see the file system and the processes of the executor's host."""
    network: bool = False
    """Whether scripts have the host's network; otherwise they have none at all."""
    folders: tuple[Annotated[str, AfterValidator(_folder)], ...] = ()
    """Seen by scripts, beside the system's programs, and read-only."""
    memory_mb: int = Field(default=512, ge=16, le=65_536)
    """Address space of one process."""
    processes: int = Field(default=64, ge=4, le=4_096)
    """At a time, threads among them."""
    file_mb: int = Field(default=16, ge=1, le=4_096)
    """Of one file that a script writes; its folder for temporary files holds four times as much."""
    keep_days: int = Field(default=KEEP_DAYS, ge=1, le=3_650)
    """So long are the records of what was run kept."""


class Sandbox:
    """Runs argument lists as its options say. Thread-safe."""

    def __init__(self, options: SandboxOptions, data_dir: Path) -> None:
        self._options, self._data = options, data_dir
        self._is_known_to_work = False

    def require(self) -> None:
        """Raises `NotReadyError` where there can be no sandbox here as the options want it."""
        if not self._is_known_to_work:
            outcome = self.run(["true"], {}, "ready", timeout_s=_PROBE_S)
            if outcome.effect != "applied":
                raise NotReadyError(f"the sandbox does not work here: {outcome.text}")
            self._is_known_to_work = True

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        mark: str,
        *,
        timeout_s: float,
        is_memory_limited: bool = True,
    ) -> Outcome:
        """Runs a program of `PATH` with nothing but ``environment`` and what is set for all.

        ``mark`` is a line that nobody can guess who is not told. Raises `NotReadyError` where for certain it was not
        started.
        """
        deadline = time.monotonic() + timeout_s
        limits, identity = self._limits(timeout_s, is_memory_limited=is_memory_limited), self._identity()
        with self._root() as root:
            whole = self._command(root, [*limits, *identity, "/bin/sh", "-c", BEGINS, mark, *command])
            with Running(whole, ends_s=deadline, environment={**_OURS, **environment}) as running:
                if not running.says(mark.encode()):
                    # Of the fixed script alone, as nothing else has run: not an attacker's.
                    said = quote_untrusted(text_of(bytes(running.problem)).strip(), 200)
                    raise NotReadyError(
                        f"the sandbox cannot be set up, so nothing was run: {said}; it needs unprivileged user "
                        "namespaces or CAP_SYS_ADMIN, and util-linux (or the option 'isolation: none')"
                    )
                code = running.code()
                limit = f"at its time limit of {timeout_s:g} s"
                return ended(code, bytes(running.output), bytes(running.problem), is_cut=running.is_cut, limit=limit)

    def state(self) -> dict[str, str | bool]:
        """What an approval rests on."""
        user = self._options.user if os.geteuid() == 0 else f"uid {os.geteuid()}"
        return {"isolation": self._options.isolation, "network": self._options.network, "user": user}

    def _command(self, root: str, command: list[str]) -> list[str]:
        folders = self._folders()
        if self._options.isolation == "none":
            script, namespaces, folders = UNISOLATED, [], []
        else:
            shared = [] if self._options.network else ["--net"]
            mapped = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
            namespaces = [
                _found("unshare"), "--mount", "--pid", "--ipc", "--uts", *shared, *mapped,
                "--fork", "--kill-child=KILL", "--propagation", "private", "--",
            ]  # fmt: skip
            script = ISOLATED
        arguments = [root, str(self._data), str(4 * self._options.file_mb), str(len(folders)), *folders]
        # The parent's death is heard as well: nothing runs that nobody waits for.
        watched = [_found("setpriv"), "--pdeathsig", "KILL", "--"]
        return [*watched, *namespaces, "/bin/sh", "-c", script, "sandbox", *arguments, *command]

    def _folders(self) -> list[str]:
        missing = [folder for folder in self._options.folders if not Path(folder).is_dir()]
        if missing:
            raise NotReadyError(f"the folder {missing[0]!r} of 'folders' does not exist")
        return list(self._options.folders)

    def _limits(self, timeout_s: float, *, is_memory_limited: bool) -> list[str]:
        mb = 1024 * 1024
        memory = [f"--as={self._options.memory_mb * mb}"] if is_memory_limited else []
        return [
            _found("prlimit"), "--core=0", f"--cpu={int(timeout_s) + 1}", f"--nproc={self._processes()}",
            "--nofile=256", f"--fsize={self._options.file_mb * mb}", *memory,
        ]  # fmt: skip

    def _processes(self) -> int:
        """The kernel counts all that a user has on the host, threads too; what is there already is not the script's.

        In a user namespace of its own it counts from nothing (Linux 5.14).
        """
        if os.geteuid() != 0 and self._options.isolation == "required":
            return self._options.processes
        uid = str(self._user()[0] if os.geteuid() == 0 else os.geteuid())
        return self._options.processes + sum(_threads(entry, uid) for entry in Path("/proc").iterdir())

    def _identity(self) -> list[str]:
        ours = [_found("setpriv"), "--no-new-privs", "--pdeathsig", "KILL"]
        if self._options.isolation == "required" or os.geteuid() == 0:
            ours += ["--inh-caps=-all", "--bounding-set=-all"]
        if os.geteuid() == 0:
            uid, gid = self._user()
            ours += [f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
        return [*ours, "--"]

    def _user(self) -> tuple[int, int]:
        try:
            found = pwd.getpwnam(self._options.user)
        except KeyError:
            raise NotReadyError(f"there is no account {self._options.user!r} for scripts (option 'user')") from None
        if found.pw_uid == 0:
            raise NotReadyError(f"the account {self._options.user!r} has uid 0; scripts never run as root")
        return found.pw_uid, found.pw_gid

    @contextmanager
    def _root(self) -> Iterator[str]:
        """Where the new root is put: in a namespace of its own, so that one folder serves all at a time."""
        if self._options.isolation == "required":
            place = self._data / "targets" / "sandbox"
            try:
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise NotReadyError(f"the folder {str(place)!r} cannot be made: {error.strerror}") from error
            yield str(place)
            return
        folder = tempfile.mkdtemp(prefix="watchfloor-run-")
        try:
            if os.geteuid() == 0:
                os.chown(folder, *self._user())
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _threads(process: Path, uid: str) -> int:
    """Of an entry of proc(5), where it is a process of that real user."""
    try:
        lines = (process / "status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    fields = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    return int(fields["Threads"][0]) if fields.get("Uid", [""])[0] == uid else 0


def _found(program: str) -> str:
    found = shutil.which(program, path="/usr/bin:/bin:/usr/sbin:/sbin")
    if found is None:
        raise NotReadyError(f"the program {program!r} is not installed (Debian: util-linux)")
    return found
