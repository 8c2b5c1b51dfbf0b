"""Records that are not of Windows in the shared vocabulary: Zeek, Suricata, CloudTrail, syslog, and ECS documents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeAlias

from watchfloor_connectors.logs.raw_event import RawEvent
from watchfloor_core.canonical import JsonValue
from watchfloor_core.logs.event import EventType, Value
from watchfloor_core.logs.fields import Field

Found: TypeAlias = "tuple[EventType, dict[Field, Value]]"

_FLOW: Final = {
    Field.SOURCE_IP: "id.orig_h",
    Field.SOURCE_PORT: "id.orig_p",
    Field.DESTINATION_IP: "id.resp_h",
    Field.DESTINATION_PORT: "id.resp_p",
    Field.NETWORK_TRANSPORT: "proto",
}
_ZEEK: Final[Mapping[str, tuple[EventType, Mapping[Field, str]]]] = {
    "conn": (
        EventType.NETWORK_CONNECTION,
        {Field.SOURCE_BYTES: "orig_bytes", Field.DESTINATION_BYTES: "resp_bytes", Field.NETWORK_PROTOCOL: "service"},
    ),
    "dns": (
        EventType.DNS_QUERY,
        {Field.DNS_QUESTION_NAME: "query", Field.DNS_QUESTION_TYPE: "qtype_name", Field.DNS_RESOLVED_IP: "answers"},
    ),
    "http": (
        EventType.HTTP_REQUEST,
        {
            Field.HTTP_METHOD: "method",
            Field.DESTINATION_DOMAIN: "host",
            Field.URL_FULL: "uri",
            Field.HTTP_STATUS: "status_code",
            Field.USER_AGENT: "user_agent",
        },
    ),
    "ssl": (EventType.NETWORK_CONNECTION, {Field.DESTINATION_DOMAIN: "server_name"}),
    "ssh": (EventType.LOGON, {Field.EVENT_OUTCOME: "auth_success"}),
    "kerberos": (EventType.KERBEROS_TICKET, {Field.USER_NAME: "client", Field.SERVICE_NAME: "service"}),
    "ntlm": (EventType.LOGON, {Field.USER_NAME: "username", Field.SOURCE_DOMAIN: "hostname"}),
    "rdp": (EventType.NETWORK_CONNECTION, {Field.USER_NAME: "cookie"}),
    "files": (EventType.FILE_CHANGE, {Field.FILE_NAME: "filename", Field.FILE_HASH_SHA256: "sha256"}),
    "smb_files": (EventType.SHARE_ACCESS, {Field.SHARE_NAME: "path", Field.SHARE_TARGET: "name"}),
    "smb_mapping": (EventType.SHARE_ACCESS, {Field.SHARE_NAME: "path"}),
    "notice": (EventType.DETECTION, {Field.RULE_NAME: "note", Field.MESSAGE: "msg"}),
}
_SURICATA_FLOW: Final = {
    Field.SOURCE_IP: "src_ip",
    Field.SOURCE_PORT: "src_port",
    Field.DESTINATION_IP: "dest_ip",
    Field.DESTINATION_PORT: "dest_port",
    Field.NETWORK_TRANSPORT: "proto",
    Field.NETWORK_PROTOCOL: "app_proto",
}
_SURICATA: Final[Mapping[str, tuple[EventType, Mapping[Field, str]]]] = {
    "alert": (EventType.DETECTION, {Field.RULE_ID: "alert.signature_id", Field.RULE_NAME: "alert.signature"}),
    "dns": (EventType.DNS_QUERY, {Field.DNS_QUESTION_NAME: "dns.rrname", Field.DNS_QUESTION_TYPE: "dns.rrtype"}),
    "http": (
        EventType.HTTP_REQUEST,
        {
            Field.HTTP_METHOD: "http.http_method",
            Field.DESTINATION_DOMAIN: "http.hostname",
            Field.URL_FULL: "http.url",
            Field.HTTP_STATUS: "http.status",
            Field.USER_AGENT: "http.http_user_agent",
        },
    ),
    "tls": (EventType.NETWORK_CONNECTION, {Field.DESTINATION_DOMAIN: "tls.sni"}),
    "flow": (
        EventType.NETWORK_CONNECTION,
        {Field.SOURCE_BYTES: "flow.bytes_toserver", Field.DESTINATION_BYTES: "flow.bytes_toclient"},
    ),
    "fileinfo": (
        EventType.FILE_CHANGE,
        {Field.FILE_NAME: "fileinfo.filename", Field.FILE_HASH_SHA256: "fileinfo.sha256"},
    ),
}
_CLOUDTRAIL: Final = {
    Field.EVENT_ACTION: "eventName",
    Field.CLOUD_SERVICE: "eventSource",
    Field.CLOUD_REGION: "awsRegion",
    Field.SOURCE_IP: "sourceIPAddress",
    Field.USER_AGENT: "userAgent",
    Field.ERROR_CODE: "errorCode",
    Field.EVENT_REASON: "errorMessage",
    Field.USER_NAME: "userIdentity.userName",
    Field.USER_ID: "userIdentity.arn",
    Field.ACCESS_KEY_ID: "userIdentity.accessKeyId",
    Field.CLOUD_ACCOUNT_ID: "recipientAccountId",
}
_ECS_TYPES: Final = (
    ("process", "start", EventType.PROCESS_START),
    ("process", "end", EventType.PROCESS_END),
    ("network", "", EventType.NETWORK_CONNECTION),
    ("authentication", "end", EventType.LOGOFF),
    ("authentication", "", EventType.LOGON),
    ("sign_in", "", EventType.SIGN_IN),
    ("cloud_api", "", EventType.CLOUD_API),
    ("file", "", EventType.FILE_CHANGE),
    ("registry", "", EventType.REGISTRY_CHANGE),
    ("driver", "", EventType.DRIVER_LOAD),
    ("library", "", EventType.IMAGE_LOAD),
    ("web", "", EventType.HTTP_REQUEST),
    ("email", "", EventType.MAIL),
    ("intrusion_detection", "", EventType.DETECTION),
)
"""``event.category`` and ``event.type`` of the Elastic Common Schema, and two of our own for what it has no category
of; the first row that fits."""

_SSHD: Final = re.compile(
    r"(?P<outcome>Accepted|Failed) (?P<method>\S{1,40}) for (?:invalid user )?(?P<user>.{0,64}?) "
    r"from (?P<ip>[0-9a-fA-F:.]{2,45}) port (?P<port>\d{1,5})\b"
)
_SUDO: Final = re.compile(
    r"\s*(?P<user>[^\s:]{1,64}) : (?:.{0,200}? ; )?TTY=[^;]{0,64}; PWD=(?P<folder>[^;]{0,4096}?) ; "
    r"USER=(?P<target>[^;\s]{1,64}) ; (?:[A-Z_]+=[^;]{0,256} ; )?COMMAND=(?P<command>.*)"
)
_BECAME: Final = re.compile(r"session opened for user (?P<target>[^\s(]{1,64})(?:\(\S*\))? by (?P<user>[^\s(]{0,64})")


def other_event(raw: RawEvent) -> Found:
    """Its type, and what of the vocabulary it has, before values are put in their standard form."""
    match raw.kind.product:
        case "zeek":
            type_, names = _ZEEK.get(raw.kind.service or "", (EventType.OTHER, {}))
            return type_, _named(raw.original, {**_FLOW, **names})
        case "suricata":
            type_, names = _SURICATA.get(raw.kind.service or "", (EventType.OTHER, {}))
            return type_, _named(raw.original, {**_SURICATA_FLOW, **names})
        case "aws":
            return _cloudtrail(raw.original)
        case "linux":
            return _syslog(raw.original)
        case _:
            return _ecs(raw.original)


def _cloudtrail(record: Mapping[str, JsonValue]) -> Found:
    found = _named(record, _CLOUDTRAIL)
    found[Field.EVENT_OUTCOME] = "failure" if Field.ERROR_CODE in found else "success"
    if found.get(Field.EVENT_ACTION) != "ConsoleLogin":
        return EventType.CLOUD_API, found
    answer = value_at(record, "responseElements.ConsoleLogin")
    found[Field.EVENT_OUTCOME] = "success" if answer == "Success" else "failure"
    return EventType.SIGN_IN, found


def _syslog(record: Mapping[str, JsonValue]) -> Found:
    program, message = str(record.get("program", "")), str(record.get("message", ""))
    found: dict[Field, Value] = {Field.PROCESS_NAME: program.lower(), Field.MESSAGE: message}
    pid = record.get("pid")
    if isinstance(pid, int):
        found[Field.PROCESS_PID] = pid
    if program == "sshd" and (match := _SSHD.match(message)):
        is_in = match["outcome"] == "Accepted"
        found |= {
            Field.USER_NAME: match["user"],
            Field.SOURCE_IP: match["ip"],
            Field.SOURCE_PORT: match["port"],
            Field.AUTHENTICATION_PACKAGE: match["method"],
            Field.EVENT_OUTCOME: "success" if is_in else "failure",
        }
        return (EventType.LOGON if is_in else EventType.LOGON_FAILED), found
    if program == "sudo" and (match := _SUDO.match(message)):
        found |= {
            Field.USER_NAME: match["user"],
            Field.USER_TARGET_NAME: match["target"],
            Field.PROCESS_WORKING_DIRECTORY: match["folder"],
            Field.PROCESS_COMMAND_LINE: match["command"],
            Field.PROCESS_EXECUTABLE: match["command"].split(" ")[0],
        }
        return EventType.PROCESS_START, found
    if program in ("su", "sudo", "systemd-logind") and (match := _BECAME.search(message)):
        found |= {Field.USER_NAME: match["user"], Field.USER_TARGET_NAME: match["target"]}
        return EventType.PRIVILEGED_LOGON, found
    return EventType.OTHER, found


def _ecs(record: Mapping[str, JsonValue]) -> Found:
    """Every field of the vocabulary that stands under its own name, nested or dotted."""
    found = _named(record, {name: name.value for name in Field})
    category, kind = value_at(record, "event.category"), value_at(record, "event.type")
    for wanted, part, type_ in _ECS_TYPES:
        if wanted in _words(category) and (not part or part in _words(kind)):
            is_failure = type_ is EventType.LOGON and found.get(Field.EVENT_OUTCOME) == "failure"
            return (EventType.LOGON_FAILED if is_failure else type_), found
    if Field.DNS_QUESTION_NAME in found:
        return EventType.DNS_QUERY, found
    return EventType.OTHER, found


def _words(value: JsonValue) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [str(one) for one in value] if isinstance(value, list) else []


def _named(record: Mapping[str, JsonValue], names: Mapping[Field, str]) -> dict[Field, Value]:
    found: dict[Field, Value] = {}
    for ours, theirs in names.items():
        value = value_at(record, theirs)
        if isinstance(value, list):
            value = ";".join(str(one) for one in value if isinstance(one, (str, int, float)))
        if isinstance(value, bool):
            found[ours] = "success" if value else "failure"
        elif isinstance(value, float):
            found[ours] = str(value)
        elif isinstance(value, (str, int)):
            found[ours] = value
    return found


def value_at(record: Mapping[str, JsonValue], path: str) -> JsonValue:
    """By a name that holds dots itself, or a path of nested names; None where there is neither."""
    if path in record:
        return record[path]
    found: JsonValue = record
    for key in path.split("."):
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    return found
