"""What every log source must keep to: for the tests of those who write one.

::

    def test_it_keeps_to_the_contract() -> None:
        check_log_source(lambda events: MySource(events), name="mine")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from watchfloor_connectors.contract import check_threads, require
from watchfloor_connectors.logs.listed import ListLogSource
from watchfloor_core.alert import TimePrecision
from watchfloor_core.logs.event import EventType, LogEvent, Value
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.query import Aggregate, AnyOf, Not, Operator, Select, TimeRange, Where
from watchfloor_core.logs.source import Events, Health, LogSource

START_US: Final = 1_772_000_000_000_000


def sample_event(number: int, second: int, type_: EventType = EventType.PROCESS_START, **fields: Value) -> LogEvent:
    """For a source's tests; ``process__name`` stands for ``process.name``."""
    known = {Field(name.replace("__", ".")): value for name, value in fields.items()}
    at = START_US + second * 1_000_000
    return LogEvent(f"{number:064x}", "sample", at, TimePrecision.MICROSECOND, type_, known, {"number": number})


SAMPLE: Final = (
    sample_event(1, 0, host__name="ws1", process__name="cmd.exe", process__pid=10, user__name="ann"),
    sample_event(2, 1, host__name="ws1", process__name="CMD.exe", process__pid=9, user__name="bob"),
    sample_event(3, 1, host__name="ws2", process__name="100%_real.exe", process__pid=11),
    sample_event(
        4, 5, EventType.NETWORK_CONNECTION, host__name="ws2", destination__ip="10.1.2.3", destination__port=443
    ),
    sample_event(5, 9, EventType.NETWORK_CONNECTION, host__name="ws1", destination__ip="2001:db8::1"),
)
"""What `check_log_source` has a source made of."""
_ALL: Final = TimeRange(START_US - 1, START_US + 10_000_000)
_PROCESS: Final = frozenset({EventType.PROCESS_START})


def check_log_source(make: Callable[[Sequence[LogEvent]], LogSource], *, has_all_types: bool = True) -> None:
    """Raises AssertionError with what a source does otherwise than the port says.

    ``make``: the source over these events. ``has_all_types``: False for a source that cannot tell which kinds of event
    it holds.
    """
    source = make(SAMPLE)
    require(isinstance(source, LogSource), f"{source!r} lacks a method of LogSource")
    truth = ListLogSource(source.name, SAMPLE)
    for question in _QUESTIONS:
        given, meant = source.select(question), truth.select(question)
        require(_keys(given) == _keys(meant), f"{question}: {_keys(given)}, expected {_keys(meant)}")
        require(given.is_cut == meant.is_cut, f"{question}: is_cut is {given.is_cut}")
    for counting in _COUNTS:
        counted, right = source.aggregate(counting), truth.aggregate(counting)
        require(counted.groups == right.groups, f"{counting}: {counted.groups}, expected {right.groups}")
        require(counted.is_cut == right.is_cut, f"{counting}: is_cut is {counted.is_cut}")
    _check_coverage(source, has_all_types=has_all_types)
    require(make(()).select(Select(range=_ALL)).coverage.health is Health.DARK, "a source without events is not dark")
    check_threads(
        lambda: require(len(source.select(Select(range=_ALL)).events) == len(SAMPLE), "an answer is not whole")
    )


def _keys(answer: Events) -> list[tuple[int, str]]:
    return [(one.time_us, one.text(Field.PROCESS_NAME) or one.text(Field.DESTINATION_IP)) for one in answer.events]


def _check_coverage(source: LogSource, *, has_all_types: bool) -> None:
    before = TimeRange(START_US - 20, START_US - 10)
    require(source.coverage(before).health is Health.DARK, "time before its first event is not dark")
    require(bool(source.select(Select(range=before)).coverage.reason), "a dark answer gives no reason")
    inside = TimeRange(START_US, START_US + 9_000_000)
    require(source.coverage(inside).health is Health.WHOLE, f"time that it holds is {source.coverage(inside)}")
    require(source.coverage(_ALL.widened(60)).health is not Health.WHOLE, "time that it holds a part of is whole")
    if has_all_types:
        asked = Select(range=inside, types=frozenset({EventType.MAIL}))
        health = source.select(asked).coverage.health
        require(health is Health.PARTIAL, f"a kind of event that it has none of is {health}")


_QUESTIONS: Final = (
    Select(range=_ALL),
    Select(range=_ALL, limit=2),
    Select(range=TimeRange(START_US, START_US + 1_000_000)),
    Select(range=_ALL, types=_PROCESS),
    Select(range=_ALL, where=Where(Field.PROCESS_NAME, Operator.EQUALS, ("cmd.EXE",))),
    Select(range=_ALL, where=Where(Field.PROCESS_NAME, Operator.CONTAINS, ("0%_r",))),
    Select(range=_ALL, where=Where(Field.PROCESS_NAME, Operator.CONTAINS, ("%",))),
    Select(range=_ALL, where=Where(Field.PROCESS_NAME, Operator.STARTS_WITH, ("CMD",))),
    Select(range=_ALL, where=Where(Field.PROCESS_NAME, Operator.ENDS_WITH, (".EXE",))),
    Select(range=_ALL, where=Where(Field.PROCESS_PID, Operator.AT_LEAST, (10,))),
    Select(range=_ALL, where=Where(Field.PROCESS_PID, Operator.AT_MOST, (9,))),
    Select(range=_ALL, where=Where(Field.USER_NAME, Operator.EXISTS)),
    Select(range=_ALL, where=Not(Where(Field.USER_NAME, Operator.EQUALS, ("ann",)))),
    Select(range=_ALL, where=Where(Field.DESTINATION_IP, Operator.IN_NETWORK, ("10.0.0.0/8", "2001:db8::/32"))),
    Select(
        range=_ALL,
        where=AnyOf(
            (Where(Field.HOST_NAME, Operator.EQUALS, ("ws2",)), Where(Field.PROCESS_PID, Operator.EQUALS, (9,)))
        ),
    ),
)
_COUNTS: Final = (
    Aggregate(select=Select(range=_ALL), by=()),
    Aggregate(select=Select(range=_ALL), by=(Field.HOST_NAME,), distinct=Field.USER_NAME),
    Aggregate(select=Select(range=_ALL, types=_PROCESS), by=(Field.USER_NAME, Field.PROCESS_PID), limit=2),
)
