"""A time in the precision in which its source gave it: no digit more, none less."""

from __future__ import annotations

from typing import Final

from watchfloor_core.alert import TimePrecision
from watchfloor_core.clock import MICROSECONDS, to_iso

_DECIMALS: Final = {TimePrecision.SECOND: 0, TimePrecision.MILLISECOND: 3}
"""Others have the six that are stored."""


def shown_time(time_us: int, precision: TimePrecision) -> str:
    """RFC 3339, UTC."""
    text = to_iso(time_us).rstrip("Z")
    decimals = _DECIMALS.get(precision, 6)
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.ljust(6, '0')[:decimals]}Z" if decimals else f"{whole}Z"


def least_precision(time_us: int) -> TimePrecision:
    """The coarsest that a time can have been given in, where that is not kept."""
    if time_us % MICROSECONDS == 0:
        return TimePrecision.SECOND
    return TimePrecision.MILLISECOND if time_us % 1_000 == 0 else TimePrecision.MICROSECOND
