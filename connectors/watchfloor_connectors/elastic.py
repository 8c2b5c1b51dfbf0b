"""Elastic Security detection alerts: ``kibana.alert.*`` (8.x, flat or nested) and the older ``signal.*`` (7.x).

Format: https://www.elastic.co/guide/en/security/current/alert-schema.html; other fields are the Elastic Common Schema.
"""

from __future__ import annotations

from typing import Final

from watchfloor_connectors.attack import tactic_ids, technique_ids
from watchfloor_connectors.draft import AlertDraft
from watchfloor_connectors.fields import children, first_text, look_up, required_text, source_of, text, texts
from watchfloor_connectors.severities import severity_named
from watchfloor_connectors.times import Moment, parse_time
from watchfloor_core.alert import Alert, DedupKey, Detector, EntityKind, EntityRole, Integrity, Severity
from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Record

_BY_ID: Final = DedupKey(("native_uid",), 0)
_BY_CONTENT: Final = DedupKey(("detector", "entities", "attributes"), 1)

_ATTRIBUTES: Final = (
    ("command_line", "process.command_line"),
    ("parent_command_line", "process.parent.command_line"),
    ("process_name", "process.name"),
    ("file_name", "file.name"),
    ("file_path", "file.path"),
    ("user_agent", "user_agent.original"),
    ("dns_query", "dns.question.name"),
    ("mail_subject", "email.subject"),
    ("registry_key", "registry.path"),
    ("registry_value", "registry.data.strings"),
    ("script", "powershell.file.script_block_text"),
    ("reason", "kibana.alert.reason"),
)


class Elastic:
    """Elastic detection alerts. The rule's own times decide: ``kibana.alert.original_time``, else ``@timestamp``."""

    name = "elastic"
    version = "1"

    def recognises(self, record: Record) -> bool:
        source = source_of(record)
        return _prefix(source) is not None and look_up(source, "@timestamp") is not None

    def to_alert(self, record: Record) -> Alert | None:
        source = source_of(record)
        prefix = _prefix(source)
        if prefix is None:
            raise RecordError("has neither kibana.alert.rule nor signal.rule; an Elastic detection alert was expected")
        if look_up(source, f"{prefix}.building_block_type") is not None:
            # A building block is an input of other rules, kept out of the queue by its author.
            return None
        draft = AlertDraft()
        _entities(source, draft)
        for name, path in _ATTRIBUTES:
            for value in texts(source, path):
                draft.external(name, value)
        draft.external("url", first_text(source, "url.full", "url.original"))
        event_us, precision = _time(source, prefix)
        title = required_text(source, f"{prefix}.rule.name")
        native = first_text(source, "kibana.alert.uuid") or first_text(record, "_id")
        return Alert(
            connector=self.name,
            detector=Detector(
                product="elastic",
                uid=first_text(source, f"{prefix}.rule.rule_id", f"{prefix}.rule.uuid", f"{prefix}.rule.id") or title,
                title=title,
                category=first_text(source, f"{prefix}.rule.category", f"{prefix}.rule.type"),
                tactics=tactic_ids(*_threat(source, prefix, "tactic")),
                techniques=technique_ids(*_threat(source, prefix, "technique")),
            ),
            severity=_severity(source, prefix),
            event_us=event_us,
            precision=precision,
            entities=draft.entities(),
            attributes=draft.attributes(),
            native_uid=native,
            dedup=_BY_CONTENT if native is None else _BY_ID,
        )


def _prefix(source: Record) -> str | None:
    for prefix in ("kibana.alert", "signal"):
        if look_up(source, f"{prefix}.rule.name") is not None:
            return prefix
    return None


def _time(source: Record, prefix: str) -> Moment:
    stamp = first_text(source, f"{prefix}.original_time", "@timestamp")
    if stamp is None:
        raise RecordError("is absent; a time was expected", path="@timestamp")
    return parse_time(stamp)


def _severity(source: Record, prefix: str) -> Severity:
    return severity_named(first_text(source, f"{prefix}.severity", f"{prefix}.rule.severity"))


def _threat(source: Record, prefix: str, kind: str) -> list[str]:
    """Ids out of the rule's ``threat`` list, or the flattened ``threat.*`` fields of ECS."""
    found: list[str] = []
    for path in (f"{prefix}.rule.threat", f"{prefix}.rule.parameters.threat"):
        for threat in children(source, path):
            if kind == "tactic":
                found += texts(threat, "tactic.id")
                continue
            for technique in children(threat, "technique"):
                # The sub-technique says which; its parent would say it again.
                found += [id_ for sub in children(technique, "subtechnique") for id_ in texts(sub, "id")] or texts(
                    technique, "id"
                )
    if not found and kind == "technique":
        found = list(texts(source, "threat.technique.subtechnique.id") or texts(source, "threat.technique.id"))
    return found or list(texts(source, f"threat.{kind}.id"))


def _entities(source: Record, draft: AlertDraft) -> None:
    draft.entity(EntityKind.HOST, first_text(source, "host.name", "host.hostname", "agent.name"), EntityRole.TARGET)
    for address in texts(source, "host.ip"):
        # Every host has these; they would join all hosts.
        if not address.startswith(("127.", "::1", "fe80:", "169.254.")):
            draft.entity(EntityKind.IP, address, EntityRole.TARGET, path="host.ip")
    user, domain = text(source, "user.name"), text(source, "user.domain")
    failed = text(source, "event.outcome") == "failure" and "authentication" in texts(source, "event.category")
    integrity = Integrity.EXTERNAL if failed else Integrity.SENSOR
    draft.entity(EntityKind.USER, f"{domain}\\{user}" if user and domain else user, EntityRole.ACTOR, integrity)
    if failed:
        draft.external("login_user", user)
    for path, role in (("source.ip", EntityRole.ACTOR), ("destination.ip", EntityRole.RELATED)):
        for address in texts(source, path):
            draft.entity(EntityKind.IP, address, role, path=path)
    for path in ("dns.question.name", "destination.domain", "url.domain"):
        for name in texts(source, path):
            draft.entity(EntityKind.DOMAIN, name, EntityRole.RELATED, Integrity.EXTERNAL)
    for path in ("process.hash", "file.hash"):
        draft.entity(EntityKind.FILE_HASH, first_text(source, f"{path}.sha256", f"{path}.md5"), path=f"{path}.sha256")
    draft.entity(EntityKind.RESOURCE, text(source, "cloud.instance.id"))
    draft.entity(EntityKind.MAILBOX, first_text(source, "email.from.address"), EntityRole.ACTOR, Integrity.EXTERNAL)
