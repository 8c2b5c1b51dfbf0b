"""The statuses by which a list of incidents can be narrowed, the same in the API and on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from watchfloor_core.incident import IncidentStatus


class StatusFilter(StrEnum):
    """Every status, and ``open`` for all that are."""

    OPEN = "open"
    NEW = "new"
    QUEUED = "queued"
    ESCALATED = "escalated"
    CLOSED = "closed"
    MERGED = "merged"


def expand(filters: Iterable[StatusFilter]) -> list[IncidentStatus]:
    """The statuses that the filters name; none where they name none, which narrows nothing."""
    wanted: set[IncidentStatus] = set()
    for chosen in filters:
        if chosen is StatusFilter.OPEN:
            wanted |= {status for status in IncidentStatus if status.is_open}
        else:
            wanted.add(IncidentStatus(chosen.value))
    return sorted(wanted)
