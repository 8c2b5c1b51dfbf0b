"""Time as Watchfloor stores it: integer microseconds since the Unix epoch, UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime

MICROSECONDS = 1_000_000


def now_us() -> int:
    """The wall clock, in microseconds."""
    return time.time_ns() // 1_000


def to_iso(us: int) -> str:
    """RFC 3339 with microseconds and ``Z``."""
    seconds, micros = divmod(us, MICROSECONDS)
    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{micros:06d}Z" if micros else f"{stamp}Z"


def from_datetime(moment: datetime) -> int:
    """Microseconds of an aware datetime, exact (no float). A naive one raises ValueError."""
    if moment.tzinfo is None:
        raise ValueError(f"time {moment!r} has no zone; give an offset or Z")
    delta = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * MICROSECONDS + delta.microseconds
