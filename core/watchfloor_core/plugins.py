"""Code of others, found by entry point and loaded only where the settings allow it by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Any

from watchfloor_core.errors import ConfigurationError


def load_plugin(group: str, name: str, allowed: Sequence[str], setting: str) -> Callable[..., Any]:
    """What the entry point ``name`` of the group points to; not imported unless ``setting`` allows it.

    Raises `ConfigurationError` where it is not allowed, not installed, installed twice, cannot be loaded or cannot be
    called.
    """
    if name not in allowed:
        raise ConfigurationError(f"plug-in {name!r} is not allowed; add its name to {setting} where you trust its code")
    found = [one for one in entry_points(group=group) if one.name == name]
    if not found:
        known = ", ".join(sorted({one.name for one in entry_points(group=group)})) or "none"
        raise ConfigurationError(f"plug-in {name!r} is allowed and not installed ({group}); installed are: {known}")
    if len(found) > 1:
        origins = ", ".join(one.value for one in found)
        raise ConfigurationError(f"plug-in {name!r} is installed more than once: {origins}")
    try:
        loaded = found[0].load()
    except Exception as error:  # someone else's code: whatever it raises, it is told as a mistake of configuration
        raise ConfigurationError(
            f"plug-in {name!r} ({found[0].value}) cannot be loaded: {type(error).__name__}: {error}; "
            f"mend it or take it out of {setting}"
        ) from error
    if not callable(loaded):
        raise ConfigurationError(f"plug-in {name!r} ({found[0].value}) cannot be called")
    made: Callable[..., Any] = loaded
    return made
