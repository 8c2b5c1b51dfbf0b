"""From one event to its relatives: the questions that a process tree or a logon session is made of."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from watchfloor_core.logs.event import EventType, LogEvent
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.query import AllOf, Condition, Operator, Select, TimeRange, Where

DAY_US: Final = 86_400 * 1_000_000


class Relation(StrEnum):
    """How an event is related to another one."""

    PARENT = "parent"
    """The start of the process that started this one."""
    START = "start"
    """The start of the process that this event is about."""
    CHILDREN = "children"
    """Starts of processes by this one."""
    ACTIVITY = "activity"
    """Everything that the process did."""
    SESSION = "session"
    """Everything in the same logon session on the same host."""


def follow(event: LogEvent, relation: Relation, *, limit: int = 200, within_us: int = DAY_US) -> Select | None:
    """The question for an event's relatives; None where the event lacks what leads to them.

    A process is known by its entity id, and where a sensor gives none by host and pid: pids are used again, so the
    nearest in time is then the likeliest, and what rests on it is less certain. ``within_us`` bounds how far the
    question reaches before and after the event.
    """
    after = TimeRange(event.time_us, event.time_us + within_us)
    before = TimeRange(event.time_us - within_us, event.time_us + 1)
    around = TimeRange(before.start_us, after.end_us)
    match relation:
        case Relation.PARENT:
            same = _process(event, Field.PARENT_ENTITY_ID, Field.PARENT_PID, Field.PROCESS_ENTITY_ID, Field.PROCESS_PID)
            return _select(same, before, limit, EventType.PROCESS_START)
        case Relation.START:
            same = _process(
                event, Field.PROCESS_ENTITY_ID, Field.PROCESS_PID, Field.PROCESS_ENTITY_ID, Field.PROCESS_PID
            )
            return _select(same, before, limit, EventType.PROCESS_START)
        case Relation.CHILDREN:
            same = _process(event, Field.PROCESS_ENTITY_ID, Field.PROCESS_PID, Field.PARENT_ENTITY_ID, Field.PARENT_PID)
            return _select(same, after, limit, EventType.PROCESS_START)
        case Relation.ACTIVITY:
            same = _process(
                event, Field.PROCESS_ENTITY_ID, Field.PROCESS_PID, Field.PROCESS_ENTITY_ID, Field.PROCESS_PID
            )
            return _select(same, around, limit)
        case Relation.SESSION:
            return _select(_session(event), around, limit)


def is_certain(event: LogEvent, relation: Relation) -> bool:
    """True where the relatives are known by an id that is never used again."""
    match relation:
        case Relation.PARENT:
            return bool(event.text(Field.PARENT_ENTITY_ID))
        case Relation.SESSION:
            return bool(event.text(Field.LOGON_ID))
        case Relation.START | Relation.CHILDREN | Relation.ACTIVITY:
            return bool(event.text(Field.PROCESS_ENTITY_ID))


def _process(event: LogEvent, id_: Field, pid: Field, their_id: Field, their_pid: Field) -> Condition | None:
    unique = event.text(id_)
    if unique:
        return Where(their_id, Operator.EQUALS, (unique,))
    host, number = event.text(Field.HOST_NAME), event.fields.get(pid)
    if not host or number is None:
        return None
    return AllOf(
        (Where(Field.HOST_NAME, Operator.EQUALS, (host,)), Where(their_pid, Operator.EQUALS, (number,))),
    )


def _session(event: LogEvent) -> Condition | None:
    host, logon = event.text(Field.HOST_NAME), event.text(Field.LOGON_ID)
    if not host or not logon:
        return None
    return AllOf((Where(Field.HOST_NAME, values=(host,)), Where(Field.LOGON_ID, values=(logon,))))


def _select(condition: Condition | None, range_: TimeRange, limit: int, *types: EventType) -> Select | None:
    if condition is None:
        return None
    return Select(range=range_, types=frozenset(types), where=condition, limit=limit)
