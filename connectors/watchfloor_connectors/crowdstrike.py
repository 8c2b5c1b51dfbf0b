"""CrowdStrike Falcon: alerts (API v2, ``composite_id``) and the older detection summaries (``behaviors``).

Formats: Falcon API ``POST /alerts/entities/alerts/v2`` and ``POST /detects/entities/summaries/GET/v1``.
"""

from __future__ import annotations

from typing import Final

from watchfloor_connectors.attack import tactic_ids, technique_ids
from watchfloor_connectors.draft import AlertDraft
from watchfloor_connectors.fields import child, children, first_text, integer, required_text, text, texts
from watchfloor_connectors.severities import severity_named
from watchfloor_connectors.times import Moment, parse_time
from watchfloor_core.alert import Alert, DedupKey, Detector, EntityKind, EntityRole, Severity
from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Record

_DEDUP: Final = DedupKey(("native_uid",), 0)


class CrowdStrike:
    """Falcon alerts and detections; severity 1–100 in steps of 20 is INFORMATIONAL to CRITICAL."""

    name = "crowdstrike"
    version = "1"

    def recognises(self, record: Record) -> bool:
        return _is_alert(record) or _is_summary(record)

    def to_alert(self, record: Record) -> Alert:
        return _from_summary(record) if _is_summary(record) else _from_alert(record)


def _is_alert(record: Record) -> bool:
    return "composite_id" in record and "cid" in record and ("created_timestamp" in record or "timestamp" in record)


def _is_summary(record: Record) -> bool:
    return (
        "detection_id" in record
        and isinstance(record.get("behaviors"), list)
        and ("max_severity" in record or "first_behavior" in record)
    )


def _from_alert(record: Record) -> Alert:
    event_us, precision = _time(record, "timestamp", "context_timestamp", "created_timestamp")
    draft = AlertDraft()
    _host(child(record, "device"), record, draft)
    _behaviour(record, draft)
    parent = child(record, "parent_details")
    draft.external("parent_command_line", text(parent, "cmdline"))
    draft.external("url", text(record, "network_accesses_url"))
    for access in children(record, "network_accesses"):
        draft.entity(EntityKind.IP, text(access, "remote_address"), path="network_accesses.remote_address")
    draft.entity(EntityKind.IP, first_text(record, "source_endpoint_address_ip4"), EntityRole.ACTOR)
    draft.entity(EntityKind.HOST, text(record, "source_endpoint_host_name"), EntityRole.TARGET)
    draft.entity(EntityKind.USER, text(record, "source_account_name"), EntityRole.TARGET)
    draft.attribute("product", text(record, "product"))
    return Alert(
        connector=CrowdStrike.name,
        detector=Detector(
            product="crowdstrike",
            uid=first_text(record, "pattern_id", "name", "display_name") or required_text(record, "type"),
            title=first_text(record, "display_name", "name", "scenario") or required_text(record, "description"),
            category=first_text(record, "scenario", "objective"),
            tactics=tactic_ids(*texts(record, "tactic_id"), *texts(record, "tactic"), *_mitre(record, "tactic")),
            techniques=technique_ids(*texts(record, "technique_id"), *_mitre(record, "technique")),
        ),
        severity=_severity(record, "severity", "severity_name"),
        event_us=event_us,
        precision=precision,
        entities=draft.entities(),
        attributes=draft.attributes(),
        native_uid=required_text(record, "composite_id"),
        dedup=_DEDUP,
    )


def _from_summary(record: Record) -> Alert:
    behaviours = list(children(record, "behaviors"))
    if not behaviours:
        raise RecordError("is empty; at least one behavior was expected", path="behaviors")
    event_us, precision = _time(record, "last_behavior", "first_behavior", "created_timestamp")
    # The gravest behaviour names the detection, the others add what they touched.
    leading = max(behaviours, key=lambda behaviour: integer(behaviour, "severity") or 0)
    draft = AlertDraft()
    _host(child(record, "device"), record, draft)
    for behaviour in behaviours:
        _behaviour(behaviour, draft)
        draft.external("parent_command_line", text(behaviour, "parent_details.parent_cmdline"))
    return Alert(
        connector=CrowdStrike.name,
        detector=Detector(
            product="crowdstrike",
            uid=first_text(leading, "behavior_id", "scenario") or required_text(leading, "display_name"),
            title=first_text(leading, "display_name", "scenario") or required_text(leading, "behavior_id"),
            category=first_text(leading, "scenario", "objective"),
            tactics=tactic_ids(*(name for b in behaviours for name in texts(b, "tactic_id") or texts(b, "tactic"))),
            techniques=technique_ids(*(name for b in behaviours for name in texts(b, "technique_id"))),
        ),
        severity=_severity(record, "max_severity", "max_severity_displayname"),
        event_us=event_us,
        precision=precision,
        entities=draft.entities(),
        attributes=draft.attributes(),
        native_uid=required_text(record, "detection_id"),
        dedup=_DEDUP,
    )


def _time(record: Record, *paths: str) -> Moment:
    stamp = first_text(record, *paths)
    if stamp is None:
        raise RecordError("is absent; an ISO 8601 time was expected", path=paths[0])
    return parse_time(stamp)


def _severity(record: Record, score_path: str, name_path: str) -> Severity:
    named = severity_named(text(record, name_path))
    if named is not Severity.UNKNOWN:
        return named
    score = integer(record, score_path)
    if score is None:
        return Severity.UNKNOWN
    bands = (Severity.INFORMATIONAL, Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)
    return bands[max(0, min(4, score // 20))]


def _mitre(record: Record, kind: str) -> list[str]:
    entries = children(record, "mitre_attack")
    return [name for entry in entries for name in texts(entry, f"{kind}_id") or texts(entry, kind)]


def _host(device: Record, record: Record, draft: AlertDraft) -> None:
    draft.entity(EntityKind.HOST, first_text(device, "hostname") or text(record, "hostname"), EntityRole.TARGET)
    draft.entity(EntityKind.IP, text(device, "local_ip"), EntityRole.TARGET, path="device.local_ip")
    draft.attribute("platform", text(device, "platform_name"))


def _behaviour(record: Record, draft: AlertDraft) -> None:
    user = first_text(record, "user_principal", "user_name")
    draft.entity(EntityKind.USER, user, EntityRole.ACTOR)
    draft.external("command_line", text(record, "cmdline"))
    draft.external("file_name", text(record, "filename"))
    draft.external("file_path", text(record, "filepath"))
    draft.entity(EntityKind.FILE_HASH, text(record, "sha256"), path="sha256")
    draft.entity(EntityKind.FILE_HASH, None if text(record, "sha256") else text(record, "md5"), path="md5")
    match text(record, "ioc_type"), text(record, "ioc_value"):
        case "domain", str(domain):
            draft.external("dns_query", domain)
            draft.entity(EntityKind.DOMAIN, domain)
        case "ip" | "ipv4" | "ipv6", str(address):
            draft.entity(EntityKind.IP, address, path="ioc_value")
        case _, _:
            pass
    draft.attribute("message", text(record, "description"))
