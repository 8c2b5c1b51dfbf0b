"""The matched event of a Sigma alert, by the names of Windows and Sysmon logs, Hayabusa's short forms and ECS."""

from __future__ import annotations

import re
from typing import Final

from watchfloor_connectors.draft import AlertDraft
from watchfloor_connectors.fields import first_text, text
from watchfloor_core.alert import EntityKind, EntityRole, Integrity
from watchfloor_core.ports import Record

_FAILED_LOGON: Final = frozenset({"4625", "4771", "4776"})
"""Windows event ids in which the user name is what somebody typed, not who they are."""
_NOBODY: Final = frozenset({"-", "n/a", "system", "local service", "network service", "nt authority\\system"})
"""Accounts that every Windows host has; they would join all hosts."""

_HOSTS: Final = ("Computer", "ComputerName", "host.name", "Hostname", "hostname")
_ADDRESSES: Final = (
    ("SourceIp", EntityRole.ACTOR),
    ("IpAddress", EntityRole.ACTOR),
    ("SrcIP", EntityRole.ACTOR),
    ("source.ip", EntityRole.ACTOR),
    ("DestinationIp", EntityRole.RELATED),
    ("TgtIP", EntityRole.RELATED),
    ("destination.ip", EntityRole.RELATED),
)
_USERS: Final = (
    ("SubjectUserName", EntityRole.ACTOR),
    ("SrcUser", EntityRole.ACTOR),
    ("User", EntityRole.ACTOR),
    ("user.name", EntityRole.ACTOR),
    ("TargetUserName", EntityRole.RELATED),
    ("TgtUser", EntityRole.RELATED),
)
_ATTRIBUTES: Final = (
    ("command_line", ("CommandLine", "Cmdline", "process.command_line")),
    ("parent_command_line", ("ParentCommandLine", "ParentCmdline", "process.parent.command_line")),
    ("process_path", ("Image", "NewProcessName", "SourceImage", "Proc", "SrcProc", "process.executable", "exe")),
    ("parent_path", ("ParentImage", "ParentProcessName", "process.parent.executable")),
    ("target_path", ("TargetImage", "TgtProc")),
    ("image_loaded", ("ImageLoaded",)),
    ("file_path", ("TargetFilename", "Path", "file.path")),
    ("script", ("ScriptBlockText", "ScriptBlock", "Payload")),
    ("dns_query", ("QueryName", "Query", "dns.question.name")),
    ("url", ("c-uri", "url.full", "uri")),
    ("user_agent", ("c-useragent", "UserAgent", "user_agent.original", "userAgent")),
    ("registry_key", ("TargetObject", "TgtObj")),
    ("registry_value", ("Details",)),
    ("pipe_name", ("PipeName", "Pipe")),
    ("share_name", ("ShareName",)),
    ("share_path", ("RelativeTargetName", "SharePath")),
    ("service_name", ("ServiceName", "Svc")),
    ("service_path", ("ImagePath", "ServiceFileName")),
    ("task_name", ("TaskName",)),
    ("object_name", ("ObjectName", "ObjectDN")),
    ("object_properties", ("Properties", "AttributeLDAPDisplayName")),
    ("object_value", ("AttributeValue",)),
    ("access", ("GrantedAccess", "AccessMask", "Access")),
    ("operation", ("OperationType", "Operation", "eventName", "event.action")),
    ("api_service", ("eventSource",)),
    ("member", ("MemberSid", "MemberName")),
    ("logon_type", ("LogonType",)),
    ("status", ("SubStatus", "Status", "errorCode")),
    ("workstation", ("WorkstationName", "Workstation")),
    ("destination_host", ("DestinationHostname", "TargetServerName")),
    ("wmi_consumer", ("Consumer", "Destination")),
    ("wmi_filter", ("Filter",)),
    ("threat_name", ("Threat Name",)),
    ("cleared_log", ("UserData_Channel", "LogFileCleared.Channel")),
    ("parameter", ("param1", "Param1")),
)
"""What tells two matches of one rule in one second apart. What is new with every event is not here: ids of processes,
handles and log records, counters, times. Each value would make a shape of its own, and cost follows shapes."""
_PORTS: Final = ("DestinationPort", "DestPort", "TgtPort", "destination.port")
_EPHEMERAL: Final = 32_768
"""The least port that Linux gives to clients (Windows: 49,152); the ports of services are below."""
_MESSAGES: Final = ("payload", "message", "Data")
_PASSING: Final = re.compile(
    r"(?im)"
    # Of SQL Server's audit, of logs that name a client's port or a process, of syslog's ``sshd[1201]``.
    r"(?P<line>^(?:event_time|sequence_number|transaction_id|[a-z_]*session_id)\s*:).*$"
    r"|(?P<port>\bport[ =:]+)\d{5}\b"
    r"|(?P<id>\b(?:pid|process id|session)\b[ =:#]+)(?:0x[0-9a-f]+|\d+)\b"
    r"|(?P<name>\w)\[\d+\]"
)
"""Parts of a message that are new with every event."""
_HASH: Final = re.compile(r"\b(?:SHA256|SHA1|MD5)=([0-9A-Fa-f]{32,64})\b")


def add_event(event: Record, host: str | None, event_id: str | None, draft: AlertDraft) -> None:
    """Entities and attributes of the event; ``host`` is where it was logged, if the tool says so itself."""
    draft.entity(EntityKind.HOST, host or first_text(event, *_HOSTS), EntityRole.TARGET)
    is_typed = event_id in _FAILED_LOGON
    for path, role in _USERS:
        user = text(event, path)
        # Names that end in $ are the computers' own accounts.
        if user is None or user.lower() in _NOBODY or user.endswith("$"):
            continue
        draft.entity(EntityKind.USER, user, role, Integrity.EXTERNAL if is_typed else Integrity.SENSOR)
        if is_typed:
            draft.external("login_user", user)
    for path, role in _ADDRESSES:
        draft.entity(EntityKind.IP, text(event, path), role, is_guess=True)
    domain = first_text(event, "QueryName", "dns.question.name")
    draft.entity(EntityKind.DOMAIN, domain, EntityRole.RELATED, Integrity.EXTERNAL)
    for name, paths in _ATTRIBUTES:
        draft.external(name, first_text(event, *paths))
    for digest in _HASH.findall(first_text(event, "Hashes", "Hash") or "")[:1]:
        draft.entity(EntityKind.FILE_HASH, digest, is_guess=True)
    draft.external("destination_port", _service_port(first_text(event, *_PORTS)))
    draft.external("message", _lasting(first_text(event, *_MESSAGES)))
    draft.attribute("event_id", event_id)


def _service_port(port: str | None) -> str | None:
    return port if port is not None and port.isdecimal() and 0 < int(port[:6]) < _EPHEMERAL else None


def _lasting(message: str | None) -> str | None:
    """A message without what is new with every event."""
    if message is None:
        return None
    return _PASSING.sub(lambda found: f"{found[found.lastgroup or 0]}…", message)
