"""Files that only their owner may read: made by whoever is first, read with their rights checked, replaced whole."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from watchfloor_core.errors import ConfigurationError

MAX_BYTES: Final = 1_048_576
"""No secret is larger; a file that is has been named by mistake."""


def read_private(path: Path) -> bytes:
    """The content of a file that is ours and readable by us alone.

    Raises `ConfigurationError` where it is missing, a link, of another user, open to others or larger than `MAX_BYTES`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise ConfigurationError(f"the file {str(path)!r} cannot be read ({error.strerror})") from error
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or state.st_mode & 0o077 or state.st_uid != os.geteuid():
            raise ConfigurationError(f"{str(path)!r} must be yours and readable by you alone; chmod 600 it")
        return bounded(file.read(MAX_BYTES + 1), path)


def bounded(data: bytes, path: Path) -> bytes:
    """``data`` as it is. Raises `ConfigurationError` where there is more of it than `MAX_BYTES`."""
    if len(data) > MAX_BYTES:
        raise ConfigurationError(f"{str(path)!r} is larger than {MAX_BYTES} bytes, so it is no secret; name another")
    return data


def create_private(path: Path, data: bytes) -> bool:
    """Make the file whole and durable, or leave it to another process that was first. True where it was made here.

    Raises `ConfigurationError` where the folder cannot be written.
    """
    try:
        # One by one: `parents` alone would open the data directory to others.
        path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        draft = _draft(path, data)
        try:
            # A link fails where another process was first; its file is then the one.
            os.link(draft, path)
        except FileExistsError:
            return False
        finally:
            draft.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise ConfigurationError(
            f"the key file {str(path)!r} cannot be made ({error.strerror}); give this user write access"
        ) from error
    return True


def replace_private(path: Path, data: bytes) -> None:
    """Put ``data`` in the file's place at once, and durably. Raises `ConfigurationError`."""
    try:
        draft = _draft(path, data)
        try:
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise ConfigurationError(
            f"the key file {str(path)!r} cannot be written ({error.strerror}); give this user write access"
        ) from error


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Keeps other processes from changing the file for as long as the block lasts; readers are not held up."""
    try:
        descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"no lock can be made beside {str(path)!r} ({error.strerror}); give this user write access"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _draft(path: Path, data: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _sync_folder(folder: Path) -> None:
    """So that a power cut takes no key with which something is already encrypted."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
