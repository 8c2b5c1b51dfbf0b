"""When the API asks senders to wait: correlation has more alerts before it than the settings allow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from watchfloor_core.store.engine import Store
from watchfloor_core.store.ingest import pending_alerts
from watchfloor_service.api.problems import ProblemError, ProblemKind, retry_after

FRESH_S: Final = 1.0
"""A count is used for so long: between two counts a sender can at most be let in for one second too many."""


class Backpressure:
    """Counts each tenant's waiting alerts, at most once a second."""

    def __init__(self, store: Store, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[float, int]] = {}
        """Tenant to (when counted, count). Tenants come from live tokens and configured webhooks: they are few."""

    def check(self, tenant: str) -> None:
        """Raise a 429 problem while too many alerts of the tenant wait."""
        waiting = self._waiting(tenant)
        if waiting > self._limit:
            raise ProblemError(
                ProblemKind.BACKPRESSURE,
                f"{waiting:,} alerts wait for correlation, more than {self._limit:,} (max_pending_alerts); nothing was "
                "taken in, send this again",
                headers=retry_after(),
            )

    def _waiting(self, tenant: str) -> int:
        # Held while counting, so that requests that come together count once.
        with self._lock:
            counted_at, count = self._counts.get(tenant, (-FRESH_S, 0))
            if self._clock() - counted_at >= FRESH_S:
                with self._store.read() as connection:
                    count = pending_alerts(connection, tenant)
                self._counts[tenant] = (self._clock(), count)
            return count
