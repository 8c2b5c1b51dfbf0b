"""Sigma matches, as JSON lines of three kinds.

Ours, for tools that have none of their own::

    {"sigma": {"id": "…", "title": "…", "level": "high", "tags": ["attack.t1059.001"]},
     "timestamp": "2024-06-13T09:45:56.123Z", "event": {…the matched event, names as in its log…}}

Chainsaw (``hunt --json`` or ``--jsonl``): ``group``, ``name``, ``level``, ``source: "sigma"``, ``document.data.Event``.

Hayabusa (``json-timeline -L``): ``Timestamp``, ``RuleTitle``, ``Level``, ``Computer``, ``Details``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from watchfloor_connectors.attack import tactic_ids, technique_ids
from watchfloor_connectors.draft import AlertDraft
from watchfloor_connectors.fields import child, first_text, required_text, text, texts
from watchfloor_connectors.severities import severity_named
from watchfloor_connectors.sigma_event import add_event
from watchfloor_connectors.times import parse_iso
from watchfloor_core.alert import Alert, DedupKey, Detector
from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Record

_DEDUP = DedupKey(("detector", "entities", "attributes"), 1)


class Sigma:
    """Matches of Sigma rules over logs."""

    name = "sigma"
    version = "2"

    def recognises(self, record: Record) -> bool:
        return _is_ours(record) or _is_chainsaw(record) or _is_hayabusa(record)

    def to_alert(self, record: Record) -> Alert:
        match = _read(record)
        event_us, precision = parse_iso(match.stamp)
        draft = AlertDraft()
        add_event(match.event, match.host, match.event_id, draft)
        return Alert(
            connector=self.name,
            detector=Detector(
                product="sigma",
                uid=match.uid or match.title,
                title=match.title,
                category=match.category,
                tactics=tactic_ids(*match.tags),
                techniques=technique_ids(*match.tags),
            ),
            severity=severity_named(match.level),
            event_us=event_us,
            precision=precision,
            entities=draft.entities(),
            attributes=draft.attributes(),
            dedup=_DEDUP,
        )


@dataclass(frozen=True, slots=True)
class _Match:
    """What the three kinds have in common."""

    uid: str | None
    title: str
    level: str | None
    tags: tuple[str, ...]
    category: str | None
    stamp: str
    host: str | None
    event_id: str | None
    event: Record


def _is_ours(record: Record) -> bool:
    return isinstance(record.get("sigma"), Mapping) and "event" in record and "timestamp" in record


def _is_chainsaw(record: Record) -> bool:
    return record.get("source") == "sigma" and "name" in record and "level" in record and "document" in record


def _is_hayabusa(record: Record) -> bool:
    return "RuleTitle" in record and "Level" in record and "Timestamp" in record and "Computer" in record


def _read(record: Record) -> _Match:
    if _is_ours(record):
        return _ours(record)
    if _is_chainsaw(record):
        return _chainsaw(record)
    if _is_hayabusa(record):
        return _hayabusa(record)
    raise RecordError("the record is no Sigma match of a known kind: with sigma and event, of Chainsaw, of Hayabusa")


def _ours(record: Record) -> _Match:
    rule = child(record, "sigma")
    event = child(record, "event")
    return _Match(
        uid=text(rule, "id"),
        title=required_text(record, "sigma.title"),
        level=text(rule, "level"),
        tags=texts(rule, "tags"),
        category=first_text(rule, "logsource.category", "logsource.service"),
        stamp=required_text(record, "timestamp"),
        host=None,
        event_id=first_text(event, "EventID", "event.code"),
        event=event,
    )


def _chainsaw(record: Record) -> _Match:
    event = child(record, "document.data.Event")
    system = child(event, "System")
    # An EventID with qualifiers is an object, {"#attributes": …, "#text": 4624}.
    path = "EventID.#text" if isinstance(system.get("EventID"), Mapping) else "EventID"
    return _Match(
        uid=text(record, "id"),
        title=required_text(record, "name"),
        level=text(record, "level"),
        tags=texts(record, "tags"),
        category=first_text(record, "logsource.category", "logsource.service", "group"),
        stamp=required_text(record, "timestamp"),
        host=text(system, "Computer"),
        event_id=text(system, path),
        event=child(event, "EventData") or child(event, "UserData"),
    )


def _hayabusa(record: Record) -> _Match:
    # Profiles without structured details write them as one text, which stays in the original bytes.
    details = [record.get("ExtraFieldInfo"), record.get("Details")]
    return _Match(
        uid=first_text(record, "RuleID", "RuleFile"),
        title=required_text(record, "RuleTitle"),
        level=text(record, "Level"),
        tags=(*texts(record, "MitreTactics"), *texts(record, "MitreTags"), *texts(record, "OtherTags")),
        category=text(record, "Channel"),
        stamp=required_text(record, "Timestamp"),
        host=text(record, "Computer"),
        event_id=text(record, "EventID"),
        event={name: value for part in details if isinstance(part, Mapping) for name, value in part.items()},
    )
