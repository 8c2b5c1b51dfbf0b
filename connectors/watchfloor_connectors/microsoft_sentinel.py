"""Sentinel ``SecurityAlert`` rows.

Format: https://learn.microsoft.com/azure/sentinel/security-alert-schema and, for the entities,
https://learn.microsoft.com/azure/sentinel/entities-reference

``Entities`` is JSON inside a text; an entity has a ``$id``, and ``{"$ref": id}`` stands for it anywhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from watchfloor_connectors.attack import split_names, tactic_ids, technique_ids
from watchfloor_connectors.draft import AlertDraft
from watchfloor_connectors.fields import child, children, first_text, required_text, text, texts
from watchfloor_connectors.framing.json_object import decode_object
from watchfloor_connectors.severities import severity_named
from watchfloor_connectors.times import parse_iso
from watchfloor_core.alert import Alert, DedupKey, Detector, EntityKind, EntityRole, Integrity
from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Json, Record

_DEDUP: Final = DedupKey(("native_uid",), 0)
_PRODUCTS: Final = {
    "mdatp": "defender-endpoint",
    "ipc": "entra-id-protection",
    "oatp": "defender-office",
    "mcas": "defender-cloud-apps",
    "azure advanced threat protection": "defender-identity",
    "microsoftthreatprotection": "defender-xdr",
    "asi scheduled alerts": "sentinel",
    "asi nrt alerts": "sentinel",
    "azure sentinel": "sentinel",
    "azure security center": "defender-cloud",
}
"""Sensor by ``ProviderName`` in lower case."""
_GENERIC_TYPES: Final = frozenset({"WindowsDefenderAtp", "AutomatedInvestigation", "CustomDetection"})
"""Values of ``AlertType`` that many detectors share."""


def recognises(record: Record) -> bool:
    return "SystemAlertId" in record and "ProviderName" in record and ("AlertName" in record or "DisplayName" in record)


def to_alert(connector: str, record: Record) -> Alert:
    stamp = first_text(record, "EndTime", "StartTime", "TimeGenerated")
    if stamp is None:
        raise RecordError("is absent; an ISO 8601 time was expected", path="EndTime")
    event_us, precision = parse_iso(stamp)
    properties, _ = _json_in_text(record, "ExtendedProperties")
    draft = AlertDraft()
    entities, problem = _json_in_text(record, "Entities")
    if problem is not None:
        # Log Analytics cuts long texts off at 32 KiB: an attacker with a long command line must not hide the alert.
        draft.attribute("entities_unreadable", problem, Integrity.DERIVED)
    _entities(list(children({"Entities": entities}, "Entities")), draft)
    # Says the host once more, and says it where the entities do not.
    if not draft.has_target_host and text(record, "CompromisedEntity"):
        draft.attribute("compromised_entity", text(record, "CompromisedEntity"))
    draft.attribute("message", text(record, "Description"), Integrity.EXTERNAL)
    title = text(record, "DisplayName") or required_text(record, "AlertName")
    kind = text(record, "AlertType")
    provider = required_text(record, "ProviderName")
    details = properties if isinstance(properties, dict) else {}
    return Alert(
        connector=connector,
        detector=Detector(
            product=_PRODUCTS.get(provider.lower(), provider.lower()),
            uid=text(details, "DetectorId") or (kind if kind is not None and kind not in _GENERIC_TYPES else title),
            title=title,
            category=first_text(details, "MicrosoftDefenderAtp.Category", "Category"),
            tactics=tactic_ids(*split_names(texts(record, "Tactics"))),
            techniques=technique_ids(*texts(record, "SubTechniques"), *texts(record, "Techniques")),
        ),
        severity=severity_named(text(record, "AlertSeverity")),
        event_us=event_us,
        precision=precision,
        entities=draft.entities(),
        attributes=draft.attributes(),
        native_uid=required_text(record, "SystemAlertId"),
        dedup=_DEDUP,
    )


def _json_in_text(record: Record, path: str) -> tuple[Json, str | None]:
    """The JSON that a text field holds, and why there is none."""
    value = record.get(path)
    if not isinstance(value, str) or not value.strip():
        return (value if isinstance(value, dict | list) else None), None
    try:
        return decode_object(b'{"value":' + value.encode() + b"}")["value"], None
    except RecordError as error:
        return None, error.reason


def _entities(listed: list[Record], draft: AlertDraft) -> None:
    known = {str(entity["$id"]): entity for entity in _nested(listed) if "$id" in entity}
    # A file's hashes are listed once more by themselves; the file says which of them names it.
    in_files = {str(item.get("$id")) for file in _nested(listed) for item in children(file, "FileHashes")}
    entities = [_resolved(entity, known) for entity in listed]
    entities = [entity for entity in entities if str(entity.get("$id")) not in in_files]
    has_host = any(_kind(entity) == "host" for entity in entities)
    for entity in entities:
        _add(entity, known, has_host, draft)


def _nested(items: Json | list[Record] | Record) -> Iterator[Record]:
    """Every object in the entities, at any depth (which decoding has bounded)."""
    if isinstance(items, Mapping):
        yield items
        for value in items.values():
            yield from _nested(value)
    elif isinstance(items, list):
        for item in items:
            yield from _nested(item)


def _resolved(entity: Record, known: Mapping[str, Record]) -> Record:
    reference = entity.get("$ref")
    return known.get(str(reference), {}) if reference is not None else entity


def _part(entity: Record, path: str, known: Mapping[str, Record]) -> Record:
    return _resolved(child(entity, path), known)


def _kind(entity: Record) -> str:
    return (text(entity, "Type") or "").lower().replace("-", "")


def _role(entity: Record, otherwise: EntityRole) -> EntityRole:
    """By the roles that Defender gives an entity."""
    roles = {role.lower() for role in texts(entity, "Roles")}
    if roles & {"attacker", "source"}:
        return EntityRole.ACTOR
    return EntityRole.TARGET if roles & {"compromised", "destination"} else otherwise


def _add(entity: Record, known: Mapping[str, Record], has_host: bool, draft: AlertDraft) -> None:
    match _kind(entity):
        case "host":
            draft.entity(EntityKind.HOST, _host_name(entity), EntityRole.TARGET)
        case "account":
            # With a host, the account is who acted there; without, it is what was attacked.
            role = _role(entity, EntityRole.ACTOR if has_host else EntityRole.TARGET)
            draft.entity(EntityKind.USER, _user_name(entity), role)
        case "ip":
            draft.entity(EntityKind.IP, text(entity, "Address"), _role(entity, EntityRole.RELATED), is_guess=True)
        case "process":
            _process(entity, known, draft)
        case "file":
            _file(entity, known, draft)
        case "filehash":
            draft.entity(EntityKind.FILE_HASH, text(entity, "Value"), is_guess=True)
        case "url":
            draft.external("url", text(entity, "Url"))
            draft.entity(EntityKind.URL, text(entity, "Url"), EntityRole.RELATED, Integrity.EXTERNAL)
        case "dns":
            draft.external("dns_query", text(entity, "DomainName"))
            draft.entity(EntityKind.DOMAIN, text(entity, "DomainName"), EntityRole.RELATED, Integrity.EXTERNAL)
        case "mailbox":
            draft.entity(EntityKind.MAILBOX, first_text(entity, "MailboxPrimaryAddress", "Upn"), EntityRole.TARGET)
        case "mailmessage":
            draft.external("mail_subject", text(entity, "Subject"))
            draft.external("mail_sender", first_text(entity, "P2Sender", "Sender", "P1Sender"))
            draft.entity(EntityKind.MAILBOX, text(entity, "Recipient"), EntityRole.TARGET)
            sender = first_text(entity, "P2Sender", "Sender", "P1Sender")
            draft.entity(EntityKind.MAILBOX, sender, EntityRole.ACTOR, Integrity.EXTERNAL)
            draft.entity(EntityKind.IP, text(entity, "SenderIP"), EntityRole.ACTOR, is_guess=True)
            for url in texts(entity, "Urls"):
                draft.external("url", url)
                draft.entity(EntityKind.URL, url, EntityRole.RELATED, Integrity.EXTERNAL)
        case "registryvalue":
            key = _part(entity, "Key", known)
            draft.external("registry_key", text(key, "Key"))
            draft.external("registry_value", first_text(entity, "Value", "Name"))
        case "registrykey":
            draft.external("registry_key", text(entity, "Key"))
        case "cloudlogonsession":
            draft.external("user_agent", text(entity, "UserAgent"))
        case "cloudapplication":
            draft.entity(EntityKind.RESOURCE, text(entity, "Name"))
        case "azureresource":
            draft.entity(EntityKind.RESOURCE, text(entity, "ResourceId"), EntityRole.TARGET)
        case _:
            # Microsoft adds kinds of entity; one that is not known here is no reason to refuse the alert.
            pass


def _host_name(entity: Record) -> str | None:
    full = text(entity, "FQDN")
    if full:
        return full
    name, domain = first_text(entity, "HostName", "NetBiosName"), text(entity, "DnsDomain")
    return f"{name}.{domain}" if name and domain and "." not in name else name


def _user_name(entity: Record) -> str | None:
    principal = text(entity, "UserPrincipalName")
    if principal:
        return principal
    name = first_text(entity, "Name", "AccountName")
    suffix, domain = text(entity, "UPNSuffix"), text(entity, "NTDomain")
    if name and suffix and "@" not in name:
        return f"{name}@{suffix}"
    if name and domain and "\\" not in name and "@" not in name:
        return f"{domain}\\{name}"
    return name or first_text(entity, "Sid", "AadUserId")


def _process(entity: Record, known: Mapping[str, Record], draft: AlertDraft) -> None:
    draft.external("command_line", text(entity, "CommandLine"))
    _file(_part(entity, "ImageFile", known), known, draft)
    parent = _part(entity, "ParentProcess", known)
    draft.external("parent_command_line", text(parent, "CommandLine"))


def _file(entity: Record, known: Mapping[str, Record], draft: AlertDraft) -> None:
    draft.external("file_name", text(entity, "Name"))
    hashes = [_resolved(item, known) for item in children(entity, "FileHashes")]
    # One hash names the file; the strongest joins alerts of all sensors.
    for algorithm in ("SHA256", "SHA1", "MD5"):
        value = next((text(item, "Value") for item in hashes if text(item, "Algorithm") == algorithm), None)
        if value:
            draft.entity(EntityKind.FILE_HASH, value, is_guess=True)
            return
