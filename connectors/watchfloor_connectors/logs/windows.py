"""Windows events in whatever JSON they come: what Sigma calls their fields, and what sort of log they are of.

The forms known: the one of the ``evtx`` package (``Event.System`` and ``Event.EventData``), winlogbeat's (``winlog``),
and the flat one of nxlog and logstash, where event data stands beside ``EventID`` and ``Channel``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from watchfloor_connectors.logs.raw_event import LogKind
from watchfloor_core.canonical import JsonValue

CLEARED: Final = "UserData_Channel"
"""Of event 104, the log that was cleared; ``Channel`` is the one that tells it."""

_SYSMON: Final = {
    1: "process_creation", 2: "file_change", 3: "network_connection", 4: "sysmon_status", 5: "process_termination",
    6: "driver_load", 7: "image_load", 8: "create_remote_thread", 9: "raw_access_thread", 10: "process_access",
    11: "file_event", 12: "registry_event", 13: "registry_event", 14: "registry_event", 15: "create_stream_hash",
    16: "sysmon_status", 17: "pipe_created", 18: "pipe_created", 19: "wmi_event", 20: "wmi_event", 21: "wmi_event",
    22: "dns_query", 23: "file_delete", 24: "clipboard_capture", 25: "process_tampering", 26: "file_delete",
    27: "file_block_executable", 28: "file_block_shredding", 29: "file_executable_detected", 255: "sysmon_error",
}  # fmt: skip
"""Sigma's category of Sysmon's event ids (https://sigmahq.io/sigma-specification/, taxonomy)."""

_SERVICES: Final = {
    "security": "security",
    "system": "system",
    "application": "application",
    "windows powershell": "powershell-classic",
    "powershellcore/operational": "powershell",
    "microsoft-windows-powershell/operational": "powershell",
    "microsoft-windows-sysmon/operational": "sysmon",
    "microsoft-windows-taskscheduler/operational": "taskscheduler",
    "microsoft-windows-wmi-activity/operational": "wmi",
    "microsoft-windows-windows defender/operational": "windefend",
    "microsoft-windows-windows firewall with advanced security/firewall": "firewall-as",
    "microsoft-windows-bits-client/operational": "bits-client",
    "microsoft-windows-ntlm/operational": "ntlm",
    "microsoft-windows-codeintegrity/operational": "codeintegrity-operational",
    "microsoft-windows-terminalservices-localsessionmanager/operational": "terminalservices-localsessionmanager",
    "microsoft-windows-dns-client/operational": "dns-client",
    "microsoft-windows-smbclient/security": "smbclient-security",
    "microsoft-windows-smbclient/connectivity": "smbclient-connectivity",
    "microsoft-windows-ldap-client/debug": "ldap",
    "microsoft-windows-driverframeworks-usermode/operational": "driver-framework",
    "microsoft-windows-security-mitigations/kernel mode": "security-mitigations",
    "microsoft-windows-security-mitigations/user mode": "security-mitigations",
    "microsoft-windows-appxdeploymentserver/operational": "appxdeployment-server",
    "microsoft-windows-appxpackaging/operational": "appxpackaging-om",
    "microsoft-windows-appmodel-runtime/admin": "appmodel-runtime",
    "microsoft-windows-lsa/operational": "lsa-server",
    "microsoft-windows-shell-core/operational": "shell-core",
    "microsoft-windows-vhdmp-operational": "vhdmp",
    "microsoft-windows-diagnosis-scripted/operational": "diagnosis-scripted",
    "microsoft-windows-capi2/operational": "capi2",
    "microsoft-windows-certificateservicesclient-lifecycle-system/operational": (
        "certificateservicesclient-lifecycle-system"
    ),
    "microsoft-windows-applocker/exe and dll": "applocker",
    "microsoft-windows-applocker/msi and script": "applocker",
    "microsoft-windows-applocker/packaged app-deployment": "applocker",
    "microsoft-windows-applocker/packaged app-execution": "applocker",
    "dns server": "dns-server",
    "microsoft-windows-dnsserver/analytical": "dns-server-analytic",
    "microsoft-windows-dns-server/audit": "dns-server-audit",
    "openssh/operational": "openssh",
    "msexchange management": "msexchange-management",
    "microsoft-iis-configuration/operational": "iis-configuration",
}

_AUDIT_CATEGORIES: Final = {
    ("security", 4688): "process_creation",
    ("powershell", 4103): "ps_module",
    ("powershell", 4104): "ps_script",
    ("powershell-classic", 400): "ps_classic_start",
    ("powershell-classic", 600): "ps_classic_provider_start",
}


def is_windows(record: Mapping[str, JsonValue]) -> bool:
    """Whether a JSON record is a Windows event in one of the forms known."""
    if isinstance(record.get("Event"), Mapping) or isinstance(record.get("winlog"), Mapping):
        return True
    if "event_id" in record and "log_name" in record:
        return True
    return "EventID" in record and ("Channel" in record or "SourceName" in record or "ProviderGuid" in record)


def windows_fields(record: Mapping[str, JsonValue]) -> dict[str, str | int]:
    """The fields as Sigma rules name them: event data as it is, and ``EventID``, ``Channel``, ``Provider_Name``,
    ``Computer`` beside it. Empty values, and ``-`` for none, are as Windows writes them."""
    event = record.get("Event")
    if isinstance(event, Mapping):
        return _of_evtx(event)
    winlog = record.get("winlog", record if "log_name" in record else None)
    if isinstance(winlog, Mapping):
        return _of_winlogbeat(winlog)
    flat = _scalars(record)
    if "Computer" not in flat and "Hostname" in flat:
        flat["Computer"] = flat["Hostname"]
    if "Provider_Name" not in flat and "SourceName" in flat:
        flat["Provider_Name"] = flat["SourceName"]
    _numbered(flat)
    return flat


def windows_kind(fields: Mapping[str, str | int]) -> LogKind:
    """By channel and event id."""
    channel = str(fields.get("Channel", "")).lower()
    provider = str(fields.get("Provider_Name", "")).lower()
    number = event_id(fields)
    service = _SERVICES.get(channel)
    if service is None and provider == "microsoft-windows-sysmon":
        service = "sysmon"
    if service is None and provider == "microsoft-windows-security-auditing":
        service = "security"
    if service == "sysmon":
        return LogKind("windows", service, _SYSMON.get(number))
    return LogKind("windows", service, _AUDIT_CATEGORIES.get((service or "", number)))


def event_id(fields: Mapping[str, str | int]) -> int:
    """-1 where there is none."""
    value = fields.get("EventID", -1)
    return value if isinstance(value, int) else -1


def _of_evtx(event: Mapping[str, JsonValue]) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for part in ("UserData", "EventData"):
        data = event.get(part)
        if isinstance(data, Mapping):
            found |= _data(data)
    _keep_cleared(found)
    system = event.get("System")
    if isinstance(system, Mapping):
        found |= _system(system)
    _numbered(found)
    return found


def _system(system: Mapping[str, JsonValue]) -> dict[str, str | int]:
    found = _scalars(system)
    for name in ("Provider", "Execution", "Security", "Correlation"):
        found |= {f"{name}_{key}": value for key, value in _scalars(_attributes(system.get(name))).items()}
    number = system.get("EventID")
    text = number.get("#text") if isinstance(number, Mapping) else None
    if isinstance(text, (str, int)):
        found["EventID"] = text
    if "Security_UserID" in found:
        found.setdefault("UserID", found["Security_UserID"])
    return found


def _data(data: Mapping[str, JsonValue]) -> dict[str, str | int]:
    """``EventData`` has names and values; ``UserData`` one element more around them; older events unnamed values."""
    found: dict[str, str | int] = {}
    for name, value in data.items():
        if name == "#attributes":
            continue
        if isinstance(value, Mapping):
            text = value.get("#text")
            found |= {name: text} if isinstance(text, (str, int)) else _data(value)
            if name == "Data" and isinstance(text, list):
                found["Data"] = "\n".join(str(one) for one in text)
        elif isinstance(value, list):
            found[name] = "\n".join(str(one) for one in value)
        elif isinstance(value, (str, int)):
            found[name] = value if not isinstance(value, bool) else str(value).lower()
    return found


def _of_winlogbeat(winlog: Mapping[str, JsonValue]) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for part in ("user_data", "event_data"):
        data = winlog.get(part)
        if isinstance(data, Mapping):
            found |= _scalars(data)
    _keep_cleared(found)
    names = {
        "event_id": "EventID",
        "channel": "Channel",
        "log_name": "Channel",
        "source_name": "Provider_Name",
        "provider_name": "Provider_Name",
        "computer_name": "Computer",
        "task": "Task",
        "record_id": "EventRecordID",
    }
    for theirs, ours in names.items():
        value = winlog.get(theirs)
        if isinstance(value, (str, int)):
            found[ours] = value
    _numbered(found)
    return found


def _attributes(value: JsonValue) -> Mapping[str, JsonValue]:
    inner = value.get("#attributes") if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _scalars(record: Mapping[str, JsonValue]) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for name, value in record.items():
        if isinstance(value, bool):
            found[name] = str(value).lower()
        elif isinstance(value, (str, int)):
            found[name] = value
        elif isinstance(value, float):
            found[name] = str(value)
    return found


def _keep_cleared(found: dict[str, str | int]) -> None:
    """The log that event 104 says was cleared has the name of the log that tells it, which is to stand there."""
    if "Channel" in found:
        found[CLEARED] = found["Channel"]


def _numbered(fields: dict[str, str | int]) -> None:
    number = fields.get("EventID")
    if isinstance(number, str) and number.isdecimal() and len(number) <= 9:
        fields["EventID"] = int(number)
