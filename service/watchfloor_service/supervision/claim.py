"""One stack a data directory: a lock that the supervisor and all its children hold, and who holds it.

The lock belongs to the open file, which the children inherit: a supervisor killed with -9 frees the directory only
once its last child is gone, so two Temporal servers never write one database file.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from watchfloor_core.clock import now_us, to_iso
from watchfloor_core.errors import ConfigurationError

LOCK_FILE: Final = "watchfloor.lock"
LEFT_OVER_S: Final = 5.0
"""How long a start waits for the children of a supervisor that died."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The supervisor that holds a data directory."""

    pid: int
    command: str
    since_us: int


class Claim:
    """A data directory that is ours until `release` and the end of every process that inherited ``descriptor``."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def take(cls, data_dir: Path, command: str) -> Claim:
        """Make the directory where it is missing, and lock it. Raises `ConfigurationError` where it cannot be ours."""
        descriptor = _open(data_dir)
        try:
            _lock(descriptor, data_dir)
            holder = Holder(os.getpid(), command, now_us())
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(asdict(holder)).encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        os.ftruncate(self.descriptor, 0)
        os.close(self.descriptor)


def is_claimed(data_dir: Path) -> bool:
    """True where some stack runs in the directory, or its last children still end."""
    try:
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _open(data_dir: Path) -> int:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"data directory {str(data_dir)!r} cannot be written ({error.strerror}); "
            "give another by --data-dir or WATCHFLOOR_DATA_DIR"
        ) from error


def _lock(descriptor: int, data_dir: Path) -> None:
    deadline = time.monotonic() + LEFT_OVER_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            if holder is not None and _lives(holder.pid):
                raise ConfigurationError(
                    f"data directory {str(data_dir)!r} is in use by `watchfloor {holder.command}` "
                    f"(pid {holder.pid}, since {to_iso(holder.since_us)}); "
                    f"end it with `kill {holder.pid}`, or give another directory by --data-dir"
                ) from None
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"data directory {str(data_dir)!r} is held by processes whose supervisor is gone; "
                    f"find them with `fuser {data_dir / LOCK_FILE}` and end them, or give another by --data-dir"
                ) from None
            time.sleep(0.05)
        else:
            return


def _holder(descriptor: int) -> Holder | None:
    try:
        return Holder(**json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, TypeError):
        # Empty or half written: its writer is between locking and writing, or died there.
        return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
