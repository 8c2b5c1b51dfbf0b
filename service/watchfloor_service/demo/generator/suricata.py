"""Records as Suricata 7 writes them to ``eve.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from watchfloor_core.ports import Json
from watchfloor_service.demo.generator.chance import Chance
from watchfloor_service.demo.generator.organisation import SENSOR_HOST
from watchfloor_service.demo.generator.rhythm import stamp

INFORMATION_LEAK: Final = "Attempted Information Leak"
ADMIN_GAIN: Final = "Attempted Administrator Privilege Gain"
BAD_TRAFFIC: Final = "Potentially Bad Traffic"
DECODE: Final = "Generic Protocol Command Decode"
MISC: Final = "Misc activity"
NOT_SUSPICIOUS: Final = "Not Suspicious Traffic"
POLICY: Final = "Potential Corporate Privacy Violation"
TROJAN: Final = "A Network Trojan was detected"
WEB_ATTACK: Final = "Web Application Attack"


@dataclass(frozen=True, slots=True)
class Signature:
    sid: int
    title: str
    category: str
    severity: int
    """1 is the most severe."""
    rev: int = 3
    metadata: Mapping[str, Json] = field(default_factory=dict)


def attack(tactic: str, technique: str) -> dict[str, Json]:
    """Rule metadata that names an ATT&CK tactic and technique, as the ET rule set spells it."""
    return {"mitre_tactic_id": [tactic], "mitre_technique_id": [technique], "signature_severity": ["Major"]}


@dataclass(frozen=True, slots=True)
class Flow:
    """Who talked to whom."""

    source: str
    target: str
    target_port: int
    protocol: str = "TCP"


def alert(
    chance: Chance, us: int, signature: Signature, flow: Flow, layer: Mapping[str, Json] | None = None
) -> dict[str, Json]:
    """``layer`` is what the application-layer parser adds, e.g. ``{"http": {…}}``."""
    described: dict[str, Json] = {
        "action": "allowed",
        "gid": 1,
        "signature_id": signature.sid,
        "rev": signature.rev,
        "signature": signature.title,
        "category": signature.category,
        "severity": signature.severity,
    }
    if signature.metadata:
        described["metadata"] = dict(signature.metadata)
    return {**_head(chance, us, "alert", flow), "alert": described, **(layer or {}), "host": SENSOR_HOST}


def lookup(chance: Chance, us: int, client: str, resolver: str, name: str) -> dict[str, Json]:
    """A DNS query: logged, but no alert."""
    query: dict[str, Json] = {"type": "query", "id": chance.whole(1, 65_535), "rrname": name, "rrtype": "A", "tx_id": 0}
    return {**_head(chance, us, "dns", Flow(client, resolver, 53, "UDP")), "dns": query, "host": SENSOR_HOST}


def handshake(chance: Chance, us: int, client: str, server: str, name: str) -> dict[str, Json]:
    """A TLS handshake: logged, but no alert."""
    seen: dict[str, Json] = {"sni": name, "version": "TLS 1.3"}
    return {**_head(chance, us, "tls", Flow(client, server, 443)), "tls": seen, "host": SENSOR_HOST}


def http(host: str, url: str, agent: str, *, method: str = "GET", status: int = 200) -> dict[str, Json]:
    """The HTTP layer of an alert; all but the status is what the client chose to send."""
    request: dict[str, Json] = {
        "hostname": host,
        "url": url,
        "http_user_agent": agent,
        "http_method": method,
        "protocol": "HTTP/1.1",
        "status": status,
    }
    return {"app_proto": "http", "http": request}


def dns(name: str, kind: str = "A") -> dict[str, Json]:
    """The DNS layer of an alert."""
    query: dict[str, Json] = {"type": "query", "rrname": name, "rrtype": kind}
    return {"app_proto": "dns", "dns": {"query": [query]}}


def tls(name: str) -> dict[str, Json]:
    """The TLS layer of an alert."""
    return {"app_proto": "tls", "tls": {"sni": name, "version": "TLS 1.2"}}


def _head(chance: Chance, us: int, kind: str, flow: Flow) -> dict[str, Json]:
    return {
        "timestamp": stamp(us, 6) + "+0000",
        "flow_id": chance.whole(10**14, 2 * 10**15),
        "in_iface": "eth1",
        "event_type": kind,
        "src_ip": flow.source,
        "src_port": chance.whole(32_768, 60_999),
        "dest_ip": flow.target,
        "dest_port": flow.target_port,
        "proto": flow.protocol,
    }
