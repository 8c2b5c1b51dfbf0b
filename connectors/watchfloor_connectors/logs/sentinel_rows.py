"""Rows of Microsoft's tables as records in the Elastic Common Schema.

Source: https://learn.microsoft.com/azure/azure-monitor/reference/tables-index and
https://learn.microsoft.com/defender-xdr/advanced-hunting-schema-tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from watchfloor_core.canonical import JsonValue
from watchfloor_core.logs.fields import Field

Row = Mapping[str, JsonValue]

_PROCESS: Final = {
    Field.PROCESS_EXECUTABLE: ("FolderPath", "FileName"),
    Field.PROCESS_NAME: ("FileName",),
    Field.PROCESS_COMMAND_LINE: ("ProcessCommandLine",),
    Field.PROCESS_PID: ("ProcessId",),
    Field.PROCESS_HASH_SHA256: ("SHA256",),
    Field.PARENT_EXECUTABLE: ("InitiatingProcessFolderPath", "InitiatingProcessFileName"),
    Field.PARENT_NAME: ("InitiatingProcessFileName",),
    Field.PARENT_COMMAND_LINE: ("InitiatingProcessCommandLine",),
    Field.PARENT_PID: ("InitiatingProcessId",),
    Field.USER_NAME: ("AccountName",),
    Field.USER_DOMAIN: ("AccountDomain",),
    Field.USER_ID: ("AccountSid",),
    Field.LOGON_ID: ("LogonId",),
}
_BY: Final = {
    Field.PROCESS_EXECUTABLE: ("InitiatingProcessFolderPath", "InitiatingProcessFileName"),
    Field.PROCESS_NAME: ("InitiatingProcessFileName",),
    Field.PROCESS_COMMAND_LINE: ("InitiatingProcessCommandLine",),
    Field.PROCESS_PID: ("InitiatingProcessId",),
    Field.USER_NAME: ("InitiatingProcessAccountName",),
}
"""The process that did it."""
_DEVICE: Final = {Field.HOST_NAME: ("DeviceName",), Field.EVENT_ACTION: ("ActionType",)}
_TABLES: Final[Mapping[str, tuple[str, str, Mapping[Field, tuple[str, ...]]]]] = {
    "DeviceProcessEvents": ("process", "start", {**_DEVICE, **_PROCESS}),
    "DeviceNetworkEvents": (
        "network",
        "connection",
        {
            **_DEVICE,
            **_BY,
            Field.SOURCE_IP: ("LocalIP",),
            Field.SOURCE_PORT: ("LocalPort",),
            Field.DESTINATION_IP: ("RemoteIP",),
            Field.DESTINATION_PORT: ("RemotePort",),
            Field.DESTINATION_DOMAIN: ("RemoteUrl",),
            Field.NETWORK_TRANSPORT: ("Protocol",),
        },
    ),
    "DeviceFileEvents": (
        "file",
        "change",
        {
            **_DEVICE,
            **_BY,
            Field.FILE_PATH: ("FolderPath", "FileName"),
            Field.FILE_NAME: ("FileName",),
            Field.FILE_HASH_SHA256: ("SHA256",),
        },
    ),
    "DeviceRegistryEvents": (
        "registry",
        "change",
        {**_DEVICE, **_BY, Field.REGISTRY_PATH: ("RegistryKey",), Field.REGISTRY_DATA: ("RegistryValueData",)},
    ),
    "DeviceLogonEvents": (
        "authentication",
        "start",
        {
            **_DEVICE,
            Field.USER_NAME: ("AccountName",),
            Field.USER_DOMAIN: ("AccountDomain",),
            Field.SOURCE_IP: ("RemoteIP",),
            Field.SOURCE_DOMAIN: ("RemoteDeviceName",),
            Field.LOGON_TYPE: ("LogonType",),
            Field.EVENT_REASON: ("FailureReason",),
        },
    ),
    "SigninLogs": (
        "sign_in",
        "start",
        {
            Field.USER_NAME: ("UserPrincipalName",),
            Field.USER_ID: ("UserId",),
            Field.SOURCE_IP: ("IPAddress",),
            Field.USER_AGENT: ("UserAgent",),
            Field.CLOUD_SERVICE: ("AppDisplayName",),
            Field.COUNTRY: ("Location",),
            Field.ERROR_CODE: ("ResultType",),
            Field.EVENT_REASON: ("ResultDescription",),
        },
    ),
    "AzureActivity": (
        "cloud_api",
        "change",
        {
            Field.EVENT_ACTION: ("OperationNameValue",),
            Field.USER_NAME: ("Caller",),
            Field.SOURCE_IP: ("CallerIpAddress",),
            Field.CLOUD_RESOURCE: ("_ResourceId",),
            Field.CLOUD_SERVICE: ("ResourceProviderValue",),
        },
    ),
}


def record_of(row: Row) -> dict[str, JsonValue]:
    """The record that a row is. Rows of ``SecurityEvent`` are Windows events and stay as they are."""
    table = str(row.get("SourceTable", ""))
    columns: dict[str, JsonValue] = {name: value for name, value in row.items() if value not in (None, "")}
    if table == "SecurityEvent":
        return {"Channel": "Security", "Hostname": columns.get("Computer"), **columns}
    known = _TABLES.get(table)
    if known is None:
        return columns
    category, kind, names = known
    found: dict[str, JsonValue] = {"@timestamp": row.get("TimeGenerated"), "row": columns}
    for field, parts in names.items():
        value = _value(columns, parts)
        if value is not None:
            found[field.value] = value
    outcome = _outcome(table, columns)
    found["event.outcome"] = outcome
    found["event"] = {"category": [category], "type": [kind], "module": "microsoft", "dataset": table}
    return {name: value for name, value in found.items() if value is not None}


def _value(columns: Row, parts: tuple[str, ...]) -> JsonValue:
    """A column's value; of two the folder and the name in it, which the folder may hold already."""
    first = columns.get(parts[0])
    if len(parts) == 1 or first is None:
        return first
    name = columns.get(parts[1])
    is_whole = name is None or str(first).lower().endswith(str(name).lower())
    return first if is_whole else f"{str(first).rstrip(chr(92))}\\{name}"


def _outcome(table: str, columns: Row) -> str | None:
    match table:
        case "DeviceLogonEvents":
            return "failure" if "Failed" in str(columns.get("ActionType", "")) else "success"
        case "SigninLogs":
            return "success" if str(columns.get("ResultType", "")) == "0" else "failure"
        case "AzureActivity":
            return "success" if "Succe" in str(columns.get("ActivityStatusValue", "")) else None
        case _:
            return None
