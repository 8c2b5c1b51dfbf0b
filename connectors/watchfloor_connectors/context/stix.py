"""Indicators of STIX 2.1 bundles (OASIS standard, https://docs.oasis-open.org/cti/stix/v2.1/).

Patterns that name one value, or several of which any is enough, can be looked up. Those with conditions that have to
hold together, an order or a count say more than a single value does; they are counted and left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from watchfloor_connectors.context.indicators import Indicator, Reading, indicator
from watchfloor_core.alert import EntityKind

MAX_FILE: Final = 256 * 1024 * 1024
"""Bytes."""
MAX_PATTERN: Final = 10_000
"""Characters; a longer one is counted as not to be looked up."""
_ONE_VALUE: Final = re.compile(r"\s*\[\s*([a-z0-9-]+)\s*:\s*([A-Za-z0-9_.'-]+)\s*=\s*'((?:[^'\\]|\\.)*+)'\s*\]\s*")
_KINDS: Final = {
    ("ipv4-addr", "value"): EntityKind.IP,
    ("ipv6-addr", "value"): EntityKind.IP,
    ("domain-name", "value"): EntityKind.DOMAIN,
    ("url", "value"): EntityKind.URL,
    ("file", "hashes.md5"): EntityKind.FILE_HASH,
    ("file", "hashes.sha-1"): EntityKind.FILE_HASH,
    ("file", "hashes.sha-256"): EntityKind.FILE_HASH,
    ("file", "hashes.sha-512"): EntityKind.FILE_HASH,
    ("network-traffic", "dst_ref.value"): EntityKind.IP,
    ("network-traffic", "src_ref.value"): EntityKind.IP,
}


def read_stix(paths: Sequence[Path]) -> Reading:
    """Every indicator of bundles; what cannot be read is among the problems."""
    found: list[Indicator] = []
    problems: list[str] = []
    unread = 0
    for path in paths:
        try:
            for objects in _objects(path):
                indicators = list(_indicators(objects))
                found += [one for one in indicators if one is not None]
                unread += sum(one is None for one in indicators)
        except (OSError, ValueError) as error:
            problems.append(f"{path.name} cannot be read: {error}")
    return Reading(tuple(found), unread, tuple(problems))


def _objects(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.stat().st_size > MAX_FILE:
        raise ValueError(f"it is larger than {MAX_FILE:,} bytes; split it")
    content = orjson.loads(path.read_bytes())
    objects = content.get("objects") if isinstance(content, dict) else None
    if not isinstance(objects, list):
        raise ValueError("it is no STIX bundle: a list 'objects' was expected")
    for one in objects:
        if isinstance(one, dict) and one.get("type") == "indicator" and one.get("revoked") is not True:
            yield one


def _indicators(content: Mapping[str, Any]) -> Iterator[Indicator | None]:
    """None for a pattern that cannot be looked up."""
    pattern, kind = content.get("pattern"), content.get("pattern_type", "stix")
    if not isinstance(pattern, str) or kind != "stix" or len(pattern) > MAX_PATTERN:
        yield None
        return
    named = values_of(pattern)
    if not named:
        yield None
        return
    confidence, until = content.get("confidence"), content.get("valid_until")
    for entity, value in named:
        yield indicator(
            entity,
            value,
            str(content.get("name") or content.get("description") or ""),
            confidence=confidence if isinstance(confidence, int) else None,
            valid_until_us=_time_us(until) if isinstance(until, str) else None,
            reference=str(content.get("id") or ""),
        )


def values_of(pattern: str) -> tuple[tuple[EntityKind, str], ...]:
    """The values of which any one makes the pattern match; none where it takes more than one value."""
    simple = _ONE_VALUE.fullmatch(pattern)
    if simple is not None:
        kind = _KINDS.get((simple[1], _path(simple[2])))
        return () if kind is None else ((kind, _unescaped(simple[3])),)
    return _parsed(pattern)


def _parsed(pattern: str) -> tuple[tuple[EntityKind, str], ...]:
    # Imported here: the parser takes long to load, and most patterns name one value.
    from stix2patterns.exceptions import ParseException
    from stix2patterns.v21.pattern import Pattern

    try:
        parsed = Pattern(pattern)
        content = parsed.inspect()
    except (ParseException, RecursionError, ValueError):
        return ()
    if content.qualifiers or content.observation_ops - {"OR"} or _has_conjunction(parsed):
        return ()
    found: list[tuple[EntityKind, str]] = []
    for name, comparisons in content.comparisons.items():
        for steps, operator, constant in comparisons:
            kind = _KINDS.get((name, ".".join(str(step) for step in steps).lower()))
            if kind is None or operator not in ("=", "IN"):
                # Any of the values would be enough, and this is one that cannot be looked up: the others still can.
                continue
            found += [(kind, _unescaped(one)) for one in _QUOTED.findall(constant)]
    return tuple(found)


_QUOTED: Final = re.compile(r"'((?:[^'\\]|\\.)*+)'")


def _has_conjunction(parsed: Any) -> bool:
    from stix2patterns.v21.grammars.STIXPatternListener import STIXPatternListener

    class Listener(STIXPatternListener):  # type: ignore[misc]  # the generated parser has no types
        found = False

        def enterComparisonExpressionAnd(self, ctx: Any) -> None:  # the generated name
            self.found |= ctx.getChildCount() > 1

    listener = Listener()
    parsed.walk(listener)
    return listener.found


def _path(text: str) -> str:
    return text.replace("'", "").lower()


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _time_us(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return round(moment.timestamp() * 1_000_000)
