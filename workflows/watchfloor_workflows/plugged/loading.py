"""The plug-ins that the settings name: allowed, installed once, and asked who they are before anything depends on it.

One that cannot be loaded stops the start: what is silently missing would be taken for what found nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from watchfloor_agents.opinion.consulting import PluggedEngine
from watchfloor_agents.plugged.messages import ENGINES, PlugInError
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.plugins import allowed_entry
from watchfloor_core.settings import Settings
from watchfloor_workflows.plugged.process import PlugInProcess

VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


def load_engine(settings: Settings) -> PluggedEngine | None:
    """The engine that ``investigation_engine`` names; None where it names none.

    Starts it once. Raises `ConfigurationError` where it is not allowed, not installed, or does not say who it is.
    """
    if settings.investigation_engine is None:
        return None
    name = settings.investigation_engine.removeprefix("plugin:")
    process = PlugInProcess(ENGINES, name)
    said = _described(process, settings.engines_allowed, "engines_allowed")
    return PluggedEngine(name=name, version=said["version"], converse=process)


def _described(process: PlugInProcess, allowed: tuple[str, ...], setting: str) -> Mapping[str, Any]:
    """What it says of itself, with a ``version`` that is one."""
    entry = allowed_entry(process.group, process.name, allowed, setting)
    shown = f"plug-in {process.name!r} ({entry.value})"
    try:
        said = process.describe()
    except PlugInError as error:
        raise ConfigurationError(f"{shown} cannot be loaded: {error}; mend it or take it out of {setting}") from error
    known: Mapping[str, Any] = said if isinstance(said, dict) else {}
    version = known.get("version")
    if known.get("name") != process.name or not isinstance(version, str) or not VERSION.fullmatch(version):
        raise ConfigurationError(
            f"{shown} does not say who it is; expected the entry point's name, and a version of letters, digits "
            f"and ._+-; mend it or take it out of {setting}"
        )
    return known
