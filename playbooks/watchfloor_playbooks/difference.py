"""What differs between two versions of a playbook, part by part: what a reviewer of a change has to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import JsonValue

from watchfloor_core.canonical import canonical
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_guardrails.yaml_source import Path, format_path

_DICTIONARIES: Final = (
    "playbook_variables",
    "workflow",
    "agent_definitions",
    "target_definitions",
    "authentication_info_definitions",
    "data_marking_definitions",
    "extension_definitions",
)
"""Their entries are the parts; the order of an object's properties says nothing in JSON and is no difference."""
_SECRET: Final = frozenset({"password", "token", "oauth_header", "authorization", "cookie", "x-api-key"})
"""Names under which secrets stand, of properties and of HTTP headers; in lower case."""


class Change(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """One property that is not the same, or one part that is there in one version only."""

    change: Change
    part: str
    """``workflow action--… "Look at the address"``, or ``playbook``."""
    path: str
    """Inside the part; empty where all of it was added or removed."""
    before: str | None
    """Canonical JSON; secrets are never shown."""
    after: str | None


def differences(before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]) -> list[Difference]:
    """In the order: the playbook's own properties, then its parts, each in the order of the older version."""
    found = list(_between("playbook", (), _own(before), _own(after)))
    for dictionary in _DICTIONARIES:
        old, new = _entries(before, dictionary), _entries(after, dictionary)
        for name in dict.fromkeys((*old, *new)):
            part = _named(dictionary, name, new.get(name, old.get(name)))
            if name not in new:
                found.append(Difference(Change.REMOVED, part, "", None, None))
            elif name not in old:
                found.append(Difference(Change.ADDED, part, "", None, None))
            else:
                found += _between(part, (), old[name], new[name])
    return found


def _own(content: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Without the parts, and without signatures: a signature is no change of the playbook (section 3.1)."""
    return {name: value for name, value in content.items() if name not in (*_DICTIONARIES, "signatures")}


def _entries(content: Mapping[str, JsonValue], dictionary: str) -> dict[str, JsonValue]:
    found = content.get(dictionary)
    return found if isinstance(found, dict) else {}


def _named(dictionary: str, name: str, part: JsonValue) -> str:
    title = part.get("name") if isinstance(part, dict) else None
    said = f' "{escape_untrusted(title[:80])}"' if isinstance(title, str) else ""
    return f"{dictionary} {escape_untrusted(name[:120])}{said}"


def _between(part: str, path: Path, before: JsonValue, after: JsonValue) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys((*before, *after)):
            inner = (*path, name)
            if name not in after:
                yield _made(Change.REMOVED, part, inner, before[name], None)
            elif name not in before:
                yield _made(Change.ADDED, part, inner, None, after[name])
            else:
                yield from _between(part, inner, before[name], after[name])
    elif _are_alike(before, after) and isinstance(before, list) and isinstance(after, list):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _between(part, (*path, index), old, new)
    elif canonical(before) != canonical(after):
        yield _made(Change.CHANGED, part, path, before, after)


def _are_alike(before: JsonValue, after: JsonValue) -> bool:
    """Lists of as many objects, which are compared one by one: commands, above all."""
    if not (isinstance(before, list) and isinstance(after, list) and len(before) == len(after)):
        return False
    return all(isinstance(one, dict) for one in (*before, *after))


def _made(change: Change, part: str, path: Path, before: JsonValue, after: JsonValue) -> Difference:
    is_secret = any(str(name).lower() in _SECRET for name in path)
    old = None if change is Change.ADDED else _shown(before, is_secret)
    new = None if change is Change.REMOVED else _shown(after, is_secret)
    return Difference(change, part, escape_untrusted(format_path(path)[:200]), old, new)


def _shown(value: JsonValue, is_secret: bool) -> str:
    return "(secret)" if is_secret else escape_untrusted(canonical(_without_secrets(value)).decode())


def _without_secrets(value: JsonValue) -> JsonValue:
    match value:
        case dict():
            return {
                name: "(secret)" if name.lower() in _SECRET else _without_secrets(one) for name, one in value.items()
            }
        case list():
            return [_without_secrets(one) for one in value]
        case _:
            return value
