"""How often something is done: at most so many times in any minute."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

MINUTE_S: Final = 60.0


class Pace:
    """Counts what is done within the last minute. Thread-safe; for one process."""

    def __init__(self, most: int, now_s: Callable[[], float]) -> None:
        """``now_s``: seconds of a clock that never goes back."""
        self._most, self._now_s = most, now_s
        self._lock = threading.Lock()
        self._at_s: deque[float] = deque()

    def allows(self) -> bool:
        """Whether it may be done once more now; it is counted where it may."""
        with self._lock:
            now = self._now_s()
            while self._at_s and self._at_s[0] <= now - MINUTE_S:
                self._at_s.popleft()
            if len(self._at_s) >= self._most:
                return False
            self._at_s.append(now)
            return True
