"""Indicators of MISP: exported events, and answers of its search interface.

Format: MISP core format (https://www.misp-standard.org/rfc/misp-standard-core.html): ``Event`` with ``Attribute`` and
``Object``, alone, in a list or under ``response``. Attributes without ``to_ids`` are context of the event and no
indicators.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from watchfloor_connectors.context.indicators import Indicator, Reading, indicator
from watchfloor_core.alert import EntityKind

MAX_FILE: Final = 256 * 1024 * 1024
"""Bytes."""
_LEVELS: Final = {"1": 80, "2": 60, "3": 40}
"""Confidence by MISP's threat level: high, medium, low."""
_KINDS: Final = {
    "ip-src": EntityKind.IP,
    "ip-dst": EntityKind.IP,
    "domain": EntityKind.DOMAIN,
    "hostname": EntityKind.DOMAIN,
    "url": EntityKind.URL,
    "md5": EntityKind.FILE_HASH,
    "sha1": EntityKind.FILE_HASH,
    "sha256": EntityKind.FILE_HASH,
    "sha384": EntityKind.FILE_HASH,
    "sha512": EntityKind.FILE_HASH,
}
_AS_FIRST: Final = {"ip-src|port": "ip-src", "ip-dst|port": "ip-dst", "hostname|port": "hostname"}


def read_misp(paths: Sequence[Path]) -> Reading:
    """Every indicator of exported events; what cannot be read is among the problems."""
    found: list[Indicator] = []
    problems: list[str] = []
    unread = 0
    for path in paths:
        try:
            if path.stat().st_size > MAX_FILE:
                raise ValueError(f"it is larger than {MAX_FILE:,} bytes; export fewer events at once")
            for one in _indicators(orjson.loads(path.read_bytes())):
                if one is None:
                    unread += 1
                else:
                    found.append(one)
        except (OSError, ValueError) as error:
            problems.append(f"{path.name} cannot be read: {error}")
    return Reading(tuple(found), unread, tuple(problems))


def _indicators(content: object) -> Iterator[Indicator | None]:
    """None for what is an indicator and names nothing that can be looked up."""
    response = content.get("response") if isinstance(content, Mapping) else None
    match content:
        case {"Event": Mapping() as event}:
            yield from _of_event(event)
        case _ if isinstance(response, Mapping) and isinstance(response.get("Attribute"), list):
            for attribute in response["Attribute"]:
                if isinstance(attribute, Mapping):
                    of = attribute.get("Event")
                    yield from _of_attribute(attribute, of if isinstance(of, Mapping) else {})
        case _ if isinstance(response, list):
            for one in response:
                yield from _indicators(one)
        case list():
            for one in content:
                yield from _indicators(one)
        case _:
            raise ValueError("it is no export of MISP: 'Event' or 'response' was expected")


def _of_event(event: Mapping[str, Any]) -> Iterator[Indicator | None]:
    objects = event.get("Object")
    for holder in (event, *(objects if isinstance(objects, list) else ())):
        attributes = holder.get("Attribute") if isinstance(holder, Mapping) else None
        for attribute in attributes if isinstance(attributes, list) else ():
            if isinstance(attribute, Mapping):
                yield from _of_attribute(attribute, event)


def _of_attribute(attribute: Mapping[str, Any], event: Mapping[str, Any]) -> Iterator[Indicator | None]:
    if attribute.get("to_ids") not in (True, "1", 1) or attribute.get("deleted") in (True, "1", 1):
        return
    kind, value = str(attribute.get("type", "")), str(attribute.get("value", ""))
    named = _named(kind, value)
    if not named:
        yield None
    for entity, text in named:
        yield indicator(
            entity,
            text,
            _name(attribute, event),
            confidence=_LEVELS.get(str(event.get("threat_level_id", ""))),
            reference=str(attribute.get("uuid") or ""),
        )


def _named(kind: str, value: str) -> tuple[tuple[EntityKind, str], ...]:
    first, _, second = value.partition("|")
    if kind in _AS_FIRST:
        return ((_KINDS[_AS_FIRST[kind]], first),)
    if kind == "domain|ip":
        return ((EntityKind.DOMAIN, first), (EntityKind.IP, second))
    if kind.startswith("filename|") and kind.removeprefix("filename|") in _KINDS:
        return ((EntityKind.FILE_HASH, second),)
    if kind == "malware-sample":
        return ((EntityKind.FILE_HASH, second),)
    return ((_KINDS[kind], value),) if kind in _KINDS else ()


def _name(attribute: Mapping[str, Any], event: Mapping[str, Any]) -> str:
    parts = (event.get("info"), attribute.get("category"), attribute.get("comment"))
    return ": ".join(str(one) for one in parts if one)
