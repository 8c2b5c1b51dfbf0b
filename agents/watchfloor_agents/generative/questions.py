"""The questions that a model can put, each a query of the shared algebra. There is no other way to what it is shown.

Times are hours around the incident, so that no model has to reckon with dates. Raises ValueError, with words for the
model, for what cannot be asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict
from pydantic import Field as Argument

from watchfloor_agents.investigation.view import Question
from watchfloor_core.alert import TimePrecision
from watchfloor_core.context import ContextKind, LookUp
from watchfloor_core.evidence import Evidence, EvidenceKind
from watchfloor_core.logs.event import EventType, LogEvent, Value
from watchfloor_core.logs.fields import INTEGERS, Field
from watchfloor_core.logs.follow import Relation, follow
from watchfloor_core.logs.query import Aggregate, AllOf, AnyOf, EntityRef, Operator, Query, Select, TimeRange, Where
from watchfloor_core.untrusted import quote_untrusted

TOOL_NAMES: Final = frozenset(
    {
        *("search_events", "process_tree", "logon_sessions", "network_peers", "file_history", "registry_history"),
        *("prevalence", "first_seen", "activity", "count_events", "look_up", "find_runbooks", "no_question"),
    }
)
"""Names that stand for questions of ours in records and spans."""
MAX_TEXT: Final = 256
MAX_HOURS: Final = 30 * 24
MAX_LIMIT: Final = 200
_HOUR_S: Final = 3_600

Text = Annotated[str, Argument(min_length=1, max_length=MAX_TEXT)]
Hours = Annotated[int, Argument(ge=0, le=MAX_HOURS)]
Limit = Annotated[int, Argument(ge=1, le=MAX_LIMIT)]
Comparison = Literal[Operator.EQUALS, Operator.CONTAINS, Operator.STARTS_WITH, Operator.ENDS_WITH]

LOGONS: Final = frozenset(
    {
        EventType.LOGON,
        EventType.LOGON_FAILED,
        EventType.LOGOFF,
        EventType.PRIVILEGED_LOGON,
        EventType.EXPLICIT_CREDENTIALS,
        EventType.KERBEROS_TICKET,
        EventType.SIGN_IN,
    }
)
FILES: Final = frozenset({EventType.FILE_CHANGE, EventType.FILE_READ, EventType.IMAGE_LOAD, EventType.DRIVER_LOAD})
NETWORK: Final = frozenset({EventType.NETWORK_CONNECTION, EventType.HTTP_REQUEST, EventType.DNS_QUERY})


class Match(BaseModel):
    """A field holds a text; compared without regard to case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: Field
    value: Text
    comparison: Comparison = Operator.EQUALS

    def as_where(self) -> Where:
        return Where(self.field, Operator(self.comparison), (_value(self.field, self.value),))

    def __str__(self) -> str:
        return f"{self.field.value} {self.comparison} {quote_untrusted(self.value)}"


@dataclass(frozen=True, slots=True)
class Window:
    """Hours before and after the incident, added to its own time."""

    incident: TimeRange
    hours_before: int
    hours_after: int

    def as_range(self) -> TimeRange:
        before, after = (
            self.incident.widened(self.hours_before * _HOUR_S),
            self.incident.widened(self.hours_after * _HOUR_S),
        )
        return TimeRange(before.start_us, after.end_us)


def search_events(types: frozenset[EventType], matches: tuple[Match, ...], window: Window, limit: int) -> Question:
    if not types and not matches:
        raise ValueError("give types or matches: everything at once cannot be asked for")
    where = AllOf(tuple(one.as_where() for one in matches)) if matches else None
    query = Select(range=window.as_range(), types=types, where=where, limit=limit)
    kinds = ", ".join(sorted(types)) or "events of any type"
    return Question(query, "search_events", f"{kinds} with {'; '.join(map(str, matches)) or 'any content'}")


def process_tree(event: Evidence, relation: Relation, limit: int) -> Question:
    query = follow(log_event(event), relation, limit=limit)
    if query is None:
        raise ValueError(f"that event names no process or session that leads to its {relation.value}")
    return Question(query, "process_tree", f"{relation.value} of an event on {_host(event)}")


def logon_sessions(entity: EntityRef, window: Window, limit: int) -> Question:
    query = Select(range=window.as_range(), types=LOGONS, entities=(entity,), limit=limit)
    return Question(query, "logon_sessions", f"logons that name {_named(entity)}")


def network_peers(entity: EntityRef, window: Window) -> Question:
    select = Select(range=window.as_range(), types=NETWORK, entities=(entity,))
    by = (Field.DESTINATION_IP, Field.DESTINATION_PORT, Field.DESTINATION_DOMAIN)
    return Question(Aggregate(select=select, by=by), "network_peers", f"whom {_named(entity)} spoke with, how often")


def file_history(name: str, window: Window, limit: int) -> Question:
    """By the end of the path, or by SHA-256."""
    by_path = Where(Field.FILE_PATH, Operator.ENDS_WITH, (name,))
    by_image = Where(Field.DLL_PATH, Operator.ENDS_WITH, (name,))
    by_hash = Where(Field.FILE_HASH_SHA256, Operator.EQUALS, (name,))
    where = AnyOf((by_path, by_image, by_hash))
    query = Select(range=window.as_range(), types=FILES, where=where, limit=limit)
    return Question(query, "file_history", f"what happened to the file {quote_untrusted(name)}")


def registry_history(path: str, window: Window, limit: int) -> Question:
    where = Where(Field.REGISTRY_PATH, Operator.CONTAINS, (path,))
    query = Select(range=window.as_range(), types=frozenset({EventType.REGISTRY_CHANGE}), where=where, limit=limit)
    return Question(query, "registry_history", f"changes of the registry below {quote_untrusted(path)}")


def prevalence(match: Match, window: Window) -> Question:
    select = Select(range=window.as_range(), where=match.as_where())
    query: Query = Aggregate(select=select, by=(Field.HOST_NAME,), distinct=Field.USER_NAME)
    return Question(query, "prevalence", f"on how many hosts, by how many users: {match}")


def first_seen(match: Match, window: Window) -> Question:
    query = Select(range=window.as_range(), where=match.as_where(), limit=1)
    return Question(query, "first_seen", f"the first event with {match}")


def activity(entity: EntityRef, window: Window) -> Question:
    select = Select(range=window.as_range(), entities=(entity,))
    by = (Field.EVENT_PROVIDER, Field.EVENT_CODE, Field.EVENT_ACTION)
    return Question(Aggregate(select=select, by=by), "activity", f"how often what happened that names {_named(entity)}")


def look_up(kind: ContextKind, entity: EntityRef) -> Question:
    query = LookUp(kind=kind, entities=(entity,))
    return Question(query, "look_up", f"what {kind.value} says of {_named(entity)}")


def find_runbooks(terms: tuple[str, ...]) -> Question:
    words = ", ".join(quote_untrusted(one) for one in terms)
    return Question(LookUp(kind=ContextKind.RUNBOOK, terms=terms), "find_runbooks", f"runbooks about {words}")


def log_event(evidence: Evidence) -> LogEvent:
    """The event that evidence was made of, without its original. Raises ValueError where it is no event."""
    fields = evidence.body.get("fields")
    if evidence.kind is not EvidenceKind.EVENT or not isinstance(fields, Mapping):
        raise ValueError("that evidence is no event; name an event")
    names = {one.value for one in Field}
    known = {Field(name): value for name, value in fields.items() if name in names}
    return LogEvent(
        id=str(evidence.body["event"]),
        source=evidence.source,
        time_us=evidence.time_us or 0,
        precision=TimePrecision(str(evidence.body["precision"])),
        type=EventType(str(evidence.body["type"])),
        fields={name: value for name, value in known.items() if isinstance(value, (str, int))},
    )


def _value(field: Field, text: str) -> Value:
    if field not in INTEGERS:
        return text
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise ValueError(f"{field.value} is a whole number; {quote_untrusted(text)} is none")
    return int(text)


def _named(entity: EntityRef) -> str:
    return f"{entity.kind.value} {quote_untrusted(entity.value)}"


def _host(event: Evidence) -> str:
    host = event.value(Field.HOST_NAME.value)
    return "an unnamed host" if host is None else quote_untrusted(host)
