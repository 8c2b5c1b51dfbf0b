"""The sources of context of a tenant, opened once and kept until their files change."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, assert_never
from urllib.parse import urlsplit

from watchfloor_connectors.context.account_names import Naming, domain_of
from watchfloor_connectors.context.accounts import USER_ATTRIBUTE
from watchfloor_connectors.context.config import (
    ContextSettings,
    DirectoryModel,
    IntelligenceModel,
    PluginModel,
    RunbooksModel,
    SourceModel,
)
from watchfloor_connectors.context.directory import Connect, DirectorySource
from watchfloor_connectors.context.guarded import GuardedContextSource
from watchfloor_connectors.context.indicators import IndicatorSource
from watchfloor_connectors.context.lists import read_lists
from watchfloor_connectors.context.misp import read_misp
from watchfloor_connectors.context.runbooks import RunbookSource
from watchfloor_connectors.context.stix import read_stix
from watchfloor_connectors.context.warning_lists import WarningList, read_warning_list
from watchfloor_connectors.logs.opening import Stamp, stamp_of
from watchfloor_core.context import ContextKind, ContextSource, Facts, LookUp
from watchfloor_core.errors import ConfigurationError, WatchfloorError
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

    def __init__(
        self,
        settings: ContextSettings,
        secret: Callable[[str], str] | None = None,
        *,
        allowed: Sequence[str] = (),
    ) -> None:
        """``secret``: reads what a reference names, as `watchfloor_connectors.secrets.resolve.secret_text` makes it;
        ``allowed``: plug-ins that may be loaded (setting ``context_sources_allowed``)."""
        self._settings = settings
        self._secret = secret
        self._allowed = tuple(allowed)
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Stamp, ContextSource]] = {}

    def of(self, tenant: str) -> Sequence[ContextSource]:
        """In the order of the file."""
        return tuple(self._source(one) for one in self._settings.of(tenant))

    def faults(self) -> dict[str, str]:
        """By name, the sources that could not be opened now, or not whole, with the reason.

        Files are read; no directory is asked, and no network is used but where a secret is kept behind one.
        """
        found: dict[str, str] = {}
        for model in self._settings.sources:
            try:
                fault = self._fault(model)
            except (WatchfloorError, OSError) as error:
                fault = str(error)
            if fault:
                found[model.name] = fault
        return found

    def _fault(self, model: SourceModel) -> str:
        match model:
            case DirectoryModel():
                _connecting(model, self._settings.folder, self._secret)
                if self._secret is not None:
                    self._secret(model.password)
                return ""
            case PluginModel():
                # Made with the first question alone: what somebody else's code does then is not known here.
                load_plugin(GROUP, model.plugin, self._allowed, "context_sources_allowed")
                missing = [path for path in model.paths if not (self._settings.folder / path).exists()]
                return f"does not exist: {', '.join(missing)}" if missing else ""
            case IntelligenceModel() | RunbooksModel():
                source = self._opened(model)
                return source.look_up(LookUp(kind=source.kind, terms=("x",))).coverage.reason
            case unknown:
                assert_never(unknown)

    def _source(self, model: SourceModel) -> ContextSource:
        named = files_of(model)
        # One at a time: two threads would read the same files twice.
        with self._lock:
            stamp = stamp_of([self._settings.folder / one for one in named])
            held = self._open.get(model.name)
            if held is None or held[0] != stamp:
                held = self._open[model.name] = (stamp, self._opened(model))
            return held[1]

    def _opened(self, model: SourceModel) -> ContextSource:
        if isinstance(model, DirectoryModel):
            return self._directory(model)
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
        return IndicatorSource(model.name, reading, warnings, is_own=model.kind == "list")

    def _directory(self, model: DirectoryModel) -> ContextSource:
        try:
            connect = _connecting(model, self._settings.folder, self._secret)
        except ConfigurationError as error:
            logger.warning("source of context %s cannot be opened: %s", model.name, error)
            return DarkContextSource(model.name, ContextKind.DIRECTORY, str(error))
        naming = Naming(
            layout=model.layout,
            attribute=model.user_attribute or USER_ATTRIBUTE[model.layout],
            domain=domain_of(model.base_dn),
            domains=tuple(one.casefold() for one in model.domains),
        )
        return DirectorySource(
            model.name, naming, connect, privileged=model.privileged_groups, timeout_s=model.timeout_s
        )

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


def files_of(model: SourceModel) -> list[str]:
    """What a source reads of this machine, as its entry names it."""
    match model:
        case DirectoryModel():
            return [] if model.ca_file is None else [model.ca_file]
        case IntelligenceModel():
            return [*model.paths, *model.warning_lists]
        case RunbooksModel() | PluginModel():
            return list(model.paths)
        case unknown:
            assert_never(unknown)


def _connecting(model: DirectoryModel, folder: Path, secret: Callable[[str], str] | None) -> Connect:
    """The password is read for each question: one that was changed is taken up, and none is held."""
    if secret is None:
        raise ConfigurationError(f"source of context {model.name!r} needs a secret, and nothing here reads any")
    # Imported here: it takes an extra, and few need it.
    try:
        from watchfloor_connectors.context.directory_session import Place, ldap_session, trusting
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "ldap3":
            raise
        raise ConfigurationError("LDAP is not installed: pip install 'watchfloor[ldap]'") from error
    parts = urlsplit(model.url)
    is_encrypted = parts.scheme == "ldaps" or model.start_tls
    ca_file = None if model.ca_file is None else str(folder / model.ca_file)
    place = Place(
        host=parts.hostname or "",
        port=parts.port or (636 if parts.scheme == "ldaps" else 389),
        tls=trusting(ca_file) if is_encrypted else None,
        start_tls=model.start_tls,
        base_dn=model.base_dn,
        bind_dn=model.bind_dn,
        timeout_s=model.timeout_s,
    )
    return lambda: ldap_session(place, lambda: secret(model.password))


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
