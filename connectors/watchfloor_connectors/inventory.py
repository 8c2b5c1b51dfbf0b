"""Reads an asset inventory: which hosts, addresses and users there are, and how much each matters.

Four forms are read:

- YAML, a list (or ``assets:`` with one) of ``{host, ip, user, tier, groups}``, where host, ip and user may be lists,
  or of ``{kind, value, tier, groups}`` for any kind of entity;
- CSV with those columns, several values in one cell separated by semicolons;
- Ansible-like facts: a mapping from inventory name to ``{hostname, fqdns, default_ipv4_address, ipv4_addresses,
  ipv6_addresses, username, groups, tier}``. Both the name and the host name are the host: sensors use either;
- what ServiceNow exports of its CMDB, as JSON or CSV (`watchfloor_connectors.servicenow`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from watchfloor_connectors.framing import Format, read_bytes
from watchfloor_connectors.normalise import normalise
from watchfloor_connectors.servicenow import Asset, Row, is_cmdb_header, read_cmdb, table_rows
from watchfloor_connectors.yaml_lines import Document, Location, load_yaml
from watchfloor_core.alert import EntityKind
from watchfloor_core.errors import ConfigurationError, Problem, RecordError

DEFAULT_TIER: Final = 2
"""Of an asset whose tier is not stated: neither a crown jewel nor unimportant."""

Entry = Mapping[str, Any]  # a row or a YAML mapping whose values are looked at one by one

_COLUMNS: Final = {"host": EntityKind.HOST, "ip": EntityKind.IP, "user": EntityKind.USER}
_OWN_KEYS: Final = frozenset({*_COLUMNS, "kind", "value", "tier", "groups"})
_FACTS: Final = (
    ("hostname", EntityKind.HOST),
    ("fqdns", EntityKind.HOST),
    ("default_ipv4_address", EntityKind.IP),
    ("ipv4_addresses", EntityKind.IP),
    ("ipv6_addresses", EntityKind.IP),
    ("username", EntityKind.USER),
)
_LINK_LOCAL: Final = ("fe80:", "169.254.", "127.", "::1")
"""Addresses that many hosts share."""


@dataclass(frozen=True, slots=True)
class InventoryItem:
    """One entity that the organisation knows as its own."""

    kind: EntityKind
    value: str
    """Normalised as in alerts."""
    tier: int
    """0 (crown jewel) to 3."""
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inventory:
    """What an inventory file says."""

    items: tuple[InventoryItem, ...]
    left_out: tuple[str, ...] = ()
    """What of an export is no asset, with its number, in words."""


@dataclass(frozen=True, slots=True)
class _Reading:
    entries: Sequence[Asset]
    left_out: tuple[str, ...] = ()


def read_inventory(path: Path) -> tuple[InventoryItem, ...]:
    """Every entity of an inventory file, once each. Raises as `load_inventory` does."""
    return load_inventory(path).items


def load_inventory(path: Path) -> Inventory:
    """Every entity of an inventory file, once each, and what was left out.

    An entity that stands twice gets the more critical tier and the groups of both. Raises ConfigurationError with all
    mistakes, each with its place.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read the inventory {str(path)!r}: {error.strerror}") from None
    match path.suffix:
        case ".yaml" | ".yml":
            reading = _Reading([(entry, line, None) for entry, line in _yaml_entries(data, str(path))])
        case ".csv":
            reading = _csv_reading(data, str(path))
        case ".json":
            reading = _cmdb_reading(table_rows(data, str(path)), str(path))
        case _:
            raise ConfigurationError(f"the inventory {str(path)!r} is neither .yaml nor .csv nor .json")
    found: dict[tuple[EntityKind, str], InventoryItem] = {}
    problems: list[Problem] = []
    for entry, line, place in reading.entries:
        try:
            for item in _items(entry):
                key = (item.kind, item.value)
                found[key] = _merged(found[key], item) if key in found else item
        except RecordError as error:
            where = ".".join(part for part in (place, error.path) if part)
            problems.append(Problem(error.reason, str(path), line, where or None))
    if problems:
        raise ConfigurationError(problems)
    return Inventory(tuple(found.values()), reading.left_out)


def _merged(first: InventoryItem, second: InventoryItem) -> InventoryItem:
    groups = tuple(dict.fromkeys((*first.groups, *second.groups)))
    return InventoryItem(first.kind, first.value, min(first.tier, second.tier), groups)


def _csv_reading(data: bytes, file: str) -> _Reading:
    rows = read_bytes(data, layout=Format.CSV, name=file)
    columns = rows.columns or ()
    is_cmdb = is_cmdb_header(columns)
    unknown = [column for column in columns if column not in _OWN_KEYS]
    if not is_cmdb and (unknown or not _OWN_KEYS.intersection(columns)):
        expected = ", ".join(sorted(_OWN_KEYS))
        raise ConfigurationError(
            [Problem(f"columns {unknown or columns!r} were not expected, only {expected}", file, 1)]
        )
    records: list[tuple[Mapping[str, Any], int, None]] = []
    problems: list[Problem] = []
    for row in rows:
        # Right as long as no value runs over its line, which names and addresses do not.
        line = row.position + 1
        if isinstance(row.record, RecordError):
            problems.append(Problem(row.record.reason, file, line))
        else:
            records.append((row.record, line, None))
    if problems:
        raise ConfigurationError(problems)
    if is_cmdb:
        return _cmdb_reading(records, file)
    return _Reading([(_cells(record), line, place) for record, line, place in records])


def _cells(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: str(value).split(";") for name, value in record.items() if value}


def _cmdb_reading(rows: Iterable[Row], file: str) -> _Reading:
    export = read_cmdb(rows, file)
    return _Reading(export.assets, export.left_out)


def _yaml_entries(data: bytes, file: str) -> list[tuple[Entry, int]]:
    try:
        document = load_yaml(data.decode("utf-8-sig"), file)
    except UnicodeDecodeError as error:
        raise ConfigurationError([Problem(f"byte {error.start} is not UTF-8", file)]) from None
    value: Any = document.value
    at: Location = ()
    if isinstance(value, dict) and isinstance(value.get("assets"), list):
        value, at = value["assets"], ("assets",)
    if isinstance(value, list):
        return _listed(value, at, document, file)
    if isinstance(value, dict) and value and all(isinstance(facts, dict) for facts in value.values()):
        return [({**facts, "name": str(name)}, document.line((str(name),))) for name, facts in value.items()]
    raise ConfigurationError(
        [
            Problem(
                "a list of assets, or facts by host name, was expected (docs/how-to/describe-your-assets.md)", file, 1
            )
        ]
    )


def _listed(value: list[Any], at: Location, document: Document, file: str) -> list[tuple[Entry, int]]:
    problems = []
    for index, entry in enumerate(value):
        line = document.line((*at, index))
        if not isinstance(entry, dict):
            problems.append(Problem(f"{entry!r} is no asset: keys and values were expected", file, line))
        elif unknown := [str(key) for key in entry if key not in _OWN_KEYS]:
            problems.append(Problem(f"{', '.join(unknown)}: only {', '.join(sorted(_OWN_KEYS))} are known", file, line))
    if problems:
        raise ConfigurationError(problems)
    return [(entry, document.line((*at, index))) for index, entry in enumerate(value)]


def _items(entry: Entry) -> Iterator[InventoryItem]:
    """The entities of one asset; RecordError says what is wrong with it."""
    tier, groups = _tier(entry.get("tier")), tuple(_texts(entry.get("groups"), "groups"))
    values = list(_facts(entry)) if "name" in entry else list(_own(entry))
    if not values:
        raise RecordError("the asset names no host, ip, user or value")
    for kind, text, path in values:
        try:
            name = normalise(kind, text)
        except RecordError as error:
            raise RecordError(error.reason, path=path) from None
        if name is not None:
            yield InventoryItem(kind, name, tier, groups)


def _own(entry: Entry) -> Iterator[tuple[EntityKind, str, str]]:
    for column, kind in _COLUMNS.items():
        for text in _texts(entry.get(column), column):
            yield kind, text, column
    for text in _texts(entry.get("value"), "value"):
        kinds = _texts(entry.get("kind"), "kind")
        if len(kinds) != 1 or kinds[0] not in list(EntityKind):
            raise RecordError(f"{kinds!r} is no kind: one of {', '.join(EntityKind)} was expected", path="kind")
        yield EntityKind(kinds[0]), text, "value"


def _facts(entry: Entry) -> Iterator[tuple[EntityKind, str, str]]:
    yield EntityKind.HOST, entry["name"], "name"
    for path, kind in _FACTS:
        for text in _texts(entry.get(path), path):
            if kind is not EntityKind.IP or not text.lower().startswith(_LINK_LOCAL):
                yield kind, text, path


def _tier(value: object) -> int:
    if value is None:
        return DEFAULT_TIER
    text = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(text, bool) or str(text).strip() not in ("0", "1", "2", "3"):
        raise RecordError(f"{text!r} is no tier: 0 (crown jewel), 1, 2 or 3 was expected", path="tier")
    return int(str(text))


def _texts(value: object, path: str) -> list[str]:
    items = value if isinstance(value, list) else [] if value is None else [value]
    for item in items:
        if isinstance(item, bool) or not isinstance(item, str | int):
            raise RecordError(f"{item!r} was not expected: a text or a list of texts was", path=path)
    return [text for item in items if (text := str(item).strip())]
