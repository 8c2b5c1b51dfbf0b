"""From a record as its file holds it to an event in the shared vocabulary."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final

from watchfloor_connectors.logs.raw_event import RawEvent
from watchfloor_connectors.logs.record_fields import other_event
from watchfloor_connectors.logs.windows import windows_fields
from watchfloor_connectors.logs.windows_mapping import windows_event
from watchfloor_core.canonical import MAX_INTEGER, JsonValue, canonical
from watchfloor_core.logs.event import LogEvent, Value
from watchfloor_core.logs.fields import INTEGERS, Field

MAX_TEXT: Final = 32_768
"""Characters of one field; what is longer is cut, and whole in the original."""
_MAX_DEPTH: Final = 60

_NAMES: Final = {
    Field.PROCESS_EXECUTABLE: Field.PROCESS_NAME,
    Field.PARENT_EXECUTABLE: Field.PARENT_NAME,
    Field.TARGET_PROCESS_EXECUTABLE: Field.TARGET_PROCESS_NAME,
    Field.FILE_PATH: Field.FILE_NAME,
}
"""The last part of a path has a field of its own; in lower case but for files."""
_USERS: Final = {Field.USER_NAME: Field.USER_DOMAIN, Field.USER_TARGET_NAME: Field.USER_TARGET_DOMAIN}
_ADDRESSES: Final = frozenset({Field.SOURCE_IP, Field.DESTINATION_IP, Field.HOST_IP})
_LOWER: Final = frozenset(
    {
        Field.HOST_NAME,
        Field.SOURCE_DOMAIN,
        Field.DESTINATION_DOMAIN,
        Field.DNS_QUESTION_NAME,
        Field.PROCESS_ENTITY_ID,
        Field.PARENT_ENTITY_ID,
        Field.TARGET_PROCESS_ENTITY_ID,
        Field.LOGON_ID,
        Field.TICKET_ENCRYPTION,
        Field.GRANTED_ACCESS,
        Field.ACCESS_MASK,
    }
)


def to_log_event(raw: RawEvent, source: str) -> LogEvent:
    """Never fails: what does not fit a field stays in the original alone."""
    if raw.kind.product == "windows":
        type_, found = windows_event(raw.kind.service, windows_fields(raw.original))
    else:
        type_, found = other_event(raw)
    if raw.host:
        found.setdefault(Field.HOST_NAME, raw.host)
    original = plain(raw.original)
    return LogEvent(
        id=event_digest(source, original),
        source=source,
        time_us=raw.time_us,
        precision=raw.precision,
        type=type_,
        fields=standard(found),
        original=original,
    )


def event_digest(source: str, original: Mapping[str, JsonValue]) -> str:
    """SHA-256 (64 hex digits) over the source's name and the canonical JSON of the original."""
    return hashlib.sha256(canonical({"source": source, "original": original})).hexdigest()


def standard(found: Mapping[Field, Value]) -> dict[Field, Value]:
    """Values in the form that the fields are defined with; without those that have none."""
    fields: dict[Field, Value] = {}
    for name, value in found.items():
        kept = _standard(name, value)
        if kept is not None and kept != "":
            fields[name] = kept
    for name, domain in _USERS.items():
        _split_domain(fields, name, domain)
    for path, last in _NAMES.items():
        if path in fields and last not in fields:
            part = str(fields[path]).replace("\\", "/").rpartition("/")[2]
            if part:
                fields[last] = part if path is Field.FILE_PATH else part.lower()
    return fields


def _standard(name: Field, value: Value) -> Value | None:
    if name in INTEGERS:
        return _number(value)
    text = clean(str(value))
    if name in _ADDRESSES:
        return _address(text)
    if name in _LOWER:
        text = text.lower()
    return text[:MAX_TEXT]


def _split_domain(fields: dict[Field, Value], name: Field, domain: Field) -> None:
    text = str(fields.get(name, "")).lower()
    if not text:
        return
    before, separator, user = text.partition("\\")
    if separator and user:
        fields.setdefault(domain, before)
        text = user
    fields[name] = text


def _number(value: Value) -> int | None:
    """Decimal, or hexadecimal as Windows' audit events have it."""
    if isinstance(value, int):
        return value if abs(value) <= MAX_INTEGER else None
    text = value.strip()
    try:
        number = (
            int(text, 16) if text[:2].lower() == "0x" and len(text) <= 16 else int(text) if len(text) <= 16 else None
        )
    except ValueError:
        return None
    return number if number is None or abs(number) <= MAX_INTEGER else None


def _address(text: str) -> str | None:
    """RFC 5952; an IPv4 address in IPv6 clothes is one of IPv4."""
    try:
        address = ip_address(text.split("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def clean(text: str) -> str:
    """Without what no database keeps: NUL, and halves of surrogate pairs."""
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def plain(original: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The record with what has no canonical form made text."""
    return {clean(name): _plain(value, 1) for name, value in original.items()}


def _plain(value: JsonValue, depth: int) -> JsonValue:
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= MAX_INTEGER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth > _MAX_DEPTH:
        return clean(str(value))[:MAX_TEXT]
    if isinstance(value, Mapping):
        return {clean(str(name)): _plain(one, depth + 1) for name, one in value.items()}
    return [_plain(one, depth + 1) for one in value]
