"""How far event time is complete, from what the sources have given."""

from __future__ import annotations

from watchfloor_agents.correlation.watermark import Watermark, watermark
from watchfloor_core.clock import MICROSECONDS
from watchfloor_core.store.sources import SourceRow

NOW = 1_000_000 * MICROSECONDS
MINUTE = 60 * MICROSECONDS


def source(
    name: str,
    event_us: int | None,
    *,
    received_us: int | None = NOW,
    closed: bool = False,
    bounded: bool = False,
    created_us: int = NOW,
) -> SourceRow:
    return SourceRow(name, name, bounded, created_us, NOW if closed else None, event_us, received_us)


def mark(*sources: SourceRow) -> Watermark:
    return watermark(sources, now_us=NOW, lateness_s=30, idle_s=60)


def test_without_sources_nothing_is_complete() -> None:
    assert mark() == Watermark(None, is_final=False)


def test_the_slowest_live_source_holds_event_time_back() -> None:
    found = mark(source("fast", NOW - MINUTE), source("slow", NOW - 5 * MINUTE))
    assert found == Watermark(NOW - 5 * MINUTE - 30 * MICROSECONDS, is_final=False)


def test_a_file_that_is_being_read_holds_everything_back() -> None:
    assert mark(source("file", NOW - MINUTE, bounded=True), source("live", NOW)).complete_us is None


def test_a_file_that_nobody_reads_any_more_holds_back_for_a_while_only() -> None:
    abandoned = source("file", NOW - MINUTE, bounded=True, received_us=NOW - 10 * MINUTE)
    assert mark(abandoned, source("live", NOW)).complete_us == NOW - 30 * MICROSECONDS


def test_when_only_files_were_read_and_all_are_closed_everything_is_complete() -> None:
    found = mark(source("a", 5, bounded=True, closed=True), source("b", 9, bounded=True, closed=True))
    assert found == Watermark(9, is_final=True)


def test_a_silent_source_holds_nothing_back() -> None:
    silent = source("silent", NOW - 90 * MINUTE, received_us=NOW - 2 * MINUTE)
    assert mark(silent, source("live", NOW - MINUTE)).complete_us == NOW - MINUTE - 30 * MICROSECONDS


def test_in_quiet_hours_event_time_goes_on_with_the_wall_clock() -> None:
    """An old recording, replayed five minutes ago: its sessions end as they would have."""
    replayed = source("live", 7 * MINUTE, received_us=NOW - 5 * MINUTE)
    assert mark(replayed).complete_us == 12 * MINUTE - 30 * MICROSECONDS


def test_a_sensor_whose_clock_is_ahead_does_not_make_the_others_late() -> None:
    ahead = source("ahead", NOW + 10**6 * MINUTE)
    assert mark(ahead, source("live", NOW - MINUTE)).complete_us == NOW - MINUTE - 30 * MICROSECONDS


def test_a_registered_source_that_has_given_nothing_says_nothing() -> None:
    assert mark(source("new", None, received_us=None)).complete_us is None
