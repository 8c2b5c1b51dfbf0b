"""A log file of bounded size: when it is full it becomes ``.1``, that one ``.2``, and the oldest goes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 10 * 1024 * 1024
KEPT: Final = 3
"""Files a log consists of, the current one included."""


class RotatingLog:
    """Takes a child's output as it comes, in bytes."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._kept = kept
        self._file = open(path, "ab", opener=_private)  # noqa: SIM115 - held open until `close`

    def write(self, data: bytes) -> None:
        """Append, after making room; what does not fit into one file is cut at its size."""
        if self._file.tell() + len(data) > self._max_bytes and self._file.tell() > 0:
            self._rotate()
        self._file.write(data[: self._max_bytes])
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self._kept - 1, 0, -1):
            older = self.path if number == 1 else self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        self._file = open(self.path, "wb", opener=_private)  # noqa: SIM115 - as above

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
