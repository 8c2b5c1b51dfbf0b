"""What sort of log a JSON record that is not of Windows is of, by what only that sort has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from watchfloor_connectors.logs.raw_event import LogKind
from watchfloor_core.canonical import JsonValue

_ZEEK: Final = ("conn", "dns", "http", "ssl", "files", "smb_files", "smb_mapping", "kerberos", "ntlm", "rdp", "ssh",
                "dce_rpc", "x509", "notice", "weird", "ftp", "smtp")  # fmt: skip


def kind_of(record: Mapping[str, JsonValue], file: str) -> LogKind:
    """In Sigma's terms; ``product`` is ``unknown`` for what has no sign of any."""
    if "eventSource" in record and "eventName" in record:
        return LogKind("aws", "cloudtrail")
    if "event_type" in record and ("flow_id" in record or "src_ip" in record):
        return LogKind("suricata", str(record["event_type"]))
    zeek = _zeek_path(record, file)
    if zeek is not None:
        return LogKind("zeek", zeek)
    event = record.get("event")
    if isinstance(event, Mapping):
        return LogKind(str(event.get("module") or "ecs"), str(event.get("dataset") or "") or None)
    if "category" in record and "operationName" in record and "properties" in record:
        return LogKind("azure", str(record["category"]).lower())
    if "eventType" in record and "published" in record:
        return LogKind("okta", "okta")
    return LogKind("unknown")


def text_host(record: Mapping[str, JsonValue]) -> str | None:
    """The machine that a record is of, where it says."""
    host = record.get("host")
    if isinstance(host, Mapping):
        host = host.get("name") or host.get("hostname")
    for value in (host, record.get("Hostname"), record.get("hostname"), record.get("Computer")):
        if isinstance(value, str) and value:
            return value
    return None


def _zeek_path(record: Mapping[str, JsonValue], file: str) -> str | None:
    path = record.get("_path")
    if isinstance(path, str):
        return path
    if "ts" not in record or not ("uid" in record or "id.orig_h" in record or "fuid" in record):
        return None
    stem = file.replace("\\", "/").rpartition("/")[2].partition(".")[0]
    if stem in _ZEEK:
        return stem
    if "query" in record and "qtype_name" in record:
        return "dns"
    if "user_agent" in record or "uri" in record:
        return "http"
    return "conn" if "conn_state" in record else "other"
