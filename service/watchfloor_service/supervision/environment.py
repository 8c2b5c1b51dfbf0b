"""The environment of child processes: what this process has, with these settings in place of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from watchfloor_core.settings import FOR_ANY_PROGRAM
from watchfloor_service.supervision.part import PartName

if TYPE_CHECKING:
    from watchfloor_core.settings import Settings


_ON_TEMPORAL: Final = frozenset({PartName.WORKER, PartName.EXECUTOR, PartName.API})
GIVEN_TO: Final[Mapping[str, frozenset[PartName]]] = {
    "targets_file": frozenset({PartName.EXECUTOR}),
    "targets_allowed": frozenset({PartName.EXECUTOR}),
    "oidc_client_secret": frozenset({PartName.API}),
    "temporal_api_key": _ON_TEMPORAL,
    "vault_token": _ON_TEMPORAL,
    "vault_token_file": _ON_TEMPORAL,
}
"""Settings that only some parts get. What leads to the targets is the executor's alone."""


def plain_environment() -> dict[str, str]:
    """For a program that is not ours: none of the variables in which secrets are handed to us."""
    return {name: value for name, value in os.environ.items() if name in FOR_ANY_PROGRAM}


def settings_environment(settings: Settings, part: PartName | None = None) -> dict[str, str]:
    """For our own processes: `Settings` read there equals ``settings``.

    For one ``part`` it lacks what that part has no business with (`GIVEN_TO`).
    """
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith("WATCHFLOOR_")}
    for name in type(settings).model_fields:
        value: object = getattr(settings, name)
        if value is not None and (part is None or part in GIVEN_TO.get(name, (part,))):
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
