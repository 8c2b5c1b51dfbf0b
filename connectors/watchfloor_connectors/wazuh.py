"""Wazuh ``alerts.json``: one alert a line, as the manager writes it; also inside an indexer's ``_source``.

Format: https://documentation.wazuh.com/current/user-manual/manager/alert-management.html

``full_log`` is left to the original bytes: its own time stamp and process ids would make every alert unlike all others.
What the decoders took out of it (``data``) is here.
"""

from __future__ import annotations

from typing import Final

from watchfloor_connectors.attack import tactic_ids, technique_ids
from watchfloor_connectors.draft import AlertDraft
from watchfloor_connectors.fields import (
    child,
    first_text,
    integer,
    required_child,
    required_text,
    source_of,
    text,
    texts,
)
from watchfloor_connectors.times import parse_iso
from watchfloor_core.alert import Alert, DedupKey, Detector, EntityKind, EntityRole, Integrity, Severity
from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Record

_BY_ID: Final = DedupKey(("native_uid",), 0)
_BY_CONTENT: Final = DedupKey(("detector", "entities", "attributes"), 1)
_FAILED: Final = frozenset({
    "authentication_failed", "authentication_failures", "invalid_login", "win_authentication_failed",
})  # fmt: skip
"""Rule groups in which the user name is what somebody typed, not who they are."""

_ATTRIBUTES: Final = (
    ("url", ("data.url", "data.http.url")),
    ("user_agent", ("data.http.http_user_agent", "data.user_agent")),
    ("http_host", ("data.http.hostname",)),
    ("dns_query", ("data.dns.query.rrname", "data.win.eventdata.queryName")),
    ("command_line", ("data.command", "data.win.eventdata.commandLine", "data.audit.command")),
    ("parent_command_line", ("data.win.eventdata.parentCommandLine",)),
    ("process_path", ("data.audit.exe", "data.win.eventdata.image")),
    ("file_path", ("syscheck.path", "data.audit.file.name", "data.win.eventdata.targetFilename")),
    ("registry_key", ("data.win.eventdata.targetObject",)),
    ("script", ("data.win.eventdata.scriptBlockText",)),
)


class Wazuh:
    """Wazuh alerts; rule levels 0–3, 4–6, 7–11, 12–14, 15–16 are INFORMATIONAL to CRITICAL."""

    name = "wazuh"
    version = "1"

    def recognises(self, record: Record) -> bool:
        record = source_of(record)
        rule, agent = record.get("rule"), record.get("agent")
        return (
            isinstance(rule, dict)
            and isinstance(agent, dict)
            and "level" in rule
            and "id" in rule
            and "manager" in record
            and ("timestamp" in record or "@timestamp" in record)
        )

    def to_alert(self, record: Record) -> Alert:
        record = source_of(record)
        rule = required_child(record, "rule")
        groups = texts(rule, "groups")
        stamp = first_text(record, "timestamp", "@timestamp")
        if stamp is None:
            raise RecordError("is absent; an ISO 8601 time was expected", path="timestamp")
        event_us, precision = parse_iso(stamp)
        uid = required_text(rule, "id")
        draft = AlertDraft()
        _who(record, groups, draft)
        for name, paths in _ATTRIBUTES:
            draft.external(name, first_text(record, *paths))
        draft.attribute("action", text(record, "data.action"))
        draft.attribute("http_status", text(record, "data.id") if "web" in groups else None)
        draft.attribute("decoder", text(record, "decoder.name"))
        # Another sensor's alert relayed by Wazuh: its signature says more than "IDS event".
        draft.attribute("signature", text(record, "data.alert.signature"))
        digest = first_text(record, "syscheck.sha256_after", "syscheck.sha1_after", "syscheck.md5_after")
        draft.entity(EntityKind.FILE_HASH, digest, path="syscheck.sha256_after")
        native = text(record, "id")
        return Alert(
            connector=self.name,
            detector=Detector(
                product="wazuh",
                uid=uid,
                title=text(rule, "description") or f"Wazuh rule {uid}",
                category=groups[-1] if groups else None,
                tactics=tactic_ids(*texts(rule, "mitre.tactic")),
                techniques=technique_ids(*texts(rule, "mitre.id")),
            ),
            severity=_severity(rule),
            event_us=event_us,
            precision=precision,
            entities=draft.entities(),
            attributes=draft.attributes(),
            native_uid=_native_uid(record, native),
            dedup=_BY_CONTENT if native is None else _BY_ID,
        )


def _native_uid(record: Record, native: str | None) -> str | None:
    """Wazuh's ids (``1643000460.12345``: second and file offset) are unique for one manager only."""
    manager = text(record, "manager.name")
    return native if native is None or manager is None else f"{manager}:{native}"


def _severity(rule: Record) -> Severity:
    level = integer(rule, "level")
    if level is None or level < 0:
        raise RecordError(f"is {level!r}; a level of 0 to 16 was expected", path="rule.level")
    if level <= 3:
        return Severity.INFORMATIONAL
    if level <= 6:
        return Severity.LOW
    if level <= 11:
        return Severity.MEDIUM
    return Severity.HIGH if level <= 14 else Severity.CRITICAL


def _who(record: Record, groups: tuple[str, ...], draft: AlertDraft) -> None:
    agent = child(record, "agent")
    # Agent 000 is the manager itself: what it relays by syslog happened on the host that "predecoder" names.
    relayed = text(record, "predecoder.hostname") if text(agent, "id") == "000" else None
    draft.entity(EntityKind.HOST, relayed or text(agent, "name"), EntityRole.TARGET, path="agent.name")
    if relayed is None and text(agent, "ip") not in (None, "any"):
        draft.entity(EntityKind.IP, text(agent, "ip"), EntityRole.TARGET, path="agent.ip")
    # Decoders take addresses out of log lines by pattern: what is none is no reason to refuse the alert.
    source = first_text(record, "data.srcip", "data.src_ip", "data.win.eventdata.ipAddress")
    draft.entity(EntityKind.IP, source, EntityRole.ACTOR, is_guess=True)
    target = first_text(record, "data.dstip", "data.dest_ip")
    draft.entity(EntityKind.IP, target, EntityRole.RELATED, is_guess=True)
    typed = Integrity.EXTERNAL if not _FAILED.isdisjoint(groups) else Integrity.SENSOR
    for path, role in (
        ("data.srcuser", EntityRole.ACTOR),
        ("data.win.eventdata.subjectUserName", EntityRole.ACTOR),
        ("data.dstuser", EntityRole.RELATED),
        ("data.win.eventdata.targetUserName", EntityRole.RELATED),
    ):
        user = text(record, path)
        draft.entity(EntityKind.USER, user, role, typed, path=path)
        if typed is Integrity.EXTERNAL:
            draft.external("login_user", user)
