"""How long one question to a server may take, and how much may be read for it, whatever the server does.

A time limit for each read is none: a server that sends a byte now and then is never late, and one that never stops
sending fills the memory.
"""

from __future__ import annotations

import time
from typing import Any, Final

MAX_QUESTION_BYTES: Final = 16 << 20
MAX_ANSWER_BYTES: Final = 2 << 20
"""Of one search. Decoded, the smallest of values take a hundred times as much memory."""


class Bounds:
    """Of one question, which begins now."""

    def __init__(self, timeout_s: float) -> None:
        self._deadline = time.monotonic() + timeout_s
        self._question_bytes = MAX_QUESTION_BYTES
        self._answer_bytes = MAX_ANSWER_BYTES
        self._broken: str | None = None

    def broken(self) -> str | None:
        """What went beyond them, for people; None while nothing did."""
        if self._broken is None and time.monotonic() >= self._deadline:
            self.ended()
        return self._broken

    def begin_answer(self) -> None:
        """What follows is the answer to a further request."""
        self._answer_bytes = MAX_ANSWER_BYTES

    def left_s(self) -> float:
        """Above 0. Raises `TimeoutError`."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self.ended()
        return left

    def ended(self) -> TimeoutError:
        """To be raised where the time is over."""
        self._broken = self._broken or "did not answer in time"
        return TimeoutError(self._broken)

    def count(self, size: int) -> None:
        """Bytes that were read. Raises `OSError` where they are too many."""
        self._question_bytes -= size
        self._answer_bytes -= size
        if self._answer_bytes < 0:
            raise self._too_many("search", MAX_ANSWER_BYTES)
        if self._question_bytes < 0:
            raise self._too_many("question", MAX_QUESTION_BYTES)

    def _too_many(self, what: str, most: int) -> OSError:
        self._broken = f"answers one {what} with more than {most >> 20} MiB"
        return OSError(self._broken)


class BoundedSocket:
    """A connected socket, with or without TLS, that keeps to the bounds; all else it leaves to the socket."""

    def __init__(self, raw: Any, bounds: Bounds) -> None:  # one of `socket.socket` or of `ssl.SSLSocket`
        self.raw = raw
        self._bounds = bounds

    def recv(self, size: int) -> bytes:
        self.raw.settimeout(self._bounds.left_s())
        try:
            data: bytes = self.raw.recv(size)
        except TimeoutError:
            raise self._bounds.ended() from None
        self._bounds.count(len(data))
        return data

    def sendall(self, data: bytes) -> None:
        self.raw.settimeout(self._bounds.left_s())
        try:
            self.raw.sendall(data)
        except TimeoutError:
            raise self._bounds.ended() from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)
