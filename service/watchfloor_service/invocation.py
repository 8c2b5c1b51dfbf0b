"""What the root command was given, for every sub-command: ``current_settings()`` is how a command gets its settings."""

from __future__ import annotations

import shlex
import shutil
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from watchfloor_core.settings import Settings


@dataclass(frozen=True, slots=True)
class Invocation:
    """The options that stand before the sub-command."""

    data_dir: Path | None = None


NAME: Final = "watchfloor"
CURRENT: Final[ContextVar[Invocation]] = ContextVar("watchfloor_invocation")
"""Set by the root command for as long as its sub-command runs."""


def called_as() -> str:
    """How this program is called, as a person can call it again: by its name where the shell finds it by that."""
    program = Path(sys.argv[0])
    if program.name != NAME or shutil.which(NAME) is not None:
        return NAME
    try:
        return shlex.quote(f"./{program.absolute().relative_to(Path.cwd())}")
    except ValueError:
        return shlex.quote(str(program.absolute()))


def current_settings(**overrides: object) -> Settings:
    """The settings of this invocation: the environment, over it the root command's options, over those ``overrides``.

    An override of None means "not given". Raises `ConfigurationError` with every wrong value at once.
    """
    # Imported here: pydantic costs more than all the rest of `watchfloor --help`.
    from pydantic import ValidationError

    from watchfloor_core.errors import ConfigurationError, Problem
    from watchfloor_core.settings import Settings

    given: dict[str, object] = {}
    data_dir = CURRENT.get(Invocation()).data_dir
    if data_dir is not None:
        given["data_dir"] = data_dir
    given.update({name: value for name, value in overrides.items() if value is not None})
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        raise ConfigurationError(
            [
                Problem(
                    f"{problem['input']!r} is not a value for it: {problem['msg']}; give another by "
                    f"WATCHFLOOR_{'_'.join(str(part) for part in problem['loc'][:1]).upper()}",
                    path=".".join(str(part) for part in problem["loc"]),
                )
                for problem in error.errors()
            ]
        ) from error
