"""Runs a playbook's commands on other computers by the OpenSSH client, with a closed set of its options.

What is asked of the other side is one fixed program, ``/bin/sh -s``, so that its account may be held to that
(``restrict,command="/bin/sh -s"`` in authorized_keys(5)), and no login shell ever reads a value. The script goes to its
standard input in two parts. The first says that the shell is there; without its answer the second, which does
something, is never sent: so it is known that nothing was run. The second sets the values as positional parameters,
quoted for a POSIX shell, and holds the commands in one pair of brackets: a connection that breaks on the way leaves no
half of it running, and a command that reads its input does not get the rest of the script.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from watchfloor_connectors.targets.base import (
    ConfiguredTarget,
    NeverError,
    NotReadyError,
    Slot,
    ToolOptions,
)
from watchfloor_connectors.targets.commands.bash import VALUE_NAMES, text_and_values
from watchfloor_connectors.targets.commands.bounded import Running
from watchfloor_connectors.targets.commands.hosts import Places, host_and_port, is_among
from watchfloor_connectors.targets.commands.results import KEEP_DAYS, Outcome, Runs, ended, text_of
from watchfloor_connectors.targets.files import absolute, read_small
from watchfloor_connectors.targets.programs import PATH, run
from watchfloor_connectors.targets.secret import SecretReference, file_reference, read_secret
from watchfloor_core.errors import NotFoundError
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.effect import ReadBack, TargetState

MAX_KNOWN_HOSTS: Final = 8 * 1024 * 1024
REMOTE: Final = "/bin/sh -s"

_FAILED: Final = 255
"""What ssh(1) ends with where it fails itself; a remote command may end so too."""


def _file(text: str) -> str:
    """ssh reads blanks, quotes and ``%`` in file names in ways of its own, so such names are not taken."""
    if not re.fullmatch(r"/[A-Za-z0-9_.,+@/-]+", absolute(text)):
        raise ValueError(f"{text!r} has other characters than letters, digits and _ . , + @ / -")
    return text


def _identity(text: str) -> str:
    """A file, for the program reads it by itself."""
    _file(file_reference(text).removeprefix("file:"))
    return text


class SshOptions(ToolOptions):
    """Options of the kind ``ssh``."""

    timeout_s: float = Field(default=8.0, gt=0, le=8)
    """So long may connecting and running take together."""
    user: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$")]
    """Whom commands run as on the other side."""
    identity: Annotated[SecretReference, AfterValidator(_identity)]
    """The private key, without a passphrase; only its owner may read it."""
    known_hosts: Annotated[str, AfterValidator(_file)]
    """The keys of the hosts (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). A host that is not in it is not spoken to."""
    hosts: Annotated[Places, Field(min_length=1)]
    """Where commands may run: names, exactly, and addresses and networks for targets that are addresses."""
    port: int = Field(default=22, ge=1, le=65_535)
    """Where the target names none."""
    never: Places = ()
    """As ``hosts``: where commands never run."""
    keep_days: int = Field(default=KEEP_DAYS, ge=1, le=3_650)
    """So long are the records of what was run kept."""


class Ssh(ConfiguredTarget[SshOptions]):
    kind = "ssh"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = frozenset({"start command"})
    options_type = SshOptions
    restricting: ClassVar[frozenset[str]] = frozenset({"hosts", "keep_days"})
    arguments: ClassVar[frozenset[str]] = VALUE_NAMES | {"command"}

    def __init__(self, slot: Slot, options: SshOptions) -> None:
        self._runs = Runs(slot, options.keep_days)
        super().__init__(slot, options)

    def privileges(self) -> tuple[str, ...]:
        return (
            f"log in as {self.options.user!r} by key on the hosts of 'hosts', and run {REMOTE!r} there",
            f"write files in {self._runs.folder}",
        )

    def read_state(self, target: Target) -> TargetState:
        host, port = self._place(target)
        return self._state(host, port)

    def do(self, action: Action, key: str) -> None:
        host, port = self._place(action.target)
        command, values = text_and_values(action, "command")
        read_secret(self.options.identity)
        self._runs.run(key, lambda: self._run(host, port, key, command, values))

    def read_back(self, action: Action, key: str) -> ReadBack:
        host, port = self._place(action.target)
        return self._runs.told(key, self._state(host, port))

    def _run(self, host: str, port: int, key: str, command: str, values: Sequence[str]) -> Outcome:
        ends_s = time.monotonic() + self.options.timeout_s
        environment = {"PATH": PATH, "LC_ALL": "C"}
        with Running(self._client(host, port), ends_s=ends_s, environment=environment, is_told=True) as running:
            begun, last = f"wf:{key} begins", f"wf:{key} ends"
            is_told = running.tell(f"printf '%s\\n' '{begun}'\n".encode(), is_last=False)
            if not running.says(begun.encode()) or not is_told:
                said = quote_untrusted(text_of(bytes(running.problem)).strip(), 200)
                raise NotReadyError(f"no shell answers at {host} port {port}, so nothing was run: {said}")
            is_sent = running.tell(_script(command, values, last).encode(), is_last=True)
            code = running.code()
            output, is_whole = _output(bytes(running.output), last)
            if code is None or not is_sent or (code == _FAILED and not is_whole):
                late = f"at the time limit of {self.options.timeout_s:g} s, and may go on over there"
                limit = late if code is None else "by a broken connection"
                return ended(None, output, bytes(running.problem), limit=limit)
            return ended(code, output, bytes(running.problem), is_cut=running.is_cut)

    def _client(self, host: str, port: int) -> list[str]:
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": self.options.known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
            "UpdateHostKeys": "no",
            "VerifyHostKeyDNS": "no",
            "CheckHostIP": "no",
            "CanonicalizeHostname": "no",
            "PreferredAuthentications": "publickey",
            "PubkeyAuthentication": "yes",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "HostbasedAuthentication": "no",
            "GSSAPIAuthentication": "no",
            "NumberOfPasswordPrompts": "0",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "AddKeysToAgent": "no",
            "PKCS11Provider": "none",
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "ClearAllForwardings": "yes",
            "Tunnel": "no",
            "PermitLocalCommand": "no",
            "ProxyCommand": "none",
            "ControlMaster": "no",
            "ControlPath": "none",
            "RequestTTY": "no",
            "EscapeChar": "none",
            "ConnectTimeout": str(max(1, int(self.options.timeout_s) - 1)),
            "ConnectionAttempts": "1",
            "ServerAliveInterval": "2",
            "ServerAliveCountMax": "2",
            "LogLevel": "ERROR",
        }
        told = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        identity = self.options.identity.removeprefix("file:")
        place = ["-i", identity, "-l", self.options.user, "-p", str(port), "--", host, REMOTE]
        return ["/usr/bin/ssh", "-F", "none", "-T", *told, *place]

    def _place(self, target: Target) -> tuple[str, int]:
        """Host and port. Raises `BadTargetError`, and `NeverError` for where commands may not run."""
        host, port = host_and_port(target, self.options.port)
        if not is_among(host, self.options.hosts):
            raise NeverError(f"{host} is not among the 'hosts' of {self.tool!r}")
        if is_among(host, self.options.never):
            raise NeverError(f"{host} is in 'never' of {self.tool!r}")
        return host, port

    def _state(self, host: str, port: int) -> TargetState:
        keys = self._host_keys(host, port)
        return TargetState({"host": host, "port": port, "user": self.options.user, "host_keys": list(keys)})

    def _host_keys(self, host: str, port: int) -> list[str]:
        """Fingerprints as ssh(1) shows them. Raises `NotFoundError` where the host is not known."""
        file = self.options.known_hosts
        if read_small(Path(file), MAX_KNOWN_HOSTS) is None:
            raise NotReadyError(f"the file {file!r} of 'known_hosts' does not exist")
        name = host if port == 22 else f"[{host}]:{port}"
        found = run(["ssh-keygen", "-F", name, "-f", file], timeout_s=2.0)
        lines = [line.split() for line in found.output.splitlines() if line and not line.startswith("#")]
        try:
            keys = sorted({_fingerprint(line) for line in lines})
        except ValueError as error:
            raise NotReadyError(f"what {file!r} says of {name} is not readable; mend it") from error
        if not keys:
            raise NotFoundError(f"{name} is not in {file!r}; put its key there, checked on another way")
        return keys


def _script(command: str, values: Sequence[str], last: str) -> str:
    """The second part. Its last line tells a command's code from that of ssh's own failure, which commands have too."""
    parameters = f"set -- {' '.join(map(shlex.quote, values))}\n" if values else ""
    return f"{parameters}(\n{command}\n) </dev/null\ncode=$?\nprintf '\\n%s\\n' '{last}'\nexit \"$code\"\n"


def _output(output: bytes, last: str) -> tuple[bytes, bool]:
    """Without what was added at the end, and whether that was there."""
    end = f"\n{last}\n".encode()
    return (output.removesuffix(end), True) if output.endswith(end) else (output, False)


def _fingerprint(line: Sequence[str]) -> str:
    """Of ``[@marker] names type key [comment]``."""
    marker = [line[0]] if line[0].startswith("@") else []
    kind, key = line[len(marker) + 1 : len(marker) + 3]
    digest = hashlib.sha256(base64.b64decode(key)).digest()
    return " ".join([*marker, kind, f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"])
