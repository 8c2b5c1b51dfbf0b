"""The entries of a quarantine folder, by its open descriptor: which files from a place it holds."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from watchfloor_connectors.targets.files import opened_file
from watchfloor_connectors.targets.manifest import CONTENT, NAME, Identity, Manifest
from watchfloor_connectors.targets.moving import aside

_KEY: Final = re.compile(r"[0-9a-f]{64}")
_MAX_MANIFEST: Final = 64 * 1024


@contextmanager
def opened_entry(quarantine: int, key: str) -> Iterator[int]:
    opened = os.open(key, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=quarantine)
    try:
        yield opened
    finally:
        os.close(opened)


def held_from(quarantine: int, path: str) -> list[Manifest]:
    """The entries that hold a file from this path, the oldest first."""
    found = []
    for key in os.listdir(quarantine):
        if not _KEY.fullmatch(key):
            continue
        with suppress(FileNotFoundError), opened_entry(quarantine, key) as entry:
            os.stat(CONTENT, dir_fd=entry, follow_symlinks=False)
            with opened_file(entry, NAME) as file:
                manifest = Manifest.read(os.pread(file, _MAX_MANIFEST, 0))
            if manifest is not None and (manifest.path, manifest.key) == (path, key):
                found.append(manifest)
    return sorted(found, key=lambda one: (one.contained_us, one.key))


def is_back(quarantine: int, manifest: Manifest, at_place: Identity | None) -> bool:
    """Whether the file is back at its place already, and a crash kept it from being forgotten here."""
    if at_place is None:
        return False
    with opened_entry(quarantine, manifest.key) as entry:
        return at_place.is_at(entry, CONTENT) or manifest.describes(at_place)


def finish_restoring(quarantine: int, path: str, folder: int) -> None:
    """Forget what is back at its place (in the open ``folder``), as a crash may have kept that from being done."""
    name = path.rpartition("/")[2]
    held = held_from(quarantine, path)
    if not held:
        return
    try:
        with opened_file(folder, name) as file:
            at_place = Identity.of(file)
    except FileNotFoundError:
        return
    for manifest in held:
        if not is_back(quarantine, manifest, at_place):
            continue
        if at_place.is_at(folder, aside(manifest.key)):
            os.unlink(aside(manifest.key), dir_fd=folder)
        with opened_entry(quarantine, manifest.key) as entry:
            os.unlink(CONTENT, dir_fd=entry)
        forget(quarantine, manifest.key)


def forget(quarantine: int, key: str) -> None:
    """Remove an entry whose file is gone from it."""
    with opened_entry(quarantine, key) as entry:
        os.unlink(NAME, dir_fd=entry)
    os.rmdir(key, dir_fd=quarantine)
