"""The sources of context of a tenant, opened once and kept until their files change."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from watchfloor_connectors.context.config import (
    ContextSettings,
    IntelligenceModel,
    PluginModel,
    RunbooksModel,
    SourceModel,
)
from watchfloor_connectors.context.guarded import GuardedContextSource
from watchfloor_connectors.context.indicators import IndicatorSource
from watchfloor_connectors.context.lists import read_lists
from watchfloor_connectors.context.misp import read_misp
from watchfloor_connectors.context.runbooks import RunbookSource
from watchfloor_connectors.context.stix import read_stix
from watchfloor_connectors.context.warning_lists import WarningList, read_warning_list
from watchfloor_connectors.logs.opening import Stamp, stamp_of
from watchfloor_core.context import ContextKind, ContextSource, Facts, LookUp
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.logs.source import Coverage, Health
from watchfloor_core.plugins import load_plugin

logger = logging.getLogger(__name__)

GROUP: Final = "watchfloor.context_sources"
"""Entry points that give ``(name, options, paths) -> ContextSource``."""


class DarkContextSource:
    """Stands in for a configured source that could not be opened, so that its absence shows in every answer."""

    def __init__(self, name: str, kind: ContextKind, reason: str) -> None:
        self.name = name
        self.kind = kind
        self._coverage = Coverage(name, Health.DARK, f"cannot be opened: {reason}")

    def look_up(self, question: LookUp) -> Facts:  # noqa: ARG002  # whatever is asked
        return Facts((), self._coverage)


class ContextShelf:
    """Opens what `ContextSettings` name, when first asked. Thread-safe.

    What cannot be read is told in each answer of its source; it is tried again when its files change.
    """

    def __init__(self, settings: ContextSettings, *, allowed: Sequence[str] = ()) -> None:
        """``allowed``: plug-ins that may be loaded (setting ``context_sources_allowed``)."""
        self._settings = settings
        self._allowed = tuple(allowed)
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Stamp, ContextSource]] = {}

    def of(self, tenant: str) -> Sequence[ContextSource]:
        """In the order of the file."""
        return tuple(self._source(one) for one in self._settings.of(tenant))

    def _source(self, model: SourceModel) -> ContextSource:
        named = [*model.paths, *(model.warning_lists if isinstance(model, IntelligenceModel) else ())]
        # One at a time: two threads would read the same files twice.
        with self._lock:
            stamp = stamp_of([self._settings.folder / one for one in named])
            held = self._open.get(model.name)
            if held is None or held[0] != stamp:
                held = self._open[model.name] = (stamp, self._opened(model))
            return held[1]

    def _opened(self, model: SourceModel) -> ContextSource:
        paths = [self._settings.folder / one for one in model.paths]
        if isinstance(model, PluginModel):
            return self._plugged_in(model, paths)
        if isinstance(model, RunbooksModel):
            return RunbookSource(model.name, paths)
        problems: list[str] = []
        files = [file for path in paths for file in _files(path, problems)]
        match model.kind:
            case "stix":
                reading = read_stix(files)
            case "misp":
                reading = read_misp(files)
            case "list":
                reading = read_lists(files, model.confidence)
        warnings, faults = self._warning_lists(model)
        reading = replace(reading, problems=(*problems, *reading.problems, *faults))
        for problem in reading.problems:
            logger.warning("source of context %s: %s", model.name, problem)
        return IndicatorSource(model.name, reading, warnings)

    def _plugged_in(self, model: PluginModel, paths: Sequence[Path]) -> ContextSource:
        try:
            factory = load_plugin(GROUP, model.plugin, self._allowed, "context_sources_allowed")
            source = factory(model.name, dict(model.options), tuple(paths))
            if not isinstance(source, ContextSource):
                raise ConfigurationError(f"plug-in {model.plugin!r} gave no source but a {type(source).__name__}")
        except ConfigurationError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001  # someone else's code: the source is dark and says so
            problem = f"plug-in {model.plugin!r} failed with {type(error).__qualname__}"
        else:
            return GuardedContextSource(model.name, model.context, source)
        logger.warning("source of context %s cannot be opened: %s", model.name, problem)
        return DarkContextSource(model.name, model.context, problem)

    def _warning_lists(self, model: IntelligenceModel) -> tuple[list[WarningList], list[str]]:
        problems: list[str] = []
        found: list[WarningList] = []
        for path in model.warning_lists:
            for file in _files(self._settings.folder / path, problems):
                try:
                    found.append(read_warning_list(file))
                except ConfigurationError as error:
                    problems.append(str(error))
        return found, problems


def _files(path: Path, problems: list[str]) -> Iterator[Path]:
    """The files of a folder, by name; hidden ones are left out."""
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from sorted(
            one for one in path.rglob("*") if one.is_file() and not one.relative_to(path).as_posix().startswith(".")
        )
    else:
        problems.append(f"{path.name} does not exist")
