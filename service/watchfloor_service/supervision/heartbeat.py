"""The child's side of the supervisor's pipe: says that it is ready, that it lives, or why it cannot start.

One line a message: ``ready``, ``beat`` or ``failed <text>``. A process that nobody supervises has no pipe and says
nothing.
"""

from __future__ import annotations

import os
import threading
from typing import Final, Self

BEAT_EVERY_S: Final = 1.0
READY: Final = b"ready"
BEAT: Final = b"beat"
FAILED: Final = b"failed "


class Heartbeat:
    """Writes to the supervisor's pipe; never blocks and never fails the process that it speaks for."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._stopped = threading.Event()
        if descriptor is not None:
            os.set_blocking(descriptor, False)

    def ready(self) -> None:
        """The process does its work from now on."""
        self._say(READY)

    def beat(self) -> None:
        """The process lives."""
        self._say(BEAT)

    def failed(self, reason: str) -> None:
        """The process cannot do its work before an operator has mended something."""
        self._say(FAILED + "; ".join(reason.split("\n")).encode("utf-8", "replace"))

    def __enter__(self) -> Self:
        """Beat from a thread of its own until the end of the block.

        A thread tells a frozen process from a long piece of work, which a beat between pieces would not.
        """
        threading.Thread(target=self._beat_until_stopped, name="heartbeat", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()

    def _beat_until_stopped(self) -> None:
        while not self._stopped.wait(BEAT_EVERY_S):
            self.beat()

    def _say(self, message: bytes) -> None:
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, message[:4000] + b"\n")
        except OSError:
            # A full pipe: the supervisor has unread beats. A closed one: it is gone, and this process will be too.
            return
