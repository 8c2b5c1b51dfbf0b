"""Local lists: one address, network, domain, URL or hash on a line; ``#`` begins a comment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from watchfloor_connectors.context.indicators import Indicator, Reading, indicator
from watchfloor_core.alert import EntityKind

MAX_FILE: Final = 256 * 1024 * 1024
"""Bytes."""
_HASH: Final = re.compile(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{96}|[0-9A-Fa-f]{128}")
_DOMAIN: Final = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})\.)+[A-Za-z0-9-]{2,63}\.?")


def read_lists(paths: Sequence[Path], confidence: int | None) -> Reading:
    """Every entry of the lists, named by its comment or else by the list; a line that is none of those is counted."""
    found: list[Indicator] = []
    problems: list[str] = []
    unread = 0
    for path in paths:
        try:
            if path.stat().st_size > MAX_FILE:
                raise ValueError(f"it is larger than {MAX_FILE:,} bytes; split it")
            lines = path.read_text("utf-8-sig").splitlines()
        except (OSError, ValueError) as error:
            problems.append(f"{path.name} cannot be read: {error}")
            continue
        for line in lines:
            value, _, comment = line.partition("#")
            if not value.strip():
                continue
            kind = kind_of(value.strip())
            name = comment.strip() or f"an entry of {path.name}"
            one = None if kind is None else indicator(kind, value.strip(), name, confidence=confidence)
            if one is None:
                unread += 1
            else:
                found.append(one)
    return Reading(tuple(found), unread, tuple(problems))


def kind_of(value: str) -> EntityKind | None:
    """What an entry names by its form."""
    if _HASH.fullmatch(value):
        return EntityKind.FILE_HASH
    if "://" in value:
        return EntityKind.URL
    try:
        ip_network(value, strict=False)
    except ValueError:
        return EntityKind.DOMAIN if _DOMAIN.fullmatch(value) else None
    return EntityKind.IP
