"""Evidence: facts that were looked at, each kept once under the digest of what it says.

An evidence's id commits to its kind, its source and its body; who asked for it, with which question and when, is
provenance, which is kept beside it for every use. A finding cites evidence by id and by the exact field it relies on.

::

    id = SHA-256 over the canonical JSON of {v, kind, source, body}
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from watchfloor_core.alert import Integrity
from watchfloor_core.canonical import JsonValue, canonical
from watchfloor_core.logs.event import LogEvent
from watchfloor_core.logs.fields import Field, integrity_of
from watchfloor_core.logs.query import Aggregate, query_to_json
from watchfloor_core.logs.source import Groups

FORMAT: Final = 1
MAX_BODY: Final = 256 * 1024
"""Bytes of canonical JSON. What is larger is cut where it is collected, and says so."""


_BY_CONTEXT: Final = {
    "inventory": Integrity.HUMAN,
    "runbook": Integrity.HUMAN,
    "history": Integrity.DERIVED,
}
"""Who could have written what a source of context says, by its kind; whatever is not named here was written outside."""
_DIRECTORY: Final = "identity_directory"
_KEPT_BY_DIRECTORY: Final = frozenset(
    {
        "account.disabled",
        "account.created",
        "account.password_last_set",
        "account.expires",
        "account.privileged_groups",
        "account.groups_total",
        "account.entries",
    }
)
"""What a directory itself keeps of an account. The rest, its name among it, repeats the question or is text that its
owner or the owner of a group may write; and to stand in a directory is no endorsement of a name."""


class EvidenceKind(StrEnum):
    EVENT = "event"
    """One event of a log source."""
    COUNT = "count"
    """The answer to an aggregation, with its question. To have found nothing is evidence where the source is whole."""
    ALERT = "alert"
    """One alert as it was taken in."""
    LOOKUP = "lookup"
    """What a source of context says of an entity: inventory, directory, threat intelligence."""
    COVERAGE = "coverage"
    """What a source had, or had not, to look at."""


@dataclass(frozen=True)
class Evidence:
    """One fact. Raises ValueError where the body has no canonical form or is larger than `MAX_BODY`."""

    kind: EvidenceKind
    source: str
    """The log source, connector or tool that said it."""
    body: Mapping[str, JsonValue]
    """For an event ``{type, time_us, precision, fields, event, original}``; ``fields`` is what findings cite first."""
    time_us: int | None = None
    """When what it tells of happened; None where it is of no moment."""

    def __post_init__(self) -> None:
        if len(self.canonical) > MAX_BODY:
            raise ValueError(f"evidence of {self.source!r} has {len(self.canonical):,} bytes, at most {MAX_BODY:,}")

    @cached_property
    def canonical(self) -> bytes:
        return canonical({"v": FORMAT, "kind": self.kind.value, "source": self.source, "body": self.body})

    @cached_property
    def id(self) -> str:
        """64 hex digits."""
        return hashlib.sha256(self.canonical).hexdigest()

    def value(self, field: str) -> str | None:
        """What a field says, as text: a name in the body's ``fields``, else a path of keys joined by dots through the
        body, an item of a list by its number; None where there is no such field or it is no scalar."""
        fields = self.body.get("fields")
        if isinstance(fields, Mapping) and field in fields:
            return _scalar(fields[field])
        found: JsonValue = self.body
        for key in field.split("."):
            if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, Mapping) and key in found:
                found = found[key]
            else:
                return None
        return _scalar(found)

    def integrity(self, field: str) -> Integrity:
        """Who could have written a field."""
        if self.kind in (EvidenceKind.COUNT, EvidenceKind.COVERAGE):
            return Integrity.DERIVED
        if self.kind is EvidenceKind.LOOKUP:
            context = str(self.body.get("context"))
            if context == _DIRECTORY and field in _KEPT_BY_DIRECTORY:
                return Integrity.SENSOR
            return _BY_CONTEXT.get(context, Integrity.EXTERNAL)
        try:
            return integrity_of(Field(field))
        except ValueError:
            return Integrity.EXTERNAL


@dataclass(frozen=True, slots=True)
class Provenance:
    """How one piece of evidence came into one investigation."""

    tool: str
    """The tool that brought it, e.g. ``process_tree``."""
    query: JsonValue
    """What was asked (`watchfloor_core.logs.query.query_to_json`), or the tool's arguments."""
    collected_us: int
    agent: str
    """Who asked, e.g. ``specialist:investigation``."""


def evidence_of_event(event: LogEvent) -> Evidence:
    """The evidence that one event is. An original that is too large is left out: ``original`` is null then, and the
    event's id in the source stays."""
    body: dict[str, JsonValue] = {
        "type": event.type.value,
        "time_us": event.time_us,
        "precision": event.precision.value,
        "fields": {name.value: value for name, value in event.fields.items()},
        "event": event.id,
    }
    try:
        return Evidence(EvidenceKind.EVENT, event.source, body | {"original": event.original}, event.time_us)
    except ValueError:
        return Evidence(EvidenceKind.EVENT, event.source, body | {"original": None}, event.time_us)


def evidence_of_groups(question: Aggregate, answer: Groups) -> Evidence:
    """The evidence that a count is, with what was counted."""
    body: dict[str, JsonValue] = {
        "question": query_to_json(question),
        "health": answer.coverage.health.value,
        "is_cut": answer.is_cut,
        "total": sum(group.count for group in answer.groups),
        "groups": [
            {
                "values": list(group.values),
                "count": group.count,
                "first_us": group.first_us,
                "last_us": group.last_us,
                "distinct": group.distinct,
            }
            for group in answer.groups
        ],
    }
    return Evidence(EvidenceKind.COUNT, answer.coverage.source, body)


def _scalar(value: JsonValue) -> str | None:
    if value is None or isinstance(value, (str, int, float)):
        return None if value is None else str(value)
    return None
