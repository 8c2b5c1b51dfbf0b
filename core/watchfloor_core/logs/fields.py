"""The fields of a telemetry event that agents and queries know, and who could have written each.

Names are those of the Elastic Common Schema 9 (https://www.elastic.co/guide/en/ecs/current/), and where it has none for
what Windows records, those that winlogbeat uses. A source keeps what it has besides in `LogEvent.original`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from watchfloor_core.alert import EntityKind, Integrity


class Field(StrEnum):
    """A field by its dotted ECS name. Values are text unless the name is in `INTEGERS`."""

    HOST_NAME = "host.name"
    HOST_IP = "host.ip"
    USER_NAME = "user.name"
    """Who did it, in lower case, without the domain."""
    USER_DOMAIN = "user.domain"
    USER_ID = "user.id"
    """A Windows SID, a numeric uid, a cloud principal's id or ARN."""
    USER_TARGET_NAME = "user.target.name"
    """Whom it was done to, or as whom somebody logs on with other credentials."""
    USER_TARGET_DOMAIN = "user.target.domain"
    USER_TARGET_ID = "user.target.id"
    GROUP_NAME = "group.name"
    PROCESS_NAME = "process.name"
    """The executable's last path part, in lower case."""
    PROCESS_EXECUTABLE = "process.executable"
    PROCESS_COMMAND_LINE = "process.command_line"
    PROCESS_PID = "process.pid"
    PROCESS_ENTITY_ID = "process.entity_id"
    """Unique over hosts and time, as the sensor gives it (Sysmon's ProcessGuid); pids are used again."""
    PROCESS_WORKING_DIRECTORY = "process.working_directory"
    PROCESS_HASH_SHA256 = "process.hash.sha256"
    PROCESS_ORIGINAL_FILE_NAME = "process.pe.original_file_name"
    PARENT_NAME = "process.parent.name"
    PARENT_EXECUTABLE = "process.parent.executable"
    PARENT_COMMAND_LINE = "process.parent.command_line"
    PARENT_PID = "process.parent.pid"
    PARENT_ENTITY_ID = "process.parent.entity_id"
    TARGET_PROCESS_NAME = "process.target.name"
    """The process that was opened or injected into."""
    TARGET_PROCESS_EXECUTABLE = "process.target.executable"
    TARGET_PROCESS_PID = "process.target.pid"
    TARGET_PROCESS_ENTITY_ID = "process.target.entity_id"
    GRANTED_ACCESS = "winlog.event_data.GrantedAccess"
    """The access mask, ``0x1010``."""
    CALL_TRACE = "winlog.event_data.CallTrace"
    DLL_PATH = "dll.path"
    DLL_SIGNER = "dll.code_signature.subject_name"
    FILE_PATH = "file.path"
    FILE_NAME = "file.name"
    FILE_HASH_SHA256 = "file.hash.sha256"
    PIPE_NAME = "file.pipe.name"
    REGISTRY_PATH = "registry.path"
    REGISTRY_DATA = "registry.data.strings"
    SOURCE_IP = "source.ip"
    SOURCE_PORT = "source.port"
    SOURCE_DOMAIN = "source.domain"
    """The name of the machine that a logon or connection came from."""
    SOURCE_BYTES = "source.bytes"
    DESTINATION_IP = "destination.ip"
    DESTINATION_PORT = "destination.port"
    DESTINATION_DOMAIN = "destination.domain"
    DESTINATION_BYTES = "destination.bytes"
    NETWORK_TRANSPORT = "network.transport"
    NETWORK_PROTOCOL = "network.protocol"
    NETWORK_DIRECTION = "network.direction"
    DNS_QUESTION_NAME = "dns.question.name"
    DNS_QUESTION_TYPE = "dns.question.type"
    DNS_RESOLVED_IP = "dns.resolved_ip"
    """Several are joined by ``;``."""
    URL_FULL = "url.full"
    HTTP_METHOD = "http.request.method"
    HTTP_STATUS = "http.response.status_code"
    USER_AGENT = "user_agent.original"
    LOGON_TYPE = "winlog.logon.type"
    """Windows' number: 2 interactive, 3 network, 5 service, 9 new credentials, 10 remote interactive."""
    LOGON_ID = "winlog.logon.id"
    AUTHENTICATION_PACKAGE = "winlog.event_data.AuthenticationPackageName"
    TICKET_ENCRYPTION = "winlog.event_data.TicketEncryptionType"
    SERVICE_NAME = "service.name"
    """A Windows service or daemon; for Kerberos the service that a ticket is for."""
    SERVICE_COMMAND = "winlog.event_data.ImagePath"
    TASK_NAME = "winlog.event_data.TaskName"
    TASK_CONTENT = "winlog.event_data.TaskContent"
    SCRIPT_TEXT = "powershell.file.script_block_text"
    OBJECT_NAME = "winlog.event_data.ObjectName"
    """What an audited access was to: a file, a registry key, a directory object."""
    OBJECT_TYPE = "winlog.event_data.ObjectType"
    OBJECT_PROPERTIES = "winlog.event_data.Properties"
    ACCESS_MASK = "winlog.event_data.AccessMask"
    SHARE_NAME = "winlog.event_data.ShareName"
    SHARE_TARGET = "winlog.event_data.RelativeTargetName"
    EVENT_CODE = "event.code"
    EVENT_PROVIDER = "event.provider"
    EVENT_ACTION = "event.action"
    """What was done in the source's own words: an API call, an audit verb."""
    EVENT_OUTCOME = "event.outcome"
    """``success``, ``failure`` or absent."""
    EVENT_REASON = "event.reason"
    CHANNEL = "winlog.channel"
    ERROR_CODE = "error.code"
    CLOUD_ACCOUNT_ID = "cloud.account.id"
    CLOUD_REGION = "cloud.region"
    CLOUD_SERVICE = "cloud.service.name"
    CLOUD_RESOURCE = "cloud.resource.id"
    ACCESS_KEY_ID = "user.access_key_id"
    COUNTRY = "source.geo.country_iso_code"
    EMAIL_SUBJECT = "email.subject"
    EMAIL_SENDER = "email.from.address"
    EMAIL_RECIPIENT = "email.to.address"
    RULE_ID = "rule.id"
    """Of a sensor's own detection, e.g. Suricata's signature id."""
    RULE_NAME = "rule.name"
    MESSAGE = "message"
    """The line, where a source has nothing better."""


INTEGERS: Final = frozenset(
    {
        Field.PROCESS_PID,
        Field.PARENT_PID,
        Field.TARGET_PROCESS_PID,
        Field.SOURCE_PORT,
        Field.SOURCE_BYTES,
        Field.DESTINATION_PORT,
        Field.DESTINATION_BYTES,
        Field.HTTP_STATUS,
    }
)

_OF_THE_SENSOR: Final = frozenset(
    {
        Field.HOST_NAME,
        Field.HOST_IP,
        Field.USER_ID,
        Field.PROCESS_PID,
        Field.PROCESS_ENTITY_ID,
        Field.PROCESS_HASH_SHA256,
        Field.PARENT_PID,
        Field.PARENT_ENTITY_ID,
        Field.TARGET_PROCESS_PID,
        Field.TARGET_PROCESS_ENTITY_ID,
        Field.GRANTED_ACCESS,
        Field.FILE_HASH_SHA256,
        Field.SOURCE_IP,
        Field.SOURCE_PORT,
        Field.SOURCE_BYTES,
        Field.DESTINATION_IP,
        Field.DESTINATION_PORT,
        Field.DESTINATION_BYTES,
        Field.NETWORK_TRANSPORT,
        Field.NETWORK_PROTOCOL,
        Field.NETWORK_DIRECTION,
        Field.HTTP_STATUS,
        Field.LOGON_TYPE,
        Field.LOGON_ID,
        Field.AUTHENTICATION_PACKAGE,
        Field.TICKET_ENCRYPTION,
        Field.ACCESS_MASK,
        Field.EVENT_CODE,
        Field.EVENT_PROVIDER,
        Field.EVENT_OUTCOME,
        Field.CHANNEL,
        Field.ERROR_CODE,
        Field.CLOUD_ACCOUNT_ID,
        Field.CLOUD_REGION,
        Field.CLOUD_SERVICE,
        Field.COUNTRY,
        Field.RULE_ID,
        Field.RULE_NAME,
    }
)

NAMING: Final = {
    EntityKind.HOST: (Field.HOST_NAME, Field.SOURCE_DOMAIN, Field.DESTINATION_DOMAIN),
    EntityKind.USER: (Field.USER_NAME, Field.USER_TARGET_NAME),
    EntityKind.IP: (Field.SOURCE_IP, Field.DESTINATION_IP, Field.HOST_IP),
    EntityKind.DOMAIN: (Field.DNS_QUESTION_NAME, Field.DESTINATION_DOMAIN),
    EntityKind.URL: (Field.URL_FULL,),
    EntityKind.FILE: (Field.FILE_PATH, Field.FILE_NAME, Field.PROCESS_EXECUTABLE, Field.DLL_PATH),
    EntityKind.FILE_HASH: (Field.FILE_HASH_SHA256, Field.PROCESS_HASH_SHA256),
    EntityKind.PROCESS: (Field.PROCESS_ENTITY_ID, Field.PROCESS_NAME),
    EntityKind.MAILBOX: (Field.EMAIL_RECIPIENT, Field.EMAIL_SENDER),
    EntityKind.RESOURCE: (Field.CLOUD_RESOURCE, Field.ACCESS_KEY_ID, Field.CLOUD_ACCOUNT_ID),
}
"""The fields in which an event names an entity of a kind; an event is about it where any of them has its value."""


def integrity_of(field: Field) -> Integrity:
    """Who could have written a field's value. What is not known to be the sensor's own may be an attacker's.

    User names are an attacker's: a failed logon takes any.
    """
    return Integrity.SENSOR if field in _OF_THE_SENSOR else Integrity.EXTERNAL
