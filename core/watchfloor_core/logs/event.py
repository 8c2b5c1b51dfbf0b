"""One event of telemetry: what a sensor saw, in the shared vocabulary and in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from watchfloor_core.alert import TimePrecision
from watchfloor_core.canonical import JsonValue
from watchfloor_core.logs.fields import Field

Value: TypeAlias = "str | int"


class EventType(StrEnum):
    """What happened, as far as it can be told from the event alone."""

    PROCESS_START = "process_start"
    PROCESS_END = "process_end"
    PROCESS_ACCESS = "process_access"
    """One process opened another one."""
    REMOTE_THREAD = "remote_thread"
    IMAGE_LOAD = "image_load"
    DRIVER_LOAD = "driver_load"
    FILE_CHANGE = "file_change"
    FILE_READ = "file_read"
    REGISTRY_CHANGE = "registry_change"
    PIPE = "pipe"
    NETWORK_CONNECTION = "network_connection"
    DNS_QUERY = "dns_query"
    HTTP_REQUEST = "http_request"
    LOGON = "logon"
    LOGON_FAILED = "logon_failed"
    LOGOFF = "logoff"
    PRIVILEGED_LOGON = "privileged_logon"
    EXPLICIT_CREDENTIALS = "explicit_credentials"
    KERBEROS_TICKET = "kerberos_ticket"
    SERVICE_INSTALLED = "service_installed"
    SCHEDULED_TASK = "scheduled_task"
    ACCOUNT_CHANGE = "account_change"
    GROUP_CHANGE = "group_change"
    DIRECTORY_ACCESS = "directory_access"
    OBJECT_ACCESS = "object_access"
    SHARE_ACCESS = "share_access"
    SCRIPT = "script"
    WMI = "wmi"
    LOG_CLEARED = "log_cleared"
    POLICY_CHANGE = "policy_change"
    CLOUD_API = "cloud_api"
    SIGN_IN = "sign_in"
    """At an identity provider or a cloud console."""
    MAIL = "mail"
    DETECTION = "detection"
    """A sensor's own alert among its telemetry."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One event. Equal events of one source have one id, however often they are read."""

    id: str
    """SHA-256 (64 hex digits) over the source's name and the canonical JSON of the original."""
    source: str
    """Name of the log source that gave it."""
    time_us: int
    """Event time, microseconds since the Unix epoch, UTC."""
    precision: TimePrecision
    type: EventType
    fields: Mapping[Field, Value]
    """What of the vocabulary it has; absent is unknown."""
    original: Mapping[str, JsonValue] = field(default_factory=dict)
    """As the source gave it: nested JSON that has a canonical form; larger integers than that allows are text."""

    def text(self, name: Field) -> str:
        """A field's value as text, empty where it has none."""
        value = self.fields.get(name)
        return "" if value is None else str(value)
