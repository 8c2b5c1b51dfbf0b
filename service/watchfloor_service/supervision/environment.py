"""The environment of child processes: what this process has, with these settings in place of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

if TYPE_CHECKING:
    from watchfloor_core.settings import Settings


def plain_environment() -> dict[str, str]:
    """For a program that is not ours: nothing of Watchfloor's, so no secret reaches it."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("WATCHFLOOR_")}


def settings_environment(settings: Settings) -> dict[str, str]:
    """For our own processes: `Settings` read there equals ``settings``."""
    environment = plain_environment()
    for name in type(settings).model_fields:
        value: object = getattr(settings, name)
        if value is not None:
            environment[f"WATCHFLOOR_{name.upper()}"] = _as_text(value)
    return environment


def _as_text(value: object) -> str:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case Path() | str():
            return str(value)
        case _:
            return json.dumps(value)
