"""The log sources of a tenant, opened once and kept until their files change."""

from __future__ import annotations

import base64
import logging
import ssl
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, assert_never

from pydantic import SecretStr

from watchfloor_connectors.logs.config import (
    ElasticsearchModel,
    FilesModel,
    LogSettings,
    PluginModel,
    SentinelModel,
    SourceModel,
    SplunkModel,
)
from watchfloor_connectors.logs.dark import DarkLogSource
from watchfloor_connectors.logs.embedded import open_logs
from watchfloor_connectors.logs.guarded import GuardedLogSource
from watchfloor_core.errors import ConfigurationError, WatchfloorError
from watchfloor_core.logs.source import LogSource
from watchfloor_core.plugins import load_plugin

logger = logging.getLogger(__name__)

Stamp = tuple[tuple[str, int, int], ...]
"""Path, size and time of change of every file."""
MAX_FILES: Final = 100_000
GROUP: Final = "watchfloor.log_sources"
"""Entry points that give ``(name, options, secrets) -> LogSource``."""


class LogShelf:
    """Opens what `LogSettings` name, when first asked. Thread-safe.

    A source that cannot be opened is dark, and says why in each answer; it is tried again when its files change.
    """

    def __init__(
        self,
        settings: LogSettings,
        folder: Path,
        secret: Callable[[str], str] | None = None,
        *,
        allowed: Sequence[str] = (),
    ) -> None:
        """``folder``: where what was read from files is kept, so that a restart need not read them again; ``secret``:
        reads what a reference names, as `watchfloor_connectors.secrets.resolve.secret_text` makes it; ``allowed``:
        plug-ins that may be loaded (setting ``log_sources_allowed``)."""
        self._settings = settings
        self._allowed = tuple(allowed)
        self._folder = folder
        self._secret = secret
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Stamp, LogSource]] = {}

    def of(self, tenant: str) -> Sequence[LogSource]:
        """In the order of the file."""
        return tuple(self._source(one) for one in self._settings.of(tenant))

    def faults(self) -> dict[str, str]:
        """By name, the sources that could not be opened now, with the reason. None of them is asked: nothing is read
        of log files, and no network is used but where a secret is kept behind one."""
        found: dict[str, str] = {}
        for model in self._settings.sources:
            try:
                self._could_open(model)
            except (WatchfloorError, OSError) as error:
                found[model.name] = str(error)
        return found

    def _could_open(self, model: SourceModel) -> None:
        match model:
            case FilesModel():
                missing = [path for path in model.paths if not (self._settings.folder / path).exists()]
                if missing:
                    raise ConfigurationError(f"does not exist: {', '.join(missing)}")
            case PluginModel():
                # Made with the first question alone: what somebody else's code does then is not known here.
                load_plugin(GROUP, model.plugin, self._allowed, "log_sources_allowed")
                for reference in model.secrets.values():
                    self._read(model, reference)
            case ElasticsearchModel() | SentinelModel() | SplunkModel():
                self._searched(model)
            case unknown:
                assert_never(unknown)

    def _source(self, model: SourceModel) -> LogSource:
        paths = [self._settings.folder / path for path in model.paths] if isinstance(model, FilesModel) else []
        # One at a time: two threads would read the same files twice.
        with self._lock:
            stamp = stamp_of(paths)
            held = self._open.get(model.name)
            if held is None or held[0] != stamp:
                held = self._open[model.name] = (stamp, self._opened(model, paths))
            return held[1]

    def _opened(self, model: SourceModel, paths: Sequence[Path]) -> LogSource:
        try:
            if isinstance(model, FilesModel):
                return open_logs(paths, name=model.name, directory=self._folder)
            if isinstance(model, PluginModel):
                return self._plugged_in(model)
            return self._searched(model)
        except (WatchfloorError, OSError) as error:
            logger.warning("log source %s cannot be opened: %s", model.name, error)
            return DarkLogSource(model.name, f"cannot be opened: {error}")

    def _plugged_in(self, model: PluginModel) -> LogSource:
        factory = load_plugin(GROUP, model.plugin, self._allowed, "log_sources_allowed")
        secrets = {name: SecretStr(self._read(model, reference)) for name, reference in model.secrets.items()}
        try:
            source = factory(model.name, dict(model.options), secrets)
        except Exception as error:  # someone else's code: whatever it raises, the source is dark and says so
            raise ConfigurationError(f"plug-in {model.plugin!r} failed with {type(error).__qualname__}") from error
        if not isinstance(source, LogSource):
            raise ConfigurationError(f"plug-in {model.plugin!r} gave no log source but a {type(source).__name__}")
        return GuardedLogSource(model.name, source)

    def _read(self, model: SourceModel, reference: str) -> str:
        if self._secret is None:
            raise ConfigurationError(f"log source {model.name!r} needs a secret, and nothing here reads any")
        return self._secret(reference)

    def _searched(self, model: ElasticsearchModel | SentinelModel | SplunkModel) -> LogSource:
        if self._secret is None:
            raise ConfigurationError(f"log source {model.name!r} needs a secret, and nothing here reads any")
        match model:
            case SentinelModel():
                return _sentinel(model, self._secret)
            case SplunkModel():
                return _splunk(model, self._secret, self._settings.folder)
            case ElasticsearchModel():
                return _elasticsearch(model, self._secret, self._settings.folder)
            case unknown:
                assert_never(unknown)


# The clients are imported where they are made: they take long to load, and files need none.


def _elasticsearch(model: ElasticsearchModel, secret: Callable[[str], str], folder: Path) -> LogSource:
    from watchfloor_connectors.logs.elasticsearch import ElasticsearchSource

    if model.api_key is not None:
        authorization = f"ApiKey {secret(model.api_key)}"
    else:
        pair = f"{model.user}:{secret(model.password or '')}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return ElasticsearchSource(
        model.name,
        model.url,
        model.index,
        authorization=SecretStr(authorization),
        timeout_s=model.timeout_s,
        verify=_trusted(model.ca_file, folder),
    )


def _splunk(model: SplunkModel, secret: Callable[[str], str], folder: Path) -> LogSource:
    from watchfloor_connectors.logs.splunk import SplunkSource

    return SplunkSource(
        model.name,
        model.url,
        model.indexes,
        token=SecretStr(secret(model.token)),
        timeout_s=model.timeout_s,
        verify=_trusted(model.ca_file, folder),
    )


def _trusted(ca_file: str | None, folder: Path) -> ssl.SSLContext | bool:
    """By whom certificates have to be signed."""
    return True if ca_file is None else ssl.create_default_context(cafile=str(folder / ca_file))


def _sentinel(model: SentinelModel, secret: Callable[[str], str]) -> LogSource:
    from watchfloor_connectors.logs.sentinel import SentinelSource

    return SentinelSource(
        model.name,
        model.workspace,
        directory=model.directory,
        application=model.application,
        secret=SecretStr(secret(model.secret)),
        timeout_s=model.timeout_s,
        api_url=model.api_url,
        login_url=model.login_url,
    )


def stamp_of(paths: Sequence[Path]) -> Stamp:
    """What changes when any file of these, or below these, does."""
    found: list[tuple[str, int, int]] = []
    for path in paths:
        files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        for file in files[:MAX_FILES]:
            try:
                at = file.stat()
            except OSError:
                continue
            found.append((str(file), at.st_size, at.st_mtime_ns))
    return tuple(found)
