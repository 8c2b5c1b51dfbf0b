"""When things happen: two working days, in microseconds since the Unix epoch, UTC."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from watchfloor_core.clock import MICROSECONDS, from_datetime
from watchfloor_service.demo.generator.chance import Chance

SECOND: Final = MICROSECONDS
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

FIRST_DAY: Final = from_datetime(datetime(2026, 3, 10, tzinfo=UTC))
"""A Tuesday; the second day is the Wednesday after it."""
SECOND_DAY: Final = FIRST_DAY + DAY
DAYS: Final = (FIRST_DAY, SECOND_DAY)

_OFFICE_WEIGHTS: Final = (0, 0, 0, 0, 0, 1, 3, 9, 19, 20, 18, 14, 9, 14, 17, 16, 13, 8, 3, 2, 1, 1, 0, 0)
"""How busy people are in each hour of the day."""


def at(day: int, clock: str) -> int:
    """The moment of a day that a clock shows, e.g. ``at(SECOND_DAY, "09:14:30")``."""
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    return day + hours * HOUR + minutes * MINUTE + seconds * SECOND


def in_office_hours(chance: Chance, day: int, count: int) -> Iterator[int]:
    """Moments at which people work."""
    for _ in range(count):
        yield day + chance.weighted(_OFFICE_WEIGHTS) * HOUR + chance.whole(0, HOUR - 1)


def around_the_clock(chance: Chance, day: int, count: int) -> Iterator[int]:
    """Moments at which the Internet is awake: all of them."""
    for _ in range(count):
        yield day + chance.whole(0, DAY - 1)


def between(chance: Chance, start: int, end: int, count: int) -> Iterator[int]:
    for _ in range(count):
        yield chance.whole(start, end - 1)


def every(chance: Chance, day: int, minutes: int, *, jitter_s: int) -> Iterator[int]:
    """Moments at which a machine does the same again all day."""
    for moment in range(day, day + DAY, minutes * MINUTE):
        yield moment + chance.whole(0, jitter_s * SECOND)


def stamp(us: int, digits: int) -> str:
    """``2026-03-10T08:15:02.123`` with so many digits of the second's fraction; the zone is the caller's."""
    seconds, micros = divmod(us, SECOND)
    fraction = f"{micros:06d}0"[:digits]
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction}"
