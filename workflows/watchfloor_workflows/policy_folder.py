"""A policy bundle as a folder: its files' bytes, and whether they are still the ones that were read.

The bundle in force is ``<data_dir>/policy/current``, a link to ``versions/<n>`` beside it. A version's folder is
written once and then only the link moves, by one rename.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_guardrails.bundle import MAX_FILE_BYTES, MAX_FILES

FolderStamp: TypeAlias = tuple[str, tuple[tuple[str, int, int, int, int], ...]]
"""The folder that the link leads to; name, modification and change time, size and inode of everything in it."""

_CURRENT: Final = "current"
_VERSIONS: Final = "versions"


def policy_home(data_dir: Path) -> Path:
    return data_dir / "policy"


def current_bundle(data_dir: Path) -> Path:
    return policy_home(data_dir) / _CURRENT


def stamp_of(folder: Path) -> FolderStamp:
    """Raises OSError where the folder cannot be read."""
    place = os.path.realpath(folder)
    with os.scandir(place) as entries:
        states = sorted((entry.name, entry.stat(follow_symlinks=False)) for entry in entries)
    # The change time is the system's own: who alters a file's bytes cannot set it back with them.
    return place, tuple((name, s.st_mtime_ns, s.st_ctime_ns, s.st_size, s.st_ino) for name, s in states)


def read_folder(folder: Path) -> dict[str, bytes]:
    """Every file of a bundle by its name.

    Raises `ConfigurationError` where the folder cannot be read, or holds anything but plain files of a policy's size.
    """
    problems: list[Problem] = []
    files: dict[str, bytes] = {}
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        if len(found) > MAX_FILES:
            raise ConfigurationError([Problem(f"holds {len(found)} files; at most {MAX_FILES} are read", str(folder))])
        for entry in found:
            if not entry.is_file(follow_symlinks=False):
                problems.append(Problem("is not a plain file; a policy bundle holds nothing else", entry.path))
            elif (size := entry.stat(follow_symlinks=False).st_size) > MAX_FILE_BYTES:
                problems.append(Problem(f"has {size} bytes; at most {MAX_FILE_BYTES} are read", entry.path))
            else:
                files[entry.name] = Path(entry.path).read_bytes()
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); name the folder of a policy bundle"
        raise ConfigurationError([Problem(reason, str(error.filename or folder))]) from error
    if problems:
        raise ConfigurationError(problems)
    return files


@contextmanager
def one_at_a_time(data_dir: Path) -> Iterator[None]:
    """Holds other activations in this data directory up: else the link could be moved back by a slower one.

    Raises `ConfigurationError` where the folder cannot be written.
    """
    home = policy_home(data_dir)
    with _writing(home):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(home / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_version(data_dir: Path, version: int, files: Mapping[str, bytes]) -> None:
    """Keep a version's files durably; what an activation that failed may have left under this number is replaced.

    Raises `ConfigurationError` where that cannot be written.
    """
    versions = policy_home(data_dir) / _VERSIONS
    folder = versions / str(version)
    with _writing(folder):
        if folder.is_dir() and _holds(folder, files):
            return
        versions.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = versions / f".{version}.{secrets.token_hex(8)}"
        draft.mkdir(mode=0o700)
        try:
            for name, data in files.items():
                with open(draft / name, "xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            if folder.exists():
                shutil.rmtree(folder)
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        _sync(versions)


def point_to(data_dir: Path, version: int) -> None:
    """Put a version that `write_version` has kept in force, atomically.

    Raises `ConfigurationError` where that cannot be written.
    """
    home = policy_home(data_dir)
    draft = home / f".{_CURRENT}.{secrets.token_hex(8)}"
    with _writing(home / _CURRENT):
        draft.symlink_to(Path(_VERSIONS) / str(version), target_is_directory=True)
        try:
            draft.replace(home / _CURRENT)
        finally:
            draft.unlink(missing_ok=True)
        _sync(home)


def _holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    try:
        return read_folder(folder) == files
    except ConfigurationError:
        return False


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{str(place)!r} cannot be written ({error.strerror}); mend that, then activate the policy again"
        ) from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
