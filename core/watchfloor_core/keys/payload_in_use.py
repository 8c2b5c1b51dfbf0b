"""The payload keys of a running process, which follows the ring as it changes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from watchfloor_core.errors import UnavailableError
from watchfloor_core.keys.payload import PayloadKeyRing, parse_ring
from watchfloor_core.keys.sources import SecretSource

logger = logging.getLogger(__name__)

FRESH_S: Final = 60.0
"""A source that cannot tell cheaply whether it changed is read again after so long."""
AGAIN_S: Final = 1.0
"""It is asked for unknown keys no more often than this, however many unknown ids come."""


class PayloadKeys:
    """The ring as it was last read. Safe to share between threads; `refresh` blocks, all else is quick."""

    def __init__(self, source: SecretSource, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._ring: PayloadKeyRing | None = None
        self._mark: str | None = None
        self._read_at = 0.0
        """On the clock, in seconds; failed attempts count."""

    @property
    def reference(self) -> str:
        return self._source.reference

    def fresh(self) -> PayloadKeyRing | None:
        """The ring, or None where it should be read (again) by `refresh`."""
        return None if self._is_older_than(FRESH_S) else self._ring

    def may_have_more(self) -> bool:
        """Whether reading again may bring a key that `fresh` lacks."""
        return self._is_older_than(AGAIN_S)

    def refresh(self) -> PayloadKeyRing:
        """Read the source, and return the ring.

        A source that is down for a while does not stop what the keys at hand can do. Raises `UnavailableError` where
        there are none at hand, and `ConfigurationError` where the ring is gone or damaged: what would be encrypted
        from then on could be read by nobody after the next start.
        """
        with self._lock:
            if self._ring is not None and not self._is_older_than(AGAIN_S):
                return self._ring  # another thread was quicker
            mark = self._source.mark()
            try:
                self._ring = parse_ring(self._source.read(), self._source.reference)
                self._mark = mark
            except UnavailableError as error:
                if self._ring is None:
                    raise
                logger.warning("going on with the payload keys at hand: %s", error)
            finally:
                self._read_at = self._clock()
            return self._ring

    def _is_older_than(self, seconds: float) -> bool:
        if self._ring is None:
            return True
        mark = self._source.mark()
        if mark is None:
            return self._clock() - self._read_at >= seconds
        return mark != self._mark
