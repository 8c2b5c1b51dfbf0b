"""Sets aside what a detection rule reports of one host, by a Sigma filter in a folder of its own.

One file for each filter. Its first line says which proposal put it there, and what it holds is made from the target
alone::

    # wf:<proposal digest> 2026-11-26T01:02:03Z
    title: Harmless on ws-17
    …

`watchfloor detect --filters` takes the folder, and so does whatever else speaks Sigma.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator

from watchfloor_connectors.detection.filters import filter_id, sigma_text
from watchfloor_connectors.targets.base import MARK, BadTargetError, ConfiguredTarget, NeverError, Slot, ToolOptions
from watchfloor_connectors.targets.files import absolute, locked, read_small, replace_file
from watchfloor_core.clock import now_us, to_iso
from watchfloor_core.errors import UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack, TargetState
from watchfloor_guardrails.rule_filter import RuleFilter, parse_filter

MAX_BYTES: Final = 65_536
_OURS: Final = re.compile(rf"# {MARK}([0-9a-f]{{64}}) \S+\n(.*)", re.DOTALL)


class SigmaFiltersOptions(ToolOptions):
    """Options of the kind ``sigma_filters``."""

    folder: Annotated[str, AfterValidator(absolute)] | None = None
    """``{tenant}`` stands for the tenant. None: ``filters/{tenant}`` in the data directory."""
    never: tuple[str, ...] = ()
    """UUIDs of rules of which nothing is ever set aside."""


@dataclass(frozen=True, slots=True)
class _Held:
    """What stands where a filter's file would."""

    key: str | None
    """Of the proposal that put it there; None where nothing of ours stands there."""
    is_whole: bool
    """It says what the filter says."""
    is_foreign: bool
    """Another hand wrote it."""
    copies: int
    """Other files of the folder that hold the same filter."""


class SigmaFilters(ConfiguredTarget[SigmaFiltersOptions]):
    kind = "sigma_filters"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = frozenset({"create filter", "delete filter"})
    options_type = SigmaFiltersOptions

    def __init__(self, slot: Slot, options: SigmaFiltersOptions) -> None:
        default = str(slot.data_dir / "filters" / "{tenant}")
        self.folder = Path((options.folder or default).replace("{tenant}", slot.tenant))
        super().__init__(slot, options)

    @classmethod
    def faults(cls, options: SigmaFiltersOptions, *, is_shared: bool) -> Iterator[str]:
        if is_shared and options.folder is not None and "{tenant}" not in options.folder:
            yield f"folder {options.folder!r} would be one for several tenants; put {{tenant}} in its name"

    def privileges(self) -> tuple[str, ...]:
        return (f"write files in {self.folder}",)

    def read_state(self, target: Target) -> TargetState:
        wanted = self._allowed(target)
        return _state(self._held(wanted))

    def do(self, action: Action, key: str) -> None:
        wanted = self._allowed(action.target)
        file = self._file_of(wanted)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / "filters", self.options.timeout_s):
                held = self._held(wanted)
                if action.action_class == "create filter":
                    self._create(wanted, file, key, held)
                else:
                    self._delete(file, held)
        except (OSError, UnavailableError) as error:
            if (self._held(wanted).key is not None) == (action.action_class == "create filter"):
                raise
            raise NotDoneError(f"the folder {str(self.folder)!r} was not changed: {error}") from error

    def _create(self, wanted: RuleFilter, file: Path, key: str, held: _Held) -> None:
        if held.key == key and held.is_whole:
            return
        if held.is_foreign:
            raise NotDoneError(f"{file} is there already, and not by Watchfloor; it is left as it is")
        if held.key is not None:
            raise NotDoneError(f"{file} is there already, by the proposal of digest {held.key}; end that first")
        moment = to_iso(now_us() // 1_000_000 * 1_000_000)
        replace_file(file, f"# {MARK}{key} {moment}\n{sigma_text(wanted)}".encode())

    def _delete(self, file: Path, held: _Held) -> None:
        if held.key is None:
            raise NotDoneError(f"{file} was not put there by Watchfloor; files of other hands are left to them")
        file.unlink()
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def read_back(self, action: Action, key: str) -> ReadBack:
        wanted = _filter_of(action.target)
        held, file = self._held(wanted), self._file_of(wanted)
        if held.key is None:
            text = f"{file} is of another hand" if held.is_foreign else f"there is no {file}"
            text += f", and the filter is in {held.copies} other files of the folder" if held.copies else ""
        else:
            by = "by this action" if held.key == key else f"by the proposal of digest {held.key}"
            text = f"{file} is there, {by}" + ("" if held.is_whole else "; it was changed since")
        if action.action_class == "create filter":
            is_applied = held.key is not None and held.is_whole
        else:
            # What another hand made of it, or put beside it, is in force all the same.
            is_applied = held.key is None and not held.is_foreign and not held.copies
        return ReadBack(Effect.APPLIED if is_applied else Effect.NOT_APPLIED, _state(held), text)

    def _allowed(self, target: Target) -> RuleFilter:
        wanted = _filter_of(target)
        # What stands there already can be taken back all the same.
        if wanted.rule in self.options.never and self._held(wanted).key is None:
            raise NeverError(f"of the rule {wanted.rule} nothing is set aside (never of tool {self.tool!r})")
        return wanted

    def _file_of(self, wanted: RuleFilter) -> Path:
        return self.folder / f"wf-{hashlib.sha256(wanted.text.encode()).hexdigest()[:32]}.yml"

    def _held(self, wanted: RuleFilter) -> _Held:
        file = self._file_of(wanted)
        copies = sum(1 for one in self._others(file) if self._is_copy(one, wanted))
        content = read_small(file, MAX_BYTES)
        if content is None:
            return _Held(None, is_whole=False, is_foreign=False, copies=copies)
        match = _OURS.fullmatch(content.decode("utf-8", "surrogateescape"))
        if match is None:
            return _Held(None, is_whole=False, is_foreign=True, copies=copies)
        return _Held(match[1], is_whole=match[2] == sigma_text(wanted), is_foreign=False, copies=copies)

    def _others(self, file: Path) -> list[Path]:
        try:
            return sorted(one for one in self.folder.iterdir() if one.suffix in (".yml", ".yaml") and one != file)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _is_copy(self, file: Path, wanted: RuleFilter) -> bool:
        content = read_small(file, MAX_BYTES)
        return content is not None and filter_id(wanted).encode() in content


def _state(held: _Held) -> TargetState:
    return TargetState(
        {
            "placed_by": held.key,
            "is_whole": held.is_whole,
            "is_foreign": held.is_foreign,
            "copies": held.copies,
        }
    )


def _filter_of(target: Target) -> RuleFilter:
    if target.kind is not TargetKind.FILTER:
        raise BadTargetError(f"a filter was expected, found a target of kind {target.kind!r}")
    try:
        return parse_filter(target.value)
    except ValueError as error:
        raise BadTargetError(f"the target is no filter: {error}") from error
