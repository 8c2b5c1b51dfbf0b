"""How far a run is: bars on a terminal, a plain line now and then elsewhere, nothing where nothing is wanted."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self, TextIO

if TYPE_CHECKING:
    from rich.progress import TaskID

PLAIN_EVERY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the work on a tenant is."""

    records: int
    """Read so far."""
    is_reading: bool
    alerts: int
    """Distinct alerts so far."""
    correlated: int
    incidents: int
    triaged: int


class Progress(Protocol):
    """Shows standings, and lines that stay."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, standing: Standing) -> None: ...

    def note(self, text: str) -> None: ...


class QuietProgress:
    """Shows nothing but notes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def show(self, standing: Standing) -> None:  # noqa: ARG002 - part of the protocol
        return

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class PlainProgress(QuietProgress):
    """A line every few seconds: for logs and pipes."""

    def __init__(self, stream: TextIO, *, every_s: float = PLAIN_EVERY_S) -> None:
        self._stream = stream
        self._every_s = every_s
        self._next = time.monotonic() + every_s

    def show(self, standing: Standing) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._every_s
        print(
            f"{standing.records:,} records read{' so far' if standing.is_reading else ''}; "
            f"{standing.correlated:,} of {standing.alerts:,} alerts correlated; "
            f"{standing.triaged:,} of {standing.incidents:,} incidents triaged",
            file=self._stream,
            flush=True,
        )


class BarProgress:
    """Three bars: records read, alerts correlated, incidents triaged."""

    def __init__(self) -> None:
        # Imported here: a tenth of a second that `--help` need not wait for.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._records: TaskID = self._bars.add_task("records read", total=None)
        self._alerts: TaskID = self._bars.add_task("alerts correlated", total=None)
        self._incidents: TaskID = self._bars.add_task("incidents triaged", total=None)

    def __enter__(self) -> Self:
        self._bars.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.__exit__(kind, error, trace)

    def show(self, standing: Standing) -> None:
        self._bars.update(
            self._records,
            completed=standing.records,
            total=None if standing.is_reading else standing.records,
        )
        self._bars.update(self._alerts, completed=standing.correlated, total=standing.alerts or None)
        self._bars.update(self._incidents, completed=standing.triaged, total=standing.incidents or None)

    def note(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False)


def progress_for(stream: TextIO, *, is_quiet: bool) -> Progress:
    """The kind that fits where the output goes."""
    if is_quiet:
        return QuietProgress()
    return BarProgress() if stream.isatty() else PlainProgress(stream)
