"""How a command ends: what it prints and its exit code, the same for every group."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Final, NoReturn

import orjson
import typer
from rich.console import Console
from rich.text import Text

from watchfloor_core.errors import (
    ConfigurationError,
    ConflictError,
    LedgerError,
    NotFoundError,
    RecordError,
    RefusedError,
    UnavailableError,
    WatchfloorError,
)
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_service.fitted_table import FittedTable

WIDTH_UNKNOWN: Final = 160
"""Columns where the output is no terminal."""


class ExitCode(IntEnum):
    DONE = 0
    NO = 1
    """The command worked and the answer is no: a ledger that does not verify, a record that still cannot be read."""
    MEND = 2
    """The call, a file or a setting is wrong."""
    NOT_FOUND = 3
    REFUSED = 4
    """A guardrail refuses, or it changed in the meantime; the message says why."""
    UNAVAILABLE = 75
    """EX_TEMPFAIL of sysexits.h: a part is down; try again later."""


def exit_code_of(error: WatchfloorError) -> ExitCode:
    match error:
        case NotFoundError():
            return ExitCode.NOT_FOUND
        case RefusedError() | ConflictError():
            return ExitCode.REFUSED
        case UnavailableError():
            return ExitCode.UNAVAILABLE
        case LedgerError() | RecordError():
            return ExitCode.NO
        case ConfigurationError():
            return ExitCode.MEND
        case _:
            return ExitCode.MEND


@contextmanager
def answering() -> Iterator[None]:
    """Turn an expected error of the block into one message on standard error and its exit code."""
    try:
        yield
    except WatchfloorError as error:
        fail(str(error), exit_code_of(error))


def fail(message: str, code: ExitCode) -> NoReturn:
    """End with a message on standard error; text from alerts in it can do nothing to the terminal."""
    for line in message.splitlines() or [""]:
        print(f"watchfloor: {escape_untrusted(line)}", file=sys.stderr)
    raise typer.Exit(code)


def print_json(value: object) -> None:
    """``value`` (dataclasses too) as indented JSON on standard output, for other programs.

    Text from alerts stands in it as it came, as JSON strings.
    """
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode() + "\n")


def console() -> Console:
    """Prints text as it is: nothing in it is taken for markup, emoji or a link."""
    made = Console(markup=False, emoji=False, highlight=False)
    if not made.is_terminal:
        made = Console(markup=False, emoji=False, highlight=False, width=WIDTH_UNKNOWN)
    return made


def print_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    right: Sequence[str] = (),
    whole: Sequence[str] = (),
) -> None:
    """A table; ``right`` names the columns of numbers, ``whole`` those whose cells are never broken, not even between
    words.

    Invisible characters in cells are shown, not acted on.
    """
    cells = [[Text("–" if cell is None else escape_untrusted(str(cell))) for cell in row] for row in rows]
    console().print(FittedTable(headers, cells, right=right, whole=whole))


def print_empty(message: str) -> None:
    """Says that there is nothing, and what to do next."""
    console().print(Text(message))
