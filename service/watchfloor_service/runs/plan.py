"""What a run will do, settled and checked before anything is started or written."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from watchfloor_connectors.framing import Framed, read_file
from watchfloor_connectors.inventory import InventoryItem, load_inventory
from watchfloor_connectors.registry import Registry
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.ports import Connector
from watchfloor_core.settings import Settings
from watchfloor_service.runs.input_file import InputFile, UnreadableFile, examine
from watchfloor_service.runs.reading import ConnectorChoice, connector_choice

TENANT: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a person asked for."""

    files: Sequence[Path]
    tenant: str | None = None
    """None: one of the files' own."""
    connector: str | None = None
    mapping: Path | None = None
    inventory: Path | None = None


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file that will be read, and by what."""

    file: InputFile
    connector: Connector

    def connector_for(self, _: Framed) -> Connector:
        """What `read_in` asks: the choice was made when the run was planned."""
        return self.connector


@dataclass(frozen=True, slots=True)
class Plan:
    """A request that can be carried out."""

    tenant: str
    files: tuple[PlannedFile, ...]
    unreadable: tuple[UnreadableFile, ...]
    repeated: tuple[Path, ...]
    """Files with the content of an earlier one; they are read once."""
    assets: tuple[InventoryItem, ...] | None
    assets_left_out: tuple[str, ...] = ()
    """What of the inventory is no asset, with its number, in words."""

    @property
    def source_ids(self) -> tuple[str, ...]:
        return tuple(planned.file.source_id for planned in self.files)


def plan_run(settings: Settings, request: RunRequest) -> Plan:
    """Read every file once for its digest, and its first records for its format.

    A file that cannot be read is noted and left out. Raises `ConfigurationError` where the request itself is wrong,
    and where no file is left.
    """
    if request.tenant is not None and not TENANT.fullmatch(request.tenant):
        raise ConfigurationError(
            f"tenant {request.tenant!r}: expected 1 to 64 of a-z, 0-9, '_', '.', '-', beginning with a letter or digit"
        )
    choose = _choice(settings, request)
    inventory = None if request.inventory is None else load_inventory(request.inventory)
    inputs = examine(request.files)
    planned: list[PlannedFile] = []
    unreadable = list(inputs.unreadable)
    for file in inputs.files:
        try:
            framed = read_file(file.path, max_record_bytes=settings.max_record_bytes)
            planned.append(PlannedFile(file, choose(framed)))
        except ConfigurationError as error:
            unreadable.append(UnreadableFile(file.path, str(error)))
    if not planned:
        raise ConfigurationError("\n".join(f"{one.path}: {one.reason}" for one in unreadable))
    tenant = request.tenant or inputs.tenant(_reading(request))
    return Plan(
        tenant,
        tuple(planned),
        tuple(unreadable),
        inputs.repeated,
        None if inventory is None else inventory.items,
        () if inventory is None else inventory.left_out,
    )


def tell_left_out(plan: Plan) -> None:
    """To people, what of the inventory was not taken."""
    if plan.assets_left_out:
        taken = f"{len(plan.assets or ()):,} entities are of the inventory"
        print(f"{taken}; left out: {', '.join(plan.assets_left_out)}", file=sys.stderr)


def _reading(request: RunRequest) -> bytes:
    """What else than the files' bytes the result of a run depends on: another mapping is another run."""
    if request.mapping is not None:
        return request.mapping.read_bytes()
    return (request.connector or "").encode()


def _choice(settings: Settings, request: RunRequest) -> ConnectorChoice:
    """How the connector of each file is found; a wrong name or mapping is said now."""
    registry = Registry.load(settings)
    if request.mapping is None:
        if request.connector is not None:
            registry.get(request.connector)
        return connector_choice(registry, request.connector)
    if request.connector is not None:
        raise ConfigurationError("--connector and --mapping both say how to read the files; give one of them")
    return connector_choice(*registry.with_mapping(request.mapping))
