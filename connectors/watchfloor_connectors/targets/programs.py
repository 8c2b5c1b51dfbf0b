"""Programs of the system: run by argument list, never by a shell, in a fixed environment, for a limited time."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from watchfloor_connectors.targets.base import NotReadyError
from watchfloor_core.errors import UnavailableError

PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
_SHOWN: Final = 300


@dataclass(frozen=True, slots=True)
class Done:
    """How a program ended."""

    code: int
    """Its exit code; negative where a signal ended it."""
    output: str
    problem: str
    """What it wrote to standard error, shortened."""


class TimedOutError(UnavailableError):
    """The program was stopped at its time limit; what it had done by then is open."""


def run(command: Sequence[str], *, timeout_s: float, text: str = "") -> Done:
    """Runs a program of `PATH` with ``text`` on standard input.

    Raises `NotReadyError` where it is not installed, `TimedOutError` where it takes longer than ``timeout_s``.
    """
    program = shutil.which(command[0], path=PATH)
    if program is None:
        raise NotReadyError(f"the program {command[0]!r} is not in {PATH}; install it")
    try:
        ended = subprocess.run(  # noqa: S603 - an argument list of configuration and checked values, no shell
            [program, *command[1:]],
            input=text.encode(),
            capture_output=True,
            timeout=timeout_s,
            check=False,
            env={"PATH": PATH, "LC_ALL": "C"},
            cwd="/",
            # A Ctrl-C in the terminal of the executor is not for what it is in the middle of.
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise TimedOutError(f"{command[0]} took longer than {timeout_s:g} s and was stopped") from None
    except OSError as error:
        raise NotReadyError(f"{command[0]} cannot be started: {error.strerror}") from error
    problem = " ".join(ended.stderr.decode("utf-8", "replace").split())[:_SHOWN]
    return Done(ended.returncode, ended.stdout.decode("utf-8", "replace"), problem)
