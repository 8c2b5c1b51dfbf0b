"""The plug-ins that the settings name: allowed, installed once, and asked who they are before anything depends on it.

One that cannot be loaded stops the start: what is silently missing would be taken for what found nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from watchfloor_agents.generative.admission import OTHER
from watchfloor_agents.generative.questions import TOOL_NAMES
from watchfloor_agents.opinion.consulting import PluggedEngine
from watchfloor_agents.plugged.messages import ENDORSERS, ENGINES, TOOLS, PlugInError
from watchfloor_agents.tooling.calling import PluggedTool
from watchfloor_agents.tooling.form import checked_form
from watchfloor_agents.tooling.tool import ToolForm
from watchfloor_agents.vouching.asking import PluggedEndorser
from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_core.plugins import allowed_entry, shown_setting
from watchfloor_core.settings import Settings
from watchfloor_workflows.plugged.process import PlugInProcess

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
TAKEN: Final = frozenset({*TOOL_NAMES, "final_result", OTHER})
"""Names that stand for something else where a model or a record reads them."""
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


def load_tools(settings: Settings) -> Mapping[str, PluggedTool]:
    """The tools that ``tools_allowed`` names, by name, in that order.

    Starts each once. Raises `ConfigurationError` with every one that cannot be used.
    """
    problems: list[Problem] = []
    found: dict[str, PluggedTool] = {}
    for name in dict.fromkeys(settings.tools_allowed):
        try:
            found[name] = _tool(name, settings)
        except ConfigurationError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigurationError(problems)
    return found


def load_endorsers(settings: Settings) -> Sequence[PluggedEndorser]:
    """The endorsers that ``endorsers_allowed`` names, in that order.

    Starts each once. Raises `ConfigurationError` with every one that cannot be used.
    """
    problems: list[Problem] = []
    found: list[PluggedEndorser] = []
    for name in dict.fromkeys(settings.endorsers_allowed):
        process = PlugInProcess(ENDORSERS, name)
        try:
            said = _described(process, settings.endorsers_allowed, "endorsers_allowed")
        except ConfigurationError as error:
            problems.extend(error.problems)
        else:
            found.append(PluggedEndorser(name=name, version=said["version"], converse=process))
    if problems:
        raise ConfigurationError(problems)
    return tuple(found)


def _tool(name: str, settings: Settings) -> PluggedTool:
    if name in TAKEN or not NAME.fullmatch(name):
        raise ConfigurationError(
            f"plug-in {name!r} cannot be a tool: its name is one of ours, or not of a-z, 0-9 and _; rename it, or take "
            f"it out of {shown_setting('tools_allowed')}"
        )
    process = PlugInProcess(TOOLS, name)
    said = _described(process, settings.tools_allowed, "tools_allowed")
    try:
        form = checked_form(
            ToolForm(name=name, version=said["version"], description=said["description"], schema=said["schema"])
        )
    except (KeyError, ValueError) as error:
        raise ConfigurationError(
            f"plug-in {name!r}: {error}; mend it or take it out of {shown_setting('tools_allowed')}"
        ) from error
    return PluggedTool(form=form, converse=process)


def _described(process: PlugInProcess, allowed: tuple[str, ...], setting: str) -> Mapping[str, Any]:
    """What it says of itself, with a ``version`` that is one."""
    if not NAME.fullmatch(process.name):
        raise ConfigurationError(
            f"plug-in {process.name!r} is not named of a-z, 0-9 and _; rename it or take it out of "
            f"{shown_setting(setting)}"
        )
    entry = allowed_entry(process.group, process.name, allowed, setting)
    shown = f"plug-in {process.name!r} ({entry.value})"
    try:
        said = process.describe()
    except PlugInError as error:
        raise ConfigurationError(
            f"{shown} cannot be loaded: {error}; mend it or take it out of {shown_setting(setting)}"
        ) from error
    known: Mapping[str, Any] = said if isinstance(said, dict) else {}
    version = known.get("version")
    if known.get("name") != process.name or not isinstance(version, str) or not VERSION.fullmatch(version):
        raise ConfigurationError(
            f"{shown} does not say who it is; expected the entry point's name, and a version of letters, digits "
            f"and ._+-; mend it or take it out of {shown_setting(setting)}"
        )
    return known
