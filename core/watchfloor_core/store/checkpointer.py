"""Checkpoints of the SQLite file, taken off the writers' way.

In WAL mode a commit appends pages to a log, and from time to time these have to be copied into the file: a checkpoint.
SQLite does that inside whichever commit finds the log too long, and that writer waits tens of milliseconds for the
disk. Here a thread does it, some seconds after a commit; writers do it only where the thread cannot keep up.

It is a ``PASSIVE`` checkpoint (https://sqlite.org/pragma.html#pragma_wal_checkpoint): it waits for nobody, and nobody
waits for it. Several processes may do it at once; all but one of them find it being done. A process that dies in the
middle has copied some pages twice, which changes nothing: the log is let go of only when all of it is in the file.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 5.0
"""From a commit to its checkpoint."""
LEAST_PAGES: Final = 1_000
"""A shorter log is left alone: the first commit after a checkpoint begins the log anew, and syncs its header."""
_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24


class Checkpointer:
    """Runs ``checkpoint`` some time after the first commit that came since the last run. Thread-safe.

    Its thread starts with the first commit, sleeps while nothing is written, and keeps no process alive.
    """

    def __init__(self, checkpoint: Callable[[], object], *, interval_s: float = INTERVAL_S) -> None:
        self._checkpoint = checkpoint
        self._interval_s = interval_s
        self._changed = threading.Condition()
        self._is_due = False
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def note_commit(self) -> None:
        """There is something to copy. Costs next to nothing, and never raises."""
        # Read without the lock: whoever clears it does so before it looks at the log, where this commit is already.
        if self._is_due:
            return
        with self._changed:
            if self._is_closed:
                return
            self._is_due = True
            self._changed.notify()
            if self._thread is None:
                self._thread = self._start()

    def close(self) -> None:
        """End the thread, after the checkpoint that it is in the middle of. Nothing is checkpointed from here on."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _start(self) -> threading.Thread | None:
        thread = threading.Thread(target=self._run, name="store-checkpoint", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # No threads left, or the interpreter is ending. The commit has happened; writers do without.
            logger.warning("no thread for checkpoints of the store: %s", error)
            self._is_due = False
            return None
        return thread

    def _run(self) -> None:
        while self._waited():
            try:
                self._checkpoint()
            except (sqlite3.Error, OSError) as error:
                # Writers go on, and checkpoint themselves once the log is very long.
                name = getattr(error, "sqlite_errorname", None) or type(error).__name__
                logger.warning("the store's write-ahead log was not copied into its file: %s", name)

    def _waited(self) -> bool:
        """True where it is time for a checkpoint; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_due or self._is_closed)
            self._changed.wait_for(lambda: self._is_closed, self._interval_s)
            self._is_due = False
            return not self._is_closed


def checkpoint(path: Path, *, least_pages: int = LEAST_PAGES) -> bool:
    """Copy the log of the database at ``path`` into it, where the log holds ``least_pages`` or more.

    True where that was tried. Raises `sqlite3.Error` and `OSError`.
    """
    if not _holds(Path(f"{path}-wal"), least_pages):
        return False
    # ``rw``: a file that is gone is not made anew.
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=0)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    return True


def _holds(log: Path, pages: int) -> bool:
    """Whether the log in use has so many pages. Its file does not tell: it keeps its length when the log begins anew.

    Header and frames carry the same salts, and a log that begins anew has others (https://sqlite.org/fileformat2.html,
    "The Write-Ahead Log"). So where frame ``pages`` has the header's, the log reaches that far.
    """
    try:
        with log.open("rb", buffering=0) as file:
            header = file.read(_HEADER_BYTES)
            page_bytes = int.from_bytes(header[8:12], "big")
            file.seek(_HEADER_BYTES + (pages - 1) * (_FRAME_HEADER_BYTES + page_bytes))
            frame = file.read(_FRAME_HEADER_BYTES)
    except FileNotFoundError:
        return False
    return len(header) == _HEADER_BYTES and len(frame) == _FRAME_HEADER_BYTES and frame[8:16] == header[16:24]
