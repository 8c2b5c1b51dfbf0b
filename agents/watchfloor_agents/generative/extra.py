"""The door to the engine: what needs the extra is imported behind it, and a missing extra is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from watchfloor_core.errors import ConfigurationError

if TYPE_CHECKING:
    from watchfloor_agents.generative.engine import Research

_EXTRAS: Final = {
    "pydantic_ai": "generative",
    "openai": "generative",
    "anthropic": "anthropic",
    "google": "google",
}
"""The extra that brings a package."""


def load_research() -> Research:
    """The engine's function `watchfloor_agents.generative.engine.research`.

    Raises `ConfigurationError` where the extra is not installed.
    """
    try:
        from watchfloor_agents.generative.engine import research
    except ModuleNotFoundError as error:
        raise missing(error) from error
    return research


def missing(error: ImportError) -> ConfigurationError:
    """What to install; the error itself where the module is none of an extra."""
    # A provider's module of pydantic-ai raises an error of its own, whose cause names the package.
    cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
    package = (cause.name or "").partition(".")[0]
    extra = _EXTRAS.get(package)
    if extra is None:
        raise error
    return ConfigurationError(
        f"a model is configured, but the package {package!r} is not installed; run: pip install 'watchfloor[{extra}]'"
    )
