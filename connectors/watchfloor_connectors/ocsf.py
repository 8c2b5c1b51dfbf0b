"""OCSF *Detection Finding* (class 2004): the native format. *Security Finding* (2001), its predecessor, where clear.

Format: https://schema.ocsf.io/classes/detection_finding (1.0 to 1.x). Times are milliseconds since the Unix epoch.
"""

from __future__ import annotations

from typing import Final

from watchfloor_connectors.attack import tactic_ids, technique_ids
from watchfloor_connectors.draft import AlertDraft
from watchfloor_connectors.fields import child, children, first_text, integer, look_up, required_text, text, texts
from watchfloor_connectors.ocsf_evidence import add_device, add_evidence, add_observable
from watchfloor_connectors.severities import severity_named
from watchfloor_connectors.times import Moment, parse_epoch, parse_iso
from watchfloor_core.alert import Alert, DedupKey, Detector, EntityKind, EntityRole, Integrity, Severity
from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Record

DETECTION_FINDING: Final = 2004
SECURITY_FINDING: Final = 2001
_CLOSE: Final = 3
"""``activity_id`` of the message that a finding was closed: news of a case, not a detection."""
_BY_ID: Final = DedupKey(("native_uid",), 0)
_BY_CONTENT: Final = DedupKey(("detector", "entities", "attributes"), 1)


class Ocsf:
    """OCSF findings."""

    name = "ocsf"
    version = "1"

    def recognises(self, record: Record) -> bool:
        if record.get("class_uid") not in (DETECTION_FINDING, SECURITY_FINDING):
            return False
        return "time" in record and "severity_id" in record and ("finding_info" in record or "finding" in record)

    def to_alert(self, record: Record) -> Alert | None:
        kind = integer(record, "class_uid")
        if kind not in (DETECTION_FINDING, SECURITY_FINDING):
            raise RecordError(f"is {kind!r}; 2004 (Detection Finding) was expected", path="class_uid")
        if kind == DETECTION_FINDING and integer(record, "activity_id") == _CLOSE:
            return None
        finding = child(record, "finding_info") or child(record, "finding")
        event_us, precision = _time(record)
        draft = AlertDraft()
        add_device(child(record, "device"), EntityRole.TARGET, draft)
        for evidence in children(record, "evidences"):
            add_evidence(evidence, draft)
        for resource in (*children(record, "resources"), *children(record, "resource")):
            draft.entity(EntityKind.RESOURCE, first_text(resource, "uid", "name"), EntityRole.TARGET)
        for observable in children(record, "observables"):
            add_observable(observable, draft)
        draft.attribute("message", first_text(record, "message") or text(finding, "desc"), Integrity.EXTERNAL)
        native = first_text(finding, "uid") or text(record, "metadata.uid")
        return Alert(
            connector=self.name,
            detector=_detector(record, finding),
            severity=_severity(record),
            event_us=event_us,
            precision=precision,
            entities=draft.entities(),
            attributes=draft.attributes(),
            native_uid=native,
            dedup=_BY_CONTENT if native is None else _BY_ID,
        )


def _time(record: Record) -> Moment:
    written = text(record, "time_dt")
    if written is not None:
        # The datetime profile's text may be finer than milliseconds.
        return parse_iso(written)
    value = look_up(record, "time")
    if value is None:
        raise RecordError("is absent; milliseconds since the Unix epoch were expected", path="time")
    return parse_epoch(value, "ms")


def _severity(record: Record) -> Severity:
    value = integer(record, "severity_id")
    if value is None:
        return severity_named(text(record, "severity"))
    try:
        return Severity(value)
    except ValueError:
        raise RecordError(f"is {value}; 0 to 6 or 99 was expected", path="severity_id") from None


def _detector(record: Record, finding: Record) -> Detector:
    title = text(finding, "title") or required_text(record, "finding_info.title")
    attacks = (*children(finding, "attacks"), *children(record, "attacks"))
    tactics = [text(attack, f"tactic.{name}") for attack in attacks for name in ("uid", "name")]
    tactics += [text(t, name) for attack in attacks for t in children(attack, "tactics") for name in ("uid", "name")]
    return Detector(
        product=(first_text(record, "metadata.product.name", "metadata.product.vendor_name") or "ocsf").lower(),
        uid=first_text(finding, "analytic.uid", "analytic.name") or title,
        title=text(finding, "analytic.name") or title,
        category=text(finding, "analytic.category") or next(iter(texts(finding, "types")), None),
        tactics=tactic_ids(*(name for name in tactics if name)),
        techniques=technique_ids(*(id_ for attack in attacks for id_ in _techniques(attack))),
    )


def _techniques(attack: Record) -> tuple[str, ...]:
    return texts(attack, "sub_technique.uid") or texts(attack, "technique.uid")
