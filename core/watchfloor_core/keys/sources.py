"""Where a secret comes from, named by a reference: ``file:/path``, ``env:NAME``, ``vault:<mount>/<path>#<field>``.

The reference is not secret and may stand in settings and logs. Sources that need a network live with the connectors,
which also choose the source of a reference.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Protocol, TypeAlias, runtime_checkable

from watchfloor_core.errors import ConfigurationError
from watchfloor_core.keys.private_file import MAX_BYTES, bounded, read_private

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. @+=-]*")
FORMS: Final = "file:/absolute/path, env:NAME or vault:<mount>/<path>#<field>"


@runtime_checkable
class SecretSource(Protocol):
    """One secret, read when it is needed and again when it may have changed."""

    @property
    def reference(self) -> str:
        """Names the source in messages; nothing in it is secret."""
        ...

    def mark(self) -> str | None:
        """Another value whenever the secret may be another one: cheap and without a network.

        None where only reading tells.
        """
        ...

    def read(self) -> bytes:
        """The secret. Ends within seconds.

        Raises `ConfigurationError` where an operator must mend something (no such secret, no right to it), and
        `UnavailableError` where the source may answer later.
        """
        ...


@dataclass(frozen=True, slots=True)
class FileReference:
    path: Path


@dataclass(frozen=True, slots=True)
class EnvironmentReference:
    name: str


@dataclass(frozen=True, slots=True)
class VaultReference:
    """A field of a secret in HashiCorp Vault's key-value engine, version 2."""

    mount: str
    path: str
    field: str


Reference: TypeAlias = FileReference | EnvironmentReference | VaultReference


def parse_reference(text: str) -> Reference:
    """Raises `ConfigurationError` with the forms that there are."""
    kind, _, rest = text.partition(":")
    match kind:
        case "file" if PurePosixPath(rest).is_absolute():
            return FileReference(Path(rest))
        case "env" if _VARIABLE.fullmatch(rest):
            if rest.upper().startswith("WATCHFLOOR_"):
                raise ConfigurationError(
                    f"{text!r}: variables that begin with WATCHFLOOR_ are settings and reach no other process; "
                    "give the secret's variable another name"
                )
            return EnvironmentReference(rest)
        case "vault":
            address, _, field = rest.partition("#")
            mount, _, path = address.partition("/")
            if field and all(_SEGMENT.fullmatch(part) for part in (mount, *path.split("/"))):
                return VaultReference(mount, path, field)
    raise ConfigurationError(f"{text!r} names no secret; expected {FORMS}")


@dataclass(frozen=True, slots=True)
class PrivateFile:
    """A file that Watchfloor made itself: ours and readable by us alone."""

    path: Path

    @property
    def reference(self) -> str:
        return f"file:{self.path}"

    def mark(self) -> str:
        return _mark(self.path)

    def read(self) -> bytes:
        return read_private(self.path)


@dataclass(frozen=True, slots=True)
class GivenFile:
    """A file that an operator or orchestrator put there, as mounted secrets are: perhaps a link, of root, open to one
    group. Never open to everyone, and never for others to write."""

    path: Path

    @property
    def reference(self) -> str:
        return f"file:{self.path}"

    def mark(self) -> str:
        return _mark(self.path)

    def read(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                state = os.fstat(file.fileno())
                if not stat.S_ISREG(state.st_mode) or state.st_mode & 0o027 or state.st_uid not in (0, os.geteuid()):
                    raise ConfigurationError(
                        f"{self.reference!r} must be a file of yours or root's that others cannot read; chmod 600 it"
                    )
                return bounded(file.read(MAX_BYTES + 1), self.path)
        except OSError as error:
            raise ConfigurationError(f"{self.reference!r} cannot be read ({error.strerror})") from error


@dataclass(frozen=True, slots=True)
class FixedSecret:
    """A value that this process was started with, such as a variable of the environment."""

    reference: str
    value: bytes

    def __repr__(self) -> str:
        return f"FixedSecret({self.reference!r})"

    def mark(self) -> str:
        return ""

    def read(self) -> bytes:
        return self.value


def _mark(path: Path) -> str:
    try:
        state = path.stat()
    except OSError:
        return "missing"
    # A replaced file has another inode, even within one tick of the clock.
    return f"{state.st_ino}:{state.st_mtime_ns}:{state.st_size}"
