"""Defender XDR alerts as the Graph security API gives them (``GET /security/alerts_v2``).

Format: https://learn.microsoft.com/graph/api/resources/security-alert
"""

from __future__ import annotations

from typing import Final

from watchfloor_connectors.attack import tactic_ids, technique_ids
from watchfloor_connectors.draft import AlertDraft
from watchfloor_connectors.fields import child, children, first_text, required_text, text, texts
from watchfloor_connectors.severities import severity_named
from watchfloor_connectors.times import parse_iso
from watchfloor_core.alert import Alert, DedupKey, Detector, EntityKind, EntityRole, Integrity
from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Record

_DEDUP: Final = DedupKey(("native_uid",), 0)
_PRODUCTS: Final = {
    "microsoftDefenderForEndpoint": "defender-endpoint",
    "microsoftDefenderForIdentity": "defender-identity",
    "microsoftDefenderForOffice365": "defender-office",
    "microsoftDefenderForCloudApps": "defender-cloud-apps",
    "microsoftDefenderForCloud": "defender-cloud",
    "azureAdIdentityProtection": "entra-id-protection",
    "microsoft365Defender": "defender-xdr",
    "microsoftAppGovernance": "defender-app-governance",
    "dataLossPrevention": "purview-dlp",
    "microsoftSentinel": "sentinel",
}
"""Sensor by ``serviceSource``, named as for the same product's rows in Sentinel."""


def recognises(record: Record) -> bool:
    return "providerAlertId" in record and "serviceSource" in record and "severity" in record


def to_alert(connector: str, record: Record) -> Alert:
    stamp = first_text(record, "lastActivityDateTime", "firstActivityDateTime", "createdDateTime")
    if stamp is None:
        raise RecordError("is absent; an ISO 8601 time was expected", path="lastActivityDateTime")
    event_us, precision = parse_iso(stamp)
    draft = AlertDraft()
    evidence = list(children(record, "evidence"))
    has_host = any(_kind(item) == "deviceEvidence" for item in evidence)
    for item in evidence:
        _add(item, has_host, draft)
    draft.attribute("message", text(record, "description"), Integrity.EXTERNAL)
    title = required_text(record, "title")
    source = required_text(record, "serviceSource")
    category = text(record, "category")
    return Alert(
        connector=connector,
        detector=Detector(
            product=_PRODUCTS.get(source, source.lower()),
            uid=first_text(record, "detectorId", "alertPolicyId") or title,
            title=title,
            category=category,
            tactics=tactic_ids(category or ""),
            techniques=technique_ids(*texts(record, "mitreTechniques")),
        ),
        severity=severity_named(text(record, "severity")),
        event_us=event_us,
        precision=precision,
        entities=draft.entities(),
        attributes=draft.attributes(),
        native_uid=required_text(record, "id"),
        dedup=_DEDUP,
    )


def _kind(item: Record) -> str:
    return (text(item, "@odata.type") or "").rpartition(".")[2]


def _role(item: Record, otherwise: EntityRole) -> EntityRole:
    roles = {role.lower() for role in texts(item, "roles")}
    if roles & {"attacker", "source"}:
        return EntityRole.ACTOR
    return EntityRole.TARGET if roles & {"compromised", "destination"} else otherwise


def _add(item: Record, has_host: bool, draft: AlertDraft) -> None:
    account_role = _role(item, EntityRole.ACTOR if has_host else EntityRole.TARGET)
    match _kind(item):
        case "deviceEvidence":
            draft.entity(EntityKind.HOST, first_text(item, "deviceDnsName", "hostName"), EntityRole.TARGET)
        case "userEvidence":
            _account(child(item, "userAccount"), account_role, draft)
        case "processEvidence":
            draft.external("command_line", text(item, "processCommandLine"))
            draft.external("parent_command_line", text(item, "parentProcessCommandLine"))
            _file(child(item, "imageFile"), draft)
            _account(child(item, "userAccount"), EntityRole.ACTOR, draft)
        case "fileEvidence":
            _file(child(item, "fileDetails"), draft)
        case "ipEvidence":
            draft.entity(EntityKind.IP, text(item, "ipAddress"), _role(item, EntityRole.RELATED), path="ipAddress")
        case "urlEvidence":
            draft.external("url", text(item, "url"))
            draft.entity(EntityKind.URL, text(item, "url"), EntityRole.RELATED, Integrity.EXTERNAL)
        case "mailboxEvidence":
            draft.entity(EntityKind.MAILBOX, text(item, "primaryAddress"), EntityRole.TARGET)
        case "analyzedMessageEvidence":
            _message(item, draft)
        case "registryKeyEvidence" | "registryValueEvidence":
            draft.external("registry_key", text(item, "registryKey"))
            draft.external("registry_value", first_text(item, "registryValue", "registryValueName"))
        case "cloudApplicationEvidence" | "oauthApplicationEvidence":
            draft.entity(EntityKind.RESOURCE, text(item, "displayName"))
        case "azureResourceEvidence" | "amazonResourceEvidence" | "googleCloudResourceEvidence":
            name = first_text(item, "resourceId", "amazonResourceId", "fullResourceName", "resourceName")
            draft.entity(EntityKind.RESOURCE, name, EntityRole.TARGET)
        case "cloudLogonSessionEvidence":
            draft.external("user_agent", text(item, "userAgent"))
        case _:
            # The API adds kinds of evidence; one that is not known here is no reason to refuse the alert.
            pass


def _account(account: Record, role: EntityRole, draft: AlertDraft) -> None:
    name = text(account, "userPrincipalName")
    if name is None:
        name, domain = text(account, "accountName"), text(account, "domainName")
        name = f"{domain}\\{name}" if name and domain else name
    draft.entity(EntityKind.USER, name, role)


def _file(details: Record, draft: AlertDraft) -> None:
    draft.external("file_name", text(details, "fileName"))
    draft.entity(EntityKind.FILE_HASH, first_text(details, "sha256", "sha1"), path="sha256")


def _message(item: Record, draft: AlertDraft) -> None:
    sender = first_text(item, "p2Sender.emailAddress", "p1Sender.emailAddress")
    draft.external("mail_subject", text(item, "subject"))
    draft.external("mail_sender", sender)
    draft.entity(EntityKind.MAILBOX, sender, EntityRole.ACTOR, Integrity.EXTERNAL)
    draft.entity(EntityKind.MAILBOX, text(item, "recipientEmailAddress"), EntityRole.TARGET)
    draft.entity(EntityKind.IP, text(item, "senderIp"), EntityRole.ACTOR, path="senderIp")
    for url in texts(item, "urls"):
        draft.external("url", url)
        draft.entity(EntityKind.URL, url, EntityRole.RELATED, Integrity.EXTERNAL)
