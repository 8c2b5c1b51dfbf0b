"""What contract kits share: a case, events full of an attacker's text, and a way to object."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from watchfloor_agents.investigation.case import InvestigationCase
from watchfloor_core.alert import TimePrecision
from watchfloor_core.evidence import Evidence, evidence_of_groups
from watchfloor_core.logs.event import EventType, LogEvent
from watchfloor_core.logs.fields import INTEGERS, Field
from watchfloor_core.logs.query import Aggregate, TimeRange
from watchfloor_core.logs.source import Coverage, Group, Groups

START_US: Final = 1_772_000_000_000_000
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""Of a plug-in."""
SAMPLE_CASE: Final = InvestigationCase(
    tenant="acme",
    incident_id="inc-0000000000000000",
    revision=1,
    title="a case",
    range=TimeRange(START_US, START_US + 60_000_000),
    alerts=(),
    entities=(),
)


def require(holds: bool, problem: str) -> None:
    """Raises AssertionError with the problem where it does not hold."""
    if not holds:
        raise AssertionError(problem)


def hostile_events(text: str) -> tuple[LogEvent, ...]:
    """One event of each type, each of whose texts is this one."""
    return tuple(_event(number, type_, text) for number, type_ in enumerate(EventType))


def counted(query: Aggregate, events: Sequence[LogEvent], coverage: Coverage) -> Evidence:
    """The answer to a query that counts: all of the events are in one group."""
    group = Group(tuple(None for _ in query.by), len(events), START_US, START_US, len(events))
    return evidence_of_groups(query, Groups((group,), coverage))


def _event(number: int, type_: EventType, text: str) -> LogEvent:
    fields = {name: number if name in INTEGERS else text for name in Field}
    return LogEvent(f"{number:064x}", "lab", START_US + number, TimePrecision.MICROSECOND, type_, fields)
