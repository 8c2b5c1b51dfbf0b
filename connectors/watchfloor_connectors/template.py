"""A connector to copy: docs/how-to/write-a-connector.md builds it line by line.

It reads the alerts of a sensor that does not exist, one JSON object a line::

    {"acme": "1.0", "id": "a-17", "when": "2024-06-13T09:45:56Z", "rule": {"id": "R7", "text": "Odd login", "level": 3},
     "host": "DB01.corp.example", "user": "eve", "agent": "curl/8.0"}
"""

from __future__ import annotations

from watchfloor_connectors.draft import AlertDraft
from watchfloor_connectors.fields import integer, required_text, text
from watchfloor_connectors.times import parse_iso
from watchfloor_core.alert import Alert, DedupKey, Detector, EntityKind, EntityRole, Severity
from watchfloor_core.ports import Record

LEVELS = {1: Severity.LOW, 2: Severity.MEDIUM, 3: Severity.HIGH}


class Acme:
    name = "acme"
    version = "1"

    def recognises(self, record: Record) -> bool:
        return "acme" in record and "rule" in record

    def to_alert(self, record: Record) -> Alert:
        event_us, precision = parse_iso(required_text(record, "when"))
        draft = AlertDraft()
        draft.entity(EntityKind.HOST, text(record, "host"), EntityRole.TARGET)
        draft.entity(EntityKind.USER, text(record, "user"), EntityRole.ACTOR)
        draft.external("user_agent", text(record, "agent"))
        return Alert(
            connector=self.name,
            detector=Detector("acme", required_text(record, "rule.id"), required_text(record, "rule.text")),
            severity=LEVELS.get(integer(record, "rule.level") or 0, Severity.UNKNOWN),
            event_us=event_us,
            precision=precision,
            entities=draft.entities(),
            attributes=draft.attributes(),
            native_uid=required_text(record, "id"),
            dedup=DedupKey(("native_uid",), 0),
        )
