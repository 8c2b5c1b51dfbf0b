"""The SQLite file itself: who may read it, and whose turn it is to write."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from watchfloor_core.errors import ConfigurationError, UnavailableError

WAIT_S: Final = 30.0
"""How long a writer waits for another one."""
_POLL_S: Final = 0.001


def prepare_file(path: Path) -> None:
    """Make the file (0600) and its folder (0700) where they are missing, and switch the file to WAL.

    Raises `ConfigurationError` where the place cannot be written, `sqlite3.DatabaseError` where the file is no
    database.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(path)
    except OSError as error:
        raise ConfigurationError(
            f"the store {str(path)!r} cannot be made ({error.strerror}); "
            "give this user write access to the folder, or set data_dir or database_url"
        ) from error
    if not path.is_file():
        raise ConfigurationError(f"the store {str(path)!r} is not a file; name a file in database_url")
    for place in (path, path.parent):
        if not os.access(place, os.W_OK):
            raise ConfigurationError(
                f"{str(place)!r} is not writable, and SQLite writes the store and files beside it; "
                "give this user write access"
            )
    # Two processes that switch at once would fail each other with "locked", whatever their busy timeout.
    with writers_turn(path), closing(sqlite3.connect(path, timeout=WAIT_S)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            connection.execute("PRAGMA journal_mode = WAL")


def _create(path: Path) -> None:
    if path.exists():
        # Never opened by us from now on: closing any descriptor of a database file drops the POSIX locks that
        # SQLite holds on it in this process.
        return
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return  # another process was first


@contextmanager
def writers_turn(path: Path) -> Iterator[None]:
    """A turnstile: held while a writer waits for SQLite's lock, so that writers take turns.

    SQLite has no queue: a waiting writer polls ever more slowly, and one that writes batch after batch would starve
    it. Whoever wants to write passes here first, so the one that just wrote stands behind the one that waits.
    Raises `UnavailableError` after `WAIT_S`.
    """
    deadline = time.monotonic() + WAIT_S
    # A descriptor of its own for each turn: flock then also holds between threads.
    descriptor = os.open(f"{path}-turn", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"another process has waited to write {str(path)!r} for {WAIT_S:.0f} s; "
                        "stop the process that holds the store, or retry later"
                    ) from None
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)
