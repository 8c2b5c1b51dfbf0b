"""Splunk's results as records: what an event holds itself, else the fields of the Common Information Model.

Source: https://docs.splunk.com/Documentation/CIM/latest/User/Overview.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from xml.etree import ElementTree

import orjson

from watchfloor_core.canonical import JsonValue
from watchfloor_core.logs.fields import Field

Row = Mapping[str, Any]

TIME: Final = "_watchfloor_time"
_CIM: Final = {
    Field.HOST_NAME: ("dest", "host"),
    Field.USER_NAME: ("user", "src_user"),
    Field.SOURCE_IP: ("src_ip", "src"),
    Field.SOURCE_PORT: ("src_port",),
    Field.DESTINATION_IP: ("dest_ip", "dest"),
    Field.DESTINATION_PORT: ("dest_port",),
    Field.NETWORK_TRANSPORT: ("transport",),
    Field.NETWORK_PROTOCOL: ("app",),
    Field.PROCESS_EXECUTABLE: ("process_path",),
    Field.PROCESS_NAME: ("process_name",),
    Field.PROCESS_COMMAND_LINE: ("process",),
    Field.PROCESS_PID: ("process_id",),
    Field.PARENT_NAME: ("parent_process_name",),
    Field.PARENT_EXECUTABLE: ("parent_process_path",),
    Field.PARENT_COMMAND_LINE: ("parent_process",),
    Field.FILE_PATH: ("file_path",),
    Field.FILE_NAME: ("file_name",),
    Field.REGISTRY_PATH: ("registry_path",),
    Field.DNS_QUESTION_NAME: ("query",),
    Field.URL_FULL: ("url",),
    Field.USER_AGENT: ("http_user_agent",),
    Field.EVENT_ACTION: ("action",),
    Field.RULE_NAME: ("signature",),
    Field.MESSAGE: ("_raw",),
}
_KINDS: Final = (
    ("process", "start", ("process", "process_name", "process_path")),
    ("network", "connection", ("dest_port",)),
    ("registry", "change", ("registry_path",)),
    ("file", "change", ("file_path",)),
    ("web", "access", ("url",)),
)
"""Category and type by the fields that only events of such a data model have; the first row that fits."""
_NAMESPACE: Final = "{http://schemas.microsoft.com/win/2004/08/events/event}"


def record_of(row: Row) -> dict[str, JsonValue]:
    """The record that a result is, with the time that Splunk gave the event where it has none of its own."""
    raw = row.get("_raw")
    text = raw if isinstance(raw, str) else ""
    inner = _of_json(text) or _of_windows_xml(text)
    if inner is not None:
        return (
            inner if any(name in inner for name in ("@timestamp", "Event")) else {**inner, "@timestamp": row.get(TIME)}
        )
    return _of_cim(row)


def _of_json(text: str) -> dict[str, JsonValue] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _of_windows_xml(text: str) -> dict[str, JsonValue] | None:
    """As the ``evtx`` readers give an event."""
    if not text.lstrip().startswith("<Event"):
        return None
    # An event has no document type; with one, a few bytes could be made to expand to very many.
    if "<!" in text:
        return None
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  # nothing to expand, and nothing outside is ever read
    except (ElementTree.ParseError, ValueError):
        return None
    system: dict[str, JsonValue] = {}
    for one in root.findall(f"{_NAMESPACE}System/*"):
        name = one.tag.removeprefix(_NAMESPACE)
        attributes: dict[str, JsonValue] = dict(one.attrib)
        if one.text and one.text.strip():
            system[name] = one.text.strip()
        elif attributes:
            system[name] = {"#attributes": attributes}
    data = {
        str(one.attrib.get("Name", f"param{number}")): one.text or ""
        for number, one in enumerate(root.findall(f"{_NAMESPACE}EventData/{_NAMESPACE}Data"), 1)
    }
    number = system.get("EventID")
    if isinstance(number, str) and number.isdecimal():
        system["EventID"] = int(number)
    return {"Event": {"System": system, "EventData": dict(data)}}


def _of_cim(row: Row) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {"@timestamp": row.get(TIME), "row": {str(k): _plain(v) for k, v in row.items()}}
    for field, names in _CIM.items():
        value = next((row[one] for one in names if isinstance(row.get(one), (str, int)) and row[one] != ""), None)
        if value is not None:
            found[field.value] = value
    action = str(row.get("action", "")).lower()
    is_authentication = action in ("success", "failure") and "user" in row and "process" not in row
    if is_authentication:
        found["event.outcome"] = action
    kind = ("authentication", "start") if is_authentication else next(
        ((category, type_) for category, type_, names in _KINDS if any(row.get(one) for one in names)), ("", "")
    )  # fmt: skip
    found["event"] = {"category": [kind[0]], "type": [kind[1]], "module": "splunk"}
    return found


def _plain(value: Any) -> JsonValue:  # Any: JSON of a vendor
    return value if isinstance(value, (str, int, float)) or value is None else str(value)
