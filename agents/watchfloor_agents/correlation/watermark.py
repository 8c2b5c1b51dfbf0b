"""How far event time is known to be complete.

A source that is being read holds event time back: a file until its end, a live source at the latest time that it has
given, less the allowed lateness. A source that has been silent for a while (wall clock) holds nothing back. Where
every live source is silent, event time goes on with the wall clock from the last alert, so that sessions end in quiet
hours too. Where only files were read and all are closed, everything is complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from watchfloor_core.clock import MICROSECONDS
from watchfloor_core.store.sources import SourceRow

BOUNDED_IDLE_FACTOR: Final = 5
"""A file whose reader is gone holds event time back so many times longer than a silent live source."""


@dataclass(frozen=True, slots=True)
class Watermark:
    """Every alert before `complete_us` that is still to come is late."""

    complete_us: int | None
    """Event time; none where nothing can be said yet."""
    is_final: bool
    """No source is open: nothing more will come unless a new source is registered."""


def watermark(sources: Sequence[SourceRow], *, now_us: int, lateness_s: int, idle_s: int) -> Watermark:
    """The watermark of a tenant from its sources."""
    lateness, idle = lateness_s * MICROSECONDS, idle_s * MICROSECONDS
    open_sources = [source for source in sources if source.closed_us is None]
    if not open_sources:
        latest = [source.max_event_us for source in sources if source.max_event_us is not None]
        return Watermark(max(latest, default=None), is_final=bool(sources))
    reached = []
    for source in open_sources:
        heard_us = source.last_received_us if source.last_received_us is not None else source.created_us
        patience = idle * (BOUNDED_IDLE_FACTOR if source.is_bounded else 1)
        if now_us - heard_us > patience:
            continue
        if source.is_bounded:
            return Watermark(None, is_final=False)
        if source.max_event_us is not None:
            # A sensor whose clock is ahead must not make everyone else late.
            reached.append(min(source.max_event_us, heard_us) - lateness)
    if reached:
        return Watermark(min(reached), is_final=False)
    heard = [
        (min(source.max_event_us, source.last_received_us), source.last_received_us)
        for source in open_sources
        if source.max_event_us is not None and source.last_received_us is not None
    ]
    if not heard:
        return Watermark(None, is_final=False)
    event_us, received_us = max(heard)
    return Watermark(event_us + max(0, now_us - received_us) - lateness, is_final=False)
