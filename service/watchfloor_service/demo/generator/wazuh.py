"""Records as the Wazuh 4 manager writes them to ``alerts.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from watchfloor_core.ports import Json
from watchfloor_service.demo.generator.chance import Chance
from watchfloor_service.demo.generator.organisation import DOMAIN, Host
from watchfloor_service.demo.generator.rhythm import SECOND, stamp

SECURITY: Final = "Security"
SYSMON: Final = "Microsoft-Windows-Sysmon/Operational"

_PROVIDERS: Final = {
    SECURITY: "Microsoft-Windows-Security-Auditing",
    SYSMON: "Microsoft-Windows-Sysmon",
    "System": "Service Control Manager",
    "Application": "Microsoft-Windows-Security-SPP",
}

_TECHNIQUES: Final[Mapping[str, tuple[str, str]]] = {
    "T1003.001": ("Credential Access", "LSASS Memory"),
    "T1003.006": ("Credential Access", "DCSync"),
    "T1059.001": ("Execution", "PowerShell"),
    "T1070.001": ("Defense Evasion", "Clear Windows Event Logs"),
    "T1078": ("Initial Access", "Valid Accounts"),
    "T1087": ("Discovery", "Account Discovery"),
    "T1105": ("Command and Control", "Ingress Tool Transfer"),
    "T1110": ("Credential Access", "Brute Force"),
    "T1110.001": ("Credential Access", "Password Guessing"),
    "T1190": ("Initial Access", "Exploit Public-Facing Application"),
    "T1531": ("Impact", "Account Access Removal"),
    "T1548.003": ("Privilege Escalation", "Sudo and Sudo Caching"),
    "T1550.002": ("Lateral Movement", "Pass the Hash"),
    "T1565.001": ("Impact", "Stored Data Manipulation"),
    "T1569.002": ("Execution", "Service Execution"),
}


@dataclass(frozen=True, slots=True)
class Rule:
    id: str
    level: int
    """0–15; 12 and more is high."""
    title: str
    groups: tuple[str, ...]
    techniques: tuple[str, ...] = ()


def alert(
    chance: Chance,
    us: int,
    rule: Rule,
    host: Host,
    *,
    decoder: str,
    location: str,
    data: Mapping[str, Json] | None = None,
    log: str | None = None,
) -> dict[str, Json]:
    """One alert of the manager about a host that runs its agent."""
    if host.agent is None:
        raise ValueError(f"{host.name} runs no agent, so Wazuh says nothing about it")
    described: dict[str, Json] = {
        "level": rule.level,
        "description": rule.title,
        "id": rule.id,
        "firedtimes": chance.whole(1, 9),
        "mail": rule.level >= 12,
        "groups": list(rule.groups),
    }
    if rule.techniques:
        named = [_TECHNIQUES[technique] for technique in rule.techniques]
        described["mitre"] = {
            "id": list(rule.techniques),
            "tactic": [tactic for tactic, _ in named],
            "technique": [name for _, name in named],
        }
    record: dict[str, Json] = {
        "timestamp": stamp(us, 3) + "+0000",
        "rule": described,
        "agent": {"id": host.agent, "name": host.name, "ip": host.ip},
        "manager": {"name": "wazuh01"},
        "id": f"{us // SECOND}.{chance.whole(1_000_000, 9_999_999)}",
    }
    if log is not None:
        record["full_log"] = log
    record["decoder"] = {"name": decoder}
    if data:
        record["data"] = dict(data)
    record["location"] = location
    return record


def syslog_alert(
    chance: Chance, us: int, rule: Rule, host: Host, program: str, message: str, data: Mapping[str, Json]
) -> dict[str, Json]:
    """An alert on a line of a Unix log."""
    log = f"{stamp(us, 6)}+00:00 {host.name} {program}[{chance.whole(300, 32_000)}]: {message}"
    location = "/var/log/auth.log" if program in ("sshd", "sudo", "CRON") else "/var/log/syslog"
    return alert(chance, us, rule, host, decoder=program.lower(), location=location, data=data, log=log)


def windows_alert(
    chance: Chance, us: int, rule: Rule, host: Host, event_id: int, channel: str, event: Mapping[str, str]
) -> dict[str, Json]:
    """An alert on a Windows event. The agent doubles each backslash in the event's values."""
    system: dict[str, Json] = {
        "providerName": _PROVIDERS[channel],
        "eventID": str(event_id),
        "channel": channel,
        "computer": f"{host.name}.{DOMAIN}",
        "systemTime": stamp(us - chance.whole(200_000, SECOND), 7) + "Z",
    }
    data: dict[str, Json] = {
        "win": {"system": system, "eventdata": {name: value.replace("\\", "\\\\") for name, value in event.items()}}
    }
    return alert(chance, us, rule, host, decoder="windows_eventchannel", location="EventChannel", data=data)
