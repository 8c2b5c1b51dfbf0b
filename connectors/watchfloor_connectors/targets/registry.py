"""The tools of ``targets.yaml``, by tenant and name: which there are and what each may do.

Names match exactly, and a tenant sees only what its entries give it. The file is read at the start of the executor, the
one process that has tools.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from watchfloor_connectors.secrets.resolve import secret_text
from watchfloor_connectors.targets.base import Slot, ToolOptions
from watchfloor_connectors.targets.blocklist import Blocklist, BlocklistOptions
from watchfloor_connectors.targets.kinds import Kind, load_kinds
from watchfloor_connectors.targets.secret import reference, sounds_secret, use_stores
from watchfloor_connectors.yaml_lines import Document, Location, load_yaml
from watchfloor_core.errors import ConfigurationError, NotFoundError, Problem
from watchfloor_core.settings import Settings
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.effect import ActionTarget, pin_of

FILE_NAME: Final = "targets.yaml"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_COMMON: Final = ("tool", "kind", "tenants", "action_classes")


@dataclass(frozen=True, slots=True)
class Entry:
    """One configured tool."""

    tool: str
    kind: Kind
    tenants: frozenset[str] | None
    """None: every tenant."""
    action_classes: frozenset[str]
    options: ToolOptions

    def serves(self, tenant: str) -> bool:
        # A tenant's name becomes part of paths, so nothing that is none gets so far.
        return _NAME.fullmatch(tenant) is not None and (self.tenants is None or tenant in self.tenants)

    @property
    def pin(self) -> str:
        """Of the tool that is made from it, for whichever tenant."""
        return pin_of(self.tool, self.kind.kind, self.kind.version_of(self.options))


class ActionTargets:
    """The configured tools. Thread-safe."""

    def __init__(self, entries: Sequence[Entry], data_dir: Path) -> None:
        self.entries = tuple(entries)
        self._data_dir = data_dir
        self._made: dict[tuple[str, str], ActionTarget] = {}

    @classmethod
    def load(cls, settings: Settings) -> ActionTargets:
        """Those of the settings' file; ConfigurationError with every mistake."""
        use_stores(secret_text(settings))
        file = settings.targets_file
        if file is not None and not file.exists():
            raise ConfigurationError(f"the file of tools {str(file)!r} does not exist (setting targets_file)")
        return load_targets(file or settings.data_dir / FILE_NAME, settings.data_dir, settings.targets_allowed)

    def of(self, tenant: str, tool: str) -> ActionTarget:
        """The tool of exactly that name; `NotFoundError` where this tenant has none such."""
        for entry in self.entries:
            if entry.tool == tool and entry.serves(tenant):
                return self._target(entry, tenant)
        raise NotFoundError(f"tenant {tenant!r} has no tool {tool!r}; tools are configured in {FILE_NAME}")

    def pin_of(self, tenant: str, tool: str) -> str | None:
        """The pin of the tool of that name, which is not made; None where this tenant has none such."""
        return next((entry.pin for entry in self.entries if entry.tool == tool and entry.serves(tenant)), None)

    def for_class(self, tenant: str, action_class: str) -> ActionTarget | None:
        """The tenant's first tool that does the class, in the order of the file."""
        for entry in self.entries:
            if action_class in entry.action_classes and entry.serves(tenant):
                return self._target(entry, tenant)
        return None

    def of_tenant(self, tenant: str) -> tuple[ActionTarget, ...]:
        """All of a tenant's tools, in the order of the file."""
        return tuple(self._target(entry, tenant) for entry in self.entries if entry.serves(tenant))

    def _target(self, entry: Entry, tenant: str) -> ActionTarget:
        made = self._made.get((entry.tool, tenant))
        if made is None:
            slot = Slot(entry.tool, tenant, self._data_dir, entry.action_classes)
            made = self._made.setdefault((entry.tool, tenant), entry.kind(slot, entry.options))
        return made


def load_targets(file: Path, data_dir: Path, allowed: Sequence[str] = ()) -> ActionTargets:
    """The tools of a file; where there is no file, one blocklist in the data directory for every tenant.

    Raises ConfigurationError with every mistake, each with its line.
    """
    kinds = load_kinds(allowed)
    try:
        text = file.read_bytes().decode()
        writable = file.stat().st_mode & 0o002
    except FileNotFoundError:
        return ActionTargets([_standard()], data_dir)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the file of tools {str(file)!r} cannot be read: {error}") from error
    if writable:
        raise ConfigurationError([Problem("everybody may change what tools do and never touch: chmod o-w", str(file))])
    return ActionTargets(list(read_entries(text, str(file), kinds)), data_dir)


def read_entries(text: str, file: str, kinds: Mapping[str, Kind]) -> list[Entry]:
    """The entries of the file's text; ConfigurationError with every mistake."""
    document = load_yaml(text, file)
    value = document.value
    if not isinstance(value, dict) or set(value) != {"targets"} or not isinstance(value["targets"], list):
        raise ConfigurationError([Problem("a mapping with the one name 'targets', a list, was expected", file, 1)])
    reader = _Reader(document, file, kinds)
    entries = [entry for index, one in enumerate(value["targets"]) if (entry := reader.entry(index, one)) is not None]
    if reader.problems:
        raise ConfigurationError(reader.problems)
    return entries


def _standard() -> Entry:
    return Entry("blocklist", Blocklist, None, Blocklist.classes, BlocklistOptions())


class _Reader:
    """Reads entries and gathers what is wrong with them."""

    def __init__(self, document: Document, file: str, kinds: Mapping[str, Kind]) -> None:
        self.problems: list[Problem] = []
        self._document = document
        self._file = file
        self._kinds = kinds
        self._tools: set[str] = set()

    def entry(self, index: int, given: object) -> Entry | None:
        at: Location = ("targets", index)
        before = len(self.problems)
        if not isinstance(given, dict):
            self._wrong(at, "a tool is a mapping with tool, kind, tenants and the options of its kind")
            return None
        tool = self._tool(at, given.get("tool"))
        tenants = self._tenants(at, given.get("tenants"))
        kind = self._kinds.get(given["kind"]) if isinstance(given.get("kind"), str) else None
        if kind is None:
            known = ", ".join(sorted(self._kinds))
            said = f"kind is {given.get('kind')!r}; known are: {known}"
            self._wrong((*at, "kind"), f"{said}; WATCHFLOOR_TARGETS_ALLOWED lets others in")
            return None
        classes = self._classes(at, given.get("action_classes"), kind)
        options = self._options(at, {name: value for name, value in given.items() if name not in _COMMON}, kind)
        if options is not None:
            for message in kind.faults(options, is_shared=tenants is None or len(tenants) > 1):
                self._wrong(at, message)
        if len(self.problems) > before or options is None:
            return None
        return Entry(tool, kind, tenants, classes, options)

    def _tool(self, at: Location, given: object) -> str:
        tool = given if isinstance(given, str) else ""
        if not _NAME.fullmatch(tool):
            self._wrong((*at, "tool"), f"tool is {given!r}; a name of a-z, 0-9, '_', '.' and '-' was expected")
        elif tool in self._tools:
            self._wrong((*at, "tool"), f"two tools are named {tool!r}; approvals and switches go by the name")
        self._tools.add(tool)
        return tool

    def _tenants(self, at: Location, given: object) -> frozenset[str] | None:
        if given == "*":
            return None
        tenants = (
            [one for one in given if isinstance(one, str) and _NAME.fullmatch(one)] if isinstance(given, list) else []
        )
        if not isinstance(given, list) or not tenants or len(tenants) != len(given):
            self._wrong((*at, "tenants"), f"tenants is {given!r}; a list of tenants or '*' was expected")
        return frozenset(tenants)

    def _classes(self, at: Location, given: object, kind: Kind) -> frozenset[str]:
        if given is None:
            return kind.classes
        classes = frozenset(one for one in given if isinstance(one, str)) if isinstance(given, list) else frozenset()
        if not classes or not isinstance(given, list) or len(classes) != len(given) or not classes <= kind.classes:
            known = ", ".join(sorted(kind.classes))
            self._wrong((*at, "action_classes"), f"action_classes is {given!r}; {kind.kind!r} does: {known}")
        for name in sorted(classes & kind.classes):
            undo = CATALOGUE[name].undo
            if CATALOGUE[name].is_containment and undo is not None and undo not in classes:
                self._wrong((*at, "action_classes"), f"{name!r} without {undo!r} could not be taken back; add that")
        return classes

    def _options(self, at: Location, given: dict[str, object], kind: Kind) -> ToolOptions | None:
        for name in sorted(name for name in given if isinstance(name, str) and sounds_secret(name)):
            try:
                reference(str(given[name]))
            except ValueError as error:
                self._wrong((*at, name), f"{name}: {error}")
                return None
        try:
            return kind.options_type.model_validate(given)
        except ValidationError as error:
            for one in error.errors(include_url=False):
                place = tuple(part for part in one["loc"] if isinstance(part, (int, str)))
                self._wrong((*at, *place), f"{'.'.join(map(str, place))}: {one['msg']}")
            return None

    def _wrong(self, at: Location, message: str) -> None:
        self.problems.append(Problem(message, self._file, self._document.line(at)))
