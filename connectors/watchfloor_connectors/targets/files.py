"""Files that a crash, a concurrent writer or an attacker must not be able to leave half done or point elsewhere.

Directories are walked one component at a time without following links, and what follows goes by their descriptors: a
name that is swapped meanwhile leads nowhere else.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from watchfloor_connectors.targets.base import NotReadyError
from watchfloor_core.errors import UnavailableError

_CHUNK: Final = 1 << 20
_WALK: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_POLL_S: Final = 0.005


def absolute(text: str) -> str:
    """A path of a configuration, absolute and without detours. Raises ValueError."""
    if not text.startswith("/") or os.path.normpath(text) != text or text.startswith("//"):
        raise ValueError(f"{text!r} is not an absolute path without '..', '.' and doubled slashes")
    return text


@contextmanager
def locked(file: Path, timeout_s: float) -> Iterator[None]:
    """Alone with ``file`` among all that lock it so, by a lock file beside it. Raises `NotReadyError`."""
    lock = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise NotReadyError(f"another writer holds {file}.lock for {timeout_s:g} s; ask again") from None
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(lock)


def read_small(file: Path, limit: int) -> bytes | None:
    """The bytes of a file; None where there is none. Raises `UnavailableError` for a link, a folder, one too large."""
    try:
        with open(os.open(file, _READ), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise UnavailableError(f"{str(file)!r} is no regular file")
            content = stream.read(limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnavailableError(f"{str(file)!r} cannot be read: {error.strerror}") from error
    if len(content) > limit:
        raise UnavailableError(f"{str(file)!r} is larger than {limit} bytes")
    return content


def replace_file(file: Path, content: bytes) -> None:
    """Put ``content`` in the place of a file's in one step that survives a crash; keeps its owner and mode."""
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        replace_in(folder, file.name, content, 0o644)
    finally:
        os.close(folder)


def replace_in(folder: int, name: str, content: bytes, mode: int) -> None:
    """The same in an open folder; ``mode`` is that of a new file."""
    temporary = f".{name}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    descriptor = os.open(temporary, _NEW, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            _take_over(folder, name, stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        raise
    os.fsync(folder)


def _take_over(folder: int, name: str, descriptor: int, mode: int) -> None:
    try:
        old = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        os.fchmod(descriptor, mode)
        return
    if not stat.S_ISREG(old.st_mode):
        raise UnavailableError(f"{name!r} is no regular file")
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) != (old.st_uid, old.st_gid):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


@contextmanager
def opened_folder(path: str) -> Iterator[int]:
    """A descriptor of a folder, reached without following any link. Raises OSError (ELOOP, ENOTDIR for a link)."""
    current = os.open("/", _WALK)
    try:
        for part in path.split("/"):
            if part:
                below = os.open(part, _WALK, dir_fd=current)
                os.close(current)
                current = below
        readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=current)
    finally:
        os.close(current)
    try:
        yield readable
    finally:
        os.close(readable)


@contextmanager
def opened_file(folder: int, name: str) -> Iterator[int]:
    """A descriptor of a regular file of a folder, for reading. Raises OSError: ELOOP for a link, EINVAL for others."""
    if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise OSError(errno.EINVAL, "is no regular file")
    try:
        # Looking at a file must not change when it was last read; only its owner may ask for that.
        descriptor = os.open(name, _READ | os.O_NOATIME, dir_fd=folder)
    except PermissionError:
        descriptor = os.open(name, _READ, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is no regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def sha256_of(descriptor: int) -> str:
    """Of a whole file, in hex."""
    digest, offset = hashlib.sha256(), 0
    while chunk := os.pread(descriptor, _CHUNK, offset):
        digest.update(chunk)
        offset += len(chunk)
    return digest.hexdigest()


def copy_to(source: int, folder: int, name: str, sha256: str) -> int:
    """A descriptor of a new file ``name`` with the source's content and extended attributes, durable and verified.

    Raises OSError, EIO where what arrived is something else; nothing is left then.
    """
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
    target = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        offset = 0
        while chunk := os.pread(source, _CHUNK, offset):
            view = memoryview(chunk)
            while view:
                view = view[os.write(target, view) :]
            offset += len(chunk)
        for attribute in os.listxattr(source):
            # Those of a security module are set by the module of the other file system.
            with suppress(PermissionError, NotImplementedError, OSError):
                os.setxattr(target, attribute, os.getxattr(source, attribute))
        os.fsync(target)
        if sha256_of(target) != sha256:
            raise OSError(errno.EIO, "the copy is not what was to be copied")
    except BaseException:
        os.close(target)
        os.unlink(name, dir_fd=folder)
        raise
    return target
