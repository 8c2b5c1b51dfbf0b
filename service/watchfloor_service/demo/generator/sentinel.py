"""Records as Microsoft Sentinel keeps them in its table ``SecurityAlert``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from watchfloor_core.ports import Json
from watchfloor_service.demo.generator.chance import Chance
from watchfloor_service.demo.generator.organisation import DOMAIN, HOSTS, NT_DOMAIN
from watchfloor_service.demo.generator.rhythm import stamp

WORKSPACE: Final = "6f1d2c34-77aa-4c58-9e0b-5d3f8a1b2c90"

ENDPOINT: Final = ("MDATP", "Microsoft Defender Advanced Threat Protection")
IDENTITY: Final = ("Azure Advanced Threat Protection", "Azure Advanced Threat Protection")
SIGN_IN: Final = ("IPC", "Azure Active Directory Identity Protection")
MAIL: Final = ("OATP", "Office 365 Advanced Threat Protection")
ANALYTICS: Final = ("ASI Scheduled Alerts", "Azure Sentinel")


@dataclass(frozen=True, slots=True)
class Detection:
    title: str
    kind: str
    """``AlertType``: the detector's id."""
    source: tuple[str, str]
    """Provider and product."""
    severity: str
    tactics: str
    techniques: tuple[str, ...] = ()
    description: str = ""


def alert(
    chance: Chance,
    started_us: int,
    written_us: int,
    detection: Detection,
    entities: Sequence[Mapping[str, Json]],
    *,
    compromised: str | None = None,
) -> dict[str, Json]:
    """A new alert: what happened at ``started_us`` reached the table at ``written_us``."""
    provider, product = detection.source
    numbered = [{"$id": str(number), **entity} for number, entity in enumerate(entities, start=2)]
    record: dict[str, Json] = {
        "TenantId": WORKSPACE,
        "TimeGenerated": stamp(written_us, 7) + "Z",
        "DisplayName": detection.title,
        "AlertName": detection.title,
        "AlertSeverity": detection.severity,
        "Description": detection.description or detection.title,
        "ProviderName": provider,
        "VendorName": "Microsoft",
        "VendorOriginalId": chance.guid(),
        "SystemAlertId": chance.guid(),
        "AlertType": detection.kind,
        "IsIncident": False,
        "StartTime": stamp(started_us, 7) + "Z",
        "EndTime": stamp(started_us, 7) + "Z",
        "ProcessingEndTime": stamp(written_us, 7) + "Z",
        "ExtendedProperties": json.dumps({"ProcessedBySentinel": "True", "DetectorId": detection.kind}),
        "Entities": json.dumps(numbered, ensure_ascii=False),
        "SourceSystem": "Detection",
        "ProductName": product,
        "Status": "New",
        "Tactics": detection.tactics,
        "Techniques": json.dumps(list(detection.techniques)),
        "Type": "SecurityAlert",
    }
    if compromised is not None:
        record["CompromisedEntity"] = compromised
    return record


def status_change(record: Mapping[str, Json], written_us: int, status: str) -> dict[str, Json]:
    """The same alert again, as the table repeats it whenever its status changes."""
    return {**record, "TimeGenerated": stamp(written_us, 7) + "Z", "Status": status}


def host(name: str) -> dict[str, Json]:
    return {"DnsDomain": DOMAIN, "HostName": name, "FQDN": f"{name}.{DOMAIN}", "OSFamily": "Windows", "Type": "host"}


def host_address(name: str) -> dict[str, Json]:
    return address(HOSTS[name].ip)


def account(name: str) -> dict[str, Json]:
    return {
        "Name": name,
        "NTDomain": NT_DOMAIN,
        "UPNSuffix": DOMAIN,
        "IsDomainJoined": True,
        "Type": "account",
        "UserPrincipalName": f"{name}@{DOMAIN}",
    }


def address(ip: str) -> dict[str, Json]:
    return {"Address": ip, "Type": "ip"}


def mailbox(owner: str) -> dict[str, Json]:
    return {"MailboxPrimaryAddress": f"{owner}@{DOMAIN}", "Upn": f"{owner}@{DOMAIN}", "Type": "mailbox"}


def message(recipient: str, sender: str, sender_ip: str, subject: str, urls: Sequence[str] = ()) -> dict[str, Json]:
    """A mail; sender and subject are whatever its author typed."""
    return {
        "Recipient": f"{recipient}@{DOMAIN}",
        "Urls": list(urls),
        "Sender": sender,
        "P2Sender": sender,
        "SenderIP": sender_ip,
        "Subject": subject,
        "DeliveryAction": "Delivered",
        "Type": "mailMessage",
    }


def file(name: str, folder: str, sha256: str) -> dict[str, Json]:
    hashes: list[Json] = [{"Algorithm": "SHA256", "Value": sha256, "Type": "filehash"}]
    return {"Directory": folder, "Name": name, "FileHashes": hashes, "Type": "file"}


def process(command_line: str, image: Mapping[str, Json], pid: int) -> dict[str, Json]:
    return {"ProcessId": str(pid), "CommandLine": command_line, "ImageFile": dict(image), "Type": "process"}


POWERSHELL: Final = file(
    "powershell.exe",
    r"C:\Windows\System32\WindowsPowerShell\v1.0",
    "9f914d42706fe215501044acd85a32d58aaef1419d404fddfa5d3b48f66ccd9f",
)
"""On every Windows machine: sharing it tells nothing."""
