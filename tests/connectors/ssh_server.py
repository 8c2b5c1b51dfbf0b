"""A real SSH server for tests: OpenSSH's sshd on the loopback, with keys of its own, for as long as a test lasts."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from watchfloor_service.supervision.listening import free_port

_PATH: Final = "/usr/sbin:/usr/local/sbin:/usr/bin"
_PRIVILEGES: Final = Path("/run/sshd")
"""Where a root sshd wants an empty folder; the system's own start makes it."""


@dataclass(frozen=True)
class Server:
    port: int
    user: str
    identity: Path
    known_hosts: Path
    host_key: str
    """``type base64``"""
    authorized_keys: Path

    @property
    def public_key(self) -> str:
        return self.identity.with_suffix(".pub").read_text().strip()


def make_key(file: Path) -> Path:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(file)]
    subprocess.run(command, check=True)
    return file


def keygen() -> None:
    """Skips the test where the client is not installed."""
    if shutil.which("ssh-keygen") is None or not Path("/usr/bin/ssh").exists():
        pytest.skip("the SSH client is not installed here (Debian: apt-get install openssh-client)")


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    keygen()
    host_key, identity = make_key(folder / "host"), make_key(folder / "identity")
    authorized, known_hosts = folder / "authorized_keys", folder / "known_hosts"
    kind, key = host_key.with_suffix(".pub").read_text().split()[:2]
    port = free_port()
    server = Server(port, getpass.getuser(), identity, known_hosts, f"{kind} {key}", authorized)
    authorized.write_text(f"{server.public_key}\n")
    known_hosts.write_text(f"[127.0.0.1]:{port} {server.host_key}\n[localhost]:{port} {server.host_key}\n")
    with listening(server, host_key):
        yield server


@contextmanager
def listening(server: Server, host_key: Path) -> Iterator[None]:
    """Skips the test where sshd is not installed."""
    program = shutil.which("sshd", path=_PATH)
    if program is None:
        pytest.skip("sshd is not installed here (Debian: apt-get install openssh-server)")
    configuration = host_key.with_name("sshd_config")
    configuration.write_text(
        f"ListenAddress 127.0.0.1\nPort {server.port}\nHostKey {host_key}\nPidFile none\n"
        f"AuthorizedKeysFile {server.authorized_keys}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nLogLevel INFO\n"
    )
    is_missing = os.geteuid() == 0 and not _PRIVILEGES.exists()
    if is_missing:
        _PRIVILEGES.mkdir(mode=0o755)
    command = [program, "-D", "-e", "-f", str(configuration)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if "Server listening" in line:
                break
        else:
            raise AssertionError(f"sshd does not listen: {''.join(said)}")
        yield
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()
        if is_missing:
            _PRIVILEGES.rmdir()
