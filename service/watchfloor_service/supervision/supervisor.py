"""Keeps the parts of the embedded stack running, and stops them in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_service.supervision.child import Child
from watchfloor_service.supervision.part import Part, PartName
from watchfloor_service.supervision.rotation import RotatingLog

START_S: Final = 60.0
"""A stack that is not ready by then has failed to start."""
STOP_ORDER: Final = (PartName.API, PartName.CORRELATOR, PartName.WORKER, PartName.EXECUTOR, PartName.TEMPORAL)
"""Who takes work in stops first; who keeps the state stops last."""


class Supervisor:
    """A group of children with one beginning and one end."""

    def __init__(
        self,
        log_dir: Path,
        *,
        inherited: tuple[int, ...] = (),
        tell: Callable[[str], None],
        changed: Callable[[dict[str, int]], None],
    ) -> None:
        self._log_dir = log_dir
        self._inherited = inherited
        self._tell = tell
        """Takes one line for the person who watches."""
        self._changed = changed
        """Takes part → process id whenever one of them began or ended."""
        self._children: dict[PartName, Child] = {}
        self._logs: list[RotatingLog] = []
        self._keepers: list[asyncio.Task[None]] = []

    @property
    def processes(self) -> dict[str, int]:
        """Part → process id of those that run now."""
        return {name.value: child.pid for name, child in self._children.items() if child.pid is not None}

    def start(self, *parts: Part) -> None:
        """Begin to keep these parts; `until_ready` says when they work."""
        for part in parts:
            log = self._open_log(part.name)
            child = Child(
                part,
                log,
                inherited=self._inherited,
                tell=self._tell,
                changed=lambda: self._changed(self.processes),
            )
            self._children[part.name] = child
            keeper = asyncio.create_task(child.keep(), name=f"keep {part.name}")
            keeper.add_done_callback(self._note_defect)
            self._keepers.append(keeper)

    async def until_ready(self, *names: PartName) -> None:
        """Wait until these parts (all, where none is named) do their work.

        Raises what `Child.until_ready` raises, for the first that fails, and `UnavailableError` after `START_S`.
        """
        children = [self._children[name] for name in names or tuple(self._children)]
        waits = [asyncio.ensure_future(child.until_ready()) for child in children]
        try:
            async with asyncio.timeout(START_S):
                await asyncio.gather(*waits)
        except TimeoutError:
            late = [child.part.name for child, wait in zip(children, waits, strict=True) if not _succeeded(wait)]
            raise UnavailableError(
                f"{', '.join(late)} not ready after {START_S:.0f} s; what it says is in {self._log_dir}"
            ) from None
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def stop(self) -> None:
        """End every part in order, each within its own time. A cancelled stop kills what is left."""
        try:
            for name in STOP_ORDER:
                if name in self._children:
                    await self._children[name].stop()
            await asyncio.gather(*self._keepers)
        except asyncio.CancelledError:
            for child in self._children.values():
                child.kill()
            await asyncio.gather(*self._keepers, return_exceptions=True)
            raise
        finally:
            for log in self._logs:
                log.close()

    def _note_defect(self, keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled() and keeper.exception() is not None:
            self._tell(f"{keeper.get_name()} failed and its part runs no more: {keeper.exception()!r}; start anew")

    def _open_log(self, name: PartName) -> RotatingLog:
        try:
            self._log_dir.mkdir(mode=0o700, exist_ok=True)
            log = RotatingLog(self._log_dir / f"{name}.log")
        except OSError as error:
            raise ConfigurationError(
                f"log folder {str(self._log_dir)!r} cannot be written ({error.strerror}); "
                "give another data directory by --data-dir or WATCHFLOOR_DATA_DIR"
            ) from error
        self._logs.append(log)
        return log


def _succeeded(wait: asyncio.Future[None]) -> bool:
    return wait.done() and not wait.cancelled() and wait.exception() is None
