"""Events of Sysmon.

Source: https://learn.microsoft.com/sysinternals/downloads/sysmon.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from watchfloor_connectors.logs.windows_table import WindowsEvent
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field

PROCESS: Final = {
    Field.PROCESS_EXECUTABLE: "Image",
    Field.PROCESS_PID: "ProcessId",
    Field.PROCESS_ENTITY_ID: "ProcessGuid",
    Field.USER_NAME: "User",
}
_BETWEEN: Final = {
    Field.PROCESS_EXECUTABLE: "SourceImage",
    Field.PROCESS_PID: "SourceProcessId",
    Field.PROCESS_ENTITY_ID: "SourceProcessGuid",
    Field.TARGET_PROCESS_EXECUTABLE: "TargetImage",
    Field.TARGET_PROCESS_PID: "TargetProcessId",
    Field.TARGET_PROCESS_ENTITY_ID: "TargetProcessGuid",
    Field.USER_NAME: "SourceUser",
}
_FILE: Final = {**PROCESS, Field.FILE_PATH: "TargetFilename"}
_REGISTRY: Final = {
    **PROCESS,
    Field.REGISTRY_PATH: "TargetObject",
    Field.REGISTRY_DATA: "Details",
    Field.EVENT_ACTION: "EventType",
}

SYSMON: Final[Mapping[int, WindowsEvent]] = {
    1: WindowsEvent(
        EventType.PROCESS_START,
        {
            **PROCESS,
            Field.PROCESS_COMMAND_LINE: "CommandLine",
            Field.PROCESS_WORKING_DIRECTORY: "CurrentDirectory",
            Field.PROCESS_ORIGINAL_FILE_NAME: "OriginalFileName",
            Field.PARENT_EXECUTABLE: "ParentImage",
            Field.PARENT_COMMAND_LINE: "ParentCommandLine",
            Field.PARENT_PID: "ParentProcessId",
            Field.PARENT_ENTITY_ID: "ParentProcessGuid",
            Field.LOGON_ID: "LogonId",
        },
    ),
    2: WindowsEvent(EventType.FILE_CHANGE, _FILE),
    3: WindowsEvent(
        EventType.NETWORK_CONNECTION,
        {
            **PROCESS,
            Field.SOURCE_IP: "SourceIp",
            Field.SOURCE_PORT: "SourcePort",
            Field.SOURCE_DOMAIN: "SourceHostname",
            Field.DESTINATION_IP: "DestinationIp",
            Field.DESTINATION_PORT: "DestinationPort",
            Field.DESTINATION_DOMAIN: "DestinationHostname",
            Field.NETWORK_TRANSPORT: "Protocol",
        },
    ),
    5: WindowsEvent(EventType.PROCESS_END, PROCESS),
    6: WindowsEvent(EventType.DRIVER_LOAD, {Field.DLL_PATH: "ImageLoaded", Field.DLL_SIGNER: "Signature"}),
    7: WindowsEvent(EventType.IMAGE_LOAD, {**PROCESS, Field.DLL_PATH: "ImageLoaded", Field.DLL_SIGNER: "Signature"}),
    8: WindowsEvent(EventType.REMOTE_THREAD, _BETWEEN),
    9: WindowsEvent(EventType.FILE_READ, {**PROCESS, Field.FILE_PATH: "Device"}),
    10: WindowsEvent(
        EventType.PROCESS_ACCESS, {**_BETWEEN, Field.GRANTED_ACCESS: "GrantedAccess", Field.CALL_TRACE: "CallTrace"}
    ),
    11: WindowsEvent(EventType.FILE_CHANGE, _FILE),
    12: WindowsEvent(EventType.REGISTRY_CHANGE, _REGISTRY),
    13: WindowsEvent(EventType.REGISTRY_CHANGE, _REGISTRY),
    14: WindowsEvent(EventType.REGISTRY_CHANGE, {**_REGISTRY, Field.REGISTRY_DATA: "NewName"}),
    15: WindowsEvent(EventType.FILE_CHANGE, _FILE),
    17: WindowsEvent(EventType.PIPE, {**PROCESS, Field.PIPE_NAME: "PipeName"}),
    18: WindowsEvent(EventType.PIPE, {**PROCESS, Field.PIPE_NAME: "PipeName"}),
    19: WindowsEvent(
        EventType.WMI, {Field.USER_NAME: "User", Field.OBJECT_NAME: "Name", Field.OBJECT_PROPERTIES: "Query"}
    ),
    20: WindowsEvent(
        EventType.WMI, {Field.USER_NAME: "User", Field.OBJECT_NAME: "Name", Field.OBJECT_PROPERTIES: "Destination"}
    ),
    21: WindowsEvent(
        EventType.WMI, {Field.USER_NAME: "User", Field.OBJECT_NAME: "Consumer", Field.OBJECT_PROPERTIES: "Filter"}
    ),
    22: WindowsEvent(
        EventType.DNS_QUERY,
        {**PROCESS, Field.DNS_QUESTION_NAME: "QueryName", Field.DNS_RESOLVED_IP: "QueryResults"},
    ),
    23: WindowsEvent(EventType.FILE_CHANGE, _FILE),
    25: WindowsEvent(EventType.REMOTE_THREAD, PROCESS),
    26: WindowsEvent(EventType.FILE_CHANGE, _FILE),
    29: WindowsEvent(EventType.FILE_CHANGE, _FILE),
}
