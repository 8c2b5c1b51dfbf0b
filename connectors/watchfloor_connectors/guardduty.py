"""Amazon GuardDuty findings (schema 2.0): the API's PascalCase, and the camelCase of EventBridge and S3 export.

Format: https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_finding-format.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from watchfloor_connectors.attack import tactic_ids, technique_ids
from watchfloor_connectors.draft import AlertDraft
from watchfloor_connectors.fields import child, children, first_text, number, required_text, text, texts
from watchfloor_connectors.times import parse_iso
from watchfloor_core.alert import Alert, DedupKey, Detector, EntityKind, EntityRole, Integrity, Severity
from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Json, Record

_DEDUP: Final = DedupKey(("native_uid",), 0)
_PURPOSES: Final = {
    "CredentialAccess": "credential access",
    "DefenseEvasion": "defense evasion",
    "Discovery": "discovery",
    "Execution": "execution",
    "Exfiltration": "exfiltration",
    "Impact": "impact",
    "InitialAccess": "initial access",
    "Persistence": "persistence",
    "PrivilegeEscalation": "privilege escalation",
    "Recon": "reconnaissance",
    "Backdoor": "command and control",
    "Trojan": "command and control",
    "CryptoCurrency": "impact",
    "Stealth": "defense evasion",
}
"""ATT&CK tactic by the threat purpose that a finding type begins with."""


class GuardDuty:
    """GuardDuty findings; severity 1, 4, 7, 9 and up is LOW, MEDIUM, HIGH, CRITICAL."""

    name = "guardduty"
    version = "1"

    def recognises(self, record: Record) -> bool:
        finding = _finding(record)
        return _has(finding, "schemaVersion") and _has(finding, "type") and _is_guardduty(record, finding)

    def to_alert(self, record: Record) -> Alert:
        finding = _camel(_finding(record))
        kind = required_text(finding, "type")
        service = child(finding, "service")
        stamp = first_text(service, "eventLastSeen") or first_text(finding, "updatedAt", "createdAt")
        if stamp is None:
            raise RecordError("is absent; an ISO 8601 time was expected", path="service.eventLastSeen")
        event_us, precision = parse_iso(stamp)
        draft = AlertDraft()
        _resources(child(finding, "resource"), draft)
        _action(child(service, "action"), draft)
        draft.entity(EntityKind.RESOURCE, _prefixed("aws-account", text(finding, "accountId")), EntityRole.RELATED)
        draft.attribute("region", text(finding, "region"))
        draft.attribute("message", text(finding, "description"), Integrity.EXTERNAL)
        purpose = kind.partition(":")[0]
        return Alert(
            connector=self.name,
            detector=Detector(
                product="guardduty",
                uid=kind,
                title=kind,
                category=purpose,
                tactics=tactic_ids(_PURPOSES.get(purpose, "")),
                techniques=technique_ids(*_sequence_techniques(service)),
            ),
            severity=_severity(finding),
            event_us=event_us,
            precision=precision,
            entities=draft.entities(),
            attributes=draft.attributes(),
            native_uid=required_text(finding, "id"),
            dedup=_DEDUP,
        )


def _finding(record: Record) -> Record:
    """The finding itself, out of an EventBridge event where it is in one."""
    detail = record.get("detail")
    if record.get("source") == "aws.guardduty" and isinstance(detail, Mapping):
        return detail
    return record


def _has(record: Record, name: str) -> bool:
    return name in record or name[0].upper() + name[1:] in record


def _is_guardduty(record: Record, finding: Record) -> bool:
    if record is not finding:
        return True
    service = finding.get("service", finding.get("Service"))
    name = service.get("serviceName", service.get("ServiceName")) if isinstance(service, Mapping) else None
    arn = finding.get("arn", finding.get("Arn"))
    return name == "guardduty" or (isinstance(arn, str) and ":guardduty:" in arn)


def _camel(record: Record) -> dict[str, Json]:
    """The same with names that begin in lower case, all the way down."""
    return {name[:1].lower() + name[1:]: _camel_value(value) for name, value in record.items()}


def _camel_value(value: Json) -> Json:
    if isinstance(value, dict):
        return _camel(value)
    return [_camel_value(item) for item in value] if isinstance(value, list) else value


def _severity(finding: Record) -> Severity:
    score = number(finding, "severity")
    if score is None:
        return Severity.UNKNOWN
    if score >= 9:
        return Severity.CRITICAL
    if score >= 7:
        return Severity.HIGH
    return Severity.MEDIUM if score >= 4 else Severity.LOW


def _prefixed(kind: str, value: str | None) -> str | None:
    return None if value is None else f"{kind}:{value}"


def _resources(resource: Record, draft: AlertDraft) -> None:
    instance = child(resource, "instanceDetails")
    # The instance is the host of an EC2 finding: GuardDuty knows no other name for it.
    draft.entity(EntityKind.HOST, text(instance, "instanceId"), EntityRole.TARGET)
    for interface in children(instance, "networkInterfaces"):
        for name in ("privateIpAddress", "publicIp"):
            draft.entity(EntityKind.IP, text(interface, name), EntityRole.TARGET, path=f"networkInterfaces.{name}")
    key = child(resource, "accessKeyDetails")
    draft.entity(EntityKind.USER, text(key, "userName"), EntityRole.TARGET)
    draft.entity(EntityKind.RESOURCE, text(key, "accessKeyId"), EntityRole.RELATED)
    for bucket in children(resource, "s3BucketDetails"):
        draft.entity(EntityKind.RESOURCE, first_text(bucket, "arn", "name"), EntityRole.TARGET)
    draft.entity(EntityKind.RESOURCE, text(resource, "eksClusterDetails.arn"), EntityRole.TARGET)
    draft.entity(EntityKind.RESOURCE, text(resource, "rdsDbInstanceDetails.dbInstanceArn"), EntityRole.TARGET)
    draft.entity(EntityKind.USER, text(resource, "rdsDbUserDetails.user"), EntityRole.ACTOR, Integrity.EXTERNAL)
    draft.entity(EntityKind.RESOURCE, text(resource, "lambdaDetails.functionArn"), EntityRole.TARGET)


def _action(action: Record, draft: AlertDraft) -> None:
    call = child(action, "awsApiCallAction")
    draft.attribute("api", text(call, "api"))
    draft.attribute("api_service", text(call, "serviceName"))
    draft.external("user_agent", text(call, "userAgent"))
    for remote in _remotes(action):
        draft.entity(EntityKind.IP, first_text(remote, "ipAddressV4", "ipAddressV6"), EntityRole.ACTOR)
        draft.attribute("country", text(remote, "country.countryName"))
    domain = text(action, "dnsRequestAction.domain")
    draft.external("dns_query", domain)
    draft.entity(EntityKind.DOMAIN, domain, EntityRole.RELATED, Integrity.EXTERNAL)


def _remotes(action: Record) -> Iterator[Record]:
    for name in ("awsApiCallAction", "networkConnectionAction", "kubernetesApiCallAction", "rdsLoginAttemptAction"):
        yield from children(action, f"{name}.remoteIpDetails")
    for probe in children(action, "portProbeAction.portProbeDetails"):
        yield from children(probe, "remoteIpDetails")


def _sequence_techniques(service: Record) -> Iterator[str]:
    """Attack sequences carry ATT&CK ids in their indicators."""
    for indicator in children(service, "detection.sequence.sequenceIndicators"):
        if text(indicator, "key") == "ATTACK_TECHNIQUE":
            yield from texts(indicator, "values")
