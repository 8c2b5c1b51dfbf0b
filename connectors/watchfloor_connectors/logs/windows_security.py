"""Audit events of the Windows security log.

Source: https://learn.microsoft.com/windows/security/threat-protection/auditing/security-auditing-overview.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from watchfloor_connectors.logs.windows_table import WindowsEvent
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field

ACTOR: Final = {
    Field.USER_NAME: "SubjectUserName",
    Field.USER_DOMAIN: "SubjectDomainName",
    Field.USER_ID: "SubjectUserSid",
    Field.LOGON_ID: "SubjectLogonId",
}
_ON: Final = {
    Field.USER_TARGET_NAME: "TargetUserName",
    Field.USER_TARGET_DOMAIN: "TargetDomainName",
    Field.USER_TARGET_ID: "TargetSid",
}
_LOGON: Final = {
    Field.USER_NAME: "TargetUserName",
    Field.USER_DOMAIN: "TargetDomainName",
    Field.USER_ID: "TargetUserSid",
    Field.LOGON_ID: "TargetLogonId",
    Field.LOGON_TYPE: "LogonType",
    Field.SOURCE_IP: "IpAddress",
    Field.SOURCE_PORT: "IpPort",
    Field.SOURCE_DOMAIN: "WorkstationName",
    Field.AUTHENTICATION_PACKAGE: "AuthenticationPackageName",
    Field.PROCESS_EXECUTABLE: "ProcessName",
    Field.PROCESS_PID: "ProcessId",
    Field.ERROR_CODE: "Status",
    Field.EVENT_REASON: "SubStatus",
}
_KERBEROS: Final = {
    Field.USER_NAME: "TargetUserName",
    Field.USER_DOMAIN: "TargetDomainName",
    Field.USER_ID: "TargetSid",
    Field.SERVICE_NAME: "ServiceName",
    Field.TICKET_ENCRYPTION: "TicketEncryptionType",
    Field.SOURCE_IP: "IpAddress",
    Field.SOURCE_PORT: "IpPort",
    Field.ERROR_CODE: "Status",
    Field.AUTHENTICATION_PACKAGE: "PreAuthType",
}
_OBJECT: Final = {
    **ACTOR,
    Field.OBJECT_NAME: "ObjectName",
    Field.OBJECT_TYPE: "ObjectType",
    Field.OBJECT_PROPERTIES: "Properties",
    Field.ACCESS_MASK: "AccessMask",
    Field.PROCESS_EXECUTABLE: "ProcessName",
    Field.PROCESS_PID: "ProcessId",
}
_SHARE: Final = {
    **ACTOR,
    Field.SHARE_NAME: "ShareName",
    Field.SHARE_TARGET: "RelativeTargetName",
    Field.SOURCE_IP: "IpAddress",
    Field.SOURCE_PORT: "IpPort",
    Field.ACCESS_MASK: "AccessMask",
}
_TASK: Final = {**ACTOR, Field.TASK_NAME: "TaskName", Field.TASK_CONTENT: "TaskContent"}
_ACCOUNT: Final = {**ACTOR, **_ON}
_GROUP: Final = {
    **ACTOR,
    Field.GROUP_NAME: "TargetUserName",
    Field.USER_TARGET_NAME: "MemberName",
    Field.USER_TARGET_ID: "MemberSid",
}

SECURITY: Final[Mapping[int, WindowsEvent]] = {
    1102: WindowsEvent(EventType.LOG_CLEARED, ACTOR),
    4624: WindowsEvent(EventType.LOGON, _LOGON),
    4625: WindowsEvent(EventType.LOGON_FAILED, _LOGON),
    4634: WindowsEvent(EventType.LOGOFF, _LOGON),
    4647: WindowsEvent(EventType.LOGOFF, _LOGON),
    4648: WindowsEvent(
        EventType.EXPLICIT_CREDENTIALS,
        {
            **ACTOR,
            **_ON,
            Field.DESTINATION_DOMAIN: "TargetServerName",
            Field.SOURCE_IP: "IpAddress",
            Field.PROCESS_EXECUTABLE: "ProcessName",
            Field.PROCESS_PID: "ProcessId",
        },
    ),
    4656: WindowsEvent(EventType.OBJECT_ACCESS, _OBJECT),
    4658: WindowsEvent(EventType.OTHER, _OBJECT),
    4660: WindowsEvent(EventType.OBJECT_ACCESS, _OBJECT),
    4661: WindowsEvent(EventType.OBJECT_ACCESS, _OBJECT),
    4662: WindowsEvent(EventType.DIRECTORY_ACCESS, _OBJECT),
    4663: WindowsEvent(EventType.OBJECT_ACCESS, _OBJECT),
    4670: WindowsEvent(EventType.POLICY_CHANGE, _OBJECT),
    4672: WindowsEvent(EventType.PRIVILEGED_LOGON, ACTOR),
    4673: WindowsEvent(EventType.OBJECT_ACCESS, {**_OBJECT, Field.SERVICE_NAME: "Service"}),
    4688: WindowsEvent(
        EventType.PROCESS_START,
        {
            **ACTOR,
            Field.PROCESS_EXECUTABLE: "NewProcessName",
            Field.PROCESS_COMMAND_LINE: "CommandLine",
            Field.PROCESS_PID: "NewProcessId",
            Field.PARENT_EXECUTABLE: "ParentProcessName",
            Field.PARENT_PID: "ProcessId",
        },
    ),
    4689: WindowsEvent(
        EventType.PROCESS_END, {**ACTOR, Field.PROCESS_EXECUTABLE: "ProcessName", Field.PROCESS_PID: "ProcessId"}
    ),
    4692: WindowsEvent(
        EventType.OBJECT_ACCESS, {**ACTOR, Field.OBJECT_NAME: "MasterKeyId", Field.EVENT_REASON: "FailureReason"}
    ),
    4693: WindowsEvent(EventType.OBJECT_ACCESS, {**ACTOR, Field.OBJECT_NAME: "MasterKeyId"}),
    4697: WindowsEvent(
        EventType.SERVICE_INSTALLED,
        {**ACTOR, Field.SERVICE_NAME: "ServiceName", Field.SERVICE_COMMAND: "ServiceFileName"},
    ),
    4698: WindowsEvent(EventType.SCHEDULED_TASK, _TASK),
    4699: WindowsEvent(EventType.SCHEDULED_TASK, _TASK),
    4700: WindowsEvent(EventType.SCHEDULED_TASK, _TASK),
    4701: WindowsEvent(EventType.SCHEDULED_TASK, _TASK),
    4702: WindowsEvent(EventType.SCHEDULED_TASK, {**_TASK, Field.TASK_CONTENT: "TaskContentNew"}),
    4704: WindowsEvent(EventType.POLICY_CHANGE, _ACCOUNT),
    4719: WindowsEvent(EventType.POLICY_CHANGE, ACTOR),
    **{
        number: WindowsEvent(EventType.ACCOUNT_CHANGE, _ACCOUNT)
        for number in (4720, 4722, 4723, 4724, 4725, 4726, 4738, 4740, 4741, 4742, 4743, 4765, 4766, 4767, 4781, 4794)
    },
    **{
        number: WindowsEvent(EventType.GROUP_CHANGE, _GROUP)
        for number in (4728, 4729, 4732, 4733, 4735, 4737, 4755, 4756, 4757)
    },
    4768: WindowsEvent(EventType.KERBEROS_TICKET, _KERBEROS),
    4769: WindowsEvent(EventType.KERBEROS_TICKET, _KERBEROS),
    4770: WindowsEvent(EventType.KERBEROS_TICKET, _KERBEROS),
    4771: WindowsEvent(EventType.LOGON_FAILED, _KERBEROS),
    4776: WindowsEvent(
        EventType.LOGON,
        {
            Field.USER_NAME: "TargetUserName",
            Field.SOURCE_DOMAIN: "Workstation",
            Field.AUTHENTICATION_PACKAGE: "PackageName",
            Field.ERROR_CODE: "Status",
        },
    ),
    4778: WindowsEvent(
        EventType.LOGON,
        {
            Field.USER_NAME: "AccountName",
            Field.USER_DOMAIN: "AccountDomain",
            Field.SOURCE_IP: "ClientAddress",
            Field.SOURCE_DOMAIN: "ClientName",
            Field.LOGON_ID: "LogonID",
        },
    ),
    4798: WindowsEvent(EventType.ACCOUNT_CHANGE, _ACCOUNT),
    4799: WindowsEvent(
        EventType.OBJECT_ACCESS,
        {**ACTOR, Field.GROUP_NAME: "TargetUserName", Field.PROCESS_EXECUTABLE: "CallerProcessName"},
    ),
    5136: WindowsEvent(
        EventType.DIRECTORY_ACCESS,
        {
            **ACTOR,
            Field.OBJECT_NAME: "ObjectDN",
            Field.OBJECT_TYPE: "ObjectClass",
            Field.OBJECT_PROPERTIES: "AttributeLDAPDisplayName",
        },
    ),
    5137: WindowsEvent(
        EventType.DIRECTORY_ACCESS, {**ACTOR, Field.OBJECT_NAME: "ObjectDN", Field.OBJECT_TYPE: "ObjectClass"}
    ),
    5140: WindowsEvent(EventType.SHARE_ACCESS, _SHARE),
    5142: WindowsEvent(EventType.SHARE_ACCESS, _SHARE),
    5145: WindowsEvent(EventType.SHARE_ACCESS, _SHARE),
    5156: WindowsEvent(
        EventType.NETWORK_CONNECTION,
        {
            Field.PROCESS_EXECUTABLE: "Application",
            Field.PROCESS_PID: "ProcessId",
            Field.SOURCE_IP: "SourceAddress",
            Field.SOURCE_PORT: "SourcePort",
            Field.DESTINATION_IP: "DestAddress",
            Field.DESTINATION_PORT: "DestPort",
        },
    ),
    5158: WindowsEvent(
        EventType.OTHER,
        {Field.PROCESS_EXECUTABLE: "Application", Field.PROCESS_PID: "ProcessId", Field.SOURCE_PORT: "SourcePort"},
    ),
    5379: WindowsEvent(EventType.OBJECT_ACCESS, {**ACTOR, Field.OBJECT_NAME: "TargetName"}),
    5381: WindowsEvent(EventType.OBJECT_ACCESS, ACTOR),
    5382: WindowsEvent(EventType.OBJECT_ACCESS, {**ACTOR, Field.OBJECT_NAME: "Resource"}),
}
