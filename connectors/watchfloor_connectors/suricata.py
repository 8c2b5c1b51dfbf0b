"""Suricata EVE JSON: ``alert`` events; every other event type (flow, dns, stats …) is no alert.

Format: https://docs.suricata.io/en/latest/output/eve/eve-json-format.html

Ports, flow ids and payloads are left to the original bytes: they differ in every alert of a scan, and an alert's
attributes are what makes two alerts alike. Only a system port (below 1024) or a recognised protocol says what service
was meant.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Final

from watchfloor_connectors.attack import tactic_ids, technique_ids
from watchfloor_connectors.draft import AlertDraft
from watchfloor_connectors.fields import (
    child,
    children,
    first_text,
    integer,
    required_child,
    required_text,
    text,
    texts,
)
from watchfloor_connectors.times import parse_iso
from watchfloor_core.alert import Alert, DedupKey, Detector, EntityKind, EntityRole, Integrity, Severity
from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Record

EVENT_TYPES: Final = frozenset({
    "alert", "anomaly", "arp", "bittorrent_dht", "dcerpc", "dhcp", "dnp3", "dns", "drop", "engine", "enip", "fileinfo",
    "flow", "frame", "ftp", "ftp_data", "http", "http2", "ike", "ikev2", "krb5", "ldap", "mdns", "metadata", "modbus",
    "mqtt", "mysql", "netflow", "nfs", "packet", "pgsql", "pop3", "quic", "rdp", "rfb", "sip", "smb", "smtp", "snmp",
    "ssh", "stats", "tftp", "tls", "verdict", "websocket",
})  # fmt: skip
_SEVERITIES: Final = {1: Severity.HIGH, 2: Severity.MEDIUM, 3: Severity.LOW, 4: Severity.INFORMATIONAL}
_PRIVATE: Final = tuple(
    ip_network(network) for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
"""RFC 1918, 6598 and 4193; Python's ``is_private`` also takes in reserved and documentation networks."""
_DEDUP: Final = DedupKey(("detector", "entities", "attributes"), 1)


class Suricata:
    """EVE records; ``alert.severity`` 1 (highest) to 4 is HIGH to INFORMATIONAL."""

    name = "suricata"
    version = "1"

    def recognises(self, record: Record) -> bool:
        kind, alert = record.get("event_type"), record.get("alert")
        if not isinstance(kind, str) or kind not in EVENT_TYPES or not isinstance(record.get("timestamp"), str):
            return False
        return kind != "alert" or (isinstance(alert, dict) and "signature_id" in alert)

    def to_alert(self, record: Record) -> Alert | None:
        if required_text(record, "event_type") != "alert":
            return None
        rule = required_child(record, "alert")
        metadata = child(rule, "metadata")
        level = integer(rule, "severity")
        event_us, precision = parse_iso(required_text(record, "timestamp"))
        draft = AlertDraft()
        _endpoints(record, rule, draft)
        _service(record, draft)
        _application(record, draft)
        draft.attribute("action", text(rule, "action"))
        draft.entity(EntityKind.HOST, text(record, "host"), EntityRole.OBSERVER)
        generator = integer(rule, "gid") or 1
        signature = _signature_id(rule)
        return Alert(
            connector=self.name,
            detector=Detector(
                product="suricata",
                uid=signature if generator == 1 else f"{generator}:{signature}",
                title=text(rule, "signature") or f"Suricata rule {signature}",
                category=text(rule, "category"),
                tactics=tactic_ids(*texts(metadata, "mitre_tactic_id")),
                techniques=technique_ids(*texts(metadata, "mitre_technique_id")),
            ),
            severity=Severity.UNKNOWN if level is None else _SEVERITIES.get(level, Severity.INFORMATIONAL),
            event_us=event_us,
            precision=precision,
            entities=draft.entities(),
            attributes=draft.attributes(),
            dedup=_DEDUP,
        )


def _signature_id(rule: Record) -> str:
    found = integer(rule, "signature_id")
    if found is None:
        raise RecordError("is absent; Suricata's rule id was expected", path="alert.signature_id")
    return str(found)


def _endpoints(record: Record, rule: Record, draft: AlertDraft) -> None:
    """Who attacked whom: as the rule says (keyword ``target``), else as the addresses tell."""
    source, target = text(rule, "source.ip"), text(rule, "target.ip")
    if source and target:
        draft.entity(EntityKind.IP, target, EntityRole.TARGET, path="alert.target.ip")
        draft.entity(EntityKind.IP, source, EntityRole.ACTOR, path="alert.source.ip")
        return
    source, target = text(record, "src_ip"), text(record, "dest_ip")
    # A private address is the organisation's own: of an outbound alert it is the source that is the asset.
    if source and target and _is_private(source) and not _is_private(target):
        draft.entity(EntityKind.IP, source, EntityRole.TARGET, path="src_ip")
        draft.entity(EntityKind.IP, target, EntityRole.RELATED, path="dest_ip")
    else:
        draft.entity(EntityKind.IP, target, EntityRole.TARGET, path="dest_ip")
        draft.entity(EntityKind.IP, source, EntityRole.ACTOR, path="src_ip")


def _is_private(address: str) -> bool:
    # No address is longer; what is remembered must not be an attacker's to size.
    return len(address) <= 45 and _is_known_private(address)


@lru_cache(maxsize=65_536)
def _is_known_private(address: str) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in _PRIVATE)


def _service(record: Record, draft: AlertDraft) -> None:
    protocol, application = text(record, "proto"), text(record, "app_proto")
    port = integer(record, "dest_port")
    if application and application != "failed":
        draft.attribute("service", application)
    elif protocol and port is not None and port < 1024:
        draft.attribute("service", f"{protocol.lower()}/{port}")
    elif protocol:
        draft.attribute("service", protocol.lower())


def _application(record: Record, draft: AlertDraft) -> None:
    http = child(record, "http")
    if http:
        draft.external("url", text(http, "url"))
        draft.external("http_method", text(http, "http_method"))
        draft.external("user_agent", text(http, "http_user_agent"))
        draft.external("referrer", text(http, "http_refer"))
        _domain("http_host", text(http, "hostname"), draft)
    dns = child(record, "dns")
    if dns:
        # Version 3 has a list "queries", version 2 a list "query", older ones the fields themselves.
        for query in (*children(dns, "queries"), *children(dns, "query"), dns):
            _domain("dns_query", text(query, "rrname"), draft)
    tls = child(record, "tls")
    if tls:
        _domain("tls_sni", text(tls, "sni"), draft)
        draft.external("tls_subject", text(tls, "subject"))
        draft.external("tls_issuer", text(tls, "issuerdn"))
    email = child(record, "email")
    if email:
        draft.external("mail_subject", text(email, "subject"))
        draft.external("mail_sender", text(email, "from"))
        for attachment in texts(email, "attachment"):
            draft.external("mail_attachment", attachment)
    for file in (*children(record, "fileinfo"), *children(record, "files")):
        draft.external("file_name", text(file, "filename"))
        draft.entity(EntityKind.FILE_HASH, first_text(file, "sha256", "md5"), path="fileinfo.sha256")


def _domain(attribute: str, name: str | None, draft: AlertDraft) -> None:
    draft.external(attribute, name)
    if name is not None and not _is_address(name):
        draft.entity(EntityKind.DOMAIN, name, EntityRole.RELATED, Integrity.EXTERNAL)


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
