"""Warning lists: what is so common that a listing of it says little, in the format of the MISP project.

Format: https://github.com/MISP/misp-warninglists (``name``, ``type``, ``list``): ``string`` equals, ``substring``
contains, ``hostname`` is the name or one below it, ``cidr`` holds the address, ``regex`` matches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

import re2
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from watchfloor_core.alert import EntityKind
from watchfloor_core.errors import ConfigurationError, Problem

Entry = TypeVar("Entry")

MAX_PATTERNS: Final = 5_000
"""Regular expressions and parts of texts that each value is held against."""


class _Model(BaseModel):
    # Lists carry more keys than are needed here.
    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str = Field(min_length=1, max_length=300)
    type: Literal["string", "substring", "hostname", "cidr", "regex"]
    entries: list[str] = Field(alias="list")


@dataclass(frozen=True)
class WarningList:
    """One list, ready to be asked."""

    name: str
    texts: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    parts: tuple[str, ...] = ()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    patterns: tuple[Any, ...] = field(default=())  # re2 has no types

    def holds(self, kind: EntityKind, value: str) -> bool:
        """True where the list names the value, which is spelled as in alerts."""
        folded = value.lower()
        if folded in self.texts or any(part in folded for part in self.parts):
            return True
        if kind is EntityKind.IP and self.networks:
            address = ip_address(value)
            return any(address in one for one in self.networks if one.version == address.version)
        if kind in (EntityKind.DOMAIN, EntityKind.URL) and self.hosts:
            host = folded if kind is EntityKind.DOMAIN else _host(value)
            labels = host.split(".")
            return any(".".join(labels[start:]) in self.hosts for start in range(len(labels)))
        return any(one.search(value) is not None for one in self.patterns)


def read_warning_list(path: Path) -> WarningList:
    """Raises `ConfigurationError` with the file and what is wrong with it."""
    try:
        model = _Model.model_validate_json(path.read_bytes())
        match model.type:
            case "string":
                return WarningList(model.name, texts=frozenset(one.strip().lower() for one in model.entries))
            case "hostname":
                hosts = frozenset(one.strip().lstrip(".").rstrip(".").lower() for one in model.entries)
                return WarningList(model.name, hosts=hosts - {""})
            case "cidr":
                networks = tuple(ip_network(one.strip(), strict=False) for one in model.entries)
                return WarningList(model.name, networks=networks)
            case "substring":
                parts = tuple(one.lower() for one in model.entries if one)
                return WarningList(model.name, parts=_bounded(parts))
            case "regex":
                return WarningList(model.name, patterns=_bounded(tuple(re2.compile(one) for one in model.entries)))
    except OSError as error:
        raise ConfigurationError([Problem(f"cannot be read: {error.strerror}", str(path))]) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigurationError([Problem(f"is no MISP warning list: {first['msg']} ({place})", str(path))]) from None
    except (ValueError, re2.error) as error:
        raise ConfigurationError([Problem(f"an entry of the warning list is wrong: {error}", str(path))]) from None


def _bounded(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    if len(entries) > MAX_PATTERNS:
        raise ValueError(f"it has {len(entries):,} patterns, and at most {MAX_PATTERNS:,} are tried")
    return entries


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
