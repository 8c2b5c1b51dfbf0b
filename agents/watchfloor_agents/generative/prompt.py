"""Prompts are files with a version; what was asked of a model can be told by name, version and digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import yaml

from watchfloor_core.errors import ConfigurationError

_PACKAGE: Final = "watchfloor_agents.generative.prompts"


@dataclass(frozen=True, slots=True)
class Prompt:
    name: str
    version: str
    digest: str
    """SHA-256 (64 hex digits) of the file's bytes."""
    text: str


@cache
def load_prompt(name: str) -> Prompt:
    """The prompt of that name. Raises `ConfigurationError` where the installation has none that is whole."""
    try:
        content = (files(_PACKAGE) / f"{name}.yaml").read_bytes()
        document = yaml.safe_load(content)
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"prompt {name!r} cannot be read ({error}); install watchfloor again") from error
    match document:
        case {"name": str(own), "version": str(version), "text": str(text)} if own == name and text.strip():
            return Prompt(name, version, hashlib.sha256(content).hexdigest(), text)
        case _:
            raise ConfigurationError(f"prompt {name!r} lacks its name, version or text; install watchfloor again")
