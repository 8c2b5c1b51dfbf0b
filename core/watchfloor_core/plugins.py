"""Code of others, found by entry point and loaded only where the settings allow it by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from watchfloor_core.errors import ConfigurationError, Problem


def shown_setting(name: str) -> str:
    """A setting as messages name it: with the environment variable that sets it."""
    return f"{name} (environment variable WATCHFLOOR_{name.upper()})"


def find_entries(group: str, allowed: Sequence[str], what: str) -> tuple[tuple[EntryPoint, ...], list[Problem]]:
    """The entry points of a group that are allowed, in that order and not imported yet, and what is wrong with others.

    ``what`` they are, for messages.
    """
    installed: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=group):
        installed.setdefault(entry.name, []).append(entry)
    found: list[EntryPoint] = []
    problems: list[Problem] = []
    for name in dict.fromkeys(allowed):
        match installed.get(name, []):
            case []:
                known = ", ".join(sorted(installed)) or "none"
                problems.append(Problem(f"{what} {name!r} is allowed and not installed; installed are: {known}"))
            case [entry]:
                found.append(entry)
            case several:
                origins = ", ".join(entry.value for entry in several)
                problems.append(Problem(f"{what} {name!r} is installed more than once: {origins}"))
    return tuple(found), problems


def allowed_entry(group: str, name: str, allowed: Sequence[str], setting: str) -> EntryPoint:
    """The entry point ``name`` of the group, not imported.

    Raises `ConfigurationError` where ``setting`` does not allow it, and where it is not installed or installed twice.
    """
    if name not in allowed:
        raise ConfigurationError(
            f"plug-in {name!r} is not allowed; add its name to {shown_setting(setting)} where you trust its code"
        )
    found, problems = find_entries(group, (name,), "plug-in")
    if problems:
        raise ConfigurationError(problems)
    return found[0]


def load_plugin(group: str, name: str, allowed: Sequence[str], setting: str) -> Callable[..., Any]:
    """What the entry point ``name`` of the group points to; not imported unless ``setting`` allows it.

    Raises `ConfigurationError` where it is not allowed, not installed, installed twice, cannot be loaded or cannot be
    called.
    """
    entry = allowed_entry(group, name, allowed, setting)
    try:
        loaded = entry.load()
    except Exception as error:  # someone else's code: whatever it raises, it is told as a mistake of configuration
        raise ConfigurationError(
            f"plug-in {name!r} ({entry.value}) cannot be loaded: {type(error).__name__}: {error}; "
            f"mend it or take it out of {shown_setting(setting)}"
        ) from error
    if not callable(loaded):
        raise ConfigurationError(f"plug-in {name!r} ({entry.value}) cannot be called")
    made: Callable[..., Any] = loaded
    return made
