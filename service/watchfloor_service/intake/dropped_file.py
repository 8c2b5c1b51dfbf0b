"""One file of a watched folder on its way: claimed by one watcher, then put beside as done or failed.

A claim is an advisory lock on the open file plus a move into ``.taking``. The kernel frees the lock when its holder
dies, so what a killed watcher left in ``.taking`` can be claimed again and nothing else can.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from watchfloor_core.errors import ConfigurationError

TAKING: Final = ".taking"
DONE: Final = "done"
FAILED: Final = "failed"
REASON_SUFFIX: Final = ".reason.txt"
_TICKET_BYTES: Final = 8
_MAX_NAME: Final = 200
"""Bytes kept of a name, so that the name with a digest before and ``.reason.txt`` behind fits in 255."""


class Lanes:
    """The folders beside the dropped files."""

    def __init__(self, folder: Path) -> None:
        """Make them where they are missing. Raises `ConfigurationError` where one cannot be, or is a link elsewhere."""
        self.folder = folder
        self.taking = _real_folder(folder / TAKING, 0o700)
        self.done = _real_folder(folder / DONE, 0o777)
        self.failed = _real_folder(folder / FAILED, 0o777)


class ClaimedFile:
    """A file that no other watcher has; a context manager, whose end frees the claim."""

    def __init__(self, lanes: Lanes, path: Path, name: str, descriptor: int) -> None:
        self._lanes = lanes
        self.path = path
        self.name = name
        """As it was dropped."""
        self._descriptor = descriptor
        self._state = _state(os.fstat(descriptor))

    @classmethod
    def claim(cls, lanes: Lanes, path: Path) -> ClaimedFile | None:
        """Claim a file of the folder, or one left in ``.taking``; None where another watcher has it or it is gone.

        Raises ValueError where it is no regular file: a link could lead anywhere, a pipe never ends.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_left_over = path.parent == lanes.taking
            name = path.name[2 * _TICKET_BYTES + 1 :] if is_left_over else path.name
            if not _is_still(path, descriptor):
                # Another watcher was done with it between our look and our lock.
                raise BlockingIOError
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError("is no regular file")
            if not is_left_over:
                path = path.rename(lanes.taking / f"{secrets.token_hex(_TICKET_BYTES)}-{_short(name)}")
            return cls(lanes, path, name, descriptor)
        except (BlockingIOError, FileNotFoundError):
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise

    def has_changed(self) -> bool:
        """Whether somebody wrote to the file since it was claimed."""
        return _state(os.fstat(self._descriptor)) != self._state

    def put_done(self, digest: str) -> Path:
        """Move it to ``done/<12 hex digits of its content>-<name>``."""
        return self.path.rename(self._lanes.done / f"{digest[:12]}-{_short(self.name)}")

    def put_failed(self, reason: str) -> Path:
        """Move it to ``failed/`` with the reason in a file beside it."""
        return put_failed(self._lanes, self.path, self.name, reason)

    def __enter__(self) -> ClaimedFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def put_failed(lanes: Lanes, path: Path, name: str, reason: str) -> Path:
    """Move whatever is at ``path`` (a link itself, not what it leads to) to ``failed/``, with the reason beside it."""
    target = lanes.failed / f"{secrets.token_hex(6)}-{_short(name)}"
    path.rename(target)
    (lanes.failed / (target.name + REASON_SUFFIX)).write_text(reason + "\n", encoding="utf-8", errors="replace")
    return target


def _state(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns


def _is_still(path: Path, descriptor: int) -> bool:
    ours, there = os.fstat(descriptor), path.lstat()
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


def _short(name: str) -> str:
    return os.fsdecode(os.fsencode(name)[-_MAX_NAME:])


def _real_folder(path: Path, mode: int) -> Path:
    try:
        path.mkdir(mode=mode, exist_ok=True)
        is_folder = stat.S_ISDIR(path.lstat().st_mode)
    except OSError as error:
        raise ConfigurationError(
            f"the watched folder needs the folder {str(path)!r} ({error.strerror}); let this user make it"
        ) from error
    if not is_folder:
        raise ConfigurationError(f"{str(path)!r} is no folder of its own; remove it, Watchfloor makes it anew")
    return path
