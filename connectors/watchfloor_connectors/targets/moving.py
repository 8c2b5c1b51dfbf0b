"""The moves of a quarantine: each is one step that happens or does not, and none takes another file for the one meant.

All go by descriptors of folders. Names inside them can be exchanged by whoever can write there, so a file is taken away
by a rename and looked at afterwards: a rename destroys nothing and can be taken back, which a removal cannot.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from watchfloor_connectors.targets.files import copy_to, opened_file
from watchfloor_connectors.targets.manifest import CONTENT, Identity, Manifest
from watchfloor_core.errors import UnavailableError
from watchfloor_guardrails.effect import NotDoneError

_PART = "part"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file is or was: the open folder and its name there."""

    folder: int
    name: str
    shown: str
    """The whole path, quoted for messages."""


def aside(key: str) -> str:
    """The name that a file has while it goes from one file system to another."""
    return f".wf-{key}"


def take(place: Place, file: int, entry: int, key: str, found: Identity) -> None:
    """Into the quarantine's entry. ``file`` is open and is ``found``. Raises as `nothing_done_by_failing` has it."""
    try:
        os.rename(place.name, CONTENT, src_dir_fd=place.folder, dst_dir_fd=entry)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _take_copy(place, file, entry, key, found)
        return
    with _open_by_failing(place):
        if not found.is_at(entry, CONTENT):
            _return_stranger(place, entry, CONTENT, "stray")
        with suppress(OSError):
            # Only its owner may; the folders above keep everybody out in any case.
            os.fchmod(file, 0)
        os.fsync(entry)
        os.fsync(place.folder)


def _take_copy(place: Place, file: int, entry: int, key: str, found: Identity) -> None:
    """Across file systems: copy and verify first, then take the original away."""
    copied = copy_to(file, entry, _PART, found.sha256)
    try:
        os.fchmod(copied, 0)
    finally:
        os.close(copied)
    os.rename(place.name, aside(key), src_dir_fd=place.folder, dst_dir_fd=place.folder)
    with _open_by_failing(place):
        if not found.is_at(place.folder, aside(key)):
            _return_stranger(place, place.folder, aside(key), aside(key))
        os.rename(_PART, CONTENT, src_dir_fd=entry, dst_dir_fd=entry)
        os.fsync(entry)
        os.unlink(aside(key), dir_fd=place.folder)
        os.fsync(place.folder)


def _return_stranger(place: Place, folder: int, name: str, kept_as: str) -> None:
    """Put back what was exchanged for the file in the moment before the rename. Always raises."""
    try:
        os.link(name, place.name, src_dir_fd=folder, dst_dir_fd=place.folder, follow_symlinks=False)
        os.unlink(name, dir_fd=folder)
    except OSError:
        # A folder cannot be linked, and the name may be taken again: then it stays, under a name that tells it apart.
        os.rename(name, kept_as, src_dir_fd=folder, dst_dir_fd=folder)
        raise UnavailableError(
            f"another thing was put at {place.shown} meanwhile and could not be put back; it is {kept_as!r} now"
        ) from None
    raise NotDoneError(f"{place.shown} was exchanged for another file meanwhile")


def put_back(place: Place, entry: int, manifest: Manifest) -> None:
    """Out of the quarantine's entry, as it was, if its place is free. Raises as `nothing_done_by_failing` has it."""
    with suppress(PermissionError):
        os.chmod(CONTENT, 0o400, dir_fd=entry)
    with opened_file(entry, CONTENT) as file:
        try:
            if Identity.of(file).sha256 != manifest.sha256:
                raise NotDoneError(f"what is in quarantine for {place.shown} is not what was put there; look at it")
            manifest.restore_attributes(file)
            try:
                # A link, as a rename would take the place of what stands there.
                os.link(CONTENT, place.name, src_dir_fd=entry, dst_dir_fd=place.folder, follow_symlinks=False)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                _put_copy_back(place, file, manifest)
        except BaseException:
            os.fchmod(file, 0)
            raise
    with _open_by_failing(place):
        os.fsync(place.folder)
        os.unlink(CONTENT, dir_fd=entry)
        os.fsync(entry)


def _put_copy_back(place: Place, file: int, manifest: Manifest) -> None:
    part = aside(manifest.key)
    copied = copy_to(file, place.folder, part, manifest.sha256)
    try:
        manifest.restore_attributes(copied)
        os.fsync(copied)
        os.link(part, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder, follow_symlinks=False)
    finally:
        os.close(copied)
        with suppress(OSError):
            os.unlink(part, dir_fd=place.folder)


@contextmanager
def nothing_done_by_failing(shown: str) -> Iterator[None]:
    """What comes before the one step that counts: an error of the system means `NotDoneError`."""
    try:
        yield
    except FileExistsError:
        raise NotDoneError(f"the place {shown} is taken by another file") from None
    except FileNotFoundError:
        raise NotDoneError(f"{shown} is not there, or its folder") from None
    except OSError as error:
        raise NotDoneError(f"{shown} was left where it is: {error.strerror}") from error


@contextmanager
def _open_by_failing(place: Place) -> Iterator[None]:
    """What comes after it: an error of the system leaves the outcome open."""
    try:
        yield
    except OSError as error:
        raise UnavailableError(f"{place.shown} was moved, and then: {error.strerror}") from error
