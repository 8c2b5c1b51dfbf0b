"""Times as sensors write them, to exact microseconds and the precision they were given in.

No floating point: a time that a sensor wrote in nanoseconds is cut to microseconds, never rounded, so that equal texts
give equal times everywhere. A float from JSON is read back through its shortest decimal text, which is what was sent.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

from watchfloor_core.alert import TimePrecision
from watchfloor_core.clock import MICROSECONDS, from_datetime
from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Json
from watchfloor_core.untrusted import quote_untrusted

Moment = tuple[int, TimePrecision]
"""Microseconds since the Unix epoch, UTC, and the precision of the source."""

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_FIRST_US: Final = 631_152_000 * MICROSECONDS
"""1990-01-01: an earlier time is a wrong unit, or a clock that was never set."""
_LAST_US: Final = 4_102_444_800 * MICROSECONDS
"""2100-01-01: a later time is a wrong unit."""
_PRECISIONS: Final = (
    TimePrecision.SECOND,
    TimePrecision.MILLISECOND, TimePrecision.MILLISECOND, TimePrecision.MILLISECOND,
    TimePrecision.MICROSECOND, TimePrecision.MICROSECOND, TimePrecision.MICROSECOND,
    TimePrecision.NANOSECOND, TimePrecision.NANOSECOND, TimePrecision.NANOSECOND,
)  # fmt: skip
"""By the number of decimal digits of a second."""

_ISO: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?(?: ?(Z|z|UTC|[+-]\d\d(?::?\d\d)?))?",
    re.ASCII,
)
_DECIMAL: Final = re.compile(r"(\d{1,20})(?:\.(\d{1,20}))?", re.ASCII)

_UNIT_DIGITS: Final = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_MICROS: Final = {
    "s": (MICROSECONDS, 1, TimePrecision.SECOND),
    "ms": (1000, 1, TimePrecision.MILLISECOND),
    "us": (1, 1, TimePrecision.MICROSECOND),
    "ns": (1, 1000, TimePrecision.NANOSECOND),
}


def parse_iso(text: str, zone: tzinfo | None = None) -> Moment:
    """ISO 8601 and its common variants: T or space, comma or point, ``Z``, ``UTC``, ``+0000``, ``+00:00``, ``+00``.

    ``zone`` says what a time without offset means; without it such a time is refused. In the hour that a zone's clock
    runs twice, the first is taken.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        raise RecordError(f"{quote_untrusted(text, 60)} is no ISO 8601 time, e.g. 2024-06-13T09:45:56.123Z")
    day, hour, minute, second, fraction, offset = match.groups()
    seconds = _day_seconds(day) + _clock_seconds(hour, minute, second or "00")
    if offset is None:
        if zone is None:
            raise RecordError(f"{quote_untrusted(text, 60)} has no zone: an offset or Z was expected")
        seconds -= _zone_offset(text, seconds, zone)
    elif len(offset) > 3 or offset[0] in "+-":
        seconds -= _offset_seconds(offset)
    if fraction is None:
        return _checked(seconds * MICROSECONDS, text), TimePrecision.SECOND
    micros = int(fraction[:6].ljust(6, "0"))
    return _checked(seconds * MICROSECONDS + micros, text), _PRECISIONS[min(len(fraction), 9)]


def parse_epoch(value: Json, unit: str | None = None) -> Moment:
    """Time since the Unix epoch as an integer, a float or a decimal text.

    ``unit`` is s, ms, us or ns; without it the size decides (seconds until the year 5138 have 11 digits at most).
    """
    if unit is not None and type(value) is str and value.isascii() and value.isdecimal() and len(value) <= 20:
        # The common case, ten times as fast.
        return _checked(int(value) * _MICROS[unit][0] // _MICROS[unit][1], value), _MICROS[unit][2]
    text = value if isinstance(value, str) else repr(value) if type(value) in (int, float) else ""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise RecordError(f"{quote_untrusted(str(value), 60)} is no time since the Unix epoch: a number was expected")
    whole, fraction = match.groups(default="")
    if unit is None:
        size = len(whole.lstrip("0"))
        unit = "s" if size <= 11 else "ms" if size <= 14 else "us" if size <= 17 else "ns"
    digits = _UNIT_DIGITS[unit]
    # As one integer of nanoseconds or finer, then cut to microseconds.
    micros = int(whole + fraction[: max(0, 6 - digits)].ljust(max(0, 6 - digits), "0"))
    if digits > 6:
        micros //= 10 ** (digits - 6)
    return _checked(micros, text), _PRECISIONS[min(9, digits + len(fraction.rstrip("0")))]


def parse_time(value: Json, zone: tzinfo | None = None) -> Moment:
    """A number or digits as time since the epoch, any other text as ISO 8601."""
    if isinstance(value, str) and not value[4:5].isdigit():
        return parse_iso(value, zone)
    return parse_epoch(value)


def parse_format(text: str, pattern: str, zone: tzinfo | None = None) -> Moment:
    """A time in a pattern of `datetime.strptime`; ``%f`` is microseconds."""
    try:
        moment = datetime.strptime(text, pattern)  # noqa: DTZ007  # the zone is looked at below
    except ValueError:
        raise RecordError(f"{quote_untrusted(text, 60)} is no time of the form {pattern!r}") from None
    if moment.tzinfo is None:
        if zone is None:
            raise RecordError(f"{quote_untrusted(text, 60)} has no zone: state one for {pattern!r}")
        moment = moment.replace(tzinfo=zone)
    return _checked(from_datetime(moment), text), TimePrecision.MICROSECOND if "%f" in pattern else TimePrecision.SECOND


def _checked(micros: int, text: str) -> int:
    if _FIRST_US <= micros < _LAST_US:
        return micros
    raise RecordError(f"the time {quote_untrusted(text, 60)} is not between 1990 and 2100: is its unit another?")


# A file's records come from few days, minutes and offsets: each is computed once.
@lru_cache(maxsize=4096)
def _day_seconds(day: str) -> int:
    try:
        return (date.fromisoformat(day).toordinal() - _EPOCH_DAY) * 86_400
    except ValueError as error:
        raise RecordError(f"{quote_untrusted(day)} is no date: {error}") from None


def _clock_seconds(hour: str, minute: str, second: str) -> int:
    hours, minutes, seconds = int(hour), int(minute), int(second)
    # A leap second is the following second, as in POSIX time.
    if hours > 23 or minutes > 59 or seconds > 60:
        raise RecordError(f"{hour}:{minute}:{second} is no time of day")
    return hours * 3600 + minutes * 60 + seconds


@lru_cache(maxsize=256)
def _offset_seconds(offset: str) -> int:
    if offset == "UTC":
        return 0
    digits = offset[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        raise RecordError(f"{offset} is no offset from UTC")
    seconds = hours * 3600 + minutes * 60
    return -seconds if offset[0] == "-" else seconds


def _zone_offset(text: str, local_seconds: int, zone: tzinfo) -> int:
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=local_seconds)).replace(tzinfo=zone)
    if local.astimezone(UTC).astimezone(zone).replace(fold=0) != local:
        raise RecordError(f"{quote_untrusted(text, 60)} does not exist in {zone}: its clock leaps over it")
    offset = local.utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
