"""The log sources of a tenant, opened once and kept until their files change."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from watchfloor_connectors.logs.config import FilesModel, LogSettings
from watchfloor_connectors.logs.dark import DarkLogSource
from watchfloor_connectors.logs.embedded import open_logs
from watchfloor_core.errors import WatchfloorError
from watchfloor_core.logs.source import LogSource

logger = logging.getLogger(__name__)

Stamp = tuple[tuple[str, int, int], ...]
"""Path, size and time of change of every file."""
MAX_FILES: Final = 100_000


class LogShelf:
    """Opens what `LogSettings` name, when first asked. Thread-safe.

    A source that cannot be opened is dark, and says why in each answer; it is tried again when its files change.
    """

    def __init__(self, settings: LogSettings, folder: Path) -> None:
        """``folder``: where what was read from files is kept, so that a restart need not read them again."""
        self._settings = settings
        self._folder = folder
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Stamp, LogSource]] = {}

    def of(self, tenant: str) -> Sequence[LogSource]:
        """In the order of the file."""
        return tuple(self._source(one) for one in self._settings.of(tenant))

    def _source(self, model: FilesModel) -> LogSource:
        paths = [self._settings.folder / path for path in model.paths]
        # One at a time: two threads would read the same files twice.
        with self._lock:
            stamp = _stamp(paths)
            held = self._open.get(model.name)
            if held is None or held[0] != stamp:
                held = self._open[model.name] = (stamp, self._opened(model, paths))
            return held[1]

    def _opened(self, model: FilesModel, paths: Sequence[Path]) -> LogSource:
        try:
            return open_logs(paths, name=model.name, directory=self._folder)
        except (WatchfloorError, OSError) as error:
            logger.warning("log source %s cannot be opened: %s", model.name, error)
            return DarkLogSource(model.name, f"cannot be opened: {error}")


def _stamp(paths: Sequence[Path]) -> Stamp:
    found: list[tuple[str, int, int]] = []
    for path in paths:
        files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        for file in files[:MAX_FILES]:
            try:
                at = file.stat()
            except OSError:
                continue
            found.append((str(file), at.st_size, at.st_mtime_ns))
    return tuple(found)
