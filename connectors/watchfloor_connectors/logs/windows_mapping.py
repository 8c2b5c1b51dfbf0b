"""Windows events in the shared vocabulary: which field of which event means what.

Sources: as the tables name them, and Microsoft's documentation of each provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from watchfloor_connectors.logs.windows import CLEARED, event_id
from watchfloor_connectors.logs.windows_security import ACTOR, SECURITY
from watchfloor_connectors.logs.windows_sysmon import PROCESS, SYSMON
from watchfloor_connectors.logs.windows_table import WindowsEvent
from watchfloor_core.logs.event import EventType, Value
from watchfloor_core.logs.fields import Field

Fields = Mapping[str, str | int]

_SERVICES: Final[Mapping[str, Mapping[int, WindowsEvent]]] = {
    "security": SECURITY,
    "sysmon": SYSMON,
    "system": {
        104: WindowsEvent(EventType.LOG_CLEARED, {Field.USER_NAME: "SubjectUserName", Field.EVENT_REASON: CLEARED}),
        7045: WindowsEvent(
            EventType.SERVICE_INSTALLED,
            {
                Field.SERVICE_NAME: "ServiceName",
                Field.SERVICE_COMMAND: "ImagePath",
                Field.USER_TARGET_NAME: "AccountName",
            },
        ),
        7036: WindowsEvent(EventType.OTHER, {Field.SERVICE_NAME: "param1", Field.EVENT_ACTION: "param2"}),
    },
    "powershell": {
        4103: WindowsEvent(EventType.SCRIPT, {Field.SCRIPT_TEXT: "Payload", Field.EVENT_REASON: "ContextInfo"}),
        4104: WindowsEvent(EventType.SCRIPT, {Field.SCRIPT_TEXT: "ScriptBlockText", Field.FILE_PATH: "Path"}),
    },
    "powershell-classic": {
        number: WindowsEvent(EventType.SCRIPT, {Field.SCRIPT_TEXT: "Data"}) for number in (400, 600, 800)
    },
    "taskscheduler": {
        number: WindowsEvent(
            EventType.SCHEDULED_TASK,
            {Field.TASK_NAME: "TaskName", Field.USER_NAME: "UserContext", Field.TASK_CONTENT: "ActionName"},
        )
        for number in (106, 129, 140, 141, 200, 201)
    },
    "wmi": {
        number: WindowsEvent(
            EventType.WMI, {Field.USER_NAME: "User", Field.OBJECT_NAME: "ESS", Field.OBJECT_PROPERTIES: "Query"}
        )
        for number in (5857, 5858, 5859, 5860, 5861)
    },
    "terminalservices-localsessionmanager": {
        number: WindowsEvent(type_, {Field.USER_NAME: "User", Field.SOURCE_IP: "Address", Field.LOGON_ID: "SessionID"})
        for number, type_ in (
            (21, EventType.LOGON),
            (22, EventType.LOGON),
            (24, EventType.LOGOFF),
            (25, EventType.LOGON),
        )
    },
    "windefend": {
        number: WindowsEvent(
            EventType.DETECTION,
            {
                Field.RULE_NAME: "Threat Name",
                Field.FILE_PATH: "Path",
                Field.PROCESS_EXECUTABLE: "Process Name",
                Field.USER_NAME: "Detection User",
            },
        )
        for number in (1006, 1007, 1008, 1009, 1015, 1116, 1117, 1118, 1119)
    },
    "bits-client": {59: WindowsEvent(EventType.NETWORK_CONNECTION, {Field.URL_FULL: "url"})},
}

_NONE: Final = WindowsEvent(EventType.OTHER, {**ACTOR, **PROCESS})
"""Of an event that is not listed, what has these names anyway."""
_OLD_NAMES: Final = {
    "ProcessGuid": "ProcessGUID",
    "SourceProcessGuid": "SourceProcessGUID",
    "TargetProcessGuid": "TargetProcessGUID",
}
_ABSENT: Final = frozenset({"", "-", "N/A", "NULL"})


def windows_tables() -> tuple[Mapping[int, WindowsEvent], ...]:
    """Every service's events by id, and under -1 what is taken of those that are not listed."""
    return (*_SERVICES.values(), {-1: _NONE})


def windows_event(service: str | None, native: Fields) -> tuple[EventType, dict[Field, Value]]:
    """Its type, and what of the vocabulary it has, before values are put in their standard form."""
    number = event_id(native)
    event = _SERVICES.get(service or "", {}).get(number, _NONE)
    found: dict[Field, Value] = {}
    for ours, theirs in event.names.items():
        value = native.get(theirs, native.get(_OLD_NAMES.get(theirs, ""), ""))
        if str(value) not in _ABSENT:
            found[ours] = value
    _hashes(native, found, event.type)
    type_ = _by_outcome(event.type, number, native, found)
    found[Field.EVENT_CODE] = str(number) if number >= 0 else ""
    for field_, name in ((Field.CHANNEL, "Channel"), (Field.EVENT_PROVIDER, "Provider_Name")):
        found[field_] = str(native.get(name, ""))
    return type_, {name: value for name, value in found.items() if value != ""}


def _by_outcome(type_: EventType, number: int, native: Fields, found: dict[Field, Value]) -> EventType:
    """Success and failure stand in one event id for Kerberos and NTLM."""
    status = str(native.get("Status", "")).lower()
    if number in (4768, 4769, 4776):
        failed = status not in ("", "0x0", "0")
        found[Field.EVENT_OUTCOME] = "failure" if failed else "success"
        if number == 4776:
            return EventType.LOGON_FAILED if failed else EventType.LOGON
    elif type_ in (EventType.LOGON, EventType.LOGON_FAILED):
        found[Field.EVENT_OUTCOME] = "success" if type_ is EventType.LOGON else "failure"
    return type_


def _hashes(native: Fields, found: dict[Field, Value], type_: EventType) -> None:
    """Sysmon's ``SHA1=…,MD5=…,SHA256=…``."""
    text = str(native.get("Hashes", native.get("Hash", "")))
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name.strip().upper() == "SHA256" and len(value) == 64:
            is_process = type_ is EventType.PROCESS_START
            found[Field.PROCESS_HASH_SHA256 if is_process else Field.FILE_HASH_SHA256] = value.lower()
