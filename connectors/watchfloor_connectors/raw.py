"""One record as it stood in its input, before any connector has looked at it."""

from __future__ import annotations

from typing import Final, NamedTuple

from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Record

MAX_RAW_BYTES: Final = 64 * 1024 * 1024
"""So many bytes of a record are held; of a longer one the rest is counted, not kept."""


class RawRecord(NamedTuple):
    """One framed record. A NamedTuple because a frozen dataclass takes three times as long to make."""

    position: int
    """1-based number within the input; a CSV header and blank lines are not counted."""
    raw: bytes
    """The record's exact bytes in the input's encoding, without line terminator; cut at 64 MiB, as its error says."""
    record: Record | RecordError
    """The decoded record, or why there is none."""
    preamble: bytes = b""
    """What must stand before ``raw`` for it to be read alone: the CSV header line, a UTF-16 byte order mark."""
    columns: tuple[str, ...] | None = None
    """The CSV header; None for JSON."""
