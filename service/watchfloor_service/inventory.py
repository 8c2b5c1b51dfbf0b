"""The operator's asset inventory: which hosts, addresses and accounts matter how much.

A YAML file::

    assets:
      - {kind: host, value: dc01, tier: 0, groups: [servers, domain-controllers]}

``kind`` is that of an entity, ``tier`` 0 (crown jewel) to 3; ``groups`` may be left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml
from sqlalchemy import Connection, delete, insert

from watchfloor_connectors.normalise import normalise
from watchfloor_core.alert import EntityKind
from watchfloor_core.errors import ConfigurationError, Problem, RecordError
from watchfloor_core.store.interning import entity_id
from watchfloor_core.store.schema import asset

TIERS: Final = ("0", "1", "2", "3")
KEYS: Final = ("kind", "value", "tier", "groups")


@dataclass(frozen=True, slots=True)
class Asset:
    """One entity of the inventory."""

    kind: EntityKind
    value: str
    """Normalised, as alerts name it."""
    tier: int
    groups: tuple[str, ...]


def load_inventory(path: Path) -> tuple[Asset, ...]:
    """The assets of a file. Raises `ConfigurationError` with every mistake, by line."""
    file = str(path)
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([Problem(f"the inventory cannot be read: {error}", file)]) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise ConfigurationError([Problem(f"not YAML: {error.problem}", file, line)]) from error
    except yaml.YAMLError as error:
        raise ConfigurationError([Problem(f"not YAML: {error}", file)]) from error
    listed = dict(_pairs(root)).get("assets")
    if not isinstance(listed, yaml.SequenceNode):
        raise ConfigurationError([Problem("expected the key 'assets' with a list", file, 1)])
    problems: list[Problem] = []
    assets: dict[bytes, Asset] = {}
    for node in listed.value:
        try:
            found = _asset(node)
        except ValueError as error:
            problems.append(Problem(str(error), file, node.start_mark.line + 1))
            continue
        key = entity_id(found.kind, found.value)
        if key in assets:
            problems.append(
                Problem(f"{found.kind} {found.value!r} is listed twice; keep one", file, node.start_mark.line + 1)
            )
        assets[key] = found
    if problems:
        raise ConfigurationError(problems)
    return tuple(assets.values())


def write_inventory(connection: Connection, tenant: str, assets: Sequence[Asset]) -> None:
    """Make this the tenant's inventory, in place of any before."""
    connection.execute(delete(asset).where(asset.c.tenant == tenant))
    rows = [
        {
            "tenant": tenant,
            "entity_id": entity_id(one.kind, one.value),
            "kind": one.kind.value,
            "value": one.value,
            "tier": one.tier,
            "groups": list(one.groups),
        }
        for one in assets
    ]
    if rows:
        connection.execute(insert(asset), rows)


def _asset(node: yaml.Node) -> Asset:
    """Raises ValueError with what is wrong."""
    fields = dict(_pairs(node))
    if not fields:
        raise ValueError("expected an asset with the keys kind, value, tier and groups")
    unknown = [key for key in fields if key not in KEYS]
    missing = [key for key in KEYS[:3] if key not in fields]
    if unknown or missing:
        raise ValueError(f"unknown keys {unknown}, missing keys {missing}; known are {list(KEYS)}")
    kind, value, tier = (_text(key, fields[key]) for key in KEYS[:3])
    if kind not in list(EntityKind):
        raise ValueError(f"kind {kind!r} is none of {[kind.value for kind in EntityKind]}")
    if tier not in TIERS:
        raise ValueError(f"tier {tier!r} is none of 0 (crown jewel), 1, 2, 3")
    try:
        name = normalise(EntityKind(kind), value)
    except RecordError as error:
        raise ValueError(str(error)) from error
    if name is None:
        raise ValueError(f"value {value!r} names nothing")
    return Asset(EntityKind(kind), name, int(tier), _groups(fields.get("groups")))


def _groups(node: yaml.Node | None) -> tuple[str, ...]:
    if node is None:
        return ()
    if not isinstance(node, yaml.SequenceNode):
        raise ValueError("groups must be a list of names")
    return tuple(_text("groups", item) for item in node.value)


def _pairs(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield str(key.value), value


def _text(key: str, node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError(f"{key} must be a plain value")
    return str(node.value)
