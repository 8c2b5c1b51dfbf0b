"""The watched folder: every complete file in it is taken in once, then moved to ``done/`` or ``failed/`` beside.

A file counts as complete when it is renamed in (its content is older than a second by then) or has kept its size for a
second. Names that begin with a dot or end in ``.tmp`` are left alone, so that senders can write under such a name and
rename when they are done. Several watchers may share a folder on one machine.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from watchfiles import watch

from watchfloor_connectors.registry import Registry
from watchfloor_core.errors import ConfigurationError, ConflictError, UnavailableError
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.ingest import BatchResult, register_source
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_service.intake.dropped_file import ClaimedFile, Lanes, put_failed
from watchfloor_service.runs.input_file import InputFile, examine
from watchfloor_service.runs.reading import connector_choice, read_in

_LOG = logging.getLogger(__name__)

SETTLE_S: Final = 1.0
LOOK_EVERY_MS: Final = 1_000
"""A file that stops growing raises no event, so the folder is looked at without one, too."""
UNAVAILABLE_PAUSE_S: Final = 5.0

_REFUSED: Final = frozenset({errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENXIO})
"""A link, a file that is not ours to read, a socket; any other failure to open may pass."""

Look = tuple[int, int, int, float]
"""Inode, size, modification time in ns, and when (monotonic) they were first seen so."""


class FolderIntake:
    """Takes the files of one folder in for the settings' tenant."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        registry: Registry,
        folder: Path,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Raises `ConfigurationError` where the folder cannot be used."""
        if not folder.is_dir():
            raise ConfigurationError(f"watch_folder {str(folder)!r} is no folder; make it or name another")
        self._lanes = Lanes(folder.resolve())
        self._store = store
        self._settings = settings
        self._choose = connector_choice(registry, None)
        self._monotonic = monotonic
        self._wall = wall
        self._looks: dict[str, Look] = {}
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch from a thread of its own until the block ends."""
        thread = threading.Thread(target=self._run, name="folder", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def look(self) -> int:
        """Take in what is complete now and what a killed watcher left; returns the number of files moved away.

        Raises `UnavailableError` or `ConflictError` where the store cannot take it; the file is found again later.
        """
        moved = 0
        for path in (*sorted(self._lanes.taking.iterdir()), *self._complete()):
            if self._stop.is_set():
                break
            try:
                claimed = ClaimedFile.claim(self._lanes, path)
            except (OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno not in _REFUSED:
                    raise
                _LOG.warning("%s in the watched folder cannot be read: %s", escape_untrusted(path.name), error)
                moved += self._refuse(path)
                continue
            if claimed is not None:
                with claimed:
                    moved += self._take(claimed)
        return moved

    def _run(self) -> None:
        # It logs every change of the folder, our own moves among them.
        logging.getLogger("watchfiles").setLevel(logging.WARNING)
        while not self._stop.is_set():
            try:
                self.look()
                for _ in watch(
                    self._lanes.folder,
                    watch_filter=None,
                    stop_event=self._stop,
                    rust_timeout=LOOK_EVERY_MS,
                    yield_on_timeout=True,
                    recursive=False,
                    raise_interrupt=False,
                ):
                    self.look()
            except (UnavailableError, ConflictError, OSError) as error:
                _LOG.warning("the watched folder waits: %s", error)
                self._stop.wait(UNAVAILABLE_PAUSE_S)

    def _complete(self) -> list[Path]:
        """The files that nobody writes any more, by name; links and pipes are among them, to be refused."""
        found: list[Path] = []
        looks: dict[str, Look] = {}
        with os.scandir(self._lanes.folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.endswith(".tmp") or entry.is_dir(follow_symlinks=False):
                    continue
                try:
                    state = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if not stat.S_ISREG(state.st_mode) or self._has_settled(entry.name, state, looks):
                    found.append(Path(entry.path))
        self._looks = looks
        return sorted(found)

    def _has_settled(self, name: str, state: os.stat_result, looks: dict[str, Look]) -> bool:
        seen = (state.st_ino, state.st_size, state.st_mtime_ns)
        before = self._looks.get(name)
        since = before[3] if before is not None and before[:3] == seen else self._monotonic()
        looks[name] = (*seen, since)
        is_old = self._wall() - state.st_mtime >= SETTLE_S
        return is_old or self._monotonic() - since >= SETTLE_S

    def _refuse(self, path: Path) -> int:
        reason = "links, pipes, devices and files that cannot be read are not taken in; put a copy of the file here"
        try:
            put_failed(self._lanes, path, path.name, reason)
        except FileNotFoundError:
            return 0
        return 1

    def _take(self, claimed: ClaimedFile) -> int:
        shown = escape_untrusted(claimed.name)
        try:
            inputs = examine([claimed.path])
            if not inputs.files:
                raise ConfigurationError(f"it cannot be read: {inputs.unreadable[0].reason}")
            file = inputs.files[0]
            counts = self._read(file, shown)
        except (UnavailableError, ConflictError):
            raise
        except ConfigurationError as error:
            _LOG.warning("%s failed: %s", shown, escape_untrusted(str(error)))
            claimed.put_failed(str(error))
            return 1
        except Exception as error:  # noqa: BLE001 -- the thread's boundary: one file must not keep the others out
            _LOG.exception("%s failed unexpectedly", shown)
            claimed.put_failed(f"unexpected {type(error).__name__}; the log has it")
            return 1
        if counts is None:
            return 0
        if claimed.has_changed():
            claimed.put_failed(
                "it was written to while it was read; what was read is in. Write under a name that begins with a dot "
                "and rename the file when it is complete"
            )
        else:
            claimed.put_done(file.sha256)
            _LOG.info("%s taken in: %s", shown, counts)
        return 1

    def _read(self, file: InputFile, shown: str) -> str | None:
        """What became of the file's records; None where we were told to stop first."""
        results: list[BatchResult] = []
        tenant = self._settings.tenant
        with self._store.write() as connection:
            register_source(connection, tenant, file.source_id, f"folder: {shown}", is_bounded=True)
        reading = read_in(
            self._store, self._settings, tenant, file, self._choose, stop=self._stop, on_batch=results.append
        )
        if not reading.is_complete:
            return None
        alerts = sum(result.alerts for result in results)
        dead = sum(result.dead for result in results)
        return f"{alerts} new alerts, {dead} dead letters, {reading.skipped} records known before"
